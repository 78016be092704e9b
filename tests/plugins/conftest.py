"""Fixtures for the tests of backends."""

from collections.abc import Iterator

import pytest
from tests.plugins.small_vgg import small_vgg


@pytest.fixture(scope="class")
def small_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """All tests of a class, or one function, with the small network."""
    with small_vgg(tmp_path_factory.mktemp("small-vgg")):
        yield
