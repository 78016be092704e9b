"""`stylewatch render`, with the sketch in place of a network."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from stylewatch_daemon.cli.main import call
from stylewatch_daemon.worker import run_job
from stylewatch_daemon.worker.messages import Event, Order
from stylewatch_painter.errors import DivergedError, PictureError, WeightsError

SKETCH = ("--backend", "sketch", "--steps", "4", "--save-every", "2")
PAIR = ("content.jpg", "style.jpg")


@pytest.fixture(autouse=True)
def here(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with content.jpg and style.jpg in it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config-home"))
    monkeypatch.chdir(pictures)
    return pictures


@pytest.fixture
def receipt(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Renders with `--json`; the receipt, from the last line on stdout."""

    def render(*arguments: str) -> dict[str, Any]:
        capsys.readouterr()
        assert call(["render", *arguments, "--json"]) == 0
        plain: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
        return plain

    return render


def files(folder: Path) -> set[str]:
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return found - set(PAIR)


def test_a_picture_is_painted_and_its_path_told(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["render", *PAIR, *SKETCH, "-o", "painted.png"]) == 0
    assert files(here) == {"painted.png"}
    with Image.open(here / "painted.png") as painted:
        assert painted.size == (48, 36)
    told = capsys.readouterr()
    assert told.out == "painted.png\n"
    assert "step 2 of 4 at 48x36, loss " in told.err


def test_without_a_name_it_is_called_after_both(here: Path) -> None:
    assert call(["render", *PAIR, *SKETCH]) == 0
    assert files(here) == {"content-style.png"}


def test_a_folder_gets_stages_losses_inputs_and_the_receipt(here: Path) -> None:
    assert call(["render", *PAIR, *SKETCH, "-o", "painted"]) == 0
    assert files(here / "painted") == {
        "stages/0002.png", "stages/0004.png", "final.png", "losses.csv", "receipt.json",
        "inputs/content.jpg", "inputs/style.jpg",
    }  # fmt: skip


def test_in_a_folder_the_painting_is_called_as_the_settings_say(
    here: Path, receipt: Callable[..., dict[str, Any]]
) -> None:
    named = ("-o", "painted", "--set", "final='{stem}-{style}'")
    found = receipt(*PAIR, *SKETCH, *named)
    assert found["final"] == "content-style.png"
    assert "content-style.png" in files(here / "painted")
    assert "final.png" not in files(here / "painted")


