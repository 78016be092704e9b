"""The daemon starts its parts in order, processes its inboxes, and stops in order."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill, tree
from tests.daemon.lookers import Nodding
from tests.daemon.painters import Painter
from tests.daemon.settings_made import changed_settings, make_inbox, make_settings

from stylewatch_daemon.errors import SettingsError, UnavailableError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import lock
from stylewatch_daemon.processes.wakeup import Bell
from stylewatch_daemon.queue.states import Outcome, OutcomeKind
from stylewatch_daemon.service import service
from stylewatch_daemon.service.main_loop import MIN_INTERVAL
from stylewatch_daemon.service.service import ServiceSettings, Summary, once, watch
from stylewatch_daemon.settings import resources
from stylewatch_daemon.store.state import State
from stylewatch_daemon.worker.messages import Event, Failed, Order, Refused, Wanted

pytestmark = pytest.mark.usefixtures("any_file_is_a_picture")

A = ("a/content.jpg", "a/style.jpg")
B = ("b/content.jpg", "b/style.jpg")


def settings(root: Path, **more: Any) -> ServiceSettings:
    inboxes = (make_inbox(root / "in", root / "out"),)
    return make_settings(inboxes, root / "state", **{"quiet_s": 0.0, **more})


def names(outcomes: tuple[Outcome, ...]) -> list[str]:
    return [outcome.job for outcome in outcomes]


class Log(Reporter):
    """Records events, and calls `on_done` after each job."""

    def __init__(self, on_done: Callable[[str], object] = lambda job: None) -> None:
        self.on_done, self.events = on_done, list[str]()

    def taken(self, job: str) -> None:
        self.events.append(f"{job} taken")

    def done(self, job: str, folder: Path) -> None:
        self.events.append(job)
        self.on_done(job)

    def failed(self, job: str, reason: str, trace: str, *, for_good: bool) -> None:
        self.events.append(f"{job}: {reason}")

    def reloaded(self) -> None:
        self.events.append("reloaded")

    def not_reloaded(self, reason: str) -> None:
        self.events.append(reason)
        self.on_done("")

    def needs_restart(self, key: str) -> None:
        self.events.append(key)


def test_once_paints_what_is_there_and_stops(tmp_path: Path) -> None:
    fill(tmp_path / "in", *A, "half/style.jpg")
    left = tmp_path / "in/.submit-0123456789abcdef"  # by a killed submit
    fill(left, "content.jpg")
    for path in (left / "content.jpg", left):
        os.utime(path, (0, 0))
    painter = Painter()
    summary = once(settings(tmp_path), executor=painter)
    assert (names(summary.done), summary.exit_code, painter.closed) == (["a"], 0, 1)
    assert [waiting.name for waiting in summary.incomplete] == ["half"]
    assert (tmp_path / "out/a/receipt.json").exists()
    assert not left.exists()


def test_a_missing_inbox_is_made(tmp_path: Path) -> None:
    assert once(settings(tmp_path), executor=Painter()) == Summary()
    assert (tmp_path / "in").is_dir()


@pytest.mark.parametrize(
    ("kinds", "code"),
    [("", 0), ("done", 0), ("refused", 65), ("refused failed", 70), ("failed paused", 75),
     ("stopped", 75), ("waiting", 75)],
)  # fmt: skip
def test_the_exit_code_is_that_of_the_worst_kind(kinds: str, code: int) -> None:
    summary: Any = {kind: (Outcome(OutcomeKind.DONE, "a"),) for kind in kinds.split()}
    assert Summary(**summary).exit_code == code


def test_refused_and_paused_jobs_have_reasons(tmp_path: Path) -> None:
    fill(tmp_path / "in", *A, *B)
    painter = Painter([Refused("no picture"), Failed("no such backend", 69)])
    summary = once(settings(tmp_path), executor=painter)
    assert [(job.job, job.reason) for job in summary.refused] == [("a", "no picture")]
    assert [(job.job, job.reason) for job in summary.paused] == [("b", "no such backend")]
    assert names(once(settings(tmp_path), executor=Painter()).done) == ["b"]


def test_an_unwritable_outbox_leaves_the_pair_in_the_inbox(tmp_path: Path) -> None:
    fill(tmp_path / "in", *A)
    (tmp_path / "out").write_text("in the way")
    summary = once(settings(tmp_path), executor=Painter())
    assert summary.exit_code == 75
    assert "cannot be written" in summary.paused[0].reason
    assert set(tree(tmp_path / "in")) == set(A)


def test_a_truncated_picture_that_grows_for_ever_is_named_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = tmp_path / "in/a/content.jpg"

    class Growing(Log):
        def looked(self, seconds: float) -> None:
            if self.events and content.exists():
                self.events.clear()
                content.write_text(f"{content.read_text()} more")

    monkeypatch.setattr(service, "PATIENCE", 2.0)
    monkeypatch.setattr(service, "Intake", lambda *_, **__: Nodding({"a/content": "cut off"}))
    fill(tmp_path / "in", *A)
    summary = once(settings(tmp_path), Growing(), Painter())
    assert summary.exit_code == 75
    assert [(waiting.name, waiting.changing) for waiting in summary.incomplete] == [("a", True)]
    assert set(tree(tmp_path / "in")) == set(A)


def test_a_damaged_job_is_named_and_the_others_are_painted(tmp_path: Path) -> None:
    fill(tmp_path / "state/jobs/1", "job.json")
    fill(tmp_path / "in", *A)
    log = Log()
    summary = once(settings(tmp_path), log, Painter())
    assert (names(summary.done), summary.exit_code) == (["a"], 70)
    (failed,) = summary.failed
    assert log.events[0] == f"{failed.job}: {failed.reason}"
    assert log.events[0].startswith(f"1: set aside in {tmp_path / 'state/damaged/1-'}")


# What keeps the daemon from starting


def test_a_second_daemon_on_the_same_state_is_refused(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    state.make()
    state.hold()
    process = rf"process {os.getpid()} on .* is at work"
    with lock.held(state.lock), pytest.raises(SettingsError, match=process):
        once(settings(tmp_path), executor=Painter())


def test_nothing_starts_while_the_worker_of_a_killed_daemon_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "ORPHAN_WITHIN", 0.01)
    (tmp_path / "state").mkdir()
    with lock.held(tmp_path / "state/worker.lock"), pytest.raises(UnavailableError):
        once(settings(tmp_path), executor=Painter())
    assert once(settings(tmp_path), executor=Painter()).exit_code == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"inboxes": (make_inbox(Path("/x/in"), Path("/x/in/out")),)}, "lies in the inbox"),
        ({"default_style": "night", "styles": Path("/x")}, r"'night'.*no such picture"),
        ({"cluster": resources.Demand()}, r"stylewatch\[ray\]"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_made(
    changes: Any, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(resources, "version", version)
    with pytest.raises(SettingsError, match=reason):
        once(changed_settings(settings(tmp_path), **changes), executor=Painter())
    assert list(tmp_path.iterdir()) == []


def test_the_supervisor_loads_neither_torch_nor_numpy_nor_pillow(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from stylewatch_daemon.service.service import once, watch
from stylewatch_daemon.settings import sections
from stylewatch_daemon.settings.config import ServiceSettings
root = Path({str(tmp_path)!r})
settings = ServiceSettings(
    inboxes=(sections.Inbox(path=root / "in", outbox=root / "out"),),
    state=sections.State(path=root / "state"),
    watch=sections.Watch(quiet_s=0),
)
assert once(settings).exit_code == 0
heavy = {{"torch", "numpy", "PIL", "onnxruntime", "starlette", "uvicorn"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


# Watch


def test_watch_paints_what_lands_until_it_is_stopped(tmp_path: Path) -> None:
    bell = Bell()

    def on_done(job: str) -> None:
        fill(tmp_path / "in", *B) if job == "a" else bell.stop()

    fill(tmp_path / "in", *A)
    summary = watch(settings(tmp_path, polling="no"), Log(on_done), Painter(), bell)
    assert names(summary.done) == ["a", "b"]


class EventPainter(Painter):
    """Calls `on_event` after each event."""

    on_event: Callable[[], object]

    def paint(self, order: Order, wanted: Callable[[], Wanted]) -> Iterator[Event]:
        for event in super().paint(order, wanted):
            yield event
            self.on_event()


def test_a_pair_that_lands_during_a_job_is_claimed_at_once(tmp_path: Path) -> None:
    bell, painter = Bell(), EventPainter()

    def on_event() -> None:
        if not list(tmp_path.glob("in/b/*")) and len(painter.orders) == 1:
            fill(tmp_path / "in", *B)
        bell.ring()
        time.sleep(MIN_INTERVAL)  # the shortest time between two scans

    fill(tmp_path / "in", *A)
    log, painter.on_event = Log(lambda job: bell.stop()), on_event
    watch(settings(tmp_path, polling="yes"), log, painter, bell)
    assert log.events[:2] == ["a taken", "b taken"]


def test_a_stopped_job_is_left_for_the_next_start(tmp_path: Path) -> None:
    fill(tmp_path / "in", *A, *B)
    bell, painter = Bell(), EventPainter()
    painter.on_event = bell.stop
    summary = watch(settings(tmp_path), None, painter, bell)
    assert (names(summary.stopped), summary.waiting) == (["a"], ("b",))
    assert names(once(settings(tmp_path), executor=Painter()).done) == ["a", "b"]


@pytest.mark.parametrize("right", [True, False])
def test_settings_that_are_read_again_apply_from_the_next_job_on_if_they_are_right(
    right: bool, tmp_path: Path
) -> None:
    bell = Bell()
    outbox = tmp_path / ("out2" if right else "in2/out")
    inboxes = (make_inbox(tmp_path / "in2", outbox),)
    new = changed_settings(settings(tmp_path), inboxes=inboxes, state=tmp_path / "elsewhere")
    fill(tmp_path / "in", *A)
    fill(tmp_path / "in2", *B)
    log = Log(lambda job: bell.reload() if job == "a" else bell.stop())
    summary = watch(settings(tmp_path), log, Painter(), bell, reread=lambda: new)
    events = [event for event in log.events if not event.endswith("taken")]
    if right:
        assert events == ["a", "state.path", "reloaded", "b"]
        assert (tmp_path / "out2/b/receipt.json").exists()
    else:
        assert "lies in the inbox" in events[1]
    assert names(summary.done) == (["a", "b"] if right else ["a"])
    assert not (tmp_path / "elsewhere").exists()
