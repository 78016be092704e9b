"""The masks that a command line names, by what they are for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stylewatch_daemon.errors import InputError, UsageError
from stylewatch_daemon.store.journal import MASK

NONE = "none"
"""Stands for a style without a mask."""


@dataclass(frozen=True)
class Masks:
    """`content` is that of the photograph; `styles` are those of the styles, or NONE, in order."""

    content: Path | None = None
    styles: tuple[str, ...] = ()

    def by_role(self, count: int, repeated: Mapping[str, Path] | None = None) -> dict[str, Path]:
        """The masks of a photograph and `count` styles by their roles: `content-mask` and so on.

        Where one side is not said, it has the masks of what is `repeated`. Raises UsageError for
        more masks than styles, InputError for one that is not there.
        """
        if len(self.styles) > count:
            raise UsageError(
                f"--style-mask is given {len(self.styles)} times for {count} styles: "
                f"give one for each, or `{NONE}`"
            )
        said = {} if self.content is None else {f"content{MASK}": self.content}
        for number, name in enumerate(self.styles, start=1):
            if name != NONE:
                said[f"style-{number}{MASK}"] = Path(name)
        for path in said.values():
            check_there(path)
        return {**self._left(repeated or {}), **said}

    def _left(self, repeated: Mapping[str, Path]) -> dict[str, Path]:
        """Of the masks that are repeated those that nothing else is said of."""
        beaten = ("content",) * (self.content is not None) + ("style",) * bool(self.styles)
        return {role: path for role, path in repeated.items() if not role.startswith(beaten)}


def check_there(path: Path) -> None:
    """Raise InputError where there is no file at `path`."""
    if not path.is_file():
        what = "is a folder, not a picture" if path.is_dir() else "is not there"
        raise InputError(f"{path} {what}")
