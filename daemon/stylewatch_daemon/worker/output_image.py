"""Encoding of a job's pictures, with the colors or parts that they keep from the content."""

from dataclasses import dataclass

from stylewatch_daemon.settings.job import JobSettings
from stylewatch_painter.images.color import lightness, with_lightness
from stylewatch_painter.images.encode import CLEAR, Rounding, encode
from stylewatch_painter.images.masks import kept_outside
from stylewatch_painter.images.metadata import NO_TAGS, Tags
from stylewatch_painter.images.read import Picture
from stylewatch_painter.images.resize import resize, resize_plane
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Pixels, Plane, Regions

STAGE_SIDE = 2048
"""Maximum long side of a stage in pixels; the final image always has its full size."""


@dataclass(frozen=True, eq=False)
class OutputImage:
    """Encoder of the pictures of one job; `content` is the content image, if any.

    `regions` are float32 (height, width, R), 0..1, in any size. Outside of them, the pictures show
    the content itself; with None, no part of it.
    """

    settings: JobSettings
    content: Picture | None
    rounding: Rounding = "round"
    regions: Regions | None = None

    def final(self, picture: Pixels) -> bytes:
        """Return `picture`, (height, width, 3), as the bytes of an image file, in full size.

        Raises SaveError if the format cannot hold it, and DivergedError if it is not finite.
        """
        return encode(
            self.shown(picture),
            format=self.settings.format,
            quality=self.settings.quality,
            rounding=self.rounding,
            depth=self.settings.depth,
            alpha=self._alpha(Size.of(picture)),
            tags=self._tags.kept(self.settings.metadata),
        )

    def shown(self, picture: Pixels) -> Pixels:
        """Return `picture`, (height, width, 3), with the colors and parts kept from the content."""
        size = Size.of(picture)
        if self.content is None:
            return picture
        photograph = self.content.pixels
        if self.settings.color in ("content", "luminance"):
            picture = with_lightness(resize(photograph, size), lightness(picture))
        if self.regions is not None:
            picture = kept_outside(picture, resize(photograph, size), self.regions)
        return picture

    def stage(self, picture: Pixels) -> bytes:
        """Return `picture` as the bytes of an image file, reduced to STAGE_SIDE if necessary.

        Raises as `final` does.
        """
        return self.final(resize(picture, self._stage_size(picture)))

    def is_full_size(self, picture: Pixels) -> bool:
        """Return whether the stage of `picture` is written without a reduction."""
        return self._stage_size(picture) == Size.of(picture)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on properties of the content that the files lack."""
        warnings: list[str] = []
        format = self.settings.format
        if self.content is not None and self.content.alpha is not None and format not in CLEAR:
            warnings.append(f"{format} does not support transparency: the painting is on white")
        lost = "is damaged" if self._tags.damaged else ""
        lost = "is packed by Brotli, which is not read" if self._tags.packed else lost
        if lost and self.settings.metadata != "none":
            warnings.append(f"the photograph's EXIF {lost}: the files contain nothing of it")
        elif format == "tiff" and self._tags.kept(self.settings.metadata).exif():
            warnings.append("tiff does not get the photograph's EXIF: png and jpg do")
        return tuple(warnings)

    def _stage_size(self, picture: Pixels) -> Size:
        size = Size.of(picture)
        return size if size.long <= STAGE_SIDE else size.times(STAGE_SIDE / size.long)

    def _alpha(self, size: Size) -> Plane | None:
        if self.content is None or self.content.alpha is None:
            return None
        # a filter that does not overshoot, so that nothing becomes visible beside a hard edge
        return resize_plane(self.content.alpha, size)

    @property
    def _tags(self) -> Tags:
        return NO_TAGS if self.content is None else self.content.tags
