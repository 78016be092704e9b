"""The record of a job: names, losses.csv, artifacts, and the receipt."""

import hashlib
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from PIL import Image
from tests.daemon.worker.orders import files, painted, receipt, table

from stylewatch_daemon.worker import output_image
from stylewatch_daemon.worker.messages import Order
from stylewatch_daemon.worker.prepare import prepare
from stylewatch_daemon.worker.recorder import Recorder
from stylewatch_painter.stage import Losses, Stage, Term

TERM = Term(2.0, 0.5)
LOSSES = Losses(3.0, {"conv4_2": TERM}, {"style-1": {"conv1_1": TERM, "conv2_1": TERM}})


def stage(step: int, steps: int, losses: Losses = LOSSES) -> Stage:
    picture = np.zeros((2, 3, 3), dtype=np.float32)
    return Stage(step, steps, (3, 2), losses, 1.23456, picture=picture)


def recorded(given: Order, *stages: Stage) -> Recorder:
    """A record of these stages."""
    recorder = Recorder.begin(given, prepare(given), {})
    for each in stages:
        recorder.add(each)
        recorder.stage(each)
    return recorder


def test_the_table_has_what_each_term_adds_to_the_total_in_each_step(given: Order) -> None:
    """Small scales of `best` match neighbors, and the final size has other terms."""
    coarse = Losses(0.5, {}, {"style-1": {"neighbors": Term(2.0, 0.25)}})
    recorder = recorded(given, stage(1, 3, coarse))
    recorder = Recorder.begin(given, prepare(given), recorder.remember())
    for step in (2, 3):
        recorder.add(stage(step, 3, replace(LOSSES, total=0.1 + 0.2)))
    recorder.stage(stage(3, 3))
    first, second, last = table(given)
    layers = dict.fromkeys(("content.conv4_2", "style.conv1_1", "style.conv2_1"), "1.0")
    where = {"width": "3", "height": "2", "seconds": "1.235"}
    neighbors = {"total": "0.5", "style.neighbors": "0.5"}
    assert first == {"step": "1", **where, **neighbors, **dict.fromkeys(layers, "")}
    total = {"total": str(0.1 + 0.2), "style.neighbors": ""}
    assert second == {"step": "2", **where, **total, **layers}
    assert last == {**second, "step": "3"}


def test_stages_may_be_smaller_than_the_final_picture(
    given: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_image, "STAGE_SIDE", 16)
    painted(given)
    sizes = {}
    for name in ("stages/0008.png", "final.png"):
        with Image.open(given.staging / name) as image:
            sizes[name] = image.size
    assert sizes == {"stages/0008.png": (16, 12), "final.png": (32, 24)}


def test_the_receipt_has_settings_inputs_files_and_digests(given: Order) -> None:
    earlier = {"backend": "torch", "device": "cuda:0", "ended": "failed: it burnt"}
    styles = given.styles * 2
    painted(replace(given, attempts=(earlier,), retry_of="earlier", styles=styles))
    record = receipt(given)
    assert (record["job"], record["state"], record["seed"]) == ("a/job", "done", 0)
    assert (record["recipe"]["name"], record["backend"]["name"]) == ("best", "sketch")
    assert (record["size"], record["retry_of"]) == ([32, 24], "earlier")
    assert record["losses"] == record["stages"][-1]["losses"]
    assert sorted(record["losses"]["style"]) == ["style-1", "style-2"]
    settings = {**given.settings.model_dump(mode="json"), "recipe": "best"}
    assert record["settings"] == settings
    started, finished = (datetime.fromisoformat(record[name]) for name in ("started", "finished"))
    assert started <= finished and str(started.utcoffset()) == "0:00:00"
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (given.main, *styles)]
    assert [entry["sha256"] for entry in record["inputs"]] == digests
    written = {each["file"]: each["sha256"] for each in (*record["stages"], *record["files"])}
    names = set(files(given)) - {"receipt.json"}
    contents = {name: (given.staging / name).read_bytes() for name in names}
    assert written == {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    first, last = record["attempts"]
    assert {key: first[key] for key in earlier} == earlier
    assert (last["backend"], last["device"], last["ended"]) == ("sketch", "cpu", "done")
