"""Settings in YAML, with the line of every mistake."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from stylewatch_daemon.base.errors import SettingsError
from stylewatch_painter import plain_yaml
from stylewatch_painter.plain_yaml import Document, YamlError
from stylewatch_painter.validation import Mistake, mistakes, refusing

Model = TypeVar("Model", bound=BaseModel)

SECRET = ("alerts", "hooks")
"""Sections with URLs and commands that may contain passwords: no message shows their values."""

LONGEST = 1_000_000
"""Maximum bytes of a file of settings."""


def content_of(path: Path) -> bytes:
    """Return the first LONGEST + 1 bytes of the file `path`; raises SettingsError."""
    try:
        with path.open("rb") as file:
            return file.read(LONGEST + 1)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from error


def parse_bytes(content: bytes, file_name: str, longest: int) -> Document:
    """Parse the bytes of the file `file_name`.

    Raises SettingsError if they are more than `longest` or not UTF-8, and as `parse` does.
    """
    if len(content) > longest:
        raise SettingsError(f"{file_name} is longer than {longest} bytes, the limit of settings")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file_name} is not text in UTF-8: save it as such") from error
    return parse(text, file_name)


def parse(text: str, file_name: str) -> Document:
    """Parse `text`, a mapping with text for keys; raises SettingsError if it is anything else."""
    with _as_settings():
        return plain_yaml.parse(text, file_name)


def value(text: str) -> Any:
    """Parse `text` as one YAML value, as for `--set KEY=`; SettingsError if it is not valid."""
    with _as_settings():
        return plain_yaml.value(text)


@contextmanager
def _as_settings() -> Iterator[None]:
    """Convert a YamlError to a SettingsError."""
    try:
        yield
    except YamlError as error:
        raise SettingsError(str(error)) from error


def check(
    model: type[Model], document: Document, context: Mapping[str, object] | None = None
) -> Model:
    """Return `document` as a `model`, whose validators get `context`.

    Raises SettingsError with every mistake at once, one line each.
    """
    with refusing(SettingsError, document.file_name):
        try:
            return model.model_validate(document.plain, context=context)
        except ValidationError as error:
            # Not chained: pydantic quotes the input, and settings hold secrets.
            mistakes = in_order(error, model, document)
            raise SettingsError(
                "\n".join(placed(mistake, document) for mistake in mistakes)
            ) from None


def in_order(error: ValidationError, model: type[BaseModel], document: Document) -> list[Mistake]:
    """Return the mistakes of `error` in `document`, sorted by their lines."""
    return sorted(mistakes(error, model, SECRET), key=lambda each: document.line(each.loc) or 0)


def placed(mistake: Mistake, document: Document) -> str:
    """Return a mistake with its place: `job.yaml line 3: steps: ...`."""
    return f"{document.place(mistake.loc)}: {mistake}"
