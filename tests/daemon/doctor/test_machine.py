"""The doctor looks at the machine."""

import importlib.util
import mmap
import os
import resource
import time
from pathlib import Path

import pytest
from tests.daemon.disks import deep_tree

from stylewatch_daemon.doctor import machine


def test_a_clock_that_goes_right_is_told(tmp_path: Path) -> None:
    assert machine.clock(tmp_path).verdict == "ok"
    assert machine.clock(tmp_path / "not-there").verdict == "ok"


def test_a_clock_behind_what_was_written_is_to_be_set(tmp_path: Path) -> None:
    later = time.time() + 3600
    os.utime(tmp_path, (later, later))
    found = machine.clock(tmp_path)
    assert (found.verdict, found.exit_code) == ("mend", 78)
    assert "set it" in found.words


@pytest.mark.parametrize(
    ("limit", "verdict", "code"), [(39, "mend", 78), (40, "note", 0), (65_536, "ok", 0)]
)
def test_a_low_limit_of_file_descriptors_is_told_with_what_raises_it(
    limit: int, verdict: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda what: (20, limit))
    found = machine.descriptors()
    assert (found.verdict, found.exit_code) == (verdict, code)
    assert f"the limit is {limit}" in found.words
    assert ("LimitNOFILE=" in found.words) == (verdict != "ok")


def test_folders_to_watch_are_counted_against_what_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("in/a/b", "in/c", "other"):
        (tmp_path / name).mkdir(parents=True)
    inboxes = [tmp_path / "in", tmp_path / "other", tmp_path / "not-there"]
    monkeypatch.setattr(machine, "_WATCHES", tmp_path / "limit")
    assert machine.watches(inboxes).verdict == "note", "the limit is not told"
    (tmp_path / "limit").write_text("6\n")
    assert machine.watches(inboxes).words == "5 folders to watch, 6 may be"
    (tmp_path / "limit").write_text("5\n")
    found = machine.watches(inboxes)
    assert found.verdict == "note"
    assert "max_user_watches" in found.words


def test_what_is_not_installed_is_told_with_how_to(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one.verdict for one in machine.extras()] == ["ok"] * 4
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = list(machine.extras())
    assert [one.verdict for one in found] == ["note"] * 4
    assert "pip install 'stylewatch[heic]'" in found[0].words


def test_a_sandbox_that_hides_what_is_needed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [one.verdict for one in machine.sandbox(Path("/"))] == ["ok"]
    (found,) = machine.sandbox(tmp_path)
    assert found.verdict == "note"
    assert "ProcSubset=all" in found.words

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(mmap, "mmap", denied)
    (found,) = machine.sandbox(Path("/"))
    assert "MemoryDenyWriteExecute=no" in found.words


def test_folders_of_any_depth_are_counted_as_far_as_they_are_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "limit").write_text("99\n")
    monkeypatch.setattr(machine, "_WATCHES", tmp_path / "limit")
    with deep_tree(tmp_path / "deep"):
        assert machine.watches([tmp_path]).words == "33 folders to watch, 99 may be"
