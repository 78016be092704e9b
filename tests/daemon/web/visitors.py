"""Those who visit the page, without a socket between: for tests of what it answers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from starlette.routing import Route
from starlette.testclient import TestClient
from tests.daemon.cli.states import enter, entry, publish

from stylewatch_daemon.outbox.status_txt import Status
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.store.requests import FOLDER
from stylewatch_daemon.web.app import application

TOKEN = "a-token-of-twenty-four-l"
HERE = "http://127.0.0.1:8787"
PEOPLE = {"Accept": "text/html"}
OURS = {"Origin": HERE}
"""What a browser says of a form of ours."""

__all__ = ["enter", "entry", "publish"]


def settings(root: Path, **web: Any) -> Config:
    """Settings of a daemon whose folders are below `root`."""
    plain = {
        "inboxes": [{"path": str(root / "in"), "outbox": str(root / "out")}],
        "state": {"path": str(root / "state")},
        "job": {"backend": "sketch"},
        "web": {"listen": "127.0.0.1:8787", **web},
    }
    return Config.model_validate(plain)


def visitor(
    root: Path, token: str | None = None, extra: Sequence[Route] = (), **web: Any
) -> TestClient:
    """A program that visits the page of a daemon below `root`, which is not at work."""
    for name in ("in", "out", "state"):
        (root / name).mkdir(exist_ok=True)
    app = application(settings(root, **web), None if token is None else SecretStr(token))
    app.router.routes[:0] = extra
    # an error in the page is one of the test's, and no answer
    return TestClient(app, HERE, headers=OURS, follow_redirects=False)


def asked(root: Path) -> list[dict[str, Any]]:
    """What was asked of the daemon: verbs, with their arguments."""
    paths = sorted((root / "state" / FOLDER).glob("*.json"))
    found = [json.loads(path.read_text()) for path in paths]
    return [{"verb": one["verb"], **one["arguments"]} for one in found]


def standing(root: Path, **more: Any) -> None:
    """Publish as a daemon does how it stands."""
    (root / "state").mkdir(exist_ok=True)
    publish(root / "state", Status(**more))
