"""Optical flow between the frames of a clip, and its use to move painted frames to a later frame.

The flow is dense inverse search (Kroeger, Timofte, Dai, Van Gool 2016, arXiv 1603.03590), as in
OpenCV. Where the frames have too little texture to confirm the flow, it is interpolated from the
surroundings. The degree to which texture confirms it is called evidence, 0..1. A displacement is
float32 (height, width, 2), in pixels to the right and down. Everything runs on one thread, because
OpenCV's flow depends on the number of threads.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylewatch_painter.installation import library
from stylewatch_painter.stage import Bytes, Pixels, Plane, Regions

Displacement = NDArray[np.float32]

Tensors = NDArray[np.float32]
"""Components xx, xy and yy of a symmetric 2x2 tensor for each pixel, (height, width, 3)."""

LONGEST_SIDE = 32_766
"""Maximum side of a frame in pixels, a limit of OpenCV's `remap`."""

_LEAST_SIDE = 32
"""Minimum side in pixels of frames whose flow is computed. Dense inverse search finds no patches in
smaller frames."""

_SAME, _OTHER = 12.0, 36.0
"""Mean color differences of two frames at the same place, in levels of 0..255. Up to `_SAME` both
show the same thing, and from `_OTHER` on they show different things."""

_CHANGED = 24.0
"""Minimum mean color change, in levels, since a pixel was painted, from which the painting shows
something else, however slow the change."""

_ALONE, _NEAR = (1, 1), (3, 3)
"""Columns and rows of pixels over which differences are averaged."""

_WIDE = (9, 9)
"""Columns and rows over which the mean of even coarse grain is near 0. Gradients are compared over
the same window."""

_FAINT = 0.01
"""Mean squared gradient, added up over two frames, in squared levels per squared pixel, at which
the correlation of equal gradients is halved. Fainter detail is hardly visible, and may be an
artifact of a codec."""

_BY_CHANCE, _CERTAIN = 0.7, 0.95
"""Correlations of the gradients of two frames. Up to `_BY_CHANCE` the evidence is 0, because
different grain can be alike by chance; from `_CERTAIN` on it is 1."""

_LEAST_EVIDENCE = 0.08
"""Mean evidence in a frame at which areas without texture get half of the mean motion. With less
they are closer to rest, like the even ground behind a drawn figure. In a pan there is more."""

_ENOUGH = 0.5
"""Mean evidence around a pixel from which its wider surroundings are ignored."""

_BETTER, _AS_GOOD = 0.3, 0.6
"""Ratios of the mean squared error of the flow as measured to that of the interpolated flow. Up to
`_BETTER` the measured flow is used even without evidence, as in frames without grain. From
`_AS_GOOD` on the interpolated flow is used, because the search may have matched similar grain."""

_FINE = 1.0
"""Standard deviation, in pixels, of the Gaussian blur before gradients are computed."""

_EVEN = 0.25
"""Share of a frame that is assumed to be without texture, where frames differ by their grain
alone."""

_MOST_GRAIN = 24.0
"""Maximum mean absolute difference of two frames, in levels, that is taken for grain: the
difference of two frames with Gaussian noise of a standard deviation of 21 levels."""

_GRAIN = 1.5
"""Factor of the mean difference by grain up to which a difference is taken for grain. The mean of
coarse grain over 3x3 pixels varies by half."""

_LIGHT = 2**0.5
"""Maximum factor of brightness, half a stop, between two frames of the same picture in changing
light. A fade has larger factors."""

_SEEN = 16.0
"""Level above which pixels are used to measure a change of light."""

_LEFT_OUT = 0.02
"""Maximum share of a frame that may remain unknown without a look at older frames."""

_LEAST_KNOWN = 0.25
"""Minimum share of a frame that earlier frames show; if they show less, a new scene begins."""

_MOST_REDONE = 0.27
"""Maximum share of a frame that has slowly become another picture within a scene. A larger share,
as in a fade, begins a new scene, because the painted color of a pixel depends on the rest of the
picture."""


