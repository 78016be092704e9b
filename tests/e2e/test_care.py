"""The line takes care of its outbox: who may read it, how long it keeps what it holds."""

import stat
from pathlib import Path

import pytest
from tests.daemon.faults import tree
from tests.daemon.finished import finish
from tests.daemon.painters import Painter

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.processes.wakeup import Bell
from stylewatch_daemon.service.service import once, watch
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.config import ServiceSettings, service_settings
from stylewatch_daemon.store.state import State

pytestmark = pytest.mark.usefixtures("any_file_is_a_picture")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a config.yaml, a pair in the inbox and a job that was done three days ago."""
    (tmp_path / "in" / "new").mkdir(parents=True)
    for name in ("content.jpg", "style.jpg"):
        (tmp_path / "in" / "new" / name).write_text(name)
    finish(tmp_path / "out", "old", 3)
    return tmp_path


def settings(root: Path, more: str) -> ServiceSettings:
    """What a config.yaml in `root` with `more` in it means."""
    text = f"inboxes: [{{path: in, outbox: out}}]\nstate: {{path: state}}\n{more}\n"
    (root / "config.yaml").write_text(text + "watch: {quiet_s: 0}\njob: {size: 64}\n")
    return service_settings(config.load(root / "config.yaml"), {})


def bits(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_all_that_is_published_has_the_mode_of_the_settings(root: Path) -> None:
    once(settings(root, "outbox: {mode: 0664}"), executor=Painter())
    published = [root / "out" / "_status.txt", *(root / "out" / "new").rglob("*")]
    assert {bits(path) for path in published if path.is_file()} == {0o664}
    assert {bits(path) for path in published if path.is_dir()} == {0o775}
    assert root / "out" / "new" / "receipt.json" in published


def test_what_is_kept_long_enough_goes_at_the_start_of_a_run(root: Path) -> None:
    once(settings(root, "retention: {stages: 2}"), executor=Painter())
    assert not (root / "out" / "old" / "stages").exists()
    assert (root / "out" / "new" / "stages").exists()
    assert (root / "out" / "old" / "final.png").exists()


class Leaving(Reporter):
    """Has the daemon leave once something was pruned."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell

    def pruned(self, files: int, bytes_: int) -> None:
        self._bell.stop()


def test_what_is_kept_long_enough_goes_while_the_daemon_watches(root: Path) -> None:
    bell = Bell()
    watch(settings(root, "retention: {inputs: 2 days}"), Leaving(bell), Painter(), bell)
    assert sorted(tree(root / "out" / "old" / "inputs")) == ["job.yaml"]
    assert (root / "out" / "old" / "stages").exists()


def test_the_daemon_remembers_jobs_as_long_as_it_is_told(root: Path) -> None:
    for days, known in ((1, 1), (0, 0)):
        once(settings(root, f"retention: {{ledger: {days}}}"), executor=Painter())
        ledger = State(root / "state").ledger
        assert ledger.counts().get("done", 0) == known
        with ledger.together():
            ledger._write("UPDATE jobs SET finished = '2020-01-01T00:00:00+00:00'")
        ledger.close()
