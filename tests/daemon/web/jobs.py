"""Jobs as they lie in an outbox and in the ledger, for tests of what the page shows of them."""

import hashlib
import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from tests.daemon.web.visitors import entry

from stylewatch_daemon.store.ledger import Entry

STEPS = (5, 10, 15)

TABLE = "step,width,height,seconds,total\n1,8,6,0.1,100.0\n2,8,6,0.2,10.0\n5,8,6,0.3,1.0\n"


def picture(shade: int, kind: str = "PNG", side: int = 8) -> bytes:
    """A picture of one shade."""
    content = BytesIO()
    Image.new("RGB", (side, 6), (shade, 10, 20)).save(content, kind)
    return content.getvalue()


def sha256(content: bytes) -> str:
    """Its digest."""
    return hashlib.sha256(content).hexdigest()


def lay(path: Path, content: bytes) -> bytes:
    """Write `content` to `path`, with the folders around it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return content


def painted(root: Path, name: str = "sea", final: str = "final.png", **more: Any) -> Entry:
    """A job that is done, with its files in the outbox `out` below `root`."""
    place = root / "out" / name
    photograph = lay(place / "inputs/content.jpg", picture(200, "JPEG"))
    style = lay(place / "inputs/style.jpg", picture(90, "JPEG"))
    stages = {step: lay(place / f"stages/{step:04}.png", picture(step)) for step in STEPS}
    last = lay(place / final, stages[STEPS[-1]])
    lay(place / "losses.csv", TABLE.encode())
    lay(place / "receipt.json", json.dumps(receipt(name, final, sha256(last))).encode())
    inputs = (
        given("content", "content.jpg", photograph, "harbour.jpg"),
        given("style", "style.jpg", style, "wave.jpg"),
    )
    values = {"outbox": str(root / "out"), "inbox": str(root / "in"), "inputs": inputs,
              "finished": "2026-01-02T13:00:00+00:00", **more}  # fmt: skip
    return entry(name, **values)


def given(role: str, name: str, content: bytes, source: str) -> Mapping[str, Any]:
    """An input as the ledger has it."""
    return {"role": role, "name": name, "source": f"/elsewhere/{source}", "size": len(content),
            "sha256": sha256(content), "pixels": [8, 6]}  # fmt: skip


def receipt(name: str, final: str, digest: str) -> Mapping[str, Any]:
    """A receipt, as far as the page reads it."""
    term = {"value": 0.5, "weight": 2.0}
    losses = {"total": 1.0, "content": {"conv4_2": term}, "style": {}}
    return {
        "job": name, "state": "done", "recipe": {"name": "gatys", "objective": {"start": "noise"}},
        "backend": {"name": "sketch", "version": "1", "device": "cpu", "precision": "fp32"},
        "size": [8, 6], "seed": 0, "losses": losses, "seconds": 61.0, "version": "0.1.0",
        "stages": [{"file": "stages/0005.png", "sha256": "", "step": 5}],
        "final": final, "files": [{"file": final, "sha256": digest}],
        "warnings": ["the filters are not normalized"],
    }  # fmt: skip
