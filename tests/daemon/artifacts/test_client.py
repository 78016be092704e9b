"""Files are drawn by a child process, and whatever happens to it has a reason in words."""

import os
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.daemon.artifacts.paintings import painting, source
from tests.daemon.clock import Clock
from tests.daemon.world import child_pids

from stylewatch_daemon.artifacts import client
from stylewatch_daemon.artifacts.client import Header, ThumbnailRequest, drawn
from stylewatch_daemon.base.child import send


def serve(pipe: Connection, request: ThumbnailRequest) -> None:
    """Draw the first of two files, then do as the folder of the picture is called."""
    send(pipe, Header("0"))
    pipe.send_bytes(b"abc")
    fault = Path(request.pictures[0].paths[0]).parent.name
    if fault == "killed":
        os.kill(os.getpid(), 9)
    elif fault == "nonsense":
        pipe.send_bytes(b"nonsense")
    elif fault == "another file":
        send(pipe, Header("0"))
        pipe.send_bytes(b"abc")
    else:
        send(pipe, Header("1"))
        if fault == "half a file":
            return
    time.sleep(1000)


def test_the_files_come_in_the_order_of_the_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = painting(tmp_path, wanted=["sheet.png", "losses.png"])
    files = list(drawn(request))
    assert [file.name for file in files] == ["sheet.png", "losses.png"]
    assert all(file.content.startswith(b"\x89PNG") and not file.problem for file in files)
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert all("no process could be started" in file.problem for file in drawn(request))


@pytest.mark.usefixtures("children_exit_slowly")
@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("killed", "ended (signal 9, often for want of memory)"),
        ("half a file", "ended (exit code 0)"),
        ("nonsense", "sent an invalid message"),
        ("another file", "sent an invalid message"),
        ("hangs", "it took longer than 60 s"),
    ],
)
def test_files_drawn_before_the_child_ended_count_and_the_rest_has_a_reason(
    fault: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, clock = source(tmp_path / fault / "a.png"), Clock()
    monkeypatch.setattr(client, "time", SimpleNamespace(monotonic=clock))
    request = ThumbnailRequest((picture, picture), 24, 10_000)
    files = drawn(request, "tests.daemon.artifacts.test_client:serve", 60.0)
    first = next(files)
    clock.now += 60 if fault == "hangs" else 0
    (second,) = files
    assert (first.name, first.content, first.problem) == ("0", b"abc", "")
    assert second.name == "1" and not second.content and why in second.problem
    assert child_pids("artifacts") == []


def test_closing_the_generator_leaves_no_process_behind(tmp_path: Path) -> None:
    picture = source(tmp_path / "a.png")
    files = drawn(ThumbnailRequest((picture, picture), 24, 10_000))
    next(files)
    assert len(child_pids("artifacts")) == 1
    files.close()
    assert child_pids("artifacts") == []
