"""Metadata is read defensively, and only the permitted part is copied."""

from typing import Any

import pytest
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from tests.painter.files import decoded, saved

from stylewatch_painter.images.metadata import MOST, NO_TAGS, Tags, tags_of


def through(exif: Image.Exif, format: str = "JPEG") -> Tags:
    return decoded(saved(Image.new("RGB", (4, 3)), format, exif=exif)).tags


def camera() -> Image.Exif:
    exif = Image.Exif()
    exif[Base.Make], exif[Base.Copyright], exif[Base.ImageDescription] = "Lumen", "Ada", "home"
    exif[Base.Orientation], exif[Base.XResolution], exif[Base.ResolutionUnit] = 6, 72.0, 2
    shot = exif.get_ifd(IFD.Exif)
    shot[Base.DateTimeOriginal], shot[Base.BodySerialNumber] = "2020:01:02 03:04:05", "77"
    shot[Base.MakerNote], shot[Base.ExifImageWidth] = b"secret", 4000
    exif.get_ifd(IFD.GPSInfo)[GPS.GPSLatitudeRef] = "N"
    return exif


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_exposure_tags_are_read_and_safe_drops_place_and_serial_numbers(format: str) -> None:
    tags = through(camera(), format)
    assert tags.main == {Base.Make: "Lumen", Base.Copyright: "Ada", Base.ImageDescription: "home"}
    assert set(tags.shot) == {Base.DateTimeOriginal, Base.BodySerialNumber, Base.MakerNote}
    assert tags.place == {GPS.GPSLatitudeRef: "N"} and not tags.damaged
    safe = tags.kept("safe")
    assert set(safe.main) == {Base.Make, Base.Copyright}
    assert set(safe.shot) == {Base.DateTimeOriginal} and not safe.place and safe.dpi == tags.dpi
    assert tags.kept("all") == tags and tags.kept("none") == NO_TAGS


def test_exif_is_upright_and_srgb() -> None:
    original, exif = camera(), Image.Exif()
    original[Base.Artist] = "Käthe".encode()
    exif.load(through(original).exif())
    assert exif[Base.Orientation] == 1 and exif.get_ifd(IFD.Exif)[Base.ColorSpace] == 1
    assert exif[Base.Artist].encode("latin-1").decode() == "Käthe"
    assert NO_TAGS.exif() == Tags((300, 300)).exif() == b""


def test_absurd_values_are_dropped_and_damaged_exif_is_ignored() -> None:
    absurd: list[Any] = [None, (0, 72), (float("nan"), 1), (1e9, 1e9), (72,), 72]
    assert [tags_of(b"", dpi).dpi for dpi in absurd] == [None] * len(absurd)
    exif = camera()
    exif.get_ifd(IFD.Exif)[Base.MakerNote] = bytes(MOST)
    tags = through(exif, "PNG")
    assert Base.MakerNote not in tags.shot and Base.DateTimeOriginal in tags.shot
    assert len(tags.exif()) < MOST + 5_000
    assert tags_of(b"Exif\0\0not a TIFF file", (72, 72)) == Tags((72, 72), damaged=True)
