"""What a job may be told to keep, by the names of the files: `losses.png`, and `losses` as well."""

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

Keepsake = Literal["losses.png", "progress.webp", "progress.gif", "sheet.png"]

FILES: tuple[Keepsake, ...] = get_args(Keepsake)
SHORT: dict[str, Keepsake] = {
    "losses": "losses.png",
    "progress": "progress.webp",
    "gif": "progress.gif",
    "sheet": "sheet.png",
}
"""Each in one word."""


def _whole(name: Any) -> Any:
    """The file that a word stands for."""
    return SHORT.get(name, name) if isinstance(name, str) else name


def _each_once(names: tuple[Keepsake, ...]) -> tuple[Keepsake, ...]:
    return tuple(dict.fromkeys(names))


Keep = Annotated[
    tuple[
        Annotated[
            Keepsake,
            BeforeValidator(_whole),
            WithJsonSchema({"enum": [*FILES, *SHORT]}),
        ],
        ...,
    ],
    AfterValidator(_each_once),
]
"""Keepsakes, each once, in the order in which they are named."""
