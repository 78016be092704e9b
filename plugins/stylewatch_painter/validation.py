"""Readable descriptions of mistakes in settings: place, value, and what was likely meant."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import groupby, islice
from reprlib import Repr
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError

Location = tuple[str | int, ...]

MOST = 20
"""Maximum number of mistakes that are listed; the others are counted."""

LONGEST = 1000
"""Maximum length of a message, in characters."""

_REASON = ", (unable to .*|got a number with a fractional part)"
"""Pattern for the end of pydantic's messages about values that cannot be converted."""

_WORDS: Mapping[str, str] = {
    "a valid string": "text",
    "a valid tuple": "a list, such as [a, b]",
    "a valid boolean": "yes or no",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "could not parse value and unit from byte string": "should be an amount, such as 4GB",
}
"""Phrases of pydantic's messages, mapped to plain ones."""

_BOOLEANS = {
    True: "yes, on or true, which YAML reads as true",
    False: "no, off or false, which YAML reads as false",
}
"""Spellings of each boolean in YAML; the parsed value no longer shows which one was used."""

_log = logging.getLogger(__name__)
_repr = Repr()
_repr.maxlevel = 3
_repr.maxdict = _repr.maxlist = _repr.maxtuple = 10
_repr.maxstring = _repr.maxlong = _repr.maxother = 100


class _Hidden:
    """Placeholder for a value that may be secret."""

    def __repr__(self) -> str:
        return "something that is not shown here"


@dataclass(frozen=True)
class Mistake:
    """One mistake; `where` is the path to the value through mappings and lists.

    `loc` is the path of what is wrong, which includes an unknown key.
    """

    where: Location
    sentence: str
    loc: Location = ()

    def __str__(self) -> str:
        place = ".".join(str(part) for part in self.where)
        return brief(f"{place}: {self.sentence}" if place else self.sentence)


def brief(text: str) -> str:
    """Shorten `text` in the middle to LONGEST characters."""
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]} ... {text[-half:]}"


def quoted(value: object) -> str:
    """Return `repr(value)`, shortened."""
    try:
        return _repr.repr(value)
    except ValueError:  # Python refuses to write integers of more than 4,300 digits
        return "a number with thousands of digits"


@contextmanager
def refusing(kind: type[Exception], what: str, *expected: type[Exception]) -> Iterator[None]:
    """Convert an unforeseen error to `kind`, with the message "`what` cannot be used".

    Errors of type `kind`, the `expected` errors, OSError and MemoryError are not converted.
    """
    handled: tuple[type[Exception], ...] = (kind, *expected, OSError, MemoryError)
    try:
        yield
    except handled:
        raise
    except Exception as error:
        _log.debug("%s cannot be used", what, exc_info=True)
        raise kind(brief(f"{what} cannot be used: {type(error).__name__}: {error}")) from error


def nearest(name: str, known: Iterable[str], what: str = "key", most: int | None = None) -> str:
    """Describe an unknown name, with the closest known name or up to `most` known names."""
    names = sorted(known)
    in_lower_case = {known_name.casefold(): known_name for known_name in names}
    for near in get_close_matches(name.casefold(), in_lower_case, n=1, cutoff=0.6):
        return f"unknown {what} {quoted(name)}; did you mean {in_lower_case[near]!r}?"
    more = "" if most is None or len(names) <= most else f" and {len(names) - most} more"
    return f"unknown {what} {quoted(name)}; there are {', '.join(names[:most])}{more}"


def mistakes(error: ValidationError, model: type[BaseModel]) -> Iterator[Mistake]:
    """Yield up to MOST mistakes in a mapping that `model` refused, and count the others."""
    groups = groupby(error.errors(include_url=False), lambda error_: _walk(model, error_["loc"])[0])
    for _, (details, *others) in islice(groups, MOST):
        path, models = _walk(model, details["loc"])
        if any(map(_has_secrets, models)):
            details["input"] = _Hidden()
        shown = tuple("..." if "://" in str(part) else part for part in path)
        for other in others:  # the other members of a union
            details["msg"] += f" or {_simplified(other['msg']).removeprefix('should be ')}"
        yield replace(_mistake(details, shown, model), loc=path)
    rest = [next(details)["loc"] for _, details in groups]
    if rest:
        yield Mistake((), f"there are {len(rest)} more mistakes", rest[0])


