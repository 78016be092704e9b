"""The service starts in order, does what is there or what comes, and leaves in order."""

import os
import subprocess
import sys
import threading
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
from stylewatch_daemon.queue.dispatcher import Outcome
from stylewatch_daemon.service import service
from stylewatch_daemon.service.main_loop import AT_LEAST
from stylewatch_daemon.service.service import ServiceSettings, Summary, once, watch
from stylewatch_daemon.settings import resources
from stylewatch_daemon.store.state import State
from stylewatch_daemon.worker.contract import Event, Failed, Order, Refused, Wanted

pytestmark = pytest.mark.usefixtures("any_file_is_a_picture")


def settings(root: Path, **more: Any) -> ServiceSettings:
    inboxes = (make_inbox(root / "in", root / "out"),)
    return make_settings(inboxes, root / "state", **{"quiet_s": 0.0, **more})


PAIR = ("a/content.jpg", "a/style.jpg")


def test_once_paints_what_is_there_and_leaves(tmp_path: Path) -> None:
    fill(tmp_path / "in", *PAIR, "half/style.jpg")
    painter = Painter()
    summary = once(settings(tmp_path), executor=painter)
    assert [one.job for one in summary.done] == ["a"]
    assert [one.name for one in summary.incomplete] == ["half"]
    assert summary.exit_code == 0
    assert (tmp_path / "out/a/receipt.json").exists()
    assert painter.closed == 1


def test_an_empty_inbox_that_was_not_there_is_made_and_all_is_done(tmp_path: Path) -> None:
    assert once(settings(tmp_path), executor=Painter()) == Summary()
    assert (tmp_path / "in").is_dir()


@pytest.mark.parametrize(
    ("summary", "code"),
    [
        (Summary(), 0),
        (Summary(done=(Outcome("done", "a"),)), 0),
        (Summary(refused=(Outcome("refused", "a"),)), 65),
        (Summary(refused=(Outcome("refused", "a"),), failed=(Outcome("failed", "b"),)), 70),
        (Summary(failed=(Outcome("failed", "b"),), paused=(Outcome("paused", "c"),)), 75),
        (Summary(stopped=(Outcome("stopped", "a"),)), 75),
        (Summary(waiting=("a",)), 75),
    ],
)
def test_the_exit_code_tells_the_worst_that_another_run_may_mend(
    summary: Summary, code: int
) -> None:
    assert summary.exit_code == code


def test_refused_and_paused_jobs_are_told_with_their_reasons(tmp_path: Path) -> None:
    fill(tmp_path / "in", *PAIR, "b/content.jpg", "b/style.jpg")
    painter = Painter([Refused("no picture"), Failed("no such backend", 69)])
    summary = once(settings(tmp_path), executor=painter)
    assert [(one.job, one.reason) for one in summary.refused] == [("a", "no picture")]
    assert [(one.job, one.reason) for one in summary.paused] == [("b", "no such backend")]
    assert [one.job for one in once(settings(tmp_path), executor=Painter()).done] == ["b"]


def test_an_unwritable_outbox_leaves_the_pair_in_the_inbox(tmp_path: Path) -> None:
    fill(tmp_path / "in", *PAIR)
    (tmp_path / "out").write_text("in the way")
    summary = once(settings(tmp_path), executor=Painter())
    assert summary.exit_code == 75
    assert "cannot be written" in summary.paused[0].reason
    assert set(tree(tmp_path / "in")) == set(PAIR)


def test_what_grows_for_ever_and_is_always_cut_off_is_named_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Grows(Reporter):
        def taken(self, job: str) -> None:
            grown.append(job)

        def looked(self, seconds: float) -> None:
            if grown and (tmp_path / "in/a/content.jpg").exists():
                grown.clear()
                with (tmp_path / "in/a/content.jpg").open("a") as file:
                    file.write("more")

    grown: list[str] = []
    monkeypatch.setattr(service, "PATIENCE", 2.0)
    monkeypatch.setattr(service, "Intake", lambda *_, **__: Nodding({"a/content": "cut off"}))
    fill(tmp_path / "in", *PAIR)
    summary = once(settings(tmp_path), Grows(), Painter())
    assert summary.exit_code == 75
    assert [(one.name, one.changing) for one in summary.incomplete] == [("a", True)]
    assert set(tree(tmp_path / "in")) == set(PAIR)


def test_a_second_daemon_on_the_same_state_is_refused(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    state.make()
    state.hold()
    with (
        lock.held(tmp_path / "state/lock"),
        pytest.raises(SettingsError, match=rf"process {os.getpid()} on .* is at work"),
    ):
        once(settings(tmp_path), executor=Painter())


def test_nothing_is_begun_while_the_worker_of_a_killed_daemon_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "ORPHAN_WITHIN", 0.01)
    (tmp_path / "state").mkdir()
    with lock.held(tmp_path / "state/worker.lock"), pytest.raises(UnavailableError):
        once(settings(tmp_path), executor=Painter())
    assert once(settings(tmp_path), executor=Painter()).exit_code == 0


def test_an_outbox_in_the_inbox_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    inboxes = (make_inbox(tmp_path / "in", tmp_path / "in/out"),)
    with pytest.raises(SettingsError, match="lies in the inbox"):
        once(make_settings(inboxes, tmp_path / "state"), executor=Painter())
    assert list(tmp_path.iterdir()) == []


def test_a_default_style_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"'night'.*no such picture"):
        once(settings(tmp_path, default_style="night", styles=tmp_path), executor=Painter())


