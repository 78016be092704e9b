"""`stylewatch render` and `try`, with the backend `sketch`."""

import json
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.daemon.cli.conftest import Run, files
from tests.painter.films import film as write_film
from tests.painter.films import flat

from stylewatch_daemon.cli import build_order
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.worker import run_job
from stylewatch_daemon.worker.messages import Event, Order
from stylewatch_painter.images.clip import ClipLimits, inspect

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


def test_a_picture_is_written_and_its_path_printed(here: Path, run: Run) -> None:
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


def test_a_folder_gets_stages_losses_inputs_and_the_receipt(here: Path, receipt: Receipt) -> None:
    style = here / "a/content.jpg"
    style.parent.mkdir()
    shutil.copy("style.jpg", style)
    final = ("--set", "final='{stem}-{style}'")
    printed = receipt("content.jpg", "a/content.jpg", *SKETCH, "-o", "painted", *final)
    assert files(here / "painted") == {
        "stages/0002.png", "stages/0004.png", "content-content.png", "losses.csv", "receipt.json",
        "inputs/content.jpg", "inputs/content-2.jpg",
    }  # fmt: skip
    assert (here / "painted/inputs/content-2.jpg").read_bytes() == style.read_bytes()
    assert printed == json.loads((here / "painted/receipt.json").read_text())
    assert printed["recipe"]["schedule"]["steps"] == 4
    assert printed["final"] == "content-content.png"


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
    assert run("render", "film.mkv", "style.jpg", *SMALL, "-o", "b.webm", "--quiet").code == 0
    assert inspect(here / "b.webm", LIMITS).size == (32, 24)
    estimate = run("render", "film.mkv", "style.jpg", *SMALL, "--dry-run").out
    assert estimate.startswith("3 frames at 32x24\n")


def test_no_steps_only_measure_and_a_dry_run_only_estimates(here: Path, run: Run) -> None:
    measure = ("render", *PAIR, "--backend", "sketch", "--set", "schedule.steps=0")
    assert run(*measure).lines[-1].startswith("total ")
    assert json.loads(run(*measure, "--json").out)["total"] > 0
    estimate = run("render", *PAIR, *SKETCH, "--dry-run").out
    assert "4 steps at 48x36\n" in estimate
    assert "time: " in estimate and "memory: " in estimate
    plain = json.loads(run("render", *PAIR, *SKETCH, "--dry-run", "--json").out)
    assert (plain["sizes"], plain["steps"]) == ([[48, 36]], [4])
    assert made(here) == set()


def test_an_output_below_the_size_is_reported_once_and_in_the_receipt(
    receipt: Receipt, run: Run
) -> None:
    large = (*PAIR, *SKETCH, "--size", "96")
    hint = (
        "size 96: the photograph has 48x36 pixels and is not enlarged, so the output has 48x36; "
        "enlarge: yes (--enlarge) makes it 96x72"
    )
    assert run("render", *large, "--dry-run").err == f"stylewatch: {hint}\n"
    assert run("render", *large, "-o", "a.png").err.count(hint) == 1
    assert hint in receipt(*large, "-o", "b.png")["warnings"]
    enlarged = receipt(*large, "--enlarge", "--color", "content", "--stroke", "0.5", "-o", "c.png")
    assert (enlarged["size"], enlarged["settings"]["color"]) == ([96, 72], "content")
    assert not [warning for warning in enlarged["warnings"] if "size" in warning]


def test_a_receipt_is_repeated_to_the_byte_also_into_its_own_folder(
    here: Path, receipt: Receipt, run: Run
) -> None:
    first = receipt(*PAIR, *SKETCH, "--seed", "7", "-o", "first")
    before = (here / "first/final.png").read_bytes()
    again = receipt("--from", "first", "-o", "first", "--force")
    assert (here / "first/final.png").read_bytes() == before
    assert again["inputs"] == first["inputs"]


