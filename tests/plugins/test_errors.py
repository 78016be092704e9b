"""The errors of backends are one tree, and the contract hands them on."""

import pytest

from stylewatch_plugins import contract, errors


@pytest.mark.parametrize("name", ["BackendMissingError", "BackendOptionError", "GraphError"])
def test_every_error_has_the_one_root_and_a_place_in_the_tree(name: str) -> None:
    assert issubclass(getattr(errors, name), errors.BackendError)
    assert name in str(errors.__doc__)


def test_a_wrong_option_is_a_wrong_value() -> None:
    assert issubclass(errors.BackendOptionError, ValueError)


def test_the_contract_hands_on_every_error() -> None:
    own = {name for name in vars(errors) if name.endswith("Error")}
    assert own <= set(contract.__all__)
    assert all(getattr(contract, name) is getattr(errors, name) for name in own)
