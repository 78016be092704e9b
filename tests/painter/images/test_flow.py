"""Optical flow between frames, and the parts of a later frame that earlier frames show."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from stylewatch_painter.images import flow
from stylewatch_painter.images.flow import Reference, known
from stylewatch_painter.stage import Bytes, Pixels

HEIGHT, WIDTH = 64, 96


def texture(seed: int) -> Bytes:
    """Soft spots of all colors, twice as wide as a frame."""
    draw = np.random.Generator(np.random.PCG64(seed))
    coarse = draw.integers(0, 256, (HEIGHT // 8, WIDTH // 4, 3), dtype=np.uint8)
    large = Image.fromarray(coarse).resize((2 * WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    return np.asarray(large)


def view(picture: Bytes, left: int) -> Bytes:
    """The view of a camera at a number of pixels from the left."""
    return picture[:, left : left + WIDTH]


def finished(frame: Bytes, painted: Bytes) -> Reference:
    maturity = np.full(frame.shape[:2], 255, np.uint8)
    return Reference(frame, painted, maturity, np.zeros(frame.shape, np.float16), 0 * maturity)


def reference(number: int, left: int) -> Reference:
    """A frame of a pan, painted in other colors."""
    return finished(view(texture(number), left), 255 - view(texture(number), left))


def test_a_pan_brings_along_what_was_painted_and_its_maturity() -> None:
    """Pixels outside of the earlier frame are not trusted."""
    frame, latest = view(texture(0), 12), reference(0, 0)
    maturity = np.zeros((HEIGHT, WIDTH), np.uint8)
    maturity[:, WIDTH // 2 :] = 255
    seen = known(frame, [replace(latest, maturity=maturity)])
    assert seen.trust[8:-8, 16:-20].mean() > 0.9
    painted = 255 - frame.astype(np.float32)
    assert np.abs(seen.picture - painted)[seen.trust > 0.5].mean() < 3
    for plane in (seen.trust, seen.shown, seen.maturity):
        assert plane[:, -11:].max() == 0
    assert seen.maturity[:, : WIDTH // 2 - 14].max() < 0.1
    assert seen.maturity[8:-8, WIDTH // 2 - 10 : -23].mean() > 0.9


def test_what_was_hidden_is_not_trusted() -> None:
    """A disc moves over a still background, and uncovers new pixels behind it."""
    down, right = np.mgrid[:HEIGHT, :WIDTH]

    def frame(center: int) -> Bytes:
        disc = (down - HEIGHT / 2) ** 2 + (right - center) ** 2 < 14**2
        return np.where(disc[..., None], view(texture(1), 30), view(texture(0), 0))

    before, after = frame(36), frame(44)
    seen = known(after, [finished(before, before)])
    uncovered = (down - HEIGHT / 2) ** 2 + (right - 36) ** 2 < 13**2
    uncovered &= (down - HEIGHT / 2) ** 2 + (right - 44) ** 2 > 15**2
    assert seen.trust[uncovered].mean() < 0.3
    assert seen.trust[:, 70:].mean() > 0.95


def test_older_frames_count_only_where_later_ones_know_nothing() -> None:
    frame = view(texture(0), 12)
    latest, older = reference(0, 0), finished(view(texture(0), 24), np.zeros_like(frame))
    both, alone = known(frame, [latest, older]), known(frame, [latest])
    was_known = alone.shown == 1
    np.testing.assert_array_equal(both.picture[was_known], alone.picture[was_known])
    assert both.trust[8:-8, -11:].mean() > 0.9, "the older one shows the right edge"
    assert both.picture[8:-8, -11:].max() < 30


def test_what_looks_the_same_is_shown_even_if_its_motion_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Flow in an even area is arbitrary: the painting of the area is taken, and not trusted."""
    frame = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    ways = iter([np.zeros((HEIGHT, WIDTH, 2), np.float32), np.full((HEIGHT, WIDTH, 2), 3.0)])
    monkeypatch.setattr(flow, "displacement", lambda *_: next(ways))
    seen = known(frame, [finished(frame, 255 - frame)])
    assert seen.shown.min() == 1 and not seen.trust.any()
    assert (seen.picture == 165).all()


