"""`stylewatch submit`; with a real daemon it is tested in the line."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.daemon.cli.states import enter, entry

from stylewatch_daemon.cli.main import call


@pytest.fixture(autouse=True)
def inbox(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The inbox of the current folder, in which content.jpg and style.jpg lie."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config-home"))
    monkeypatch.chdir(pictures)
    (pictures / "inbox").mkdir()
    return pictures / "inbox"


PAIR = ("submit", "content.jpg", "style.jpg")


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def job(folder: Path) -> Any:
    return yaml.safe_load((folder / "job.yaml").read_text())


def test_a_pair_comes_into_the_inbox_and_its_name_is_told(
    inbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(PAIR) == 0
    told = capsys.readouterr()
    assert told.out == "content-style\n"
    assert "no daemon is at work" in told.err
    assert files(inbox) == {"content-style/content.jpg", "content-style/style.jpg"}
    assert call([*PAIR, "style.jpg", "--name", "sea", "--quiet"]) == 0
    assert capsys.readouterr() == ("sea\n", "")
    assert files(inbox / "sea") == {"content.jpg", "style-1.jpg", "style-2.jpg"}


def test_every_option_of_a_job_stands_in_its_job_yaml(inbox: Path) -> None:
    options = {"recipe": "best", "schedule": "fast", "backend": "sketch", "device": "cpu",
               "size": "640x480", "steps": 30, "save_every": 10, "seed": 7, "strength": 0.5,
               "init": "noise"}  # fmt: skip
    words = [w for key, one in options.items() for w in (f"--{key.replace('_', '-')}", str(one))]
    sets = ["--set", "format=jpg", "--set", "objective.content=null", "--set", "smallest=64"]
    assert call([*PAIR, "--name", "sea", *words, *sets]) == 0
    own = {"objective.content": None, "smallest": 64}
    assert job(inbox / "sea") == {**options, "format": "jpg", "set": own}


def test_what_is_not_said_is_left_to_the_daemon(inbox: Path) -> None:
    call([*PAIR, "--name", "sea"])
    assert not (inbox / "sea/job.yaml").exists()


def test_a_picture_to_start_from_comes_along(inbox: Path) -> None:
    assert call([*PAIR, "--name", "sea", "--init", "style.jpg"]) == 0
    assert files(inbox / "sea") == {"content.jpg", "style.jpg", "init.jpg", "job.yaml"}
    assert job(inbox / "sea") == {"init": "picture"}


def test_masks_come_along_under_the_names_of_their_pictures(inbox: Path) -> None:
    masks = ("--mask", "content.jpg", "--style-mask", "none", "--style-mask", "style.jpg")
    said = ("--set", "mask.feather=3%", "--set", "mask.outside=keep")
    assert call([*PAIR, "style.jpg", "--name", "sea", *masks, *said]) == 0
    assert files(inbox / "sea") == {
        "content.jpg", "style-1.jpg", "style-2.jpg", "content.mask.jpg", "style-2.mask.jpg",
        "job.yaml",
    }  # fmt: skip
    assert job(inbox / "sea") == {"mask": {"feather": "3%", "outside": "keep"}}


def test_the_name_is_one_that_nothing_has_yet(
    inbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (inbox / "sea").mkdir()
    (inbox.parent / "outbox/sea-2").mkdir(parents=True)
    enter(inbox.parent / "state", entry("sea-3", "running"), entry("b", place="sea-4"))
    assert call([*PAIR, "--name", "sea", "-q"]) == 0
    assert capsys.readouterr().out == "sea-5\n"


def test_the_inbox_is_the_first_or_the_one_that_is_named(inbox: Path) -> None:
    Path("config.yaml").write_text(
        "inboxes: [{path: inbox, outbox: o1}, {path: second, outbox: o2}]\n"
    )
    for name in ("second", "third", "o2/sea"):
        Path(name).mkdir(parents=True)
    own = ("--config", "config.yaml", "--name", "sea", "-q")
    assert call([*PAIR, *own]) == 0
    assert call([*PAIR, *own, "--inbox", "second"]) == 0
    assert call([*PAIR, *own, "--inbox", "third"]) == 0
    assert [len(files(Path(one))) for one in ("inbox/sea", "second/sea-2", "third/sea")] == [2] * 3


def test_a_long_or_odd_name_of_a_picture_makes_a_good_name(
    inbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = Path("-a\nb.jpg")
    Path("content.jpg").rename(odd)
    assert call(["submit", "-q", "--", str(odd), "style.jpg"]) == 0
    assert capsys.readouterr().out == "_a_b-style\n"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["content.jpg"], 64, "submit takes a photograph and at least one style"),
        (["absent.jpg", "style.jpg"], 65, "absent.jpg is not there"),
        (["content.jpg", "inbox"], 65, "inbox is a folder"),
        (["content.jpg", "style.jpg", "--init", "absent.png"], 65, "absent.png is not there"),
        (["content.jpg", "style.jpg", "--init", "nose"], 64, "--init takes content, style"),
        (["content.jpg", "style.jpg", "--recipe", "bset"], 64, "did you mean 'best'?"),
        (["content.jpg", "style.jpg", "--size", "big"], 64, "size"),
        (["content.jpg", "style.jpg", "--set", "stepps=3"], 64, "did you mean 'steps'?"),
        (["content.jpg", "style.jpg", "--set", "watch.quiet_s=3"], 64, "no setting of a job"),
        (["content.jpg", "style.jpg", "--recipe", "own.yaml"], 64, "takes no files for recipes"),
        (["content.jpg", "style.jpg", "--name", "../sea"], 64, "would do"),
        (["content.jpg", "style.jpg", "--name", "sea.tmp"], 64, "leaves alone"),
        (["content.jpg", "style.jpg", "--inbox", "absent"], 73, "is not there"),
        (["content.jpg", "style.jpg", "--config", "absent.yaml"], 78, "absent.yaml"),
    ],
)
def test_mistakes_are_told_before_anything_is_dropped(
    inbox: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, told: str
) -> None:
    assert call(["submit", *arguments]) == code
    said = capsys.readouterr()
    assert told in said.err
    assert said.out == ""
    assert list(inbox.iterdir()) == []
