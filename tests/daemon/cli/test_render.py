"""`stylewatch render` and `try`, with the backend `sketch`."""

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.daemon.cli.conftest import Run, Terminal, files
from tests.painter.films import film as write_film

from stylewatch_daemon.cli.build_order import RenderRequest, make_plan
from stylewatch_daemon.cli.render import FIRST_STYLES
from stylewatch_daemon.files import atomic
from stylewatch_painter.images.clip import ClipLimits
from stylewatch_painter.images.read_clip import inspect
from stylewatch_painter.sample import shipped_styles

SKETCH = ("--backend", "sketch", "--steps", "4", "--save-every", "2")
SMALL = ("--backend", "sketch", "--size", "32", "--steps", "2", "--set", "scales=[]")
PAIR = ("content.jpg", "style.jpg")
LIMITS = ClipLimits(10_000, 100)
Receipt = Callable[..., dict[str, Any]]

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def receipt(run: Run) -> Receipt:
    """Render with `--json`; return the receipt, the last line on stdout."""

    def render(*arguments: str) -> dict[str, Any]:
        ended = run("render", *arguments, "--json")
        assert ended.code == 0, ended.err
        plain: dict[str, Any] = json.loads(ended.lines[-1])
        return plain

    return render


def made(folder: Path) -> set[str]:
    return files(folder) - set(PAIR)


def test_an_order_has_the_pictures_and_the_settings(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "backends: {sketch: {a: 1}}\nlimits: {max_pixels: 9, memory: 6GB}\n"
    )
    content, style = map(Path, PAIR)
    sets = ["quality=50", "smallest=3", "limits.max_pixels=7"]
    job = {"backend": "sketch", "steps": 3, "init": "style.jpg", "sets": sets}
    plan = make_plan(RenderRequest((content, style), job, tmp_path / "config.yaml"), tmp_path)
    order, schedule = plan.order, plan.recipe.schedule
    assert (order.content, order.styles, order.init) == (content, (style,), style)
    assert (order.settings.steps, order.settings.quality) == (3, 50)
    assert (schedule.steps, schedule.smallest, schedule.start) == (3, 3, "picture")
    assert (order.backend_options, order.recipe) == ({"a": 1}, plan.recipe.model_dump())
    assert (order.max_pixels, order.memory) == (7, 6_000_000_000)


def test_a_picture_is_written_and_its_path_printed(
    here: Path, run: Run, terminal: Callable[[str], Terminal]
) -> None:
    ended = run("render", *PAIR, *SKETCH)
    assert (ended.code, ended.out) == (0, "content-style.png\n")
    assert "step 2 of 4 at 48x36, loss " in ended.err
    assert made(here) == {"content-style.png"}
    with Image.open(here / "content-style.png") as picture:
        assert picture.size == (48, 36)
    before = (here / "content-style.png").read_bytes()
    ended = run("render", *PAIR, *SKETCH, "-o", "content-style.png", "--quiet", "--force")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert (here / "content-style.png").read_bytes() == before, "the same command, the same bytes"
    stderr = terminal("stderr")
    assert run("render", *PAIR, *SKETCH).code == 0
    assert "step 4 of 4 at 48x36" in stderr.getvalue()


def test_a_folder_gets_stages_losses_inputs_and_the_receipt(here: Path, receipt: Receipt) -> None:
    (here / "a").mkdir()
    shutil.copy("style.jpg", here / "a/content.jpg")
    final = ("--set", "final='{content}-{style}'")
    printed = receipt("content.jpg", "a/content.jpg", *SKETCH, "-o", "painted", *final)
    assert files(here / "painted") == {
        "stages/0002.png", "stages/0004.png", "content-content.png", "losses.csv", "receipt.json",
        "inputs/content.jpg", "inputs/content-2.jpg",
    }  # fmt: skip
    second = here / "painted/inputs/content-2.jpg"
    assert second.read_bytes() == (here / "style.jpg").read_bytes()
    assert printed == json.loads((here / "painted/receipt.json").read_text())


@pytest.fixture
def film(here: Path) -> Path:
    return write_film(here / "film.mkv", "ffv1", frames=3, pix_fmt="bgr0")


@pytest.mark.usefixtures("film")
def test_a_clip_becomes_a_clip(here: Path, run: Run, receipt: Receipt) -> None:
    ended = run("render", "film.mkv", "style.jpg", *SMALL)
    assert (ended.code, ended.out) == (0, "film-style.mp4\n"), ended.err
    assert "frame 3 of 3 at 32x24, loss " in ended.err
    assert inspect(here / "film-style.mp4", LIMITS).frames == 3
    printed = receipt("film.mkv", "style.jpg", *SMALL, "-o", "painted/", "--set", "final=moved",
                      "--set", "clip.format=mkv")  # fmt: skip
    assert printed["final"] == "moved.mkv"
    assert {"moved.mkv", "inputs/film.mkv", "stages/0001.png"} < made(here / "painted")
    estimate = run("render", "film.mkv", "style.jpg", *SMALL, "--dry-run").out
    assert estimate.startswith("3 frames at 32x24\n")


