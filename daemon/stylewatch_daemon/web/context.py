"""The parts of the application that its routes use."""

from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.templating import Jinja2Templates

from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.web.doctor_runner import DoctorRunner
from stylewatch_daemon.web.live_updates import Hub, SharedAnswers
from stylewatch_daemon.web.page_data import PageData, Reader
from stylewatch_daemon.web.previews import Previews
from stylewatch_daemon.web.sessions import Sessions


@dataclass(frozen=True)
class Context:
    """The parts of an application; `settings` are without secrets."""

    settings: Config
    sessions: Sessions
    reader: Reader
    data: PageData
    previews: Previews
    hub: Hub
    pictures: SharedAnswers
    templates: Jinja2Templates
    doctor: DoctorRunner

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.settings.state.path


def context(request: Request) -> Context:
    """The parts of the application that answers `request`."""
    parts: Context = request.app.state.context
    return parts
