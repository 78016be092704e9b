"""What every page and every action works with: `request.app.state.context`."""

from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.templating import Jinja2Templates

from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.web.doctor_runner import Checkup
from stylewatch_daemon.web.queries import Reader


@dataclass(frozen=True)
class Context:
    """The daemon's `settings` (without secrets) and state folder, and what reads and shows them.

    In templates `root` is the path that all links begin with: `{{ root }}/jobs`; empty at the top.
    """

    settings: Config
    state: Path
    reader: Reader
    templates: Jinja2Templates
    checkup: Checkup
    """The checks of `doctor`: `checkup.latest()`, and `await checkup.look()` for new ones."""


def context(request: Request) -> Context:
    """That of the application which answers `request`."""
    found: Context = request.app.state.context
    return found
