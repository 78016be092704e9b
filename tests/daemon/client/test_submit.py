"""A pair is put into an inbox as a whole, under a free name."""

import errno
import os
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.daemon.faults import Disk, failing, fill, killed_at, replaced

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.client import submit
from stylewatch_daemon.client import submit as submission
from stylewatch_daemon.client.submit import (
    STALE_S,
    Files,
    NewJob,
    clear,
    files_of,
    free,
    main_pictures,
    put,
    put_all,
)
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.system import system
from stylewatch_daemon.intake.scan import scan

GUARD = MountGuard()
"""A guard that knows of no disk that was there before."""


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    fill(tmp_path, "sea.JPG", "wave.png")
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def sea(root: Path) -> Files:
    """A pair."""
    return files_of(root / "sea.JPG", (root / "wave.png",))


def test_whenever_it_is_killed_the_inbox_has_all_or_nothing(inbox: Path, tmp_path: Path) -> None:
    (tmp_path / "link.jpg").symlink_to("sea.JPG")
    files = files_of(tmp_path / "link.jpg", (tmp_path / "wave.png",))
    wanted = {"steps": 3, "set": {"tv.weight": 0.1}}
    for change in count(1):
        fresh = inbox / str(change)
        fresh.mkdir()
        with killed_at(change) as was_killed:
            put(fresh, GUARD, free("sea"), files, wanted)
        seen = {path.relative_to(fresh).as_posix() for path in scan(fresh).files}
        assert seen in (set(), {"sea/content.jpg", "sea/style.png", "sea/job.yaml"})
        if not was_killed():
            break
    assert yaml.safe_load((fresh / "sea/job.yaml").read_text()) == wanted
    assert not (fresh / "sea/content.jpg").is_symlink()


def test_only_abandoned_pairs_are_removed_after_a_time(inbox: Path, tmp_path: Path) -> None:
    abandoned, link, changed, other = (
        inbox / f".submit-{name}" for name in ("0123456789abcdef", "1" * 16, "2" * 16, "mine")
    )
    for folder in (abandoned, changed, other, tmp_path / "away"):
        fill(folder, "content.jpg")
    link.symlink_to(tmp_path / "away")
    when = time.time() - STALE_S - 1
    for path in tmp_path.rglob("*"):
        os.utime(path, (when, when), follow_symlinks=False)
    fill(changed, "style.jpg")
    clear(inbox)
    assert [path for path in (abandoned, changed, other) if path.exists()] == [changed, other]
    assert (tmp_path / "away/content.jpg").exists()


def test_jobs_that_are_submitted_together_outlive_a_clock_that_is_hours_behind(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare, earlier = submission._prepare, time.time() - 9 * 3600

    def prepared(hidden: Path, *more: Any) -> None:
        prepare(hidden, *more)
        for path in (*hidden.iterdir(), hidden):
            os.utime(path, (earlier, earlier))
        clear(inbox)  # by a daemon

    monkeypatch.setattr(submission, "_prepare", prepared)
    jobs = [NewJob("sea", {}, sea(tmp_path)), NewJob("sea", {}, sea(tmp_path))]
    assert [*put_all(tmp_path / "state", jobs, inbox)] == ["sea", "sea-2"]


def test_each_pair_for_an_inbox_that_keeps_its_pictures_has_a_line_that_no_other_has(
    inbox: Path, tmp_path: Path
) -> None:
    wanted = {"steps": 3}
    jobs = [NewJob("sea", settings, sea(tmp_path)) for settings in (wanted, wanted, {})]
    names = [*put_all(tmp_path / "state", jobs, inbox, is_kept=True)]
    texts = [(inbox / name / "job.yaml").read_text() for name in names]
    own = [text.splitlines()[-1] for text in texts]
    assert len({*own}) == len(jobs) and all(line.startswith("# submission ") for line in own)
    file_names = {"file_names": {"content.jpg": "sea.JPG", "style.png": "wave.png"}}
    settings = [yaml.safe_load(text) for text in texts]
    assert settings == [{**wanted, **file_names}, {**wanted, **file_names}, file_names]


def test_a_pair_is_there_as_long_as_its_main_picture_is_or_nobody_knows(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = MountGuard()
    fill(inbox, "sea/content.jpg", "sea/content.mask.png", "sea/style.png", "sea/job.yaml")
    disk = Disk(inbox, monkeypatch)
    assert main_pictures(guard, inbox, "sea") == frozenset({"content.jpg"})
    (inbox / "sea/content.jpg").unlink()
    assert main_pictures(guard, inbox, "sea") == frozenset({"style.png"})
    (inbox / "sea/style.png").unlink()
    assert main_pictures(guard, inbox, "sea") == main_pictures(guard, inbox, "b") == frozenset()
    with disk.unplugged():  # also if no daemon has looked at that disk yet
        assert main_pictures(guard, inbox, "sea") is None
    with replaced(system, scandir=failing(OSError(errno.EIO, "Input/output error"))):
        assert main_pictures(guard, inbox, "sea") is None


def test_an_inbox_or_a_name_that_cannot_be_looked_at_is_no_absence(
    inbox: Path, tmp_path: Path
) -> None:
    files, looked = sea(tmp_path), system.stat
    for place in (inbox, tmp_path / "out/sea"):

        def fails(path: Path, *, broken: Path = place, **more: Any) -> os.stat_result:
            if path == broken:
                raise OSError(errno.EIO, "Input/output error", str(path))
            return looked(path, **more)

        with replaced(system, stat=fails), pytest.raises(OutputError, match=f"{place}: Input/outp"):
            put(inbox, GUARD, free("sea", inbox, tmp_path / "out"), files, {})
    assert list(inbox.iterdir()) == []
    with pytest.raises(OutputError, match="does not exist: create it"):
        put(tmp_path / "gone", GUARD, free("sea"), files, {})


def test_what_cannot_be_read_of_an_abandoned_pair_prevents_no_other(
    inbox: Path, tmp_path: Path
) -> None:
    abandoned = inbox / ".submit-0123456789abcdef"
    fill(abandoned, "content.jpg")

    def fails(folder: Path) -> Any:
        if folder == abandoned:
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return os.scandir(folder)

    with replaced(system, scandir=fails):
        put(inbox, GUARD, free("sea"), sea(tmp_path), {})
    assert (inbox / "sea").is_dir()


def test_nothing_stays_below_the_mount_point_of_a_disk_that_goes_meanwhile(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, prepare = Disk(inbox, monkeypatch), submit._prepare

    def prepared(*args: Any) -> None:
        stack.enter_context(disk.unplugged())
        prepare(*args)
        assert list(inbox.iterdir())

    with ExitStack() as stack, replaced(submit, _prepare=prepared):
        with pytest.raises(OutputError, match="in, which is not mounted now"):
            put(inbox, MountGuard(), iter(["sea"]), sea(tmp_path), {})
        assert list(inbox.iterdir()) == []


def test_a_pair_is_put_while_the_disk_of_its_outbox_is_missing(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out/sea").mkdir(parents=True)
    disk, guard = Disk(tmp_path / "out", monkeypatch), MountGuard()
    guard.check(tmp_path / "out")
    assert next(free("sea", tmp_path / "out")) == "sea-2"
    with disk.unplugged():
        names = free("sea", inbox, tmp_path / "out")
        assert put(inbox, guard, names, sea(tmp_path), {}) in ("sea", "sea-2")
