"""The style library: the folder of style pictures that jobs can name."""

from collections import Counter
from pathlib import Path

from stylewatch_daemon.base.errors import SettingsError
from stylewatch_daemon.files.names import PICTURE_SUFFIXES
from stylewatch_daemon.settings.sections import Pairing


def find_styles(folder: Path, wanted: str) -> dict[str, Path]:
    """Return the pictures in `folder`, by name: the one called `wanted`, or each one for `all`.

    Names are without suffixes, except those of pictures that differ in nothing else. Raises
    OSError where the folder cannot be read.
    """
    if not folder.is_dir():
        return {}
    pictures = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix[1:].casefold() in PICTURE_SUFFIXES
        and not path.stem.casefold().endswith(".mask")
        and path.is_file()
    ]
    if wanted != "all":
        return {p.stem: p.resolve() for p in pictures if wanted in (p.stem, p.name)}
    stems = Counter(path.stem for path in pictures)
    return {p.stem if stems[p.stem] == 1 else p.name: p.resolve() for p in pictures}


def check_default_style(pairing: Pairing) -> None:
    """Raise SettingsError where the style library does not have the default style."""
    default = pairing.default_style
    try:
        is_missing = default is not None and not find_styles(pairing.styles, default)
    except OSError as error:
        raise SettingsError(
            f"the style library {pairing.styles} cannot be read: {error.strerror}"
        ) from error
    if is_missing:
        raise SettingsError(
            f"pairing.default_style is {default!r}, and there is no such picture in the style "
            f"library {pairing.styles}"
        )