def _mistake(details: Any, path: Location, model: type[BaseModel]) -> Mistake:
    """Describe an error of pydantic at `path`."""
    *around, last = path or ("",)
    where, sentence = tuple(around) if last == "[key]" else path, _plainly(details)
    match details["type"]:
        case "missing":
            where, sentence = tuple(around), f"{last} is missing"
        case "extra_forbidden":
            where = tuple(around)
            _, models = _walk(model, details["loc"][:-1])
            known = {name for candidate in models for name in candidate.model_fields}
            sentence = nearest(str(last), known)
        case "literal_error" if last == "[key]":
            *around, key = around
            where, sentence = tuple(around), nearest(str(key), _names_in(details, "expected"))
        case "union_tag_invalid":
            tags = _names_in(details, "expected_tags")
            sentence = nearest(str(details["ctx"]["tag"]), tags, "kind")
        case "union_tag_not_found":
            sentence = "kind is missing"
        case "model_type" | "dict_type" | "model_attributes_type":
            sentence = f"should be keys with their values, got {quoted(details['input'])}"
    return Mistake(where, sentence)


def _plainly(details: Any) -> str:
    """Return pydantic's message in plain words, with the value."""
    text = _simplified(details["msg"])
    if details["type"] == "value_error" and isinstance(details["input"], Mapping):
        return text  # the message is about a combination of keys
    advice = ": put it in quotes, in a shell as '\"...\"'" * (details["type"] == "string_type")
    given = details["input"]
    written = _BOOLEANS[given] if isinstance(given, bool) else quoted(given)
    return f"{text}, got {written}{advice}"


def _simplified(message: str) -> str:
    """Return pydantic's message in plain words, without its prefix and capital letter."""
    text = re.sub(f"^(Value error, |Input (?=should))|{_REASON}", "", message)
    for words, plain in _WORDS.items():
        text = text.replace(words, plain)
    return text[0].lower() + text[1:]


def _names_in(details: Any, field: str) -> list[str]:
    """Return the names in a field of the form `'a', 'b' or 'c'`."""
    return re.findall("'([^']*)'", details["ctx"][field])


def _walk(model: type[BaseModel], where: Location) -> tuple[Location, list[type[BaseModel]]]:
    """Return `where` as in the user's file, and the models that the types allow at that place.

    Pydantic adds a step for the tag of a union, or for the member of a union without a tag; the
    file has no such step.
    """
    path: list[str | int] = []
    models, chooses = [model], False
    for part in where:
        kinds = [(candidate, candidate.model_fields.get("kind")) for candidate in models]
        if tagged := [c for c, kind in kinds if kind and part in get_args(kind.annotation)]:
            models = tagged
            continue
        if chooses:
            chooses = False
            continue
        path.append(part)
        fields = [
            candidate.model_fields[str(part)]
            for candidate in models
            if part in candidate.model_fields
        ]
        chooses = any(_is_choice(field.annotation) for field in fields)
        inner = [inner_model for field in fields for inner_model in _models_in(field.annotation)]
        models = inner or models
    return tuple(path), models


def _is_choice(annotation: object) -> bool:
    """Return whether an annotation is a union of plain types, such as a number or a string."""
    members = [member for member in get_args(annotation) if member is not NoneType]
    if get_origin(annotation) is Annotated or len(members) == 1:
        return _is_choice(members[0])
    return get_origin(annotation) in (Union, UnionType) and not [*_models_in(annotation)]


def _has_secrets(model: type[BaseModel]) -> bool:
    """Return whether a field of `model` is or contains a secret."""
    fields = [field.annotation for field in model.model_fields.values()]
    return any(SecretStr in (kind, *get_args(kind)) for kind in fields)


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