@dataclass(frozen=True, eq=False)
class Reference:
    """An earlier frame of the clip, original and painted, in the same size.

    `maturity` is uint8 (height, width): the number of steps since a pixel was revealed, relative to
    the steps of a still picture, in 255ths. `change`, float16 (height, width, 3), and `redone`,
    uint8 (height, width) in 255ths, are as in Known.
    """

    frame: Bytes
    painted: Bytes
    maturity: NDArray[np.uint8]
    change: NDArray[np.float16]
    redone: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Known:
    """The part of a frame that earlier painted frames show.

    `picture` is float32 (height, width, 3), 0..255. The planes are float32 (height, width), 0..1:
    `shown` is the similarity to the earlier frames, `trust` is smaller where earlier frames may
    show another object, and `maturity` is the `Reference.maturity` of the pixels that are used,
    multiplied by their similarity. `change` is float32 (height, width, 3): the change of the clip's
    colors, in levels, since these pixels were painted; many small steps can add up to another
    picture. `redone` is 1 where pixels have been painted anew for that reason since the scene
    began.
    """

    picture: Pixels
    shown: Plane
    trust: Plane
    maturity: Plane
    change: Pixels
    redone: Plane

    @property
    def is_cut(self) -> bool:
        """True if a new scene begins with the frame, at a cut or within a fade."""
        is_other = float(self.redone.mean()) > _MOST_REDONE
        return is_other or float(self.trust.mean()) < _LEAST_KNOWN

    @property
    def unfinished(self) -> float:
        """Mean share, 0..1, of a still picture's steps that the pixels of the frame still lack."""
        return 1 - float(self.maturity.mean())


def known(frame: Bytes, references: Iterable[Reference], regions: Regions | None = None) -> Known:
    """Move painted `references` along the flow to `frame`, and blend them.

    Each of the `references` fills only what earlier ones do not show, as in the long-term terms of
    Ruder, Dosovitskiy, Brox 2016 (arXiv 1604.08610), section 4.1. The rest of them are not read
    once almost the whole frame is shown. `regions`, float32 (height, width, R), 0..1, do not move.
    Pixels that move from one region to another are not shown, because each region is painted in
    another way. Raises LibraryError if OpenCV cannot be loaded.
    """
    height, width, _ = frame.shape
    shown, trust, maturity, redone, left = np.zeros((5, height, width), np.float32)
    picture, change = np.zeros((2, height, width, 3), np.float32)
    flicker: Pixels | None = None
    for reference in references:
        if 1 - shown.mean() <= _LEFT_OUT:
            break
        seen = _from(reference, frame, regions, flicker)
        flicker = seen.flicker
        share = seen.moved.shown * (1 - shown)
        picture += share[..., None] * seen.moved.picture
        change += share[..., None] * seen.moved.change
        redone += share * seen.moved.redone
        maturity += share * seen.moved.maturity
        trust += share * seen.moved.trust
        shown += share
        left = np.maximum(left, seen.left)
    redone += (1 - shown) * left
    picture /= np.maximum(shown, np.float32(1e-6))[..., None]
    return Known(picture, shown, trust, maturity, change, redone)


@dataclass(frozen=True, eq=False)
class _Seen:
    """What a single reference shows of a frame.

    `moved` has the pixels of the reference, moved to the frame; `moved.shown` is their weight.
    `left` (height, width) is the `redone` of pixels that are not shown because they have slowly
    become another picture; it is 0 elsewhere. `flicker` (height, width, 3) is the change of colors
    from the latest reference to the frame.
    """

    moved: Known
    left: Plane
    flicker: Pixels


def _from(
    reference: Reference, frame: Bytes, regions: Regions | None, flicker: Pixels | None
) -> _Seen:
    """Move a reference along the flow to `frame`.

    `flicker` is the change of colors from the latest reference to `frame`; it is None for the
    latest reference itself, for which it is measured.
    """
    forward = displacement(frame, reference.frame)
    backward = displacement(reference.frame, frame)
    alike = likeness(frame, reference.frame, forward)
    latest = frame - _sampled(reference.frame, forward, is_cubic=True)
    changed = _softened(_sampled(reference.change, forward) + latest, forward)
    # a large change from one frame to the next is already in `alike`
    if flicker is None:  # older frames differ by more than grain
        flicker = _softened(latest, forward)
    slowly = _is_another(frame, changed, flicker) & (alike > 1 / 2)
    anew = np.minimum(3 * _opencv().blur(slowly.astype(np.float32), _NEAR), 1)
    before = _sampled(reference.redone, forward) / np.float32(255)
    alike *= 1 - anew
    if regions is not None:
        alike *= _staying(regions, forward)
    moved = Known(
        picture=_sampled(reference.painted, forward, is_cubic=True),
        shown=alike,
        trust=consistent(forward, backward).astype(np.float32),
        maturity=_sampled(reference.maturity, forward) / np.float32(255),
        change=changed,
        redone=before,
    )
    return _Seen(moved, (anew > 0) * np.maximum(before, slowly), flicker)


