"""The view of a job has what the ledger, the receipt, the outbox and status.json know."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.daemon.web.world import STEPS, entry, finished_job, receipt, write

from stylewatch_daemon.store.journal import Attempt
from stylewatch_daemon.views.job import AttemptView, dotted, in_a_line, job_view

NOON = "2026-01-02T12:00:00+00:00"


def test_a_done_job_is_described_by_its_receipt(tmp_path: Path) -> None:
    view = job_view(finished_job(tmp_path))
    facts = dict(view.facts)
    assert (facts["recipe"], facts["backend"]) == ("gatys", "sketch 1 on cpu")
    assert (facts["size"], facts["time"], facts["seed"]) == ("8x6 pixels", "1 min 1 s", "0")
    assert view.settings == (("name", "gatys"), ("objective.start", "noise"))
    assert view.losses == (("content conv4_2", "0.5", "2", "1"), ("total", "", "", "1"))
    assert [name for name, _ in view.files] == ["stages/0005.png", "final.png", "receipt.json"]
    assert view.warnings == ("the filters are not normalized",)
    assert view.steps == STEPS
    assert view.curve is not None and view.curve.last == (5, 1.0)
    assert [name for name, _ in view.curve.terms] == ["content.conv4_2"]
    assert view.attempt_rows == (AttemptView("", "sketch (cpu)", "", "done", ""),)
    assert [row.size for row in view.inputs] == ["8x6", "8x6"]


def test_the_ledger_knows_more_of_attempts(tmp_path: Path) -> None:
    attempts = (
        Attempt(NOON, 4, "torch", "cuda:0", NOON, "failed", "it broke\nin two", together=8),
        Attempt(NOON, 0, "torch"),
    )
    view = job_view(finished_job(tmp_path), attempts)
    assert view.attempt_rows == (
        AttemptView(NOON, "torch (cuda:0), 8 at once", "from step 4", "failed", "it broke; in two"),
        AttemptView(NOON, "torch", "", "not ended", ""),
    )
    assert [attempt["together"] for attempt in view.as_json()["attempts"]] == [8, 1]


def test_a_running_job_is_described_by_its_entry_and_what_was_published(tmp_path: Path) -> None:
    job = finished_job(tmp_path, settings={"recipe": "devos", "steps": 9, "size": None})
    (tmp_path / "out/sea/receipt.json").unlink()
    now: dict[str, Any] = {"id": "id-sea", "steps": 10}
    others = {"id": "other", "steps": 3}
    view = job_view(replace(job, state="running"), (), [others, now], [(3, 9.0), (7, 0.5)])
    assert view.running == now and dict(view.facts) == {"recipe": "devos"}
    assert view.settings == (("recipe", "devos"), ("steps", "9"))
    assert view.receipt is None and view.losses == () and view.files == ()
    assert view.curve is not None and (view.curve.last, view.curve.terms) == ((7, 0.5), ())


def test_a_job_may_be_a_series_have_an_invalid_receipt_or_no_files(tmp_path: Path) -> None:
    job = finished_job(tmp_path)
    plain = receipt("sea") | {"sweep": {"seed": [1]}, "jobs": [{"name": "sea-1", "state": "done"}]}
    for key in ("recipe", "backend", "losses", "attempts"):
        del plain[key]
    write(tmp_path / "out/sea/receipt.json", json.dumps(plain).encode())
    view = job_view(job)
    assert (view.jobs, view.losses) == ((("sea-1", "done"),), ())
    assert dict(view.facts)["time"] == "1 min 1 s"
    for plain in ({"losses": [], "recipe": 3}, {**receipt("sea"), "seconds": "long"}):
        write(tmp_path / "out/sea/receipt.json", json.dumps(plain).encode())
        view = job_view(job)
        assert (view.receipt, view.receipt_json, view.losses) == (None, plain, ())
    view = job_view(entry("bad", "refused", place=None, reason="no picture"))
    assert (view.steps, view.curve, view.receipt_json) == ((), None, {})
    assert [(row.name, row.size) for row in view.inputs] == [("content.jpg", "9 bytes")]


def test_empty_settings_are_left_out_and_values_are_one_safe_line() -> None:
    plain = {"a": {"b": 1, "c": None, "d": {}}, "e": False, "f": [], "g": [1], "h": ""}
    assert dict(dotted(plain)) == {"a.b": 1, "e": False, "g": [1]}
    assert in_a_line([{"x": [1, 2]}, "a\n\x1b[2Jb"]) == "x 1; 2; a; ?[2Jb"