def test_no_steps_only_measure_and_a_dry_run_only_estimates(here: Path, run: Run) -> None:
    measure = ("render", *PAIR, "--backend", "sketch", "--set", "schedule.steps=0")
    estimate = ("render", *PAIR, *SKETCH, "--dry-run")
    assert run(*measure).lines[-1].startswith("total ")
    printed = run(*estimate).out
    assert all(line in printed for line in ("4 steps at 48x36\n", "time: ", "memory: "))
    assert "is too small for" in run(*estimate, "--recipe", "gram").err  # as the receipt says
    assert json.loads(run(*measure, "--json").out)["total"] > 0
    needs = json.loads(run(*estimate, "--sweep", "strength=0.1,0.9", "--json").out)["jobs"]
    assert [job["name"] for job in needs] == ["strength=0.1", "strength=0.9"]
    assert needs[1]["estimate"]["sizes"] == [[48, 36]]
    assert made(here) == set()


def test_an_output_below_the_size_is_reported_once_and_in_the_receipt(
    receipt: Receipt, run: Run
) -> None:
    large = (*PAIR, *SKETCH, "--size", "96")
    hint = (
        "size 96: the photograph has 48x36 pixels and is not enlarged, so the output has 48x36; "
        "enlarge: yes (--enlarge) makes it 96x72"
    )
    assert run("render", *large, "-o", "a.png").err.count(hint) == 1
    assert hint in receipt(*large, "-o", "b.png")["warnings"]
    enlarged = receipt(*large, "--enlarge", "-o", "c.png")
    assert enlarged["size"] == [96, 72]
    assert not [warning for warning in enlarged["warnings"] if "size" in warning]


def test_a_series_is_a_folder_with_each_picture_and_a_sheet(here: Path, run: Run) -> None:
    sweep = ("render", *PAIR, *SMALL, "--sweep", "strength=0.1,0.9", "-o", "painted")
    plain = json.loads(run(*sweep, "--json", "--quiet").out)
    assert files(here / "painted") == {"sheet.png", "strength=0.1.png", "strength=0.9.png"}
    low, high = (here / f"painted/strength={value}.png" for value in ("0.1", "0.9"))
    assert low.read_bytes() != high.read_bytes()
    assert plain["sweep"] == {"strength": [0.1, 0.9]}
    for name in ("sheet.png", "strength=0.1.png"):
        ended = run(*sweep)
        assert ended.code == 73 and f"{name} is already there" in ended.err
        (here / "painted" / name).unlink()
    assert files(here / "painted") == {"strength=0.9.png"}, "nothing was painted"
    for folder in ("content-style", "content-style-2"):
        assert run("render", *PAIR, *SMALL, "--sweep", "seed=1").code == 0
        assert files(here / folder) == {"seed=1.png", "sheet.png"}


@pytest.mark.usefixtures("film")
def test_variants_are_drawn_on_a_sheet_with_a_command_for_each(here: Path, run: Run) -> None:
    tried = ("try", *PAIR, *SMALL, "--set", "format=jpg")
    *lines, sheet = run(*tried).lines
    assert made(here) == {"content-style-try.png", "film.mkv"} and sheet == "content-style-try.png"
    assert lines[::2] == ["1: strength 0.5", "2: as it is", "3: strength 1", "4: stroke 0.5",
                          "5: stroke 2", "6: color content"]  # fmt: skip
    with Image.open(here / sheet) as picture:
        assert picture.width > 3 * 100 and picture.height > 2 * 24
    words = shlex.split(lines[9])
    assert words[:4] == ["stylewatch", "render", *PAIR]
    large = " ".join(words)
    for option in ("--stroke 2.0", "--preview 32", "--size 48", "--set format=jpg", "--steps 2"):
        assert option in large
    ended = run("try", "film.mkv", "style.jpg", *SMALL, "--sweep", "strength=0.2,0.8")
    assert len(ended.lines) == 5 and "preview" not in ended.out and "--size 32" in ended.out
    for command in ended.lines[1:-1:2]:
        assert run(*shlex.split(command)[1:], "--dry-run").code == 0, command
    assert "film-style-try.png" in made(here)


