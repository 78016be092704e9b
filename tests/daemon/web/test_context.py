"""What pages and actions are given to work with."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from tests.daemon.web.visitors import visitor

from stylewatch_daemon.web.context import context


def state(request: Request) -> Response:
    here = context(request)
    return PlainTextResponse(f"{here.state} {here.settings.job.backend}")


def test_every_page_knows_the_daemon_that_it_is_of(tmp_path: Path) -> None:
    page = visitor(tmp_path, extra=[Route("/state", state)])
    assert page.get("/state").text == f"{tmp_path / 'state'} sketch"
