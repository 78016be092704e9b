"""An inbox, an outbox and a state folder for lines without processes of their own."""

from pathlib import Path

from tests.daemon.lookers import FakeInspector
from tests.daemon.painters import Painter, go_on
from tests.daemon.settings_made import make_inbox, make_settings

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.processes.wakeup import Bell
from stylewatch_daemon.service.pipeline import Pipeline
from stylewatch_daemon.service.service import build_pipeline
from stylewatch_daemon.store.state import State


class Place:
    """An inbox, an outbox and a state folder that lines come and go on."""

    def __init__(self, root: Path) -> None:
        self.inbox, self.outbox, self.painter = root / "in", root / "out", Painter()
        self.intake = FakeInspector()
        inboxes = (make_inbox(self.inbox, self.outbox),)
        self.settings = make_settings(inboxes, root / "state", quiet_s=0, rescan_s=1000)
        self.state = State(root / "state")

    def line(self, reporter: Reporter | None = None) -> Pipeline:
        """A new start of the daemon."""
        self.painter.close()
        self.state.close()
        self.state.make()
        self.state.tidy()
        self.intake = FakeInspector(self.intake.says)
        told = reporter or Reporter()
        return build_pipeline(self.settings, self.state, self.painter, told, Bell(), self.intake)

    def run(self) -> Pipeline:
        """All that lies there."""
        line = self.line()
        line.scan()
        line.scan()
        line.enter()
        go_on(line, again=False)
        return line

    @property
    def status(self) -> str:
        return (self.outbox / "_status.txt").read_text()
