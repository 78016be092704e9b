"""The pictures of a report: small, in the page, with their captions."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image
from tests.daemon.worker.orders import order, painted

from stylewatch_daemon.cli.html.gallery import Shown, gallery
from stylewatch_daemon.cli.html.painted import Painted, in_folder


@pytest.fixture
def given(tmp_path: Path, pictures: Path) -> Painted:
    made = order(tmp_path / "job", pictures, steps=30, save_every=1)
    painted(made)
    pictures.rename(made.staging / "inputs")
    return in_folder(made.staging)


def image(one: Shown) -> Image.Image:
    head, _, data = one.data.partition(";base64,")
    found = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
    assert head == f"data:image/{str(found.format).lower()}"
    return found


def test_all_pictures_are_in_it(given: Painted) -> None:
    found = gallery(given)
    assert image(found.painting).size == (32, 24)
    assert [one.caption for one in found.inputs] == ["content: content.jpg", "style 1: style.jpg"]
    assert image(found.inputs[0]).size == (48, 36)
    assert image(found.losses).format == "PNG"


def test_of_many_stages_a_few_are_shown_evenly(given: Painted) -> None:
    found = gallery(given)
    steps = [int(one.caption.removeprefix("step ")) for one in found.stages]
    assert len(steps) == 8 and steps[0] == 1 and steps[-1] == 32
    assert all(image(one).size == (32, 24) for one in found.stages)


def test_what_is_gone_is_empty_and_the_others_keep_their_captions(given: Painted) -> None:
    (given.folder / "inputs/content.jpg").unlink()
    (given.folder / "losses.csv").unlink()
    for path in (given.folder / "stages").iterdir():
        path.unlink()
    found = gallery(given)
    assert found.inputs[0] == Shown("content: content.jpg")
    assert image(found.inputs[1]).size == (40, 32)
    assert found.stages == () and found.losses.data == ""
