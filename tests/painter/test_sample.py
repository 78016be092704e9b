"""The pictures that ship with stylewatch, and the rows that say where they come from."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.painter import draw_styles

from stylewatch_painter import sample

ROOT = Path(__file__).parents[2]
NOTICE = " ".join((ROOT / "NOTICE").read_text(encoding="utf-8").split())
MAX_BYTES, MAX_SIDE = 250_000, 1024
LAST_YEAR = 1930
"""The last year of a first publication whose work is in the public domain everywhere we know."""


def test_each_file_has_its_row_and_each_row_its_file() -> None:
    files = {path.name for path in sample.CONTENT.parent.glob("*.jpg")} - {sample.CONTENT.name}
    rows = sample.shipped_styles().values()
    assert {row.path.name for row in rows} == files and 8 <= len(files) <= 12
    for row in rows:
        content = row.path.read_bytes()
        assert hashlib.sha256(content).hexdigest() == row.sha256, row.title
        assert len(content) <= MAX_BYTES
        with Image.open(row.path) as image:
            assert max(image.size) <= MAX_SIDE and image.mode == "RGB"
            assert not image.getexif() and "icc_profile" not in image.info
        assert row.title in NOTICE and row.license and row.origin and row.changes


def test_painters_have_been_dead_for_70_years_and_their_works_published_for_95() -> None:
    for row in sample.shipped_styles().values():
        if not row.author:
            assert row.title in draw_styles.STYLES and not row.published
            continue
        assert row.author.partition(" (")[0] in NOTICE
        died = re.fullmatch(r".+ \(\d{4}-(\d{4})\)", row.author)
        published = re.match(r"(?:about )?(\d{4}), .+", row.published)
        assert died and int(died[1]) <= 2026 - 71, row.title
        assert published and int(published[1]) <= LAST_YEAR, row.title
        assert row.caption.startswith(row.author)


@pytest.mark.parametrize("name", draw_styles.STYLES)
def test_code_draws_the_styles_that_no_painter_made(name: str) -> None:
    with Image.open(sample.shipped_styles()[name].path) as image:
        difference = np.abs(np.asarray(image, np.int16) - draw_styles.drawn(name))
    assert difference.mean() < 12, "what JPEG loses of grain is below"
