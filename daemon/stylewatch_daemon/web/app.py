"""The application: wires the parts of the page together."""

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
from stylewatch_daemon.views.formatting import memory
from stylewatch_daemon.web import actions, login, metrics, pages, pictures, upload
from stylewatch_daemon.web.doctor_runner import Checkup
from stylewatch_daemon.web.events import Hub
from stylewatch_daemon.web.http import Context, failed
from stylewatch_daemon.web.login import Sessions
from stylewatch_daemon.web.middleware import Gate
from stylewatch_daemon.web.page_data import PageData
from stylewatch_daemon.web.previews import Previews
from stylewatch_daemon.web.queries import Reader

HERE = Path(__file__).parent

STATUS = {
    errors.UsageError: 400,
    errors.SettingsError: 400,
    errors.InputError: 422,
    errors.OutputError: 503,
    errors.UnavailableError: 503,
}
"""HTTP status codes of our errors."""

_SENTENCES = {404: "there is no such page", 405: "this address does not support the method"}


def application(settings: Config, token: SecretStr | None = None) -> Starlette:
    """The page of the daemon with these `settings`, for people who know the `token`, if any."""
    state = settings.state.path
    sessions = Sessions(token, state / login.FILE_NAME)
    reader = Reader(state)
    data = PageData(settings, reader)
    templates = Jinja2Templates(directory=HERE / "templates")
    templates.env.globals |= {"root": settings.web.path, "has_sessions": sessions.are_needed}
    templates.env.filters |= {"when": pages.short_time, "memory": memory}
    upload.clear(state)
    app = Starlette(
        routes=[
            *metrics.routes(),
            *login.Login(sessions).routes(),
            *actions.routes(),
            *upload.Uploads().routes(),
            *pages.routes(),
            *pictures.routes(),
            Route("/favicon.ico", _icon),
            Mount("/static", StaticFiles(directory=HERE / "static"), name="static"),
        ],
        middleware=[Middleware(Gate, web=settings.web, sessions=sessions)],
        exception_handlers={HTTPException: _http_error, errors.DaemonError: _daemon_error},
    )
    app.router.redirect_slashes = False
    app.state.context = Context(
        settings=settings,
        state=state,
        reader=reader,
        data=data,
        previews=Previews(state, settings.limits.max_pixels),
        hub=Hub(
            lambda: pages.look(settings, reader), lambda page: pages.parts(templates, data, page)
        ),
        templates=templates,
        checkup=Checkup(settings),
    )
    return app


async def _icon(request: Request) -> Response:
    """The icon that browsers ask for by themselves."""
    return FileResponse(HERE / "static/icon.svg")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    has_reason = error.detail != HTTPStatus(error.status_code).phrase
    reason = error.detail if has_reason else _SENTENCES.get(error.status_code, error.detail)
    answer = failed(request, error.status_code, reason)
    answer.headers.update(error.headers or {})
    return answer


async def _daemon_error(request: Request, error: Exception) -> Response:
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
    return failed(request, status, str(error))
