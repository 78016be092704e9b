"""Small orders for a worker, and ways to have them painted."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.daemon.worker.works import PAINTED

from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.worker.messages import Event, Order
from stylewatch_daemon.worker.run_job import work
from stylewatch_plugins.contract import Wish

SMALL: Mapping[str, Any] = {"backend": "sketch", "size": 32, "steps": 5, "save_every": 2}
TWO_SIZES: Mapping[str, Any] = {
    "scales": [{"scale": 0.5, "steps": 3}],
    "smallest": 1,
    "objective.network.pool_edge": "ceil",
}


def order(folder: Path, pictures: Path, *, fields: Mapping[str, Any] | None = None,
          **settings: Any) -> Order:  # fmt: skip
    """An order for content.jpg and style.jpg: three steps at 16x12, five at 32x24.

    It works in `folder`, whose parent is there; `fields` are fields of the recipe, `settings`
    the job's others.
    """
    staging = folder / "staging"
    staging.mkdir(parents=True, exist_ok=True)
    values = {**SMALL, **settings, "set": {**TWO_SIZES, **(fields or {})}}
    job = JobSettings.model_validate(values)
    return Order(
        name=PAINTED,
        settings=job,
        recipe=job.resolve().model_dump(),
        content=pictures / "content.jpg",
        styles=(pictures / "style.jpg",),
        staging=staging,
        checkpoint=folder / "checkpoint.npz",
    )


def with_settings(given: Order, **settings: Any) -> Order:
    """The order with other settings, which are not validated."""
    job = given.settings.model_copy(update=settings)
    return replace(given, settings=job, recipe=job.resolve().model_dump())


def painted(given: Order, *wishes: Wish) -> list[Event]:
    """Every event; `wishes` are those after step 1, 2 ..., and to go on after that."""
    left = iter(wishes)
    return list(work(given, lambda: next(left, Wish.GO_ON)))


def receipt(given: Order) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((given.staging / "receipt.json").read_bytes())
    return record


def table(given: Order) -> list[dict[str, str]]:
    """The rows of losses.csv."""
    return list(csv.DictReader(io.StringIO((given.staging / "losses.csv").read_text())))


def files(given: Order) -> dict[str, Any]:
    """The contents of all files, by name, but for times: those are never the same twice."""
    contents: dict[str, Any] = {
        path.relative_to(given.staging).as_posix(): path.read_bytes()
        for path in given.staging.rglob("*")
        if path.is_file()
    }
    if "losses.csv" in contents:
        contents["losses.csv"] = _without_times(table(given))
    if "receipt.json" in contents:
        record = contents["receipt.json"] = _without_times(receipt(given))
        record["files"] = [file for file in record["files"] if file["file"] != "losses.csv"]
    return contents


def _without_times(plain: Any) -> Any:
    if isinstance(plain, dict):
        times = ("seconds", "started", "finished")
        return {key: _without_times(value) for key, value in plain.items() if key not in times}
    return [_without_times(value) for value in plain] if isinstance(plain, list) else plain
