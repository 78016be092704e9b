"""Parts that several benchmarks share: processes that are timed, tasks, memory and CPU time."""

import json
import os
import resource
import subprocess
import sys
import sysconfig
import time
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stylewatch_painter.recipes.recipe import Recipe
    from stylewatch_painter.scene.task import Task
    from stylewatch_painter.stage import Pixels

ROOT = Path(__file__).parents[1]
STYLEWATCH = Path(sysconfig.get_path("scripts")) / "stylewatch"
PASTICHE = STYLEWATCH.with_name("pastiche")


def probe(module: str, *words: object) -> Any:
    """Run the module `bench.<module>` in a process of its own; return the JSON of its last line."""
    command = [sys.executable, "-m", f"bench.{module}", *map(str, words)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def run(*command: object) -> tuple[float, str]:
    """Return the seconds that a command takes, from its start to its end, and its output."""
    words = list(map(str, command))
    began = time.monotonic()
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    seconds = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}")
    return seconds, done.stdout


def timed(*command: object) -> float:
    """Return the seconds that a command takes."""
    return run(*command)[0]


def render(content: Path, style: Path, out: Path, *options: object) -> float:
    """Return the seconds that `stylewatch render` takes for a picture, as for a user."""
    always = ("-o", out, "--force", "--quiet", "--device", "cpu")
    return timed(STYLEWATCH, "render", content, style, *always, *options)


def area(pixels: int) -> str:
    """Return a number of pixels as `--size` takes it."""
    return f"{pixels / 1e6:.6f}mp"


def task(
    recipe: "Recipe",
    pair: "tuple[Path | Pixels, Path | Pixels]",
    changes: Mapping[str, object],
    seed: int = 0,
) -> "Task":
    """Return a task for a content and a style, files or arrays, by `recipe` with `changes`."""
    from stylewatch_painter.images.read import read
    from stylewatch_painter.recipes import book
    from stylewatch_painter.scene.task import Style, Task

    content, style = (
        read(picture).pixels if isinstance(picture, Path) else picture for picture in pair
    )
    return Task(book.change(recipe, changes), content, (Style(style),), seed=seed)


def final_picture(given: "Task", device: str) -> "Pixels":
    """Run a task on a device and return its last picture, not rounded."""
    from stylewatch_painter.stage import Stage, go_on
    from stylewatch_plugins.torch_autograd import TorchAutograd

    *_, last = TorchAutograd({"device": device}).paint(given, go_on)
    assert isinstance(last, Stage), "a job ends with a picture"
    return last.picture


def with_pair_options(parser: ArgumentParser) -> ArgumentParser:
    """Add the options that `make bench` and `make bench-gpu` share."""
    parser.add_argument("--runs", type=int, default=5, help="how often each row is measured")
    parser.add_argument("--only", nargs="*", default=[], metavar="ROW", help="only these rows")
    parser.add_argument("--content", type=Path, help="a photograph, not that of the sample pair")
    parser.add_argument("--style", type=Path, help="a painting, not that of the sample pair")
    parser.add_argument("--results", type=Path, default=ROOT / "build", help="where JSON goes")
    return parser


def pair_of(content: Path | None, style: Path | None, folder: Path) -> tuple[Path, Path]:
    """Return the given pictures; what is not given is that of the sample pair, in `folder`."""
    from stylewatch_painter import sample

    if content is None or style is None:
        sample.write(folder)
    return content or folder / "content.jpg", style or folder / "style.jpg"


def names(content: Path | None, style: Path | None) -> str:
    """Return the names of the given pictures, for a page."""
    given = content.name if content else "the sample photograph"
    return f"{given} + {style.name if style else 'the sample painting'}"


def peak() -> float:
    """Return the most megabytes that this process held since it became this program."""
    status = Path("/proc/self/status")
    if status.is_file():  # what rusage has counts the process it was forked from, too
        (line,) = (line for line in status.read_text("ascii").splitlines() if "VmHWM" in line)
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def cpu_seconds(pid: int) -> float:
    """Return the seconds of a core that a process took so far."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
