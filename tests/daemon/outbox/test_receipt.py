"""The form of the receipt: programs read it, and the schema beside it says the same."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.worker.orders import order, painted

from stylewatch_daemon.outbox import receipt as module
from stylewatch_daemon.outbox.receipt import Receipt
from stylewatch_daemon.worker.messages import Done

SCHEMA = Path(module.__file__).with_name("receipt.schema.json")
TERM = {"value": 2.0, "weight": 0.5}


def plain(**changed: Any) -> dict[str, Any]:
    """The shortest receipt."""
    return {
        "job": "a/job",
        "state": "done",
        "recipe": {"name": "best"},
        "backend": {"name": "torch", "version": "2", "device": "cpu", "precision": "fp32"},
        "size": [32, 24],
        "seed": 0,
        "inputs": [],
        "stages": [],
        "final": "final.png",
        "files": [{"file": "final.png", "sha256": "b" * 64}],
        "losses": {"total": 1.0, "content": {"conv4_2": TERM}, "style": {"conv1_1": TERM}},
        "attempts": [{"backend": "torch", "ended": "done"}],
        "warnings": [],
        "started": "2015-08-26T12:00:00Z",
        "finished": "2015-08-26T12:00:01+00:00",
        "seconds": 1.0,
        "version": "0.1.0",
        **changed,
    }


def test_the_schema_that_ships_is_that_of_this_receipt_and_lets_in_later_additions() -> None:
    """Where this fails, the form has changed: only ever by additions, and with this file."""
    schema = Receipt.model_json_schema()
    wanted = json.dumps(schema, indent=2, sort_keys=True) + "\n"
    assert SCHEMA.read_text(encoding="utf-8") == wanted
    assert all(part["additionalProperties"] is True for part in (schema, *schema["$defs"].values()))


@pytest.mark.parametrize("backend", ["sketch", "torch"])
def test_a_workers_receipt_has_all_that_is_asked_for(
    backend: str, tmp_path: Path, pictures: Path
) -> None:
    """By the model, which reads it back to the same; and by the names in the schema."""
    job = order(tmp_path / "job", pictures, backend=backend, steps=2)
    end = painted(job)[-1]
    written = (job.staging / "receipt.json").read_text(encoding="utf-8")
    receipt, fields = Receipt.model_validate_json(written), json.loads(written)
    assert receipt.as_json() == written
    assert isinstance(end, Done) and end.receipt == fields
    schema = Receipt.model_json_schema()
    assert ("weights" in fields, "retry_of" in fields) == (backend == "torch", False)
    assert set(schema["required"]) <= set(fields) <= set(schema["properties"])
    terms = list(receipt.losses.content.values())
    for term in receipt.losses.style.values():
        assert not isinstance(term, dict)
        terms.append(term)
    assert receipt.losses.total == pytest.approx(sum(term.value * term.weight for term in terms))
    assert "mood" in Receipt.model_validate(plain(mood="calm")).as_json()
