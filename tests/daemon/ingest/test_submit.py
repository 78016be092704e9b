"""A pair is put into an inbox as a whole, under a free name."""

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

SEA, WAVE, NIGHT, MASK = map(Path, ("sea.JPG", "wave.png", "night", "m.PNG"))


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    fill(tmp_path, "sea.JPG", "wave.png")
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def content(tmp_path: Path) -> dict[str, Path]:
    return {"content.jpg": tmp_path / "sea.JPG"}


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (files_of(SEA, (WAVE,)), {"content.jpg": SEA, "style.png": WAVE}),
        (files_of(SEA, (WAVE, NIGHT), NIGHT),
         {"content.jpg": SEA, "style-1.png": WAVE, "style-2.img": NIGHT, "init.img": NIGHT}),
        (files_of(None, (WAVE,), None, {"content-mask": MASK, "style-1-mask": MASK}),
         {"style.png": WAVE, "content.mask.png": MASK, "style.mask.png": MASK}),
        (files_of(None, (WAVE, WAVE), None, {"style-2-mask": MASK}),
         {"style-1.png": WAVE, "style-2.png": WAVE, "style-2.mask.png": MASK}),
    ],
)  # fmt: skip
def test_files_are_named_by_their_roles(files: dict[str, Path], names: dict[str, Path]) -> None:
    assert files == names


def test_the_first_free_name_is_used_even_if_another_process_is_faster(
    inbox: Path, tmp_path: Path, content: dict[str, Path]
) -> None:
    fill(inbox, "sea/content.jpg", "sea-2")
    fill(tmp_path / "out", "sea-3/receipt.json")
    assert put(inbox, free("sea", inbox, tmp_path / "out"), content, {}) == "sea-4"
    assert put(inbox, iter(("sea", "sea-2", "sea-3")), content, {}) == "sea-3"
    assert tree(inbox)["sea/content.jpg"] == "sea/content.jpg"


def test_whenever_it_is_killed_the_inbox_has_all_or_nothing(inbox: Path, tmp_path: Path) -> None:
    (tmp_path / "link.jpg").symlink_to("sea.JPG")
    files = files_of(tmp_path / "link.jpg", (tmp_path / "wave.png",))
    for change in count(1):
        fresh = inbox / str(change)
        fresh.mkdir()
        with killed_at(change) as killed:
            put(fresh, free("sea"), files, {"steps": 3, "set": {"tv.weight": 0.1}})
        seen = {path.relative_to(fresh).as_posix() for path in scan(fresh).files}
        assert seen in (set(), {"sea/content.jpg", "sea/style.png", "sea/job.yaml"})
        if not killed():
            break
    settings = yaml.safe_load((fresh / "sea/job.yaml").read_text())
    assert settings == {"steps": 3, "set": {"tv.weight": 0.1}}
    assert not (fresh / "sea/content.jpg").is_symlink()


@pytest.mark.parametrize(("mode", "file_mode"), [(0o1777, 0o666), (0o700, 0o600)])
def test_those_who_may_empty_the_inbox_may_empty_the_folder(
    mode: int, file_mode: int, inbox: Path, content: dict[str, Path]
) -> None:
    inbox.chmod(mode)
    put(inbox, free("sea"), content, {})
    assert stat.S_IMODE((inbox / "sea").stat().st_mode) == mode & 0o777
    assert stat.S_IMODE((inbox / "sea/content.jpg").stat().st_mode) == file_mode


def age(folder: Path) -> None:
    when = time.time() - STALE_S - 1
    for path in (*folder.iterdir(), folder):
        os.utime(path, (when, when), follow_symlinks=False)


def test_only_abandoned_pairs_are_removed_after_a_time(
    inbox: Path, tmp_path: Path, content: dict[str, Path]
) -> None:
    with killed_at(4):
        put(inbox, free("sea"), content, {})
    (abandoned,) = inbox.iterdir()
    locked, other, changed, deep = (
        inbox / f".submit-{name}" for name in ("0123456789abcdef", "mine", "1" * 16, "3" * 16)
    )
    for folder in (locked, other, changed, tmp_path / "away"):
        fill(folder, "content.jpg")
        age(folder)
    fill(changed, "style.jpg")
    link = inbox / (".submit-" + "2" * 16)
    link.symlink_to(tmp_path / "away")
    handle = os.open(locked, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with deep_tree(deep):
        fill(deep, "content.jpg")
        age(deep)
        clear(inbox)
        kept = (abandoned, locked, other, changed, link, tmp_path / "away/content.jpg", deep / "d")
        assert all(path.exists() for path in kept)
    os.close(handle)
    age(abandoned)
    put(inbox, free("sea"), content, {})
    assert not locked.exists() and not abandoned.exists()


def test_mistakes_are_named_and_nothing_stays(inbox: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is not there"):
        put(tmp_path / "missing", free("sea"), {}, {})
    with pytest.raises(OutputError, match=r"gone\.jpg: No such file"):
        put(inbox, free("sea"), {"content.jpg": tmp_path / "gone.jpg"}, {})
    with pytest.raises(InputError, match="not a regular file"):
        put(inbox, free("sea"), {"content.jpg": tmp_path}, {})
    assert list(inbox.iterdir()) == []
    assert check_name("Füße 2026 - 海", ("*.bak",)) == "Füße 2026 - 海"
    for name in ("a/b", "..", ".hidden", "-x", "a\nb", "_refused", "x ", "", "sea.tmp", "sea~",
                 "Thumbs.db", "old.bak"):  # fmt: skip
        with pytest.raises(UsageError, match=r"would do|leaves alone"):
            check_name(name, ("*.BAK",))
