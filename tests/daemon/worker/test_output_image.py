"""The file of a painting has what was asked for: colors, transparency, depth, tags, size."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from tests.painter.deep import png

from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.worker.output_image import OutputImage
from stylewatch_painter.images.color import Space, luminance, to_space
from stylewatch_painter.images.metadata import Tags
from stylewatch_painter.images.read import Picture, read
from stylewatch_painter.images.resize import resize
from stylewatch_painter.stage import Pixels


def shades(height: int = 36, width: int = 48) -> Pixels:
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.stack([200 - 3 * columns, 60 + 2 * rows, 80 + columns], axis=-1)


def painted(height: int = 36, width: int = 48) -> Pixels:
    return np.random.default_rng(1).uniform(0, 255, (height, width, 3)).astype(np.float32)


def photo(alpha: Any = None, tags: Tags | None = None) -> Picture:
    return Picture(shades(), alpha, (), "0" * 64, 1, tags or Tags())


def dress(content: Picture | None = None, **settings: Any) -> OutputImage:
    return OutputImage(JobSettings.model_validate(settings), content or photo())


def seen(data: bytes, mode: str = "RGB") -> Pixels:
    return np.asarray(Image.open(io.BytesIO(data)).convert(mode)).astype(np.float32)


def written(data: bytes, path: Path) -> Picture:
    path.write_bytes(data)
    return read(path)


@pytest.mark.parametrize("color", ["style", "match"])
def test_what_was_painted_is_what_is_written(color: str) -> None:
    assert np.array_equal(seen(dress(color=color).final(painted())), np.rint(painted()))


@pytest.mark.parametrize("color", ["content", "luminance"])
@pytest.mark.parametrize("space", ["linear", "srgb", "oklab"])
def test_light_is_the_paintings_and_hue_the_photographs(
    color: str, space: Space, tmp_path: Path
) -> None:
    data = dress(color=color, color_space=space, depth=16).final(painted())
    found = written(data, tmp_path / "final.png").pixels
    assert np.abs(luminance(found, space) - luminance(painted(), space)).max() < 2e-3
    ours, theirs = (to_space(one, "oklab")[..., 1:] for one in (found, shades()))
    along = (ours * theirs).sum(axis=-1) / np.linalg.norm(theirs, axis=-1)
    across = np.cross(np.dstack([ours, 0 * along]), np.dstack([theirs, 0 * along]))[..., 2]
    assert along.min() > -0.02 and (space != "oklab" or np.abs(across).max() < 1e-3)


def test_colors_come_in_the_size_of_the_painting() -> None:
    found = seen(dress(color="content", color_space="srgb").final(painted(18, 24)))
    assert found.shape == (18, 24, 3)
    assert found[:, 0, 0].mean() > found[:, -1, 0].mean() + 40


def soft_disc() -> Any:
    rows, columns = np.mgrid[0:36, 0:48]
    return np.clip((14 - np.hypot(rows - 18, columns - 24)) / 4, 0, 1).astype(np.float32)


@pytest.mark.parametrize("format", ["png", "webp", "tiff"])
def test_transparency_is_kept_and_over_black_no_rim_is_to_be_seen(format: str) -> None:
    """At the edge of a disc that is painted in one color, nothing is brighter than that color."""
    even = np.full((72, 96, 3), 90, dtype=np.float32)
    found = seen(dress(photo(soft_disc()), format=format, quality=100).final(even), "RGBA")
    alpha = found[..., 3:] / 255
    assert alpha.shape[:2] == (72, 96) and alpha[36, 48] == 1 and alpha[0, 0] == 0
    assert 0.3 < alpha.mean() / soft_disc().mean() < 1.1
    over_black = found[..., :3] * alpha
    assert over_black.max() <= 91 and over_black[36, 48].min() >= 89
    assert not list(dress(photo(soft_disc()), format=format).warnings)


def test_beside_a_hard_edge_nothing_comes_and_goes() -> None:
    hard = np.zeros((36, 48), dtype=np.float32)
    hard[:, 24:] = 1
    alpha = seen(dress(photo(hard)).final(painted(70, 96)), "RGBA")[35, :, 3]
    assert (np.diff(alpha) >= 0).all() and alpha[0] == 0 and alpha[-1] == 255
    assert (alpha[:40] == 0).all()


def test_a_jpeg_is_laid_over_white_and_says_so() -> None:
    one = dress(photo(soft_disc()), format="jpg")
    found = seen(one.final(np.full((36, 48, 3), 90, dtype=np.float32)))
    assert found[0, 0].min() > 245 and abs(found[18, 24].mean() - 90) < 5
    (told,) = one.warnings
    assert told == "jpg holds no transparency: the painting is laid over white"


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_16_bits_hold_what_8_cannot(format: str, tmp_path: Path) -> None:
    ramp = np.repeat(np.linspace(0, 255, 3000, dtype=np.float32)[None, :, None], 3, axis=2)
    for depth, levels in ((8, 256), (16, 3000)):
        found = written(dress(format=format, depth=depth).final(ramp), tmp_path / f"r.{format}")
        assert len(np.unique(found.pixels)) == levels
        assert found.converted == ()


TOLD = Tags(
    (300.0, 300.0),
    {Base.Make: "Lumen", Base.Artist: "Ada", Base.ImageDescription: "at home"},
    {
        Base.DateTimeOriginal: "2020:01:02 03:04:05",
        Base.BodySerialNumber: "7",
        Base.MakerNote: b"x",
    },
    {GPS.GPSLatitudeRef: "N", GPS.GPSLatitude: (1.0, 2.0, 3.0)},
)


@pytest.mark.parametrize("format", ["png", "jpg", "webp", "tiff"])
@pytest.mark.parametrize("metadata", ["none", "safe", "all"])
def test_of_what_the_photograph_tells_so_much_is_told_as_was_asked(
    metadata: str, format: str, tmp_path: Path
) -> None:
    data = dress(photo(tags=TOLD), metadata=metadata, format=format).final(painted())
    image = Image.open(io.BytesIO(data))
    image.load()
    exif = image.getexif()
    shot, place = exif.get_ifd(IFD.Exif), exif.get_ifd(IFD.GPSInfo)
    assert (exif.get(Base.Make) == exif.get(Base.Artist) is None) == (metadata == "none")
    assert (Base.DateTimeOriginal in shot) == (metadata != "none")
    secret = [Base.ImageDescription in exif, bool(place), *(tag in shot for tag in (
        Base.BodySerialNumber, Base.MakerNote))]  # fmt: skip
    assert secret == [metadata == "all"] * 4
    assert exif.get(Base.Orientation, 1) == 1
    (tmp_path / "final").write_bytes(data)
    dpi = read(tmp_path / "final").tags.dpi
    if format == "webp":
        across = exif.get(Base.XResolution)
        dpi = None if across is None else (across, exif[Base.YResolution])
    assert dpi == (None if metadata == "none" else pytest.approx((300, 300), abs=0.01))


def test_damaged_metadata_is_told_where_some_was_wanted() -> None:
    hurt = photo(tags=Tags(damaged=True))
    assert "EXIF is damaged" in next(iter(dress(hurt).warnings))
    assert not list(dress(hurt, metadata="none").warnings)


def test_stages_are_as_large_as_they_may_be_and_the_final_picture_is_full_size() -> None:
    one = dress(photo(soft_disc()), stages={"size": 24})
    assert seen(one.stage(painted()), "RGBA").shape == (18, 24, 4)
    assert seen(one.final(painted()), "RGBA").shape == (36, 48, 4)
    assert not one.is_full_size(painted()) and one.is_full_size(painted(10, 24))
    assert dress(stages={"size": None}).stage(painted()) == dress().final(painted())


@pytest.mark.parametrize("color", ["style", "content", "luminance", "match"])
@pytest.mark.parametrize("depth", [8, 16])
def test_outside_of_the_regions_the_photograph_itself_stands(
    color: str, depth: int, tmp_path: Path
) -> None:
    """In its own colors, to the last bit, and as transparent; in stages that are made smaller."""
    alpha = np.full((36, 48), 1, dtype=np.float32)
    alpha[:9] = 0.2
    regions = np.zeros((18, 24, 2), dtype=np.float32)
    regions[:, :6, 0] = regions[:, 6:12, 1] = 1
    plain = dress(photo(alpha), color=color, depth=depth, stages={"size": 24})
    one = replace(plain, regions=regions)
    kept = written(one.final(painted()), tmp_path / "final.png")
    assert kept.alpha is not None and kept.alpha[2, 40] == pytest.approx(0.2, abs=0.003)
    away = np.abs(kept.pixels - shades())[9:]
    assert away[:, 26:].max() <= (0.5 if depth == 8 else 0.5 / 257) + 1e-4
    free = written(plain.final(painted()), tmp_path / "free.png")
    assert np.abs(kept.pixels - free.pixels)[12:, :22].max() == 0
    stage = written(one.stage(painted()), tmp_path / "stage.png").pixels
    assert np.abs(stage - resize(shades(), (24, 18)))[5:, 14:].max() < 1


def test_a_painting_without_a_photograph_has_its_own_colors() -> None:
    one = OutputImage(JobSettings(), None)
    assert np.array_equal(seen(one.final(painted())), np.rint(painted()))
    assert not list(one.warnings)


def test_deep_transparency_is_as_deep(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (36, 48, 4)).astype(np.uint16)
    content = written(png(deep), tmp_path / "content.png")
    data = dress(content, depth=16).final(painted())
    found = written(data, tmp_path / "final.png")
    assert found.alpha is not None and np.allclose(found.alpha, deep[..., 3] / 65535, atol=1e-6)
