"""A pair is put into an inbox as a whole, under a free name, so that the daemon can take it."""

import fcntl
import os
import stat
import time
from itertools import count
from pathlib import Path

import pytest
import yaml
from tests.daemon.disks import deep_tree
from tests.daemon.faults import fill, killed_at, tree

from stylewatch_daemon.errors import InputError, OutputError, UsageError
from stylewatch_daemon.ingest.scan import scan
from stylewatch_daemon.ingest.submit import STALE_S, check_name, clear, files_of, free, put


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    fill(tmp_path, "sea.JPG", "wave.png", "night", "start.webp")
    return folder


def test_pictures_are_named_by_what_they_are(inbox: Path) -> None:
    sea, wave, night, start = (Path(one) for one in ("sea.JPG", "wave.png", "night", "a.webp"))
    assert files_of(sea, (wave,)) == {"content.jpg": sea, "style.png": wave}
    assert files_of(sea, (wave, night), start) == {
        "content.jpg": sea, "style-1.png": wave, "style-2.img": night, "init.webp": start,
    }  # fmt: skip
    assert "content.img" in files_of(Path("notes.txt"), (wave,))


def test_masks_are_called_after_their_pictures() -> None:
    sea, wave, mask = Path("sea.jpg"), Path("wave.png"), Path("m.PNG")
    masks = {"content-mask": mask, "style-1-mask": mask}
    assert {*files_of(sea, (wave,), None, masks)} == {
        "content.jpg", "style.png", "content.mask.png", "style.mask.png"
    }  # fmt: skip
    assert "style-2.mask.png" in files_of(sea, (wave, wave), None, {"style-2-mask": mask})


def test_the_pair_and_its_settings_come_as_a_folder(inbox: Path, tmp_path: Path) -> None:
    files = files_of(tmp_path / "sea.JPG", (tmp_path / "wave.png",))
    assert put(inbox, free("sea"), files, {"steps": 3, "set": {"tv.weight": 0.1}}) == "sea"
    found = tree(inbox)
    assert yaml.safe_load(found.pop("sea/job.yaml")) == {"steps": 3, "set": {"tv.weight": 0.1}}
    assert found == {"sea/content.jpg": "sea.JPG", "sea/style.png": "wave.png"}
    assert [path.name for path in inbox.iterdir()] == ["sea"]


def test_without_settings_there_is_no_job_yaml(inbox: Path, tmp_path: Path) -> None:
    put(inbox, free("sea"), {"content.jpg": tmp_path / "sea.JPG"}, {})
    assert set(tree(inbox)) == {"sea/content.jpg"}


def test_a_link_is_followed_to_the_picture(inbox: Path, tmp_path: Path) -> None:
    (tmp_path / "link.jpg").symlink_to("sea.JPG")
    put(inbox, free("sea"), {"content.jpg": tmp_path / "link.jpg"}, {})
    assert tree(inbox) == {"sea/content.jpg": "sea.JPG"}
    assert not (inbox / "sea/content.jpg").is_symlink()


def test_the_first_free_name_is_taken(inbox: Path, tmp_path: Path) -> None:
    fill(inbox, "sea/content.jpg", "sea-2")
    fill(tmp_path / "out", "sea-3/receipt.json")
    assert put(inbox, free("sea", inbox, tmp_path / "out"), {}, {"steps": 1}) == "sea-4"


def left_behind(inbox: Path, name: str = ".submit-0123456789abcdef", age: float = STALE_S) -> Path:
    """A pair that was being made ready so many seconds ago."""
    fill(inbox, f"{name}/content.jpg")
    when = time.time() - age - 1
    for path in (inbox / name / "content.jpg", inbox / name):
        os.utime(path, (when, when))
    return inbox / name


def test_what_a_killed_one_left_is_cleared_away_by_the_next(inbox: Path, tmp_path: Path) -> None:
    with killed_at(4):
        put(inbox, free("sea"), {"content.jpg": tmp_path / "sea.JPG"}, {})
    (left,) = inbox.iterdir()
    put(inbox, free("sea"), {"content.jpg": tmp_path / "sea.JPG"}, {})
    assert left.exists()  # it might be at work still
    when = time.time() - STALE_S - 1
    for path in (*left.iterdir(), left):
        os.utime(path, (when, when))
    put(inbox, free("sea"), {"content.jpg": tmp_path / "sea.JPG"}, {})
    assert {path.name for path in inbox.iterdir()} == {"sea", "sea-2"}