def test_an_error_leaves_only_finished_files(
    here: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    work = run_job.work

    def broken(order: Order, wish: Any) -> Iterator[Event]:
        for event in work(order, wish):
            yield event
            if type(event).__name__ == "Staged":
                raise OSError(28, "full")

    monkeypatch.setattr(run_job, "work", broken)
    for out, left in (("painted.png", set()), ("painted", {"painted/stages/0002.png"})):
        ended = run("render", *PAIR, *SKETCH, "-o", out, "--quiet")
        assert (ended.code, made(here), len(ended.err.splitlines())) == (73, left, 1)


@pytest.mark.usefixtures("film")
def test_a_series_is_a_folder_with_each_picture_and_a_sheet(here: Path, run: Run) -> None:
    sweep = ("render", *PAIR, *SMALL, "--sweep", "strength=0.1,0.9")
    plain = json.loads(run(*sweep, "-o", "painted", "--json", "--quiet").out)
    assert files(here / "painted") == {"sheet.png", "strength=0.1.png", "strength=0.9.png"}
    low, high = (here / f"painted/strength={value}.png" for value in ("0.1", "0.9"))
    assert low.read_bytes() != high.read_bytes()
    assert plain["sweep"] == {"strength": [0.1, 0.9]}
    ended = run(*sweep, "-o", "painted")
    assert ended.code == 73 and "sheet.png is already there" in ended.err
    assert run("render", "film.mkv", *sweep[2:]).code == 0
    assert files(here / "film-style") == {"sheet.png", "strength=0.1.mp4", "strength=0.9.mp4"}


def test_a_series_that_is_only_estimated_or_measured_is_one_object(run: Run) -> None:
    sweep = ("render", *PAIR, *SMALL, "--sweep", "strength=0.1,0.9")
    measure = (*sweep, "--set", "schedule.steps=0")
    names = ["strength=0.1", "strength=0.9"]
    estimates = json.loads(run(*sweep, "--dry-run", "--json").out)
    assert estimates["sweep"] == {"strength": [0.1, 0.9]}
    assert [job["name"] for job in estimates["jobs"]] == names
    assert [job["estimate"]["steps"] for job in estimates["jobs"]] == [[2], [2]]
    losses = json.loads(run(*measure, "--json").out)
    assert [job["name"] for job in losses["jobs"] if job["losses"]["total"] > 0] == names
    for words in ((*sweep, "--dry-run"), measure):
        assert [line for line in run(*words).lines if line.endswith(":")] == [
            "strength=0.1:", "strength=0.9:"
        ]  # fmt: skip


def test_variants_are_drawn_on_a_sheet_with_a_command_for_each(here: Path, run: Run) -> None:
    tried = ("try", *PAIR, *SMALL, "--set", "format=jpg")
    ended = run(*tried)
    assert ended.code == 0, ended.err
    assert made(here) == {"content-style-try.png"}
    *lines, sheet = ended.lines
    assert sheet == "content-style-try.png"
    assert lines[::2] == ["1: strength 0.5", "2: as it is", "3: strength 1", "4: stroke 0.5",
                          "5: stroke 2", "6: color content"]  # fmt: skip
    with Image.open(here / sheet) as picture:
        assert picture.width > 3 * 100 and picture.height > 2 * 24
    words = shlex.split(lines[9])
    assert words[:4] == ["stylewatch", "render", *PAIR]
    large = " ".join(words)
    for option in ("--stroke 2.0", "--preview 32", "--size 48", "--set format=jpg", "--steps 2"):
        assert option in large
    assert run(*words[1:], "--dry-run").code == 0
    ended = run(*tried, "--sweep", "strength=0.1,0.2", "--sweep", "noise_ratio=0.5", "-o", "s.jpg")
    assert ended.lines[:3:2] == [
        "1: strength 0.1, noise_ratio 0.5",
        "2: strength 0.2, noise_ratio 0.5",
    ]
    assert run(*shlex.split(ended.lines[1])[1:], "--dry-run").code == 0
    with Image.open(here / "s.jpg") as picture:
        assert picture.format == "JPEG"


def test_variants_of_a_texture_keep_no_colors_of_a_photograph(here: Path, run: Run) -> None:
    ended = run("try", "style.jpg", *SMALL, "--only", "style")
    assert ended.code == 0, ended.err
    assert ended.lines[-3] == "5: stroke 2"


def test_the_command_of_a_variant_sets_nothing_that_would_beat_its_options(
    here: Path, run: Run
) -> None:
    sets = ("size=24", "preview=9", "strength=0.3", "format=jpg")
    words = [word for text in sets for word in ("--set", text)]
    ended = run("try", *PAIR, *SMALL[:2], *SMALL[4:], *words, "--sweep", "strength=0.5")
    assert ended.lines[0] == "1: strength 0.5", ended.err
    command = shlex.split(ended.lines[1])
    assert {"--set", "format=jpg"} < {*command} and not {*sets[:3]} & {*command}
    assert "--preview 9 " in ended.lines[1] and "--strength 0.5 " in ended.lines[1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--size", "32"), "--size 48 --preview 32"),
        (("--size", "64x32", "--recipe", "devos"), "--size 1280x640 --preview 64x32"),
        (("--size", "32", "--preview", "16"), "--size 48 --preview 16"),
        (("--set", "schedule.size=32"), "--size 48 --preview 32"),
        (("--sweep", "size=24"), "--size 48 --preview 24"),
        (("--size", "32", "--enlarge"), "--size 1280 --enlarge --preview 32"),
        (
            ("--size", "640x320", "--recipe", "devos", "--enlarge"),
            "--size 1280x640 --enlarge --preview 640x320",
        ),
        ((), "--size 256"),
    ],
)
def test_the_command_of_a_variant_paints_it_large_with_the_same_composition(
    words: tuple[str, ...], expected: str, here: Path, run: Run
) -> None:
    (here / "content.jpg").rename("-sea.jpg")
    sweep = () if "--sweep" in words else ("--sweep", "seed=1")
    ended = run("try", *SMALL[:2], *SMALL[4:], *sweep, *words, "--", "-sea.jpg", "style.jpg")
    assert ended.code == 0, ended.err
    assert f"{expected} --steps" in ended.lines[1] and "schedule.size" not in ended.lines[1]
    assert run(*shlex.split(ended.lines[1])[1:], "--dry-run").code == 0


