"""The receipt's form: what programs read holds, and the schema beside it says the same."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.daemon.worker.orders import order, painted, receipt

from stylewatch_daemon.outbox import receipt as module
from stylewatch_daemon.outbox.receipt import LossesRecord, Receipt
from stylewatch_daemon.worker.messages import Done

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
    found = Receipt.model_validate(plain(mood="calm", losses={**plain()["losses"], "depth": 3}))
    assert json.loads(found.as_json())["mood"] == "calm"


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


def test_with_one_style_the_layers_stand_by_themselves_with_several_under_their_names() -> None:
    one = LossesRecord.model_validate({"total": 1, "content": {}, "style": {"conv1_1": TERM}})
    assert one.model_dump(exclude_none=True)["style"] == {"conv1_1": TERM}
    styles = {"style-1": {"conv1_1": TERM, "conv2_1": TERM}, "style-2": {"conv1_1": TERM}}
    two = LossesRecord.model_validate({"total": 1, "content": {}, "style": styles})
    assert two.model_dump(exclude_none=True)["style"] == styles


def test_what_is_not_there_is_left_out() -> None:
    told = json.loads(Receipt.model_validate(plain()).as_json())
    assert "weights" not in told
    assert "tv" not in told["losses"]
    assert "device" not in told["attempts"][0]


@pytest.mark.parametrize(
    "changed",
    [
        {"state": "failed"},
        {"started": "2015-08-26T12:00:00"},  # of which zone?
        {"size": [32]},
        {"losses": {"total": 1.0}},
        {"inputs": [{"name": "content.jpg"}]},
    ],
    ids=str,
)
def test_what_is_no_receipt_is_refused(changed: dict[str, Any]) -> None:
    Receipt.model_validate(plain())
    with pytest.raises(ValidationError):
        Receipt.model_validate(plain(**changed))
