"""Says what is wrong with settings, in sentences: where, what was met, what was likely meant."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import groupby, islice
from reprlib import Repr
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError

Location = tuple[str | int, ...]

MOST = 20
"""Mistakes that are listed; the others are counted."""

LONGEST = 1000
"""Characters of one message."""

_log = logging.getLogger(__name__)
_repr = Repr()
_repr.maxlevel = 3
_repr.maxdict = _repr.maxlist = _repr.maxtuple = 10
_repr.maxstring = _repr.maxlong = _repr.maxother = 100


class _Hidden:
    """Stands for a value that is met where secrets are."""

    def __repr__(self) -> str:
        return "something that is not shown here"


@dataclass(frozen=True)
class Mistake:
    """One mistake: `where` is the path to the value through mappings and lists.

    `loc` is pydantic's own, which leads on to a key that is not known.
    """

    where: Location
    sentence: str
    loc: Location = ()

    def __str__(self) -> str:
        place = ".".join(str(part) for part in self.where)
        return brief(f"{place}: {self.sentence}" if place else self.sentence)


def brief(text: str) -> str:
    """`text`, its middle left out where it is longer than LONGEST."""
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]} ... {text[-half:]}"


def quoted(value: object) -> str:
    """`value` as Python writes it, shortened."""
    try:
        return _repr.repr(value)
    except ValueError:  # Python refuses to write integers of more than 4,300 digits
        return "a number with thousands of digits"


@contextmanager
def refusing(kind: type[Exception], what: str, *expected: type[Exception]) -> Iterator[None]:
    """Raise `kind` for an unforeseen error: `what` cannot be used.

    Errors that the caller handles pass: `kind` itself, the `expected` ones, trouble of the system.
    """
    handled: tuple[type[Exception], ...] = (kind, *expected, OSError, MemoryError)
    try:
        yield
    except handled:
        raise
    except Exception as error:
        _log.debug("%s cannot be used", what, exc_info=True)
        raise kind(brief(f"{what} cannot be used: {type(error).__name__}: {error}")) from error


RENAMED: Mapping[str, str] = {
    "keep": "artifacts",
    "tell": "events",
}
"""Old keys of recipes and jobs, and their new names."""


def nearest(name: str, known: Iterable[str], what: str = "key") -> str:
    """`unknown key 'stepps'; did you mean 'steps'?`, or the whole choice where nothing is near."""
    names = sorted(known)
    if (renamed := RENAMED.get(name)) in names:
        return f"unknown {what} {quoted(name)}; it is now called {renamed!r}"
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"unknown {what} {quoted(name)}; did you mean {near[0]!r}?"
    return f"unknown {what} {quoted(name)}; there are {', '.join(names)}"


def mistakes(error: ValidationError, model: type[BaseModel]) -> Iterator[Mistake]:
    """The mistakes that checking a mapping against `model` found; MOST of them, and a count."""
    alike = groupby(error.errors(include_url=False), lambda one: _walk(model, one["loc"])[0])
    for _, (found, *others) in islice(alike, MOST):
        way, models = _walk(model, found["loc"])
        if any(map(_has_secrets, models)):
            found["input"] = _Hidden()
            way = tuple("..." if "://" in str(part) else part for part in way)
        for other in others:  # it is not the one that it may be, and not the other
            found["msg"] += f" or {other['msg'].removeprefix('Input should be ').partition(',')[0]}"
        yield _mistake(found, way, model)
    rest = [next(found)["loc"] for _, found in alike]
    if rest:
        yield Mistake((), f"there are {len(rest)} more mistakes", rest[0])


def _mistake(found: Any, way: Location, model: type[BaseModel]) -> Mistake:
    """What pydantic found at `way`, in its own words or better ones."""
    *around, last = way or ("",)
    where, sentence = tuple(around) if last == "[key]" else way, _plainly(found)
    match found["type"]:
        case "missing":
            where, sentence = tuple(around), f"{last} is missing"
        case "extra_forbidden":
            where = tuple(around)
            sentence = nearest(str(last), _fields_at(model, found["loc"][:-1]))
        case "literal_error" if last == "[key]":
            *around, key = around
            where, sentence = tuple(around), nearest(str(key), _names_in(found, "expected"))
        case "union_tag_invalid":
            tags = _names_in(found, "expected_tags")
            sentence = nearest(str(found["ctx"]["tag"]), tags, "kind")
        case "union_tag_not_found":
            sentence = "kind is missing"
        case "model_type" | "dict_type" | "model_attributes_type":
            sentence = f"should be keys with their values, got {quoted(found['input'])}"
    return Mistake(where, sentence, found["loc"])


def _plainly(found: Any) -> str:
    """Pydantic's finding, without its preface and with a small first letter, and what was met."""
    text = str(found["msg"]).removeprefix("Value error, ")
    text = text[0].lower() + text[1:]
    if found["type"] == "value_error" and isinstance(found["input"], Mapping):
        return text  # it is about how the keys go together
    return f"{text}, got {quoted(found['input'])}"


def _names_in(found: Any, field: str) -> list[str]:
    """The names in a field that reads `'a', 'b' or 'c'`."""
    return re.findall("'([^']*)'", found["ctx"][field])


def _fields_at(model: type[BaseModel], where: Location) -> set[str]:
    """The keys that belong at `where`: of every model that the types allow there."""
    _, models = _walk(model, where)
    return {name for one in models for name in one.model_fields}


def _walk(model: type[BaseModel], where: Location) -> tuple[Location, list[type[BaseModel]]]:
    """`where` as the writer has it, and the models that the types allow there.

    A union's tag, which picks its member, is a step to pydantic and none in the file; so is the
    member itself where there is no tag.
    """
    way: list[str | int] = []
    models, chooses = [model], False
    for part in where:
        if tagged := [one for one in models if part in _tags(one)]:
            models = tagged
            continue
        if chooses:
            chooses = False
            continue
        way.append(part)
        fields = [one.model_fields[str(part)] for one in models if part in one.model_fields]
        chooses = any(_is_choice(field.annotation) for field in fields)
        inner = [found for field in fields for found in _models_in(field.annotation)]
        models = inner or models
    return tuple(way), models


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    """What the field `kind` of a union's member may say."""
    kind = model.model_fields.get("kind")
    return () if kind is None else get_args(kind.annotation)


def _is_choice(annotation: object) -> bool:
    """Whether it is one of several plain things, as a number or a word."""
    members = [one for one in get_args(annotation) if one is not NoneType]
    if get_origin(annotation) is Annotated or len(members) == 1:
        return _is_choice(members[0])
    return get_origin(annotation) in (Union, UnionType) and not [*_models_in(annotation)]


def _has_secrets(model: type[BaseModel]) -> bool:
    """Whether a field of `model` is, or holds, what nobody is to see."""
    fields = [field.annotation for field in model.model_fields.values()]
    return any(SecretStr in (one, *get_args(one)) for one in fields)


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
