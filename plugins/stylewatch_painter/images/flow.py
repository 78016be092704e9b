"""Optical flow between the frames of a clip, and what painted frames show of a later one.

Dense inverse search (Kroeger, Timofte, Dai, Van Gool 2016, arXiv 1603.03590), as in OpenCV. A
displacement is float32 (height, width, 2), in pixels right and down. Everything runs on one
thread, because OpenCV's flow depends on their number.
"""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylewatch_painter.stage import Bytes, Pixels, Plane

Displacement = NDArray[np.float32]

_LEAST_SIDE = 32
"""Pixels of the side below which dense inverse search has no patches."""

_SAME, _OTHER = 12.0, 36.0
"""Mean differences of colors (0..255), moved to the same place, up to which two frames show the
same, and from which they show something else."""

_LEFT_OUT = 0.02
"""Share of a frame that may stay unknown without a look at older frames."""

_LEAST_KNOWN = 0.25
"""Share of a frame that earlier ones must show; below it a scene begins."""


@dataclass(frozen=True, eq=False)
class Reference:
    """An earlier frame: as it was in the clip, and painted, in the same size.

    `maturity` is uint8 (height, width): the part, in 255ths, of a still picture's steps that each
    place has been through since it came into view.
    """

    frame: Bytes
    painted: Bytes
    maturity: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Known:
    """The part of a frame that earlier painted frames show.

    `picture` is float32 (height, width, 3), 0..255. The others are float32 (height, width), 0..1:
    `shown`, where earlier frames look the same; `trust`, where they are also known to show the same
    thing; the `maturity` of what they show.
    """

    picture: Pixels
    shown: Plane
    trust: Plane
    maturity: Plane

    @property
    def is_cut(self) -> bool:
        """True if a scene begins with the frame."""
        return float(self.trust.mean()) < _LEAST_KNOWN


def known(frame: Bytes, references: Iterable[Reference]) -> Known:
    """Move painted `references` to `frame`, the first one wherever it shows something.

    What later ones add are the long-term terms of Ruder, Dosovitskiy, Brox 2016 (arXiv
    1604.08610), section 4.1: each counts only where those before it know nothing.
    """
    height, width, _ = frame.shape
    shown, trust, maturity = np.zeros((3, height, width), np.float32)
    picture = np.zeros((height, width, 3), np.float32)
    for reference in references:
        if 1 - shown.mean() <= _LEFT_OUT:
            break
        forward = displacement(frame, reference.frame)
        backward = displacement(reference.frame, frame)
        alike = likeness(frame, reference.frame, forward)
        share = alike * (1 - shown)
        picture += share[..., None] * _sampled(reference.painted, forward, "cubic")
        maturity += share * (_sampled(reference.maturity, forward, "linear") / 255)
        trust += share * consistent(forward, backward)
        shown += share
    covered = np.maximum(shown, np.float32(1e-6))
    picture /= covered[..., None]
    return Known(picture, shown, trust, maturity)


def recolored(frame: Pixels, reference: Reference) -> Pixels:
    """The frame, float32 (height, width, 3), with colors as those of the painted reference.

    The affine map of colors is the one that takes the reference nearest to its painting.
    """
    ends = np.concatenate([reference.frame, np.full_like(reference.frame[..., :1], 255)], axis=-1)
    before, after = (
        x.reshape(-1, x.shape[-1]).astype(np.float64) for x in (ends, reference.painted)
    )
    colors = np.linalg.lstsq(before.T @ before, before.T @ after, rcond=1e-6)[0]
    picture: Pixels = (frame @ colors[:3] + 255 * colors[3]).clip(0, 255).astype(np.float32)
    return picture


def displacement(source: Bytes, target: Bytes) -> Displacement:
    """Where in `target` each pixel of `source` is, relative to its own place."""
    if min(source.shape[:2]) < _LEAST_SIDE:
        return np.zeros((*source.shape[:2], 2), np.float32)
    cv2 = _opencv()
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    gray = [cv2.cvtColor(np.ascontiguousarray(x), cv2.COLOR_RGB2GRAY) for x in (source, target)]
    flow: Displacement = search.calc(*gray, None)
    return flow


def consistent(forward: Displacement, backward: Displacement) -> NDArray[np.bool_]:
    """Where forward and backward flow cancel out, away from the edges of a motion.

    Sundaram, Brox, Keutzer 2010; Ruder et al., equations (5) and (6). The constants are larger
    than theirs, as dense inverse search is less exact than the flow that they used.
    """
    back = _sampled(backward, forward, "linear")
    away, home = _square(forward), _square(back)
    slope = _square(np.diff(forward, axis=0, append=forward[-1:]))
    slope = slope + _square(np.diff(forward, axis=1, append=forward[:, -1:]))
    returns = _square(forward + back) <= 0.01 * (away + home) + 0.5
    whole: NDArray[np.bool_] = returns & (slope <= 0.01 * away + 0.1)
    return whole


def likeness(source: Bytes, target: Bytes, forward: Displacement) -> Plane:
    """How much `source` looks like `target` where `forward` leads; 0 outside of `target`."""
    height, width, _ = source.shape
    places = _places(height, width) + forward
    inside = np.all((places >= 0) & (places <= (width - 1, height - 1)), axis=-1)
    difference = np.abs(_sampled(target, forward, "linear") - source).mean(-1)
    mean = _opencv().blur(difference, (3, 3))
    plane: Plane = (inside * np.clip((_OTHER - mean) / (_OTHER - _SAME), 0, 1)).astype(np.float32)
    return plane


def _sampled(picture: NDArray[Any], forward: Displacement, filter_: str) -> NDArray[np.float32]:
    """The values of `picture` at the places that `forward` leads to."""
    cv2 = _opencv()
    places = _places(*forward.shape[:2]) + forward
    method = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}[filter_]
    x, y = np.ascontiguousarray(places[..., 0]), np.ascontiguousarray(places[..., 1])
    values: NDArray[np.float32] = cv2.remap(
        picture.astype(np.float32), x, y, method, borderMode=cv2.BORDER_REPLICATE
    )
    return values


@lru_cache(maxsize=1)
def _places(height: int, width: int) -> NDArray[np.float32]:
    """The coordinates (x, y) of each pixel, (height, width, 2)."""
    grid = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack(grid, axis=-1).astype(np.float32)


def _square(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    squares: NDArray[np.float32] = np.square(vectors).sum(-1)
    return squares


def _opencv() -> Any:
    """OpenCV, which `clip.inspect` has made sure of."""
    cv2 = importlib.import_module("cv2")
    cv2.setNumThreads(1)
    return cv2
