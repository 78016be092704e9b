"""The application: the pages, the actions, and what watches over both."""

from http import HTTPStatus
from pathlib import Path

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from stylewatch_daemon import errors
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.web import actions, login, pages, probes, sessions, upload
from stylewatch_daemon.web.context import Context
from stylewatch_daemon.web.doctor_runner import Checkup
from stylewatch_daemon.web.middleware import Gate
from stylewatch_daemon.web.queries import Reader
from stylewatch_daemon.web.responses import failed
from stylewatch_daemon.web.sessions import Sessions

HERE = Path(__file__).parent

STATUS = {errors.UsageError: 400, errors.SettingsError: 400, errors.InputError: 422,
          errors.OutputError: 503, errors.UnavailableError: 503}  # fmt: skip
"""What HTTP calls our errors."""


def application(settings: Config, token: SecretStr | None = None) -> Starlette:
    """The page of the daemon with these `settings`, for those who know the `token`, if one is."""
    state = settings.state.path
    known = Sessions(token, state / sessions.FILE_NAME)
    upload.clear(state)
    app = Starlette(
        routes=[
            *probes.routes(),
            *login.routes(known),
            *actions.routes(),
            *upload.Desk().routes(),
            *pages.routes(),
            Route("/favicon.ico", _icon),
            Mount("/static", StaticFiles(directory=HERE / "static"), name="static"),
        ],
        middleware=[Middleware(Gate, web=settings.web, sessions=known)],
        exception_handlers={HTTPException: _refused, errors.DaemonError: _failed},
    )
    app.router.redirect_slashes = False
    app.state.context = Context(
        settings=settings,
        state=state,
        reader=Reader(state),
        templates=_templates(settings.web.path, known),
        checkup=Checkup(settings),
    )
    return app


def _templates(root: str, sessions: Sessions) -> Jinja2Templates:
    templates = Jinja2Templates(directory=HERE / "templates")
    templates.env.globals |= {"root": root, "has_sessions": sessions.are_needed}
    return templates


async def _icon(request: Request) -> Response:
    """What browsers ask for by themselves, beside a receipt or a picture."""
    return FileResponse(HERE / "static/icon.svg")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = error.detail != HTTPStatus(error.status_code).phrase
    why = error.detail if said else _PLAIN.get(error.status_code, error.detail)
    answer = failed(request, error.status_code, why)
    answer.headers.update(error.headers or {})
    return answer


async def _failed(request: Request, error: Exception) -> Response:
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
    return failed(request, status, str(error))


_PLAIN = {404: "there is no such page", 405: "this page cannot be asked that"}
