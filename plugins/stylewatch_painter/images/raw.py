"""Development of camera raw, the values of a sensor, by LibRaw (the extra `raw`)."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylewatch_painter.errors import PictureError
from stylewatch_painter.installation import install_command, library
from stylewatch_painter.size import Size

BYTES = 20
"""Bytes per pixel that developing takes: LibRaw's four values of 16 bits, and the picture."""

DEVELOPED = "camera raw developed to sRGB, with the white balance of the camera"
"""Phrase for a developed picture."""

_CURVE = (2.4, 12.92)
"""Power and slope of sRGB's curve, as LibRaw takes them."""

_SWAPPED = (5, 6)
"""LibRaw's codes of directions for pictures that it turns by 90 degrees."""


@contextmanager
def _opened(data: bytes) -> Iterator[Any]:
    if find_spec("rawpy") is None:
        raise PictureError(
            f"is camera raw, which needs an extra: {install_command('raw')}, or export it as JPEG"
        )
    rawpy = library("rawpy")
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            yield raw
    except rawpy.LibRawFileUnsupportedError as error:
        raise PictureError(
            "is camera raw of a kind that LibRaw cannot develop; export it as JPEG"
        ) from error
    except rawpy.LibRawError as error:  # whose text is in bytes
        said = error.args[0] if error.args else ""
        said = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        raise PictureError(f"is cut off or damaged ({said}); copy or export it again") from error


def size(data: bytes) -> Size:
    """Return the size of the developed picture, upright, without developing it.

    Raises PictureError if the extra is missing, or if LibRaw cannot develop the file.
    """
    with _opened(data) as raw:
        developed = Size(raw.sizes.iwidth, raw.sizes.iheight)
        return developed.turned if raw.sizes.flip in _SWAPPED else developed


def develop(data: bytes, *, half: bool = False) -> NDArray[np.uint16]:
    """Return the picture, uint16 (height, width, 3), sRGB, upright, or at `half` its size.

    LibRaw chooses the exposure: the brightest hundredth of the pixels becomes white. Raises
    PictureError if the extra is missing, or if LibRaw cannot develop the file, and LibraryError if
    LibRaw cannot be loaded.
    """
    with _opened(data) as raw:
        pixels: NDArray[np.uint16] = raw.postprocess(
            use_camera_wb=True, output_bps=16, gamma=_CURVE, half_size=half
        )
        return pixels