def test_the_receipt_is_the_last_line_as_json(
    here: Path, receipt: Callable[..., dict[str, Any]]
) -> None:
    told = receipt(*PAIR, *SKETCH, "-o", "painted")
    assert told == json.loads((here / "painted/receipt.json").read_text())
    assert told["recipe"]["schedule"]["steps"] == 4


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["render", *PAIR, *SKETCH, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_what_is_there_is_not_replaced_unless_forced(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "mine.png").write_text("mine")
    assert call(["render", *PAIR, *SKETCH, "-o", "mine.png"]) == 73
    assert (here / "mine.png").read_text() == "mine"
    assert capsys.readouterr().err == "stylewatch: mine.png is already there; --force replaces it\n"
    assert call(["render", *PAIR, *SKETCH, "-o", "mine.png", "--force"]) == 0
    assert (here / "mine.png").read_bytes().startswith(b"\x89PNG")


def test_no_steps_only_measure_and_write_nothing(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["render", *PAIR, "--backend", "sketch", "--steps", "0"]
    assert call(arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("total ")
    assert call([*arguments, "--json"]) == 0
    losses = json.loads(capsys.readouterr().out)
    assert losses["total"] > 0
    assert {"content", "style"} <= set(losses)
    assert files(here) == set()


def test_masks_are_painted_by_and_repeated(
    here: Path, receipt: Callable[..., dict[str, Any]]
) -> None:
    mask = Image.new("L", (48, 36), 255)
    mask.paste(0, (24, 0, 48, 36))
    mask.save(here / "left.png")
    small = ("--backend", "torch", "--recipe", "gatys", "--size", "32", "--steps", "2")
    told = receipt(
        *PAIR, *small, "--mask", "left.png", "--set", "mask.outside=keep", "-o", "painted"
    )
    assert [one["role"] for one in told["inputs"]] == ["content", "style-1", "content-mask"]
    again = receipt("--from", "painted", "-o", "again")
    assert again["mask"] == told["mask"] == {"feather": "0", "outside": "keep"}
    final, other = (here / name / "final.png" for name in ("painted", "again"))
    assert final.read_bytes() == other.read_bytes()
    plain = receipt(*PAIR, *small, "-o", "plain")
    assert plain["losses"]["style"] != told["losses"]["style"]


def test_more_masks_than_styles_are_too_many(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["render", *PAIR, "--style-mask", "none", "--style-mask", "none"]) == 64
    assert "--style-mask is given 2 times for 1 styles" in capsys.readouterr().err


def test_no_steps_by_set_only_measure_too(here: Path) -> None:
    assert call(["render", *PAIR, "--backend", "sketch", "--set", "schedule.steps=0"]) == 0
    assert files(here) == set()


def test_a_dry_run_tells_what_it_would_take_and_writes_nothing(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["render", *PAIR, *SKETCH, "--dry-run"]
    assert call(arguments) == 0
    told = capsys.readouterr().out
    assert "4 steps at 48x36\n" in told
    assert "time: " in told
    assert "memory: " in told
    assert call([*arguments, "--json"]) == 0
    estimate = json.loads(capsys.readouterr().out)
    assert (estimate["sizes"], estimate["steps"]) == ([[48, 36]], [4])
    assert files(here) == set()


def test_the_same_command_gives_the_same_bytes(here: Path) -> None:
    for name in ("one.png", "two.png"):
        assert call(["render", *PAIR, *SKETCH, "--init", "noise", "-o", name]) == 0
    assert (here / "one.png").read_bytes() == (here / "two.png").read_bytes()


def test_a_receipt_is_repeated_to_the_byte(
    here: Path, receipt: Callable[..., dict[str, Any]]
) -> None:
    first = receipt(
        *PAIR, *SKETCH, "--recipe", "keras", "--init", "noise", "--seed", "7", "-o", "first"
    )
    again = receipt("--from", "first/receipt.json", "-o", "again")
    assert (here / "again/final.png").read_bytes() == (here / "first/final.png").read_bytes()
    assert again["recipe"] == first["recipe"]
    assert again["inputs"] == first["inputs"]


def test_a_receipt_is_repeated_into_its_own_folder(here: Path) -> None:
    assert call(["render", *PAIR, *SKETCH, "-o", "painted"]) == 0
    before = files(here / "painted")
    assert call(["render", "--from", "painted", "-o", "painted", "--force"]) == 0
    assert files(here / "painted") == before


def test_options_beside_a_receipt_change_the_repetition(
    receipt: Callable[..., dict[str, Any]],
) -> None:
    receipt(*PAIR, *SKETCH, "-o", "first")
    again = receipt("--from", "first", "--steps", "2", "-o", "again")
    assert again["recipe"]["schedule"]["steps"] == 2
    assert again["recipe"]["schedule"]["save_every"] == 2


def test_other_pictures_than_the_receipts_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["render", *PAIR, *SKETCH, "-o", "first"]) == 0
    capsys.readouterr()
    assert call(["render", "style.jpg", "style.jpg", "--from", "first"]) == 0
    assert "style.jpg is not the content of the receipt" in capsys.readouterr().err


def test_a_picture_to_start_from_is_an_input_too(receipt: Callable[..., dict[str, Any]]) -> None:
    told = receipt(*PAIR, *SKETCH, "--init", "style.jpg", "-o", "first")
    assert [one["role"] for one in told["inputs"]] == ["content", "style-1", "init"]
    assert receipt("--from", "first", "-o", "again")["inputs"] == told["inputs"]


def fails_with(error: BaseException) -> Callable[..., Iterator[Event]]:
    """A worker that publishes a stage and then meets `error`."""
    work = run_job.work

    def broken(order: Order, wish: Any) -> Iterator[Event]:
        for event in work(order, wish):
            yield event
            if type(event).__name__ == "Staged":
                raise error

    return broken


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PictureError("content.jpg is cut off"), 65),
        (WeightsError("there are no weights"), 69),
        (DivergedError("the loss is no number"), 70),
        (OSError(28, "No space left on device"), 73),
        (KeyError("x"), 70),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_goes_wrong_nothing_is_half_written(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
) -> None:
    monkeypatch.setattr(run_job, "work", fails_with(error))
    assert call(["render", *PAIR, *SKETCH, "-o", "painted.png", "--quiet"]) == code
    assert files(here) == set()
    assert call(["render", *PAIR, *SKETCH, "-o", "painted", "--quiet"]) == code
    assert files(here) == {"painted/stages/0002.png"}
    assert len(capsys.readouterr().err.splitlines()) == (0 if code == 130 else 2)


def test_a_text_file_named_jpg_is_refused_in_one_sentence(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "text.jpg").write_text("no picture at all")
    assert call(["render", "text.jpg", "style.jpg", *SKETCH]) == 65
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert files(here) == {"text.jpg"}


def test_a_backend_that_there_is_not_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["render", *PAIR, "--backend", "skech"]) == 69
    assert "did you mean 'sketch'" in capsys.readouterr().err


def test_an_option_that_the_backend_does_not_have_is_a_mistake_in_the_settings() -> None:
    assert call(["render", *PAIR, *SKETCH, "--set", "backends.sketch.color=red"]) == 78
