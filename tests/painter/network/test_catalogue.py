"""What is known of trained files holds together."""

import pytest

from stylewatch_painter.network.weights import (
    BUNDLED,
    CATALOGUE,
    LAYERS,
    NORMALIZATIONS,
    Known,
    known,
)


def test_the_network_has_the_sixteen_convolutions_of_vgg19() -> None:
    assert list(LAYERS)[:5] == ["conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1"]
    assert list(LAYERS)[-1] == "conv5_4"
    assert len(LAYERS) == 16
    assert (LAYERS["conv1_1"], LAYERS["conv3_1"]) == ((64, 3), (256, 128))
    assert (LAYERS["conv4_1"], LAYERS["conv5_4"]) == ((512, 256), (512, 512))


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


def test_a_file_named_after_its_digest_is_known_by_that_digest() -> None:
    for entry in CATALOGUE:
        if "-" in entry.file_name:
            assert entry.digest.startswith(entry.file_name.split("-")[1].removesuffix(".pth"))


def test_the_original_network_is_credited_to_its_makers() -> None:
    for name in (BUNDLED, "caffe", "keras"):
        entry = known(name)
        assert entry is not None
        assert "CC BY 4.0" in entry.license
        assert "University of Oxford" in entry.license


def test_an_unknown_name_is_nothing() -> None:
    assert known("vgg20") is None
