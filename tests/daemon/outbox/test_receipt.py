"""The form of the receipt: programs read it, and its schema says the same."""

import json
from pathlib import Path

import pytest
from tests.daemon.worker.orders import order, painted

from stylewatch_daemon.cli.main import call
from stylewatch_daemon.outbox.receipt import Receipt
from stylewatch_daemon.worker.messages import Done


def test_the_schema_allows_later_additions(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["config", "schema", "--receipt"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["title"] == "Receipt"
    assert all(part["additionalProperties"] is True for part in (schema, *schema["$defs"].values()))


@pytest.mark.parametrize("backend", ["sketch", "torch"])
def test_a_workers_receipt_has_all_that_is_asked_for(
    backend: str, tmp_path: Path, pictures: Path
) -> None:
    job = order(tmp_path / "job", pictures, backend=backend, steps=2)
    end = painted(job)[-1]
    written = (job.staging / "receipt.json").read_text(encoding="utf-8")
    read, fields = Receipt.model_validate_json(written), json.loads(written)
    assert read.as_json() == written
    assert isinstance(end, Done) and end.receipt == fields
    schema = Receipt.model_json_schema()
    assert ("weights" in fields, "retry_of" in fields) == (backend == "torch", False)
    assert set(schema["required"]) <= set(fields) <= set(schema["properties"])
    assert "mood" in Receipt.model_validate({**fields, "mood": "calm"}).as_json()
