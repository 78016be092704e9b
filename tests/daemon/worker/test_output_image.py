"""Output files: colors, transparency, depth and tags as in the settings."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.worker.output_image import OutputImage
from stylewatch_painter.images.color import lightness, to_lab
from stylewatch_painter.images.metadata import Tags
from stylewatch_painter.images.read import Picture, read
from stylewatch_painter.stage import Pixels

ROWS, COLUMNS = np.mgrid[0:36, 0:48].astype(np.float32)
PHOTO = np.stack([200 - 3 * COLUMNS, 60 + 2 * ROWS, 80 + COLUMNS], axis=-1)
DISC = np.clip((14 - np.hypot(ROWS - 18, COLUMNS - 24)) / 4, 0, 1)
RESULT = np.random.default_rng(1).uniform(0, 255, (36, 48, 3)).astype(np.float32)


def output(alpha: Any = None, tags: Tags | None = None, **settings: Any) -> OutputImage:
    photo = Picture(PHOTO, alpha, (), "0" * 64, tags or Tags())
    return OutputImage(JobSettings.model_validate(settings), photo)


def decoded(data: bytes, mode: str = "RGB") -> Pixels:
    return np.asarray(Image.open(io.BytesIO(data)).convert(mode)).astype(np.float32)


@pytest.mark.parametrize("color", ["content", "luminance"])
def test_light_is_that_of_the_result_and_colors_are_those_of_the_photograph(
    color: str, tmp_path: Path
) -> None:
    path = tmp_path / "final.png"
    path.write_bytes(output(color=color, depth=16).final(RESULT))
    pixels = read(path).pixels
    assert np.abs(lightness(pixels) - lightness(RESULT)).max() < 2e-3
    ours, theirs = (to_lab(each)[..., 1:] for each in (pixels, PHOTO))
    along = (ours * theirs).sum(axis=-1) / np.linalg.norm(theirs, axis=-1)
    assert along.min() > -0.02, "no hue is the opposite one"


@pytest.mark.parametrize("format", ["png", "webp", "jpg"])
def test_transparency_is_kept_without_a_rim_or_laid_over_white(format: str) -> None:
    """At the edge of a disc in one color, nothing is brighter than that color."""
    even = np.full((72, 96, 3), 90, dtype=np.float32)
    image = output(DISC, format=format, quality=100)
    pixels = decoded(image.final(even), "RGBA")
    if format == "jpg":
        assert pixels[0, 0].min() > 245 and abs(pixels[36, 48, :3].mean() - 90) < 5
        warning = "jpg does not support transparency: the painting is on white"
        assert image.warnings == (warning,)
        return
    alpha = pixels[..., 3:] / 255
    assert alpha.shape[:2] == (72, 96) and alpha[36, 48] == 1 and alpha[0, 0] == 0
    assert 0.3 < alpha.mean() / DISC.mean() < 1.1
    over_black = pixels[..., :3] * alpha
    assert over_black.max() <= 91 and over_black[36, 48].min() >= 89
    assert image.warnings == ()


def test_metadata_of_the_photograph_is_kept_as_far_as_set() -> None:
    tags = Tags((300.0, 300.0), {Base.Make: "Lumen"}, {}, {GPS.GPSLatitudeRef: "N"})
    for metadata, make, places in (("none", None, 0), ("safe", "Lumen", 0), ("all", "Lumen", 1)):
        exif = Image.open(io.BytesIO(output(tags=tags, metadata=metadata).final(RESULT))).getexif()
        assert (exif.get(Base.Make), len(exif.get_ifd(IFD.GPSInfo))) == (make, places)
        warned = len(output(tags=tags, metadata=metadata, format="tiff").warnings)
        assert warned == (metadata != "none")
    assert output(tags=tags).warnings == ()
    damaged = Tags(damaged=True)
    assert "EXIF is damaged" in output(tags=damaged).warnings[0]
    packed = Tags(packed=True)
    assert "EXIF is packed by Brotli" in output(tags=packed).warnings[0]
    assert output(tags=damaged, metadata="none").warnings == ()
