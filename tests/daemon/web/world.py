"""Folders, finished jobs, published states and clients for tests of the page."""

import hashlib
import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import SecretStr
from starlette.testclient import TestClient
from tests.daemon.cli.states import enter, entry, publish
from tests.daemon.clock import Clock

from stylewatch_daemon.outbox.status_txt import Status
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.store.ledger import Entry
from stylewatch_daemon.store.requests import FOLDER
from stylewatch_daemon.web.serve import application

__all__ = ["Clock", "enter", "entry", "publish"]

TOKEN = "a-token-of-twenty-four-l"
HERE = "http://127.0.0.1:8787"
BROWSER = {"Accept": "text/html"}
OURS = {"Origin": HERE}
"""Headers that a browser sends with a form of the page."""

CHECK = "tests.daemon.web.test_doctor_runner:check"
"""Replaces the checks of the doctor."""

STEPS = (5, 10, 15)
TABLE = (
    "step,width,height,seconds,total,content.conv4_2\n1,8,6,0.1,100.0,100.0\n5,8,6,0.3,1.0,1.0\n"
)


def settings(root: Path, styles: Path | None = None, **web: Any) -> Config:
    """Settings of a daemon whose folders are below `root`, with a library of `styles`."""
    plain = {
        "inboxes": [{"path": str(root / "in"), "outbox": str(root / "out")}],
        "state": {"path": str(root / "state")},
        "job": {"backend": "sketch"},
        "pairing": {"styles": str(styles or root / "styles")},
        "web": {"listen": "127.0.0.1:8787", **web},
    }
    return Config.model_validate(plain)


def client(root: Path, *jobs: Entry, token: str | None = None, **web: Any) -> TestClient:
    """A program that visits the page of a daemon below `root`, which does not run."""
    for name in ("in", "out"):
        (root / name).mkdir(exist_ok=True)
    enter(root / "state", *jobs)
    app = application(settings(root, **web), None if token is None else SecretStr(token))
    return TestClient(app, HERE, headers=OURS, follow_redirects=False)


def requested(root: Path) -> list[dict[str, Any]]:
    """The requests that were left for the daemon: verbs with their arguments."""
    paths = sorted((root / "state" / FOLDER).glob("*.json"))
    requests = [json.loads(path.read_text()) for path in paths]
    return [{"verb": request["verb"], **request["arguments"]} for request in requests]


def publish_status(root: Path, **status: Any) -> None:
    """Publish a status as a daemon does."""
    (root / "state").mkdir(exist_ok=True)
    publish(root / "state", Status(**status))


def picture(shade: int, kind: str = "PNG", side: int = 8) -> bytes:
    """A picture of one shade, (side, 6) pixels."""
    content = BytesIO()
    Image.new("RGB", (side, 6), (shade, 10, 20)).save(content, kind)
    return content.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write(path: Path, content: bytes) -> bytes:
    """Write `content` to `path`, with the folders around it; return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return content


def finished_job(root: Path, name: str = "sea", final: str = "final.png", **more: Any) -> Entry:
    """A done job with its files in the outbox `out` below `root`."""
    place = root / "out" / name
    content = write(place / "inputs/content.jpg", picture(200, "JPEG"))
    style = write(place / "inputs/style.jpg", picture(90, "JPEG"))
    stages = {step: write(place / f"stages/{step:04}.png", picture(step)) for step in STEPS}
    output = write(place / final, stages[STEPS[-1]])
    write(place / "losses.csv", TABLE.encode())
    write(place / "receipt.json", json.dumps(receipt(name, final, sha256(output))).encode())
    inputs = (
        input_of("content", "content.jpg", content, "harbour.jpg"),
        input_of("style", "style.jpg", style, "wave.jpg"),
    )
    values = {"outbox": str(root / "out"), "inbox": str(root / "in"), "inputs": inputs,
              "finished": "2026-01-02T13:00:00+00:00", **more}  # fmt: skip
    return entry(name, **values)


def input_of(role: str, name: str, content: bytes, source: str) -> Mapping[str, Any]:
    """An input as the ledger has it."""
    return {"role": role, "name": name, "source": f"/elsewhere/{source}", "size": len(content),
            "sha256": sha256(content), "pixels": [8, 6]}  # fmt: skip


def receipt(name: str, final: str = "final.png", digest: str = "b" * 64, **more: Any) -> Any:
    """A receipt in its JSON form."""
    term = {"value": 0.5, "weight": 2.0}
    losses = {"total": 1.0, "content": {"conv4_2": term}, "style": {}}
    stage = {"file": "stages/0005.png", "sha256": "", "step": 5, "seconds": 1.0, "losses": losses}
    return {
        "job": name, "state": "done", "recipe": {"name": "gatys", "objective": {"start": "noise"}},
        "backend": {"name": "sketch", "version": "1", "device": "cpu", "precision": "fp32"},
        "size": [8, 6], "seed": 0, "losses": losses, "seconds": 61.0, "version": "0.1.0",
        "stages": [stage], "final": final, "files": [{"file": final, "sha256": digest}],
        "inputs": [], "attempts": [{"backend": "sketch", "device": "cpu", "ended": "done"}],
        "warnings": ["the filters are not normalized"],
        "started": "2026-01-02T12:00:00Z", "finished": "2026-01-02T12:01:01Z", **more,
    }  # fmt: skip
