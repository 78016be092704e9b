"""Settings of a job's output: its formats, its names in the outbox, and additional files."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from stylewatch_daemon.base.errors import InputError
from stylewatch_daemon.files.names import FINAL, safe, safe_path
from stylewatch_painter.recipes.recipe import SomeSteps, Strict

FORMATS = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".webp": "webp", ".tif": "tiff",
           ".tiff": "tiff", ".mp4": "mp4", ".webm": "webm", ".mkv": "mkv"}  # fmt: skip
"""Formats of pictures and clips by file extension."""

_DEEP_BITS, _DEEP_FORMATS = 16, ("png", "tiff")
"""Number of bits per channel that only these formats support."""

# Artifacts

ARTIFACTS = ("losses.png", "progress.webp", "progress.gif", "sheet.png")
ARTIFACT_WORDS = dict(zip(("losses", "progress", "gif", "sheet"), ARTIFACTS, strict=True))
"""Artifact files by their short names."""

_Artifact = Literal["losses", "progress", "gif", "sheet",
                    "losses.png", "progress.webp", "progress.gif", "sheet.png"]  # fmt: skip
Artifacts = Annotated[
    tuple[_Artifact, ...],
    AfterValidator(lambda names: tuple(dict.fromkeys(ARTIFACT_WORDS.get(n, n) for n in names))),
]
"""Files drawn from a job's record, each once, in the order in which they are named."""

# Names in the outbox, such as `{folder}/{stem}-{style}`

NAME_FIELDS = ("name", "folder", "content", "stem", "style", "recipe", "seed")
"""Fields that a pattern can contain in braces."""

LONGEST_PATH = 2000
"""Maximum bytes of a folder's path in the outbox; systems allow about 4,000 from the root."""

_LONGEST_PATTERN, _MOST_PARTS = 500, 16
"""Maximum number of characters of a pattern, and of its parts between slashes."""

_FIELD = re.compile(r"\{(\w*)\}")
_BRACE = re.compile(r"\{[^{}]*\}?|\}")


def _check_pattern(pattern: str) -> str:
    known = [f"{{{name}}}" for name in NAME_FIELDS]
    for field in _BRACE.findall(pattern):
        if field not in known:
            raise ValueError(f"{field} is unknown; the fields are {', '.join(known)}")
    if not pattern.strip():
        raise ValueError(f"a name is required, such as {known[0]}")
    if len(pattern) > _LONGEST_PATTERN or pattern.count("/") >= _MOST_PARTS:
        raise ValueError(
            f"a name has at most {_LONGEST_PATTERN} characters and {_MOST_PARTS} parts between "
            "slashes"
        )
    return pattern


def _check_file_pattern(pattern: str) -> str:
    if "/" in pattern or "\\" in pattern:
        raise ValueError(
            "this names a file in the job's folder, not a folder: `name` names folders, and "
            "`finals` of an inbox links the final images side by side"
        )
    extension = PurePosixPath(pattern).suffix
    if extension.lower() in FORMATS:
        raise ValueError(f"`format` sets the extension: leave {extension} out")
    return _check_pattern(pattern)


def name_fields(
    name: str, main: Path, styles: Sequence[Path], *, recipe: str, seed: int
) -> dict[str, str]:
    """Return the values of the NAME_FIELDS for a job called `name` with the main image `main`."""
    parent = PurePosixPath(name).parent.as_posix()
    return {
        "name": name,
        "folder": "" if parent == "." else parent,
        "content": main.stem,
        "stem": main.stem,
        "style": styles[0].stem if styles else "",
        "recipe": Path(recipe).stem,
        "seed": str(seed),
    }


def fill_folder(pattern: str, fields: Mapping[str, str]) -> str:
    """Fill in the pattern of a folder's path and make it safe.

    Empty parts are dropped; an empty path becomes the job's name. Raises InputError if the path is
    too long.
    """
    path = safe_path(_fill(pattern, fields) or fields["name"])
    if len(path.encode()) > LONGEST_PATH:
        raise InputError(
            f"its folder in the outbox would have a path of {len(path.encode())} bytes; the limit "
            f"is {LONGEST_PATH}: shorten `name`, or the names of its parent folders"
        )
    return path


def fill_file(pattern: str, fields: Mapping[str, str]) -> str:
    """Fill in a file's name without extension and make it safe: `a/b` becomes `a_b`."""
    return safe(_fill(pattern, fields) or FINAL)


def _fill(pattern: str, fields: Mapping[str, str]) -> str:
    return _FIELD.sub(lambda field: fields[field[1]], pattern).strip(" /")


# The settings


class ClipSettings(Strict):
    """The output of a job whose content is a clip."""

    format: Literal["mp4", "webm", "mkv"] = "mp4"
    """`mp4`: H.264, which every browser plays; `webm`: VP9; `mkv`: FFV1, lossless."""


class OutputSettings(Strict):
    """The files that a job writes."""

    format: Literal["png", "jpg", "webp", "tiff"] = "png"
    quality: Annotated[int, Field(ge=1, le=100)] = 92
    depth: Literal[8, 16] = 8
    metadata: Literal["none", "safe", "all"] = "safe"
    clip: ClipSettings = ClipSettings()
    name: Annotated[str, AfterValidator(_check_pattern)] = "{name}"
    """Pattern of the folder in the outbox, with `/` between its parts."""
    final: Annotated[str, AfterValidator(_check_file_pattern)] = FINAL
    """Pattern of the name of the final image, without extension."""
    artifacts: Artifacts = ()
    save_every: SomeSteps | None = None

    @model_validator(mode="after")
    def _check_depth(self) -> "OutputSettings":
        if self.depth == _DEEP_BITS and self.format not in _DEEP_FORMATS:
            raise ValueError(
                f"depth: {self.depth} is for {' and '.join(_DEEP_FORMATS)}, and format is "
                f"{self.format}: set depth: 8, or another format"
            )
        return self
