"""Clips, which are films or animated pictures: their description, their frames, their limits."""

from dataclasses import dataclass
from fractions import Fraction

from stylewatch_painter.errors import PictureError
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Bytes

LONGEST = 86_400
"""Maximum length of a clip in seconds, one day; a longer one has a damaged timestamp."""

LARGEST_FRAME = 250_000_000
"""Maximum number of pixels in a frame."""


@dataclass(frozen=True)
class ClipLimits:
    """Upper limits of a clip: the pixels of a frame, and the number of frames."""

    max_pixels: int
    max_frames: int

    @property
    def most(self) -> int:
        """Maximum number of pixels in a frame, which is decoded as a whole."""
        return min(self.max_pixels, LARGEST_FRAME)


@dataclass(frozen=True)
class Clip:
    """A description of a clip, from its file.

    `size` is that of a frame, upright, with square pixels. `times` are the start times of the
    frames and the end time of the last one, in seconds on the file's clock. `converted` has a
    phrase for each conversion of the pictures, `warnings` have sentences, without the name of the
    file, about what may be wrong with it.
    """

    size: Size
    times: tuple[Fraction, ...]
    converted: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.times) - 1

    @property
    def seconds(self) -> Fraction:
        """Length of the clip in seconds."""
        return self.times[-1] - self.times[0]


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a clip: its `number`, from 0, and its `pixels`, uint8 (height, width, 3), sRGB.

    `is_damaged` is True if the frame's picture cannot be decoded, and another picture replaces it.
    `is_doubtful` is True if the frame, or one that it is based on, was decoded with complaints.
    """

    number: int
    pixels: Bytes
    is_damaged: bool = False
    is_doubtful: bool = False


CLOCK = 5_760_000
"""Ticks per second of written films. All usual frame rates of films and screens divide it, or 1,001
times it."""


def check_length(count: int, seconds: Fraction, limits: ClipLimits) -> None:
    """Raise PictureError for a `count` of frames above the limit, or `seconds` above LONGEST."""
    if count > limits.max_frames:
        raise PictureError(
            f"has more than {limits.max_frames:,} frames, which is the limit (limits.max_frames):"
            " cut it into parts"
        )
    if seconds > LONGEST:
        raise PictureError(
            f"is {float(seconds):,.1f} s long; the limit is {LONGEST:,} s: cut it into parts"
        )
