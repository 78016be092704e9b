"""What a backend says of itself, and what it leaves out."""

from types import SimpleNamespace

import pytest

from stylewatch_plugins.capabilities import CONTRACT, Capabilities, capabilities, misfit


def test_a_backend_that_says_nothing_can_what_most_can() -> None:
    silent = object()
    assert capabilities(silent) == Capabilities(masks=False, resume=True, deterministic=True)
    assert misfit(silent) is None


def test_what_is_said_is_what_holds() -> None:
    said = SimpleNamespace(capabilities=Capabilities(masks=True, resume=False), contract=CONTRACT)
    assert capabilities(said).words == ("masks", "deterministic")
    assert misfit(said) is None


@pytest.mark.parametrize("version", [CONTRACT + 1, 0, "1", True, 1.0, None])
def test_another_version_of_the_contract_does_not_fit(version: object) -> None:
    told = misfit(SimpleNamespace(contract=version))
    assert told == f"it keeps version {version} of the contract, and this stylewatch version 1"


def test_capabilities_that_are_none_do_not_fit() -> None:
    claims = SimpleNamespace(capabilities={"masks": True})
    assert "{'masks': True}" in str(misfit(claims))
    assert capabilities(claims) == Capabilities()