def test_what_somebody_holds_or_is_something_else_is_not_cleared_away(
    inbox: Path, tmp_path: Path
) -> None:
    held, other = left_behind(inbox), left_behind(inbox, ".submit-mine")
    grows, away = left_behind(inbox, ".submit-" + "1" * 16), left_behind(tmp_path, "away")
    fill(grows, "style.jpg")
    link = inbox / (".submit-" + "2" * 16)
    link.symlink_to(away)
    handle = os.open(held, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    clear(inbox)
    assert all(path.exists() for path in (held, other, grows, link, away / "content.jpg"))
    os.close(handle)
    clear(inbox)
    assert not held.exists()


def test_a_tree_that_is_called_as_what_is_cleared_away_stays(inbox: Path) -> None:
    name = ".submit-" + "3" * 16
    with deep_tree(inbox / name):
        fill(inbox, f"{name}/content.jpg")
        for path in (inbox / name / "content.jpg", inbox / name / "d", inbox / name):
            os.utime(path, (0, 0))
        clear(inbox)
        assert (inbox / name / "d").exists()


def test_one_who_was_quicker_keeps_the_name(inbox: Path, tmp_path: Path) -> None:
    fill(inbox, "sea/content.jpg", "sea-2")
    assert put(inbox, iter(("sea", "sea-2", "sea-3")), {}, {"steps": 1}) == "sea-3"
    assert tree(inbox)["sea/content.jpg"] == "sea/content.jpg"


def test_whenever_it_is_killed_the_daemon_sees_all_of_it_or_nothing(
    inbox: Path, tmp_path: Path
) -> None:
    files = files_of(tmp_path / "sea.JPG", (tmp_path / "wave.png",))
    whole = {"sea/content.jpg", "sea/style.png", "sea/job.yaml"}
    for change in count(1):
        fresh = inbox / str(change)
        fresh.mkdir()
        with killed_at(change) as killed:
            put(fresh, free("sea"), files, {"steps": 3})
        seen = {path.relative_to(fresh).as_posix() for path in scan(fresh).files}
        assert seen in (set(), whole)
        if not killed():
            assert seen == whole
            break


def test_who_may_empty_the_inbox_may_empty_the_folder(inbox: Path, tmp_path: Path) -> None:
    inbox.chmod(0o1777)
    put(inbox, free("sea"), {"content.jpg": tmp_path / "sea.JPG"}, {})
    assert stat.S_IMODE((inbox / "sea").stat().st_mode) == 0o777
    assert stat.S_IMODE((inbox / "sea/content.jpg").stat().st_mode) == 0o666
    inbox.chmod(0o700)
    put(inbox, free("own"), {"content.jpg": tmp_path / "sea.JPG"}, {})
    assert stat.S_IMODE((inbox / "own/content.jpg").stat().st_mode) == 0o600


def test_an_inbox_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is not there"):
        put(tmp_path / "in", free("sea"), {}, {})
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_is_named_and_nothing_stays(inbox: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"gone\.jpg: No such file"):
        put(inbox, free("sea"), {"content.jpg": tmp_path / "gone.jpg"}, {})
    with pytest.raises(InputError, match="not a regular file"):
        put(inbox, free("sea"), {"content.jpg": tmp_path}, {})
    assert list(inbox.iterdir()) == []


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "-x", "a\nb", "_refused", "x ", ""])
def test_a_name_that_no_folder_should_have_is_refused_with_one_that_would_do(name: str) -> None:
    with pytest.raises(UsageError, match="would do"):
        check_name(name)


@pytest.mark.parametrize("name", ["sea.tmp", "sea~", "Thumbs.db", "old.bak"])
def test_a_name_that_the_inbox_ignores_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="leaves alone"):
        check_name(name, ("*.BAK",))


def test_other_names_are_good() -> None:
    assert check_name("Füße 2026 - 海", ("*.bak",)) == "Füße 2026 - 海"