def test_what_is_new_takes_the_colors_of_the_painting() -> None:
    """The affine map of colors is recovered, even from a reference with few colors."""
    mixed = np.array([[0.2, 0.5, 0.1], [0.3, 0.1, 0.3], [0.1, 0.2, 0.4]])
    before = view(texture(0), 0)
    painted = np.rint(before @ mixed + 40).astype(np.uint8)
    new = view(texture(1), 0).astype(np.float32)
    expected = new @ mixed + 40
    assert np.abs(flow.recolored(new, finished(before, painted)) - expected).max() < 1
    gray = np.full_like(before, 100)
    assert np.isfinite(flow.recolored(new, finished(gray, gray // 2))).all()


@pytest.mark.parametrize(("shift", "inside"), [(-0.4, True), (-0.6, False)])
def test_pixels_show_the_same_up_to_the_edge_of_the_frame(shift: float, inside: bool) -> None:
    """A still scene has a flow of less than half a pixel, and no edge is new in it."""
    frame = np.full((8, 8, 3), 128, np.uint8)
    forward = np.zeros((8, 8, 2), np.float32)
    forward[..., 0] = shift
    assert (flow.likeness(frame, frame, forward)[:, 0] == inside).all()


def followed(frames: list[Bytes]) -> list[flow.Known]:
    """The parts of each later frame that the frames before it show.

    The painting of the first frame is white, and later frames add black to it.
    """
    latest, seen = finished(frames[0], np.full_like(frames[0], 255)), []
    for frame in frames[1:]:
        seen.append(known(frame, [latest]))
        painted = np.rint(seen[-1].shown[..., None] * seen[-1].picture).astype(np.uint8)
        change = seen[-1].change.astype(np.float16)
        redone = np.rint(255 * seen[-1].redone).astype(np.uint8)
        latest = replace(finished(frame, painted), change=change, redone=redone)
    return seen


def mixed(one: Bytes, other: Bytes, share: float) -> Bytes:
    return ((1 - share) * one.astype(np.float64) + share * other).astype(np.uint8)


@pytest.mark.parametrize("number", [12, 24, 100])
def test_a_fade_however_slow_begins_a_scene(number: int) -> None:
    black, scene = np.zeros((HEIGHT, WIDTH, 3), np.uint8), view(texture(0), 0)
    for one, other in ((black, scene), (scene, black), (scene, view(texture(1), 0))):
        frames = [mixed(one, other, step / number) for step in range(number + 1)]
        assert any(seen.is_cut for seen in followed(frames))


def test_what_slowly_changes_in_a_part_is_not_shown_there() -> None:
    """A caption appears within a second."""
    scene = view(texture(0), 0)
    caption = scene.copy()
    caption[40:52, 20:70] = 255
    seen = followed([mixed(scene, caption, step / 24) for step in range(25)])
    assert not any(each.is_cut for each in seen)
    left = seen[-1].shown[..., None] * seen[-1].picture
    assert left[42:50, 24:66].mean() < 64
    assert left[:34].mean() > 254


@pytest.mark.parametrize("speed", [0.0, 0.37, 1.3])
def test_neither_noise_nor_motion_is_a_change(speed: float) -> None:
    draw = np.random.Generator(np.random.PCG64(1))
    large = Image.fromarray(texture(0))

    def frame(number: int) -> Bytes:
        left = speed * number
        box = (left, 0, left + WIDTH, HEIGHT)
        plain = large.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box)
        return (
            (np.asarray(plain) + draw.normal(0, 4, (HEIGHT, WIDTH, 3)))
            .clip(0, 255)
            .astype(np.uint8)
        )

    for seen in followed([*map(frame, range(50))]):
        assert not seen.is_cut
        assert seen.redone.mean() < 0.02
        assert seen.shown[12:-12, 12:-12].mean() > 0.98


def still(seed: int, grain: float, size: int, light: Sequence[float]) -> list[Bytes]:
    """Frames of a still camera with new grain of gray in each, in each of these lights."""
    draw = np.random.Generator(np.random.PCG64(seed))
    scene = view(texture(0), 0) / 2 + 50.0

    def frame(gain: float) -> Bytes:
        coarse = draw.normal(0, grain, (-(-HEIGHT // size), -(-WIDTH // size), 1))
        fine = coarse.repeat(size, axis=0).repeat(size, axis=1)[:HEIGHT, :WIDTH]
        return np.rint(gain * scene + fine).clip(0, 255).astype(np.uint8)

    return [*map(frame, light)]


PULSE = [1 + 0.15 * np.sin(2 * np.pi * number / 9.3) for number in range(40)]


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("grain", [0.0, 8.0, 12.0, 20.0])
@pytest.mark.parametrize("light", [[1.0] * 40, PULSE])
def test_neither_grain_nor_a_lamp_is_a_change(size: int, grain: float, light: list[float]) -> None:
    """At the rim the flow of grain leaves the frame."""
    inner = np.s_[4:-4, 4:-4]
    for seen in followed(still(1, grain, size, light)):
        assert not seen.is_cut
        assert seen.redone.mean() < 0.03
        assert seen.shown[inner].mean() > (0.98 if grain < 20 else 0.9)


def test_exposure_is_a_change_from_half_a_stop_on() -> None:
    """A camera that corrects its exposure by a third up and down begins few scenes."""
    waves = [1 + 0.35 * np.sin(2 * np.pi * number / 40) for number in range(80)]
    cuts, latest = 0, None
    for frame in still(1, 0.0, 1, waves):
        seen = known(frame, [] if latest is None else [latest])
        change, redone = seen.change.astype(np.float16), np.rint(255 * seen.redone)
        if seen.is_cut:
            cuts += 1
            change, redone = 0 * change, 0 * redone
        latest = replace(finished(frame, frame), change=change, redone=redone.astype(np.uint8))
    assert 2 <= cuts <= 5


def test_a_flash_of_less_than_half_a_stop_is_no_change() -> None:
    for seen in followed(still(1, 4.0, 1, [1.0] * 5 + [1.35] + [1.0] * 5)):
        assert seen.shown[4:-4, 4:-4].mean() > 0.99


@pytest.mark.parametrize("grain", [0.0, 12.0])
def test_thin_letters_that_slowly_appear_are_painted(grain: float) -> None:
    """Lines of 3 pixels, 9 apart, in two seconds."""
    frames = still(1, grain, 1, [1.0] * 60)
    lines = np.zeros((HEIGHT, WIDTH), bool)
    for column in range(16, 80, 12):
        lines[20:44, column : column + 3] = True
    for number, frame in enumerate(frames):
        frame[lines] = mixed(frame, np.full_like(frame, 255), min(1, number / 48))[lines]
    seen = followed(frames)
    assert not any(each.is_cut for each in seen)
    left = seen[-1].shown[..., None] * seen[-1].picture
    inner = lines.copy()
    inner[:22] = inner[42:] = False
    assert left[inner].mean() < (64 if grain == 0 else 110)
    assert seen[-1].shown[4:12, 4:-4].mean() > 0.98


def test_what_returns_is_taken_from_older_frames_and_not_redone() -> None:
    """A shadow of half the frame slowly comes and goes; a scene begins with neither."""
    scene = view(texture(0), 0)
    dark = scene.copy()
    dark[:, : WIDTH // 4] //= 3
    shares = [*np.linspace(0, 1, 20), *np.linspace(1, 0, 20)]
    latest = first = finished(scene, np.full_like(scene, 255))
    shares_redone = []
    for share in shares:
        frame = mixed(scene, dark, share)
        seen = known(frame, [latest, first])
        painted = np.rint(seen.shown[..., None] * seen.picture).astype(np.uint8)
        change, redone = seen.change.astype(np.float16), np.rint(255 * seen.redone)
        latest = replace(finished(frame, painted), change=change, redone=redone.astype(np.uint8))
        shares_redone.append(float(seen.redone.mean()))
    assert shares_redone[-1] < 0.7 * max(shares_redone)
    left = seen.shown[..., None] * seen.picture
    assert left[4:-4, 4 : WIDTH // 4 - 4].mean() > 100


def test_what_moves_into_another_region_is_not_shown() -> None:
    """A pan by 6 pixels over two regions, beside which there is none."""
    frame, latest = view(texture(0), 6), finished(*[view(texture(0), 0)] * 2)
    regions = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    regions[:, :32, 0] = regions[:, 32:64, 1] = 1
    with_regions, without = known(frame, [latest], regions), known(frame, [latest])
    for edge in (32, 64):
        assert with_regions.shown[8:-8, edge - 4 : edge - 2].max() < 0.3
        assert with_regions.maturity[8:-8, edge - 4 : edge - 2].max() < 0.3
        for columns in (slice(edge - 24, edge - 10), slice(edge + 4, edge + 14)):
            np.testing.assert_allclose(
                with_regions.shown[:, columns], without.shown[:, columns], atol=0.05
            )


def grainy(picture: Pixels, grain: float, seed: int) -> Bytes:
    draw = np.random.Generator(np.random.PCG64(seed))
    return np.rint(picture + draw.normal(0, grain, picture.shape)).clip(0, 255).astype(np.uint8)


def sky(width: int = WIDTH) -> Pixels:
    """A sky that is lighter below."""
    bands = np.linspace((90, 130, 200), (130, 180, 230), HEIGHT, dtype=np.float32)
    return np.repeat(bands[:, None], width, axis=1)


EVEN = {
    "sky": sky(),
    "wall": np.full_like(sky(), 30),
    "night": sky() / 10,
    "horizon": np.where(np.arange(HEIGHT)[:, None, None] < 40, sky(), np.float32(60)),
}


@pytest.mark.parametrize("grain", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("picture", EVEN.values(), ids=EVEN)
def test_grain_does_not_move_what_is_even(picture: Pixels, grain: float) -> None:
    """An edge tells nothing of a motion along it."""
    frames = [grainy(picture, grain, seed) for seed in range(6)]
    for before, after in pairwise(frames):
        moved = flow.displacement(after, before)
        assert np.abs(moved).mean() < 0.3
        assert flow.consistent(moved, flow.displacement(before, after)).mean() > 0.9
    assert not any(seen.is_cut for seen in followed(frames))


@pytest.mark.parametrize("grain", [0.0, 1.0, 2.0])
def test_an_even_sky_moves_with_the_ground(grain: float) -> None:
    """A pan by 3 pixels."""
    picture = sky(2 * WIDTH)
    picture[44:] = texture(0)[44:]
    before, after = (grainy(picture[:, left:][:, :WIDTH], grain, left) for left in (10, 13))
    moved = flow.displacement(after, before)
    assert np.abs(moved - (3, 0))[4:-4, 4:-4].mean() < 0.3


@pytest.mark.parametrize("grain", [0.0, 1.0])
def test_a_plain_figure_moves_by_itself(grain: float) -> None:
    """The even ground around it rather stands still."""
    down, right = np.mgrid[:HEIGHT, :WIDTH]

    def frame(center: int) -> Bytes:
        away = np.hypot(down - HEIGHT / 2, right - center)[..., None]
        return grainy(np.where(away < 10, 200, sky()), grain, center)

    moved = flow.displacement(frame(46), frame(44))
    assert moved[28:36, 42:50, 0].mean() < -1.6
    assert np.abs(moved[:, [0, -1]]).mean() < 1
