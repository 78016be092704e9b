"""Folders, finished jobs, published states and clients for tests of the page."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

from httpx2 import ASGITransport, AsyncClient, Response
from PIL import Image
from pydantic import SecretStr
from starlette.testclient import TestClient

from stylewatch_daemon.base.model import Attempt, End, Input, Job, State
from stylewatch_daemon.ledger import requests
from stylewatch_daemon.ledger.ledger import FILE_NAME
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.settings.config import Config, WebPage
from stylewatch_daemon.settings.sections import parse_address
from stylewatch_daemon.web.serve import application

TOKEN = "a-token-of-twenty-four-l"
HERE = "http://127.0.0.1:8787"
BROWSER = {"Accept": "text/html"}
OURS = {"Origin": HERE}
"""Headers that a browser sends with a form of the page."""

FORM = "application/x-www-form-urlencoded"

CHECK = "tests.daemon.web.test_doctor:check"
"""Replaces the checks of the doctor."""

STEPS = (5, 10, 15)
TABLE = (
    "step,width,height,seconds,total,content.conv4_2\n1,8,6,0.1,100.0,100.0\n5,8,6,0.3,1.0,1.0\n"
)


def settings(
    root: Path, styles: Path | None = None, default_style: str | None = None, **web: Any
) -> Config:
    """Settings of a daemon whose folders are below `root`, with a library of `styles`."""
    plain = {
        "inboxes": [{"path": str(root / "in"), "outbox": str(root / "out")}],
        "state": {"path": str(root / "state")},
        "job": {"backend": "sketch"},
        "pairing": {"styles": str(styles or root / "styles"), "default_style": default_style},
        "web": {"listen": "127.0.0.1:8787", **web},
    }
    return Config.model_validate(plain)


def page_of(settings: Config, token: str | None = None) -> WebPage:
    """A page for a daemon with `settings`, whose visitors need the `token`, if any."""
    secret = None if token is None else SecretStr(token)
    return WebPage(parse_address("127.0.0.1:8787"), settings, secret)


def enter(state: Path, *jobs: Job, attempts: tuple[Attempt, ...] = ()) -> None:
    """Put `jobs` into the ledger of `state`; `attempts` are those at the first one."""
    state.mkdir(exist_ok=True)
    ledger = LedgerWriter.open(state / FILE_NAME)
    for job in jobs:
        ledger.put(job)
    for number, attempt in enumerate(attempts, 1):
        ledger.put_attempt(jobs[0].id, number, attempt)
    ledger.close()


def a_job(name: str, seen: str = "done", **more: Any) -> Job:
    """A job called `name`, in the inbox `in` and the outbox `out`, which people see as `seen`."""
    states = {"waiting": State.QUEUED, "running": State.RUNNING}
    content = Input("content", "content.jpg", "", 9)
    values = {"id": f"id-{name}", "name": name, "inbox": "in", "outbox": "out", "place": name,
              "state": states.get(seen, State.ENDED), "end": None if seen in states else End(seen),
              "entered": "2026-01-02T12:00:00+00:00", "inputs": (content,), **more}  # fmt: skip
    return Job(**values)


def client(root: Path, *jobs: Job, token: str | None = None, **web: Any) -> TestClient:
    """A program that visits the page of a daemon below `root`, which does not run."""
    for name in ("in", "out"):
        (root / name).mkdir(exist_ok=True)
    enter(root / "state", *jobs)
    app = application(page_of(settings(root, **web), token))
    return TestClient(app, HERE, headers=OURS, follow_redirects=False)


def stalled(
    page: TestClient, path: str, begin: bytes, kind: str, count: int = 1, first: int = 1
) -> list[Response]:
    """Send so many forms at once that never end; return the answers that come `first`.

    The others are given up.
    """

    async def endless() -> AsyncIterator[bytes]:
        yield begin
        await asyncio.Event().wait()

    async def flood() -> list[Response]:
        visitor = AsyncClient(transport=ASGITransport(page.app), base_url=HERE, headers=OURS)
        headers = {"Content-Type": kind}
        sent = (visitor.post(path, content=endless(), headers=headers) for _ in range(count))
        tasks, answers = [asyncio.create_task(each) for each in sent], list[Response]()
        for answer in asyncio.as_completed(tasks):
            answers.append(await answer)
            if len(answers) == first:
                break
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return answers

    return asyncio.run(flood())


def requested(root: Path) -> list[dict[str, Any]]:
    """The requests that were left for the daemon: verbs with their arguments."""
    waiting = requests.waiting(root / "state")
    return [{"verb": request.verb, **request.arguments} for request in waiting]


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


def finished_job(root: Path, name: str = "sea", final: str = "final.png", **more: Any) -> Job:
    """A done job with its files in the outbox `out` below `root`, or as `more` has it."""
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
    return a_job(name, **values)


def input_of(role: str, name: str, content: bytes, source: str) -> Input:
    """An input as the ledger has it."""
    return Input(role, name, f"/elsewhere/{source}", len(content), sha256(content), (8, 6))


def receipt(name: str, final: str = "final.png", digest: str = "b" * 64, **more: Any) -> Any:
    """A receipt in its JSON form."""
    term = {"value": 0.5, "weight": 2.0}
    losses = {"total": 1.0, "content": {"conv4_2": term}, "style": {}}
    stage = {"file": "stages/0005.png", "sha256": "", "step": 5, "seconds": 1.0, "losses": losses}
    return {
        "job": name, "state": "done", "recipe": {"name": "gatys", "objective": {"start": "noise"}},
        "backend": {"name": "sketch", "version": "1", "device": "cpu", "precision": "fp32"},
        "settings": {"color": "match"}, "size": [8, 6], "seed": 0, "losses": losses,
        "seconds": 61.0, "version": "0.1.0",
        "stages": [stage], "final": final, "files": [{"file": final, "sha256": digest}],
        "inputs": [], "attempts": [{"backend": "sketch", "device": "cpu", "ended": "done"}],
        "warnings": ["the filters are not normalized"],
        "started": "2026-01-02T12:00:00Z", "finished": "2026-01-02T12:01:01Z", **more,
    }  # fmt: skip