def test_a_damaged_job_is_named_and_the_others_are_painted(tmp_path: Path) -> None:
    fill(tmp_path / "state/jobs/1", "job.json")
    fill(tmp_path / "in", *PAIR)

    told: list[str] = []

    class Told(Reporter):
        def failed(self, job: str, reason: str, trace: str, *, for_good: bool) -> None:
            told.append(f"{job}: {reason}")

    summary = once(settings(tmp_path), Told(), Painter())
    assert len(summary.done) == 1
    assert summary.exit_code == 70
    assert [f"{one.job}: {one.reason}" for one in summary.failed] == told
    assert told[0].startswith(f"1: set aside in {tmp_path / 'state/damaged/1-'}")


class Stopping(Painter):
    """Stops the daemon after the first event of its `after`th order."""

    def __init__(self, bell: Bell, after: int = 1) -> None:
        super().__init__()
        self._bell, self._after = bell, after

    def paint(self, order: Order, wanted: Callable[[], Wanted]) -> Iterator[Event]:
        for event in super().paint(order, wanted):
            yield event
            if len(self.orders) == self._after:
                self._bell.stop()


def test_watch_paints_what_comes_until_it_is_stopped(tmp_path: Path) -> None:
    fill(tmp_path / "in", *PAIR)
    bell, second = Bell(), threading.Event()

    class Told(Reporter):
        def done(self, job: str, folder: Path) -> None:
            if not second.is_set():
                second.set()
                fill(tmp_path / "in", "b/content.jpg", "b/style.jpg")
            else:
                bell.stop()

    summary = watch(settings(tmp_path, polling="no"), Told(), Painter(), bell)
    assert [one.job for one in summary.done] == ["a", "b"]


def test_a_pair_that_comes_while_another_is_painted_is_taken_at_once(tmp_path: Path) -> None:
    fill(tmp_path / "in", *PAIR)
    bell, taken = Bell(), []

    class Slow(Painter):
        def paint(self, order: Order, wanted: Callable[[], Wanted]) -> Iterator[Event]:
            for event in super().paint(order, wanted):
                if len(self.orders) == 1 and not list(tmp_path.glob("in/b/*")):
                    fill(tmp_path / "in", "b/content.jpg", "b/style.jpg")
                bell.ring()
                time.sleep(AT_LEAST)  # no look is closer to another
                yield event

    class Told(Reporter):
        def taken(self, job: str) -> None:
            taken.append(job)

        def done(self, job: str, folder: Path) -> None:
            taken.append(f"{job} done")
            bell.stop()

    watch(settings(tmp_path, polling="yes"), Told(), Slow(), bell)
    assert taken[:2] == ["a", "b"]


def test_a_stopped_job_is_left_for_the_next_start(tmp_path: Path) -> None:
    fill(tmp_path / "in", *PAIR, "b/content.jpg", "b/style.jpg")
    bell = Bell()
    summary = watch(settings(tmp_path), None, Stopping(bell), bell)
    assert [one.job for one in summary.stopped] == ["a"]
    assert summary.waiting == ("b",)
    assert [one.job for one in once(settings(tmp_path), executor=Painter()).done] == ["a", "b"]


def reloaded(root: Path, reread: Callable[[], ServiceSettings]) -> tuple[Summary, list[str]]:
    """A day with a pair in the second inbox and a reload; what was told of the latter."""
    fill(root / "in", *PAIR)
    fill(root / "in2", "b/content.jpg", "b/style.jpg")
    bell, told = Bell(), []

    class Told(Reporter):
        def done(self, job: str, folder: Path) -> None:
            told.append(job)
            bell.reload() if job == "a" else bell.stop()

        def reloaded(self) -> None:
            told.append("reloaded")

        def not_reloaded(self, reason: str) -> None:
            told.append(reason)
            bell.stop()

        def needs_restart(self, key: str) -> None:
            told.append(key)

    return watch(settings(root), Told(), Painter(), bell, reread=reread), told


def test_settings_that_were_read_again_hold_from_the_next_job_on(tmp_path: Path) -> None:
    second = make_inbox(tmp_path / "in2", tmp_path / "out2")
    new = changed_settings(settings(tmp_path), inboxes=(second,), state=tmp_path / "elsewhere")
    summary, told = reloaded(tmp_path, lambda: new)
    assert told == ["a", "state.path", "reloaded", "b"]
    assert [one.job for one in summary.done] == ["a", "b"]
    assert (tmp_path / "out2/b/receipt.json").exists()
    assert not (tmp_path / "elsewhere").exists()


def test_wrong_settings_leave_those_from_before(tmp_path: Path) -> None:
    inside = make_inbox(tmp_path / "in2", tmp_path / "in2/out")
    new = changed_settings(settings(tmp_path), inboxes=(inside,))
    _, (first, reason) = reloaded(tmp_path, lambda: new)
    assert first == "a"
    assert "lies in the inbox" in reason


def test_the_supervisor_loads_neither_torch_nor_numpy_nor_pillow(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from stylewatch_daemon.service.service import once, watch
from tests.daemon.settings_made import make_inbox, make_settings
root = Path({str(tmp_path)!r})
settings = make_settings((make_inbox(root / "in", root / "out"),), root / "state", quiet_s=0)
assert once(settings).exit_code == 0
heavy = {{"torch", "numpy", "PIL", "onnxruntime", "starlette", "uvicorn"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_a_cluster_without_ray_is_refused_before_anything_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(resources, "version", version)
    with pytest.raises(SettingsError, match=r"stylewatch\[ray\]"):
        once(changed_settings(settings(tmp_path), cluster=resources.Demand()))
    assert not (tmp_path / "state").exists()


def test_what_a_killed_submit_left_in_the_inbox_goes(tmp_path: Path) -> None:
    left = tmp_path / "in/.submit-0123456789abcdef"
    fill(left, "content.jpg")
    for path in (left / "content.jpg", left):
        os.utime(path, (0, 0))
    once(settings(tmp_path), executor=Painter())
    assert not left.exists()
