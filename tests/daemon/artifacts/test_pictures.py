"""A picture, small: where it lies now, if it is still the one that it was."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.daemon.artifacts.paintings import GREEN, RED, gone, is_near, seen
from tests.painter.deep import png

from stylewatch_daemon.artifacts.contract import Seen
from stylewatch_daemon.artifacts.pictures import image_of, small
from stylewatch_painter.errors import PictureError

MOST = 10_000


def test_it_is_shrunk_to_the_side_that_is_asked_for_and_never_enlarged(tmp_path: Path) -> None:
    one = seen(tmp_path / "a.png", size=(48, 36))
    for side, shape in ((24, (18, 24, 3)), (480, (36, 48, 3))):
        found = small(one, side, MOST)
        assert found is not None and found.shape == shape and is_near(found[0, 0], RED)


def test_it_is_found_wherever_it_lies_by_now(tmp_path: Path) -> None:
    one = seen(tmp_path / "published/a.png")
    both = replace(one, paths=(str(tmp_path / "staging/a.png"), *one.paths))
    assert small(both, 24, MOST) is not None
    assert small(gone(one), 24, MOST) is None


def test_what_others_put_in_its_place_is_not_shown(tmp_path: Path) -> None:
    one = seen(tmp_path / "a.png", RED)
    seen(tmp_path / "a.png", GREEN)
    assert small(one, 24, MOST) is None
    assert small(replace(one, sha256=""), 24, MOST) is not None


@pytest.mark.parametrize("name", ["clear.png", "deep.png", "deep.tiff"])
def test_transparent_pictures_and_those_of_16_bits_are_seen_as_they_look(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if name == "clear.png":
        Image.new("RGBA", (8, 6), (0, 0, 0, 0)).save(path)
        wanted = (255, 255, 255)
    elif name == "deep.png":
        path.write_bytes(png(np.full((6, 8, 3), 257 * 90, dtype=np.uint16)))
        wanted = (90, 90, 90)
    else:
        Image.new("RGB", (8, 6), (90, 90, 90)).save(path)
        wanted = (90, 90, 90)
    found = small(Seen((str(path),)), 24, MOST)
    assert found is not None and is_near(found[0, 0], wanted)
    assert image_of(found).size == (8, 6)


def test_what_is_no_picture_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(PictureError, match=r"a\.png holds text"):
        small(Seen((str(tmp_path / "a.png"),)), 24, MOST)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "CMYK"])
def test_a_large_picture_looks_the_same_small(mode: str, tmp_path: Path) -> None:
    ramp = Image.linear_gradient("L").resize((900, 600))
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    Image.merge("RGB", (ramp,) * 3).convert(mode).save(path)
    found, whole = (small(Seen((str(path),)), side, 1_000_000) for side in (60, 900))
    assert found is not None and whole is not None and found.shape == (40, 60, 3)
    assert np.abs(found - whole[7::15, 7::15]).max() < 6