def test_a_photograph_without_a_style_is_painted_in_every_style(
    here: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, write = list[Path](), atomic.write

    def draw(path: Path, content: bytes) -> None:
        drawn.append(path)
        write(path, content)

    monkeypatch.setattr(atomic, "write", draw)
    tried: tuple[str, ...] = ("try", "content.jpg", *SMALL[:2], *SMALL[4:])
    *lines, sheet = run(*tried).lines
    assert sheet == "content-try.png" and drawn.count(Path(sheet)) == len(shipped_styles())
    assert lines[::2] == [f"{n}: {name}" for n, name in enumerate(sorted(shipped_styles()), 1)]
    library = here / "styles"
    library.mkdir()
    for number in range(FIRST_STYLES + 2):
        shutil.copy(here / "style.jpg", library / f"s {number:02}.jpg")
    tried += ("--set", "pairing.styles=styles", "--size", "32", "-f")
    few = run(*tried)
    assert len(few.lines) == 2 * FIRST_STYLES + 1 and "--all paints 2 more styles" in few.err
    command = shlex.split(few.lines[3])
    assert command[:3] == ["stylewatch", "render", "--style"] and command[3] == "s 01"
    assert " --size 48 --preview 32" in few.lines[3] and "style.jpg" not in few.lines[3]
    assert run(*command[1:], "--dry-run").code == 0
    assert len(run(*tried, "--all", "--quiet").lines) == 2 * (FIRST_STYLES + 2)
    for words in (("--sweep", "seed=1"), ("--all", "style.jpg")):
        assert run(*tried, *words).code == 64, words
    assert run("try", "--style", "s 01", *tried[2:]).code == 64, "no photograph"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--size", "64x32", "--recipe", "devos"), ("--size 1280x640", "--preview 64x32")),
        (("--set", "size=24", "--set", "schedule.preview=9"), ("--size 48", "--preview 9")),
        (("--size", "32", "--sweep", "preview=null,24"), ("--size 48", "--preview 32")),
        (("--set", "enlarge=true"), ("--size 1280", "--preview 256")),
    ],
)
def test_the_command_of_a_variant_paints_it_large_with_the_same_composition(
    words: tuple[str, ...], expected: tuple[str, str], here: Path, run: Run
) -> None:
    (here / "content.jpg").rename("-sea.jpg")
    sweep = () if "--sweep" in words else ("--sweep", "seed=1")
    sketch = ("--backend", "sketch", "--set", "scales=[]")
    ended = run("try", *sketch, *sweep, "--steps", "2", *words, "--", "-sea.jpg", "style.jpg")
    assert ended.code == 0, ended.err
    assert all(f" {option} " in f"{ended.lines[1]} " for option in expected)
    assert "schedule.preview" not in ended.lines[1]
    assert run(*shlex.split(ended.lines[1])[1:], "--dry-run").code == 0


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("strength", [None, 0.5]), ("init", [None, "picture", "noise"]), ("mask.outside", ["free"]),
        ("mask", [{"outside": "free"}, {"feather": "4"}]),
        ("objective.tv", [None, {"weight": 0.5}]),
    ],
)  # fmt: skip
def test_the_command_of_a_variant_has_its_settings(
    key: str, values: list[Any], here: Path, run: Run
) -> None:
    (here / "config.yaml").write_text(
        "job: {strength: 0.25, enlarge: yes, mask: {outside: keep}, init: mixed}"
    )
    sweep = f"{key}={','.join(map(json.dumps, values))}"
    own = ("--init", "style.jpg", "--set", "strength=0.75")
    ended = run("try", *PAIR, *SMALL, *own, "--sweep", sweep)
    assert ended.code == 0, ended.err
    for command, value in zip(ended.lines[1:-1:2], values, strict=True):
        words = shlex.split(command)[1:]
        large = words.index("--preview")
        words[large : large + 2] = ["--size", "32", "--json", "--force", "-o", "a.png"]
        painted = run(*words)
        assert painted.code == 0, painted.err
        plain: Any = json.loads(painted.lines[-1])
        plain = plain["recipe" if key.startswith("objective") else "settings"]
        for part in key.split("."):
            plain = plain[part]
        assert plain == ({**plain, **value} if isinstance(value, dict) else value)


def test_a_picture_whose_name_is_not_valid_unicode_is_painted(here: Path, run: Run) -> None:
    odd = here / "na\udcffme.jpg"
    (here / "content.jpg").rename(odd)
    assert run("render", odd, "style.jpg", *SMALL, "-o", "odd/").code == 0
    assert json.loads((here / "odd/receipt.json").read_text())["inputs"][0]["name"] == "na?me.jpg"
    assert run("render", "--from", "odd", "-o", "again.png").code == 0
