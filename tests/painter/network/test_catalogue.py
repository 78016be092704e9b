"""What is known of trained files holds together."""

import pytest

from stylewatch_painter.network.weights import (
    BUNDLED,
    CATALOGUE,
    NORMALIZATIONS,
    Known,
    known,
)


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_every_known_file_has_a_digest_a_source_and_a_license(entry: Known) -> None:
    assert len(entry.digest) >= 8
    assert set(entry.digest) <= set("0123456789abcdef")
    assert entry.vouched
    assert entry.license
    assert entry.normalization in NORMALIZATIONS
    assert entry.url is None or entry.url.startswith("https://")


def test_the_bundled_file_is_known_whole_and_is_nothing_to_fetch() -> None:
    entry = known(BUNDLED)
    assert entry is not None
    assert (entry.algorithm, len(entry.digest), entry.url) == ("sha256", 64, None)
