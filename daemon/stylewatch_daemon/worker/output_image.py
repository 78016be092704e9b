"""From what was painted to a file: with all that is to be the photograph's, as its colors."""

from collections.abc import Iterator
from dataclasses import dataclass

from stylewatch_daemon.settings.job import JobSettings
from stylewatch_painter.images.color import luminance, with_luminance
from stylewatch_painter.images.encode import CLEAR, Beside, Rounding, encode
from stylewatch_painter.images.masks import kept_outside
from stylewatch_painter.images.metadata import UNTOLD, Tags
from stylewatch_painter.images.read import Picture
from stylewatch_painter.images.resize import resize, resize_plane
from stylewatch_painter.stage import Pixels, Plane, Regions


@dataclass(frozen=True, eq=False)
class Dress:
    """What the files of one painting have in common; `content` is the photograph, if any.

    Where there are `regions`, (height, width, R) 0..1 in any size, it is itself to be seen outside
    of them.
    """

    settings: JobSettings
    content: Picture | None
    rounding: Rounding = "round"
    regions: Regions | None = None

    def final(self, painted: Pixels) -> bytes:
        """The file of a painting (height, width, 3), whole. Raises SaveError."""
        size = (painted.shape[1], painted.shape[0])
        return encode(
            self._kept(self._colored(painted, size), size),
            format=self.settings.format,
            quality=self.settings.quality,
            rounding=self.rounding,
            depth=self.settings.depth,
            beside=Beside(self._alpha(size), self._tags),
        )

    def stage(self, painted: Pixels) -> bytes:
        """The file of a stage, as large as stages may be. Raises SaveError."""
        return self.final(resize(painted, self._size_of_stage(painted)))

    def is_whole(self, painted: Pixels) -> bool:
        """Whether a stage is as large as the painting."""
        return self._size_of_stage(painted) == (painted.shape[1], painted.shape[0])

    @property
    def warnings(self) -> Iterator[str]:
        """Sentences on what the files do not have that one might expect."""
        if self._has_alpha and self.settings.format not in CLEAR:
            yield f"{self.settings.format} holds no transparency: the painting is laid over white"
        if self._told.damaged and self.settings.metadata != "none":
            yield "the photograph's EXIF is damaged: nothing of it is in the files"

    def _size_of_stage(self, painted: Pixels) -> tuple[int, int]:
        height, width, _ = painted.shape
        most = self.settings.stages.size
        if most is None or max(width, height) <= most:
            return width, height
        scale = most / max(width, height)
        return max(1, round(width * scale)), max(1, round(height * scale))

    def _colored(self, painted: Pixels, size: tuple[int, int]) -> Pixels:
        color, space = self.settings.color, self.settings.color_space
        if color not in ("content", "luminance") or self.content is None:
            return painted
        return with_luminance(resize(self.content.pixels, size), luminance(painted, space), space)

    def _kept(self, colored: Pixels, size: tuple[int, int]) -> Pixels:
        if self.regions is None or self.content is None:
            return colored
        return kept_outside(colored, resize(self.content.pixels, size), self.regions)

    def _alpha(self, size: tuple[int, int]) -> Plane | None:
        if self.content is None or self.content.alpha is None:
            return None
        # By a filter that does not overshoot: nothing becomes visible beside a hard edge.
        return resize_plane(self.content.alpha, size, "bilinear")

    @property
    def _has_alpha(self) -> bool:
        return self.content is not None and self.content.alpha is not None

    @property
    def _told(self) -> Tags:
        return UNTOLD if self.content is None else self.content.tags

    @property
    def _tags(self) -> Tags:
        return self._told.kept(self.settings.metadata)