@pytest.mark.parametrize(
    "sweep",
    [
        "strength=null,0.5", "init=null,picture,noise", "mask={outside: free},{feather: 4}",
        "mask.outside=free", "enlarge=null,no", "preview=null,24",
        "size=null", "objective.tv=null,{weight: 0.5}",
    ],
)  # fmt: skip
def test_the_command_of_a_variant_has_its_settings(
    sweep: str, here: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "config.yaml").write_text(
        "job: {strength: 0.25, enlarge: yes, mask: {outside: keep}, init: mixed}"
    )
    planned: list[tuple[JobSettings, Path | None]] = []
    make_plan, of_size = build_order.make_plan, {"size": None, "preview": None, "enlarge": None}

    def noted(request: build_order.RenderRequest, scratch: Path) -> build_order.Plan:
        plan = make_plan(request, scratch)
        settings = plan.order.settings.model_copy(update=of_size)
        planned.append((settings, plan.order.init if settings.init == "picture" else None))
        return plan

    monkeypatch.setattr(build_order, "make_plan", noted)
    ended = run("try", *PAIR, *SMALL, "--init", "style.jpg", "--sweep", sweep)
    assert ended.code == 0, ended.err
    for command in ended.lines[1:-1:2]:
        assert run(*shlex.split(command)[1:], "--dry-run").code == 0, command
    half = len(planned) // 2
    assert planned[:half] == planned[half:]


def test_variants_of_a_clip_are_those_of_a_frame_of_each_scene(here: Path, run: Run) -> None:
    scenes = [flat(color) for color in ((200, 40, 40),) * 3 + ((30, 60, 190),) * 3]
    write_film(here / "film.mkv", "ffv1", frames=scenes, pix_fmt="bgr0")
    ended = run("try", "film.mkv", "style.jpg", *SMALL[:-2], "--sweep", "strength=0.2,0.8")
    assert ended.code == 0, ended.err
    assert ended.err.count("1: strength 0.2") == 2, "once for each scene"
    assert "stylewatch render film.mkv style.jpg" in ended.out and "--preview" not in ended.out
    with Image.open(here / "film-style-try.png") as sheet:
        left, right = np.array_split(np.asarray(sheet.convert("RGB")), 2, axis=1)
        assert left.std() > 0 and right.std() > 0
    assert made(here) == {"film.mkv", "film-style-try.png"}
