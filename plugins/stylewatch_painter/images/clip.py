"""Clips (films and animated pictures): descriptions, frames and limits."""

from dataclasses import dataclass
from fractions import Fraction

from stylewatch_painter.errors import PictureError
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Bytes

LONGEST = 86_400
"""Maximum length of a clip in seconds: one day. A longer clip has a damaged timestamp."""

LARGEST_FRAME = 250_000_000
"""Maximum number of pixels in a frame."""


@dataclass(frozen=True)
class ClipLimits:
    """Upper limits of a clip: the pixels of a frame, and the number of frames."""

    max_pixels: int
    max_frames: int

    @property
    def most(self) -> int:
        """Maximum number of pixels in a frame: `max_pixels`, but at most LARGEST_FRAME."""
        return min(self.max_pixels, LARGEST_FRAME)


@dataclass(frozen=True)
class Clip:
    """Description of a clip.

    `size` is the size of a frame, upright, with square pixels. `times` are the start times of the
    frames and the end time of the last one, in seconds on the file's clock. `converted` has a
    phrase for each conversion of the frames. `warnings` has sentences about possible faults of the
    file, without the file's name.
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
    `is_doubtful` is True if FFmpeg reported damage in the frame, or in an earlier frame since the
    last key frame.
    """

    number: int
    pixels: Bytes
    is_damaged: bool = False
    is_doubtful: bool = False


CLOCK = 5_760_000
"""Maximum clock rate of a written film, in ticks per second. At every usual frame rate of films and
screens, including rates such as 30000/1001, a frame lasts a whole number of ticks."""


def check_length(count: int, seconds: Fraction, limits: ClipLimits) -> None:
    """Raise PictureError if `count` exceeds `limits.max_frames`, or `seconds` exceeds LONGEST."""
    if count > limits.max_frames:
        raise PictureError(
            f"has more than {limits.max_frames:,} frames, which is the limit (limits.max_frames):"
            " cut it into parts"
        )
    if seconds > LONGEST:
        raise PictureError(
            f"is {float(seconds):,.1f} s long; the limit is {LONGEST:,} s: cut it into parts"
        )