def recolored(frame: Pixels, reference: Reference) -> Pixels:
    """Return `frame`, float32 (height, width, 3) of any size, in the colors of a painting.

    An affine map of colors is fitted by least squares from `reference.frame` to
    `reference.painted`, and applied to `frame`. The result is float32, clipped to 0..255.
    """
    ends = np.concatenate([reference.frame, np.full_like(reference.frame[..., :1], 255)], axis=-1)
    original, painted = (
        x.reshape(-1, x.shape[-1]).astype(np.float64) for x in (ends, reference.painted)
    )
    colors = np.linalg.lstsq(original.T @ original, original.T @ painted, rcond=1e-6)[0]
    picture: Pixels = (frame @ colors[:3] + 255 * colors[3]).clip(0, 255).astype(np.float32)
    return picture


def displacement(source: Bytes, target: Bytes) -> Displacement:
    """Return the optical flow from `source` to `target`, two frames of the same size.

    Where a frame lacks texture, as in a clear sky, the flow is interpolated from the surroundings,
    unless the flow as measured matches `target` much better (see `_BETTER` and `_AS_GOOD`). It is 0
    for frames with a side of less than _LEAST_SIDE pixels. Raises LibraryError if OpenCV cannot be
    loaded.
    """
    if min(source.shape[:2]) < _LEAST_SIDE:
        return np.zeros((*source.shape[:2], 2), np.float32)
    cv2 = _opencv()
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    one, other = (
        cv2.cvtColor(np.ascontiguousarray(x), cv2.COLOR_RGB2GRAY) for x in (source, target)
    )
    flow: Displacement = search.calc(one, other, None)
    evidence = _evidence(one, other, flow)
    weighted = _times(evidence, flow)
    around = _around(weighted, evidence)
    filled = weighted + around - _times(evidence, around)
    apart, apart_filled = (_apart(one, other, each) for each in (flow, filled))
    share = ((_AS_GOOD - apart / apart_filled) / (_AS_GOOD - _BETTER)).clip(0, 1)
    moved: Displacement = filled + share[..., None] * (flow - filled)
    return moved


def _apart(source: Plane, target: Plane, forward: Displacement) -> Plane:
    """Return the local mean squared difference of gray `source` to gray `target` displaced.

    It is averaged over _WIDE; 0.01 is added, so that it is never 0.
    """
    difference = source.astype(np.float32) - _sampled(target, forward, is_cubic=True)
    mean: Plane = _opencv().blur(difference * difference + np.float32(0.01), _WIDE)
    return mean


def _evidence(source: Plane, target: Plane, forward: Displacement) -> Tensors:
    """Return the evidence that gray `source` shows gray `target` displaced by `forward`.

    A tensor has the evidence in each direction: how well the gradients of both frames in this
    direction correlate around a pixel (see `_BY_CHANCE`). It is about 0 in areas without texture,
    where the search matches similar grain, and along an edge.
    """
    cv2 = _opencv()
    smooth = [cv2.GaussianBlur(x.astype(np.float32), (0, 0), _FINE) for x in (source, target)]
    smooth[1] = _sampled(smooth[1], forward)
    (x, y), (x2, y2) = (
        [cv2.Sobel(each, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1))]
        for each in smooth
    )
    xx, xy, yy = (
        cv2.blur(each, _WIDE) for each in (x * x + x2 * x2, x * y + x2 * y2, y * y + y2 * y2)
    )
    angle = np.arctan2(2 * xy, xx - yy) / 2  # direction of the largest gradients
    evidence: Tensors = np.zeros((*source.shape, 3), np.float32)
    for cos, sin in ((np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))):
        square = np.stack([cos * cos, cos * sin, sin * sin], axis=-1)
        both = cv2.blur((cos * x + sin * y) * (cos * x2 + sin * y2), _WIDE)
        each = cos * cos * xx + 2 * cos * sin * xy + sin * sin * yy
        correlation = 2 * both / (each + _FAINT)
        share = ((correlation - _BY_CHANCE) / (_CERTAIN - _BY_CHANCE)).clip(0, 1)
        evidence += share[..., None] * square
    return evidence


