"""Finished jobs in an outbox, as a worker and the daemon leave them."""

import hashlib
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path


def finish(outbox: Path, place: str, days: float) -> Path:
    """Make a job that ended so many days ago, with two stages and two inputs; its folder."""
    folder = outbox / place
    ended = datetime.now(UTC) - timedelta(days=days)
    files = ["stages/0001.png", "stages/0002.png", "inputs/content.jpg", "inputs/style.jpg"]
    apart = ["final.png", "losses.csv"]
    for name in (*files, *apart, "inputs/job.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{place} {name}")
    digests = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (*files, *apart)
    }
    stages = [{"file": name, "sha256": digests[name]} for name in files[:2]]
    inputs = [{"name": Path(name).name, "sha256": digests[name]} for name in files[2:]]
    receipt = {"stages": stages, "inputs": inputs, "final": "final.png",
               "files": [{"file": name, "sha256": digests[name]} for name in apart],
               "finished": ended.isoformat()}  # fmt: skip
    rewrite(folder, receipt, ended)
    return folder


def rewrite(folder: Path, receipt: object, ended: datetime | None = None) -> None:
    """Put another receipt into the folder of a job, of the same age, or of the time `ended`."""
    path = folder / "receipt.json"
    when = ended.timestamp() if ended else path.stat().st_mtime
    path.write_text(json.dumps(receipt))
    os.utime(path, (when, when))
