"""What `color` does to the pictures of a job before they are painted."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_painter.images.color import Spread, gray, lit_like, luminance, recolored
from stylewatch_painter.images.read import Picture
from stylewatch_painter.stage import Pixels


@dataclass(frozen=True, eq=False)
class Coloring:
    """The colors that are asked for, and the photograph whose colors they go by."""

    settings: JobSettings
    content: Picture | None

    @classmethod
    def of(cls, settings: JobSettings, content: Picture | None, styles: int) -> "Coloring":
        """The coloring of a job with so many styles.

        Raises SettingsError where pictures are missing that it is about.
        """
        wanted = settings.color
        if wanted != "style" and content is None:
            raise SettingsError(f"color: {wanted} goes by a photograph, and there is none")
        if wanted == "match" and not styles:
            raise SettingsError("color: match recolors the styles, and there are none")
        return cls(settings, content)

    def painted(self, pixels: Pixels) -> Pixels:
        """What is painted in place of the photograph, or of a picture to start from."""
        if self.settings.color != "luminance":
            return pixels
        space = self.settings.color_space
        return gray(luminance(pixels, space), space)

    def style(self, style: Picture) -> Picture:
        """The style as it is painted after, with what was done to it told."""
        color, space, content = self.settings.color, self.settings.color_space, self.content
        if color not in ("match", "luminance") or content is None:
            return style
        if color == "luminance":
            pixels = lit_like(style.pixels, content.pixels, space, (style.alpha, content.alpha))
            said = f"reduced to its luminance, like the content's in mean and deviation ({space})"
        else:
            own = Spread.of(style.pixels, space, style.alpha)
            pixels = recolored(style.pixels, own, self._spread, space)
            said = f"recolored by mean and covariance of the content's colors ({space})"
        return replace(style, pixels=pixels, converted=(*style.converted, said))

    def digest(self, style: Picture) -> str:
        """What tells the style, as it is painted after, from all others."""
        color, space, content = self.settings.color, self.settings.color_space, self.content
        if color not in ("match", "luminance") or content is None:
            return style.sha256
        told = f"{style.sha256} {color} {space} {content.sha256}"
        return hashlib.sha256(told.encode()).hexdigest()

    @cached_property
    def _spread(self) -> Spread:
        if self.content is None:
            raise ValueError("there is no photograph to go by")
        return Spread.of(self.content.pixels, self.settings.color_space, self.content.alpha)