def _times(tensors: Tensors, vectors: Displacement) -> Displacement:
    """Return the product of a symmetric tensor and a vector at each pixel."""
    xx, xy, yy = np.moveaxis(tensors, -1, 0)
    x, y = np.moveaxis(vectors, -1, 0)
    return np.stack([xx * x + xy * y, xy * x + yy * y], axis=-1)


def _around(weighted: Displacement, evidence: Tensors) -> Displacement:
    """Interpolate the flow at each pixel from the nearest surroundings that have evidence.

    `weighted` is the product of the evidence and the flow. Both are halved in size for each
    recursive call, down to one pixel.
    """
    height, width, _ = evidence.shape
    if height == width == 1:
        xx, xy, yy = evidence[0, 0]
        whole = np.array([[xx, xy], [xy, yy]], np.float64)
        square = whole @ whole + _LEAST_EVIDENCE**2 * np.eye(2)
        return np.linalg.solve(square, whole @ weighted[0, 0]).astype(np.float32)[None, None]
    cv2 = _opencv()
    half = (-(-width // 2), -(-height // 2))
    weighted, evidence = (
        cv2.resize(each, half, interpolation=cv2.INTER_AREA) for each in (weighted, evidence)
    )
    xx, xy, yy = np.moveaxis(evidence, -1, 0)
    most = (xx + yy) / 2 + np.hypot((xx - yy) / 2, xy)  # in any direction
    enough = 1 / np.maximum(most, _ENOUGH)[..., None]
    around = _around(weighted, evidence)
    around += enough * (weighted - _times(evidence, around))
    filled: Displacement = cv2.resize(around, (width, height), interpolation=cv2.INTER_LINEAR)
    return filled


def consistent(forward: Displacement, backward: Displacement) -> NDArray[np.bool_]:
    """Return flags (height, width) of the pixels at which forward and backward flow cancel out.

    Motion boundaries are excluded. The conditions are those of Sundaram, Brox, Keutzer 2010, and of
    Ruder et al., equations (5) and (6), with larger constants, because dense inverse search is less
    exact than the flow in these papers.
    """
    back = _sampled(backward, forward)
    away = _square(forward)
    home = _square(back)
    slope = _square(np.diff(forward, axis=0, append=forward[-1:]))
    slope = slope + _square(np.diff(forward, axis=1, append=forward[:, -1:]))
    returns = _square(forward + back) <= 0.01 * (away + home) + 0.5
    is_consistent: NDArray[np.bool_] = returns & (slope <= 0.01 * away + 0.1)
    return is_consistent


def likeness(source: Bytes, target: Bytes, forward: Displacement) -> Plane:
    """Return the similarity, 0..1 (height, width), of `source` to `target` displaced by `forward`.

    Differences by grain and by a change of light are ignored. The similarity is 0 for pixels whose
    centers leave `target`; its area ends half a pixel beyond the outermost centers.
    """
    height, width, _ = source.shape
    places = _places(height, width) + forward
    offset = np.abs(places - np.array([(width - 1) / 2, (height - 1) / 2], np.float32))
    inside = np.all(offset <= (width / 2, height / 2), axis=-1)
    before = _sampled(target, forward)
    lights = [_without_grain(source - each) for each in _in_lights(before, source)]
    mean = np.minimum.reduce(lights)
    plane: Plane = (inside * np.clip((_OTHER - mean) / (_OTHER - _SAME), 0, 1)).astype(np.float32)
    return plane


def _softened(change: Pixels, forward: Displacement) -> Pixels:
    """Blur `change` over 3x3 pixels where anything moves.

    Without the blur, errors of the interpolation of fine detail would add up over frames.
    """
    moves = np.minimum(8 * _square(forward), 1)[..., None]
    softened: Pixels = change + moves * (_opencv().blur(change, _NEAR) - change)
    return softened


def _is_another(frame: Bytes, changed: Pixels, flicker: Pixels) -> NDArray[np.bool_]:
    """Return flags (height, width) of the pixels of `frame` that no longer show what was painted.

    `changed` is the change of colors since the pixels were painted, and `flicker` is the change
    from the latest frame, which may be grain. A pixel is flagged if the mean absolute change over
    3x3 pixels exceeds both _CHANGED and 3 times the mean flicker over _WIDE, or if its own change
    exceeds both _CHANGED and 5 times that flicker. Changes due to light are discounted (see
    `_in_lights`).
    """
    since = [frame - each for each in _in_lights(frame - changed, frame)]
    is_another = np.zeros(frame.shape[:2], np.bool_)
    grain = _mean(flicker, _WIDE)
    for around, factor in ((_NEAR, 3), (_ALONE, 5)):
        change = np.minimum.reduce([_mean(each, around) for each in since])
        is_another |= change > np.maximum(_CHANGED, factor * grain)
    return is_another


def _in_lights(before: Pixels, frame: Bytes) -> list[Pixels]:
    """Return `before` in a list, followed by a copy in the light of `frame` if the light changed.

    Both show the same place. There is no copy if brightness changed by more than _LIGHT, or if the
    change explains less than half of the difference: in a dissolve the brightness changes, too.
    """
    was, now = before.mean(-1), frame.mean(-1)
    seen = was > _SEEN
    gain = float(np.median(now[seen] / was[seen])) if seen.any() else 1.0
    lit = np.minimum(gain * before, 255)
    apart, left = (np.abs(_opencv().blur(frame - each, _WIDE)).mean() for each in (before, lit))
    is_light = 1 / _LIGHT <= gain <= _LIGHT and left < apart / 2
    return [before, lit] if is_light else [before]


def _without_grain(difference: Pixels) -> Plane:
    """Return the mean absolute difference (height, width) over 3x3 pixels, less that of grain.

    Grain is measured in the most even parts of the frame (_EVEN), and is assumed to be in all
    others. Its mean over _WIDE is near 0.
    """
    blur = _opencv().blur
    fine = _mean(difference - blur(difference, _WIDE), _WIDE)
    least = float(np.quantile(fine, _EVEN))
    grain = _GRAIN * least if least <= _MOST_GRAIN else 0.0
    mean = _mean(difference, _NEAR)
    even = np.abs(blur(difference, _WIDE)).mean(-1)
    plane: Plane = mean - np.clip(mean - even, 0, grain)
    return plane


def _mean(difference: Pixels, around: tuple[int, int]) -> Plane:
    """Return the mean absolute difference (height, width) `around` each pixel."""
    plane: Plane = _opencv().blur(np.abs(difference).mean(-1), around)
    return plane


def _staying(regions: Regions, forward: Displacement) -> Plane:
    """Return the overlap, 0..1 (height, width), of the regions of each pixel and of its source.

    The source is the pixel displaced by `forward`. The area outside of all `regions` counts as one
    more region.
    """
    parts = [*np.moveaxis(regions, 2, 0), np.clip(1 - regions.sum(2), 0, 1)]
    plane: Plane = np.sum([np.minimum(part, _sampled(part, forward)) for part in parts], axis=0)
    return np.minimum(plane, 1)


def _sampled(
    picture: NDArray[Any], forward: Displacement, *, is_cubic: bool = False
) -> NDArray[np.float32]:
    """Return the values of `picture` at the pixels displaced by `forward`, interpolated, float32.

    Beyond the edges, the values at the edges are repeated.
    """
    cv2 = _opencv()
    places = _places(*forward.shape[:2]) + forward
    method = cv2.INTER_CUBIC if is_cubic else cv2.INTER_LINEAR
    x, y = np.ascontiguousarray(places[..., 0]), np.ascontiguousarray(places[..., 1])
    values: NDArray[np.float32] = cv2.remap(
        picture.astype(np.float32), x, y, method, borderMode=cv2.BORDER_REPLICATE
    )
    return values


@lru_cache(maxsize=1)
def _places(height: int, width: int) -> NDArray[np.float32]:
    """Return the coordinates (x, y) of each pixel, (height, width, 2)."""
    grid = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack(grid, axis=-1).astype(np.float32)


def _square(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    squares: NDArray[np.float32] = np.square(vectors).sum(-1)
    return squares


def _opencv() -> Any:
    """Return the module of OpenCV, limited to one thread.

    Raises LibraryError if it cannot be loaded.
    """
    cv2 = library("cv2")
    cv2.setNumThreads(1)
    return cv2
