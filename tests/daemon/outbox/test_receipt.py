"""The receipt's form: what programs read holds, and the schema beside it says the same."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.daemon.worker.orders import order, painted, receipt

from stylewatch_daemon.outbox import receipt as module
from stylewatch_daemon.outbox.receipt import Receipt
from stylewatch_daemon.worker.contract import Done

SCHEMA = Path(module.__file__).with_name("receipt.schema.json")
TERM = {"value": 2.0, "weight": 0.5}


def plain(**changed: Any) -> dict[str, Any]:
    """The least that a receipt says."""
    losses = {"total": 1.0, "content": {"conv4_2": TERM}, "style": {"conv1_1": TERM}}
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
        "losses": losses,
        "attempts": [{"backend": "torch", "ended": "done"}],
        "warnings": [],
        "started": "2015-08-26T12:00:00Z",
        "finished": "2015-08-26T12:00:01+00:00",
        "seconds": 1.0,
        "version": "0.1.0",
        **changed,
    }


def test_the_schema_that_ships_is_that_of_this_receipt() -> None:
    """Where this fails, the form has changed: only ever by additions, and with this file."""
    wanted = json.dumps(Receipt.model_json_schema(), indent=2, sort_keys=True) + "\n"
    assert SCHEMA.read_text(encoding="utf-8") == wanted


def test_the_schema_lets_in_what_later_versions_add() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    parts = [schema, *schema["$defs"].values()]
    assert all(part["additionalProperties"] is True for part in parts)
    receipt = Receipt.model_validate(plain(mood="calm", losses={**plain()["losses"], "depth": 3}))
    written = json.loads(receipt.as_json())
    assert written["mood"] == "calm" and "weights" not in written and "tv" not in written["losses"]


@pytest.mark.parametrize("backend", ["sketch", "torch"])
def test_a_workers_receipt_has_all_that_is_asked_for(
    backend: str, tmp_path: Path, pictures: Path
) -> None:
    """By the model, which reads it back to the same; and by the names in the schema."""
    given = order(tmp_path / "job", pictures, backend=backend, steps=2)
    end = painted(given)[-1]
    written = (given.staging / "receipt.json").read_text(encoding="utf-8")
    found = Receipt.model_validate_json(written)
    assert found.as_json() == written
    assert isinstance(end, Done) and end.receipt == json.loads(written)
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert ("weights" in receipt(given)) == (backend == "torch")
    assert set(schema["required"]) <= set(receipt(given)) <= set(schema["properties"])
    total = sum(one.value * one.weight for one in found.losses.content.values())
    for layer in found.losses.style.values():
        assert not isinstance(layer, dict)
        total += layer.value * layer.weight
    assert found.losses.total == pytest.approx(total)


@pytest.mark.parametrize(
    "changed",
    [{"state": "failed"}, {"started": "2015-08-26T12:00:00"}, {"losses": {"total": 1.0}}],
    ids=["state", "time without a zone", "losses"],
)
def test_an_invalid_receipt_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Receipt.model_validate(plain(**changed))
