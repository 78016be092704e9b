"""The contract: records that stay as they are, and a protocol that fits on a page."""

import inspect
from dataclasses import is_dataclass

import pytest

from stylewatch_plugins import contract
from stylewatch_plugins.contract import Backend, Estimate, Provenance
from stylewatch_plugins.sketch import Sketch


def test_everything_a_backend_needs_comes_from_here() -> None:
    """Records, wishes and errors, so that a plugin has one import to learn."""
    assert all(hasattr(contract, name) for name in contract.__all__)
    assert {"Backend", "Task", "Style", "Step", "Stage", "Wish", "BackendError"} <= set(
        contract.__all__
    )


@pytest.mark.parametrize("name", ["Device", "Estimate", "Provenance", "Task", "Style", "Stage"])
def test_a_record_is_frozen(name: str) -> None:
    record = getattr(contract, name)
    assert is_dataclass(record)
    assert vars(record)["__dataclass_params__"].frozen


def test_what_a_backend_cannot_tell_is_left_out() -> None:
    estimate, provenance = Estimate(((4, 3),), (5,)), Provenance("a", "1", "cpu", "fp32")
    assert (estimate.seconds, estimate.memory) == (None, None)
    assert (provenance.weights, provenance.decided, provenance.warnings) == ({}, {}, ())


@pytest.mark.parametrize("member", [name for name in vars(Backend) if not name.startswith("_")])
def test_every_method_of_a_backend_says_what_it_promises(member: str) -> None:
    assert inspect.getdoc(getattr(Backend, member))


def test_what_has_all_members_is_a_backend() -> None:
    assert isinstance(Sketch({}), Backend)
    assert not isinstance(object(), Backend)
