"""Readable descriptions of mistakes in settings: place, value, and likely correction."""

import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
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
"""Number of characters to which `brief` cuts a longer message."""

_WHOLE = "should be a whole number"
_LIST = "should be a list, such as [a, b]"
_AMOUNT = "should be an amount, such as 4GB"
_SENTENCES: Mapping[str, str] = {
    "string_type": "should be text",
    "string_unicode": "should be text",
    "string_too_short": "should not be empty",
    "string_too_long": "should have at most {max_length} characters",
    "path_type": "should be a path",
    "string_pattern_mismatch": "should have the form {pattern}",
    "tuple_type": _LIST,
    "list_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "too_short": "should have at least {min_length} of them",
    "too_long": "should have at most {max_length} of them",
    "bool_type": "should be yes or no",
    "bool_parsing": "should be yes or no",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "int_parsing_size": "is too large",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
    "multiple_of": "should be a multiple of {multiple_of}",
    "finite_number": "should be a finite number",
    "byte_size": _AMOUNT,
    "byte_size_unit": _AMOUNT,
    "invalid_key": "keys should be text",
    "dict_type": "should be keys with their values",
    "model_type": "should be keys with their values",
    "model_attributes_type": "should be keys with their values",
}
"""Sentences by the type of an error of pydantic, whose own messages name types of Python."""

_AS_THEY_ARE = frozenset(
    {
        "value_error",  # ours
        *("greater_than", "greater_than_equal", "less_than", "less_than_equal", "literal_error"),
        *("missing", "extra_forbidden", "union_tag_invalid", "union_tag_not_found"),
    }
)
"""Types of errors whose own message is shown, or that `_mistake` describes."""

_YAML_WORDS = {
    None: "null",
    True: "yes, on or true, which YAML reads as true",
    False: "no, off or false, which YAML reads as false",
}
"""Spellings in YAML of null and of each boolean: a parsed value no longer shows its spelling."""

_URL, _COMMAND = re.compile("://"), re.compile(r"://|\s")
"""Patterns for parts of a path that may hold a secret and are shown as `...`: the first one for all
paths, the second one for paths that begin with a secret key."""

_log = logging.getLogger(__name__)
_repr = Repr()
_repr.maxlevel = 3
_repr.maxdict = _repr.maxlist = _repr.maxtuple = 10
_repr.maxstring = _repr.maxlong = _repr.maxother = 100


class _Hidden:
    """Placeholder for a value that may be secret."""

    def __repr__(self) -> str:
        return "something that is not shown here"


class MisfitError(ValueError):
    """A value does not fit the value of the key `other` in the same mapping.

    The message covers both values.
    """

    def __init__(self, message: str, other: str) -> None:
        super().__init__(message)
        self.other = other


@dataclass(frozen=True)
class Mistake:
    """A mistake in settings, described for the user.

    `where` is the path to show, with parts that may be secret replaced by `...`. For a missing or
    unknown key it is the path of the mapping around the key. `sentence` says what is wrong. `loc`
    is the path of the value or key itself, with nothing replaced. `other` is the path of a second
    value that conflicts with it, or empty.
    """

    where: Location
    sentence: str
    loc: Location = ()
    other: Location = ()

    def __str__(self) -> str:
        place = ".".join(str(part) for part in self.where)
        return brief(f"{place}: {self.sentence}" if place else self.sentence)


def brief(text: str) -> str:
    """Return `text`, cut in the middle to LONGEST characters if it is longer."""
    left_out = " ... "
    half = (LONGEST - len(left_out)) // 2
    return text if len(text) <= LONGEST else f"{text[:half]}{left_out}{text[-half:]}"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message; the name of its type if the message is empty."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def in_one_line(error: BaseException) -> str:
    """Return the type of an error and the first line of its message, if there is a message."""
    kind = type(error).__name__
    line = first_line(error)
    return kind if line == kind else f"{kind}: {line}"


def quoted(value: object) -> str:
    """Return `repr(value)`, shortened."""
    try:
        return _repr.repr(value)
    except ValueError:  # Python refuses to write integers of more than 4,300 digits
        return "a number with thousands of digits"


@contextmanager
def refusing(kind: type[Exception], what: str, *expected: type[Exception]) -> Iterator[None]:
    """Raise unforeseen errors of the block as `kind`, with the message "`what` cannot be used".

    The message also has the original error. Errors of type `kind`, the `expected` errors, OSError
    and MemoryError pass unchanged. The traceback of a converted error is logged at level DEBUG.
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
    """Return a message about the unknown `name` of a `what`, with the suggestion of `instead`."""
    return f"unknown {what} {quoted(name)}; {instead(name, known, most)}"


def instead(name: str, known: Iterable[str], most: int | None = None) -> str:
    """Return a suggestion of the known name that is most similar to an unknown `name`.

    If none is similar, the suggestion lists up to `most` known names, or all of them if `most` is
    None.
    """
    names = sorted(known)
    close = closest(name, names)
    if close is not None:
        return f"did you mean {close!r}?"
    more = "" if most is None or len(names) <= most else f" and {len(names) - most} more"
    return f"there are {', '.join(names[:most]) or 'none'}{more}"


def closest(name: str, names: Iterable[str]) -> str | None:
    """Return which of `names` a misspelled `name` probably stands for; None if none is similar."""
    by_lower_case = {candidate.casefold(): candidate for candidate in names}
    close = get_close_matches(name.casefold(), by_lower_case, n=1)
    return by_lower_case[close[0]] if close else None


def mistakes(
    error: ValidationError, model: type[BaseModel], secret: Collection[str] = ()
) -> Iterator[Mistake]:
    """Yield up to MOST mistakes, and then one that counts the remaining mistakes, if any.

    `error` is the result of validating a mapping by `model`. Values are hidden in models with
    secrets and below the `secret` keys of the mapping.
    """
    groups = groupby(_errors(error), lambda error_: _walk(model, error_["loc"])[0])
    for path, (details, *others) in islice(groups, MOST):  # others: of the same union
        is_secret = bool(path) and path[0] in secret
        _, models = _walk(model, details["loc"])
        if is_secret or any(map(_has_secrets, models)):
            details["input"] = _Hidden()
        hidden = _COMMAND if is_secret else _URL
        shown = tuple("..." if hidden.search(str(part)) else part for part in path)
        alternatives = (sentence_of(each).removeprefix("should be ") for each in others)
        text = " or ".join([sentence_of(details), *alternatives])
        misfit = _misfit(details)
        other = () if misfit is None else (*path[:-1], misfit.other)
        yield replace(_mistake(details, text, shown, model), loc=path, other=other)
    rest = [next(details)["loc"] for _, details in groups]
    if rest:
        yield Mistake((), f"there are {len(rest)} more mistakes", rest[0])


def _errors(error: ValidationError) -> Iterator[Any]:
    """Yield pydantic's errors, except `too_short` for a list whose items have errors as well."""
    found = error.errors(include_url=False)
    around = {each["loc"][:end] for each in found for end in range(len(each["loc"]))}
    return (each for each in found if each["type"] != "too_short" or each["loc"] not in around)


def _mistake(details: Any, text: str, path: Location, model: type[BaseModel]) -> Mistake:
    """Return the Mistake for an error of pydantic, whose value is at `path`.

    Its sentence is `text` with the wrong value. If a key or a kind is missing or unknown, the
    sentence names that key or kind instead. For a key, `where` is then the mapping around it.
    """
    *around, last = path or ("",)
    where = tuple(around) if last == "[key]" else path
    sentence = _with_value(text, details)
    match details["type"]:
        case "missing":
            where = tuple(around)
            sentence = f"{last} is missing"
        case "extra_forbidden":
            where = tuple(around)
            _, models = _walk(model, details["loc"][:-1])
            names = {name for candidate in models for name in candidate.model_fields}
            sentence = nearest(str(last), names)
        case "literal_error" if last == "[key]":
            *around, key = around
            where = tuple(around)
            sentence = nearest(str(key), _names_in(details, "expected"))
        case "union_tag_invalid":
            tags = _names_in(details, "expected_tags")
            sentence = nearest(str(details["ctx"]["tag"]), tags, "kind")
        case "union_tag_not_found":
            sentence = "kind is missing"
    return Mistake(where, sentence)


def _misfit(details: Any) -> MisfitError | None:
    error = details.get("ctx", {}).get("error")
    return error if isinstance(error, MisfitError) else None


def _with_value(text: str, details: Any) -> str:
    """Return the sentence `text` about an error of pydantic, with the wrong value appended.

    Nothing is appended to a sentence about a combination of keys.
    """
    of_several = details["type"] == "value_error" and isinstance(details["input"], Mapping)
    if of_several or _misfit(details):
        return text  # the message is about a combination of keys
    advice = ": put it in quotes, in a shell as '\"...\"'" * (details["type"] == "string_type")
    value = details["input"]
    is_word = value is None or isinstance(value, bool)
    written = _YAML_WORDS[value] if is_word else quoted(value)
    return f"{text}, got {written}{advice}"


def sentence_of(details: Any) -> str:
    """Return a sentence about an error of pydantic, in plain words and without a capital letter.

    `details` is an item of `ValidationError.errors()`. For an unknown type of error, the sentence
    is `cannot be used`, and the error is logged at level DEBUG.
    """
    kind = details["type"]
    context = details.get("ctx", {})
    if isinstance(context.get("error"), UnicodeError):
        return "should be text in Unicode"
    if kind in _SENTENCES:
        return _SENTENCES[kind].format(**context)
    if kind not in _AS_THEY_ARE:
        _log.debug("there is no sentence for %s: %s", kind, details["msg"])
        return "cannot be used"
    text = re.sub("^(Value error, |Input (?=should))", "", details["msg"])
    return text[0].lower() + text[1:]


def _names_in(details: Any, field: str) -> list[str]:
    """Return the names in a field of the error's context, which has the form `'a', 'b' or 'c'`."""
    return re.findall("'([^']*)'", details["ctx"][field])


def _walk(model: type[BaseModel], loc: Location) -> tuple[Location, list[type[BaseModel]]]:
    """Return the path in the user's file to the value at `loc`, and the models allowed there.

    `loc` is pydantic's path. For each union on the way it has an extra step, the member that
    pydantic tried: the tag of a model, or the type of a plain value.

      ("schedule", "optimizer", "adam", "rate")  ->  ("schedule", "optimizer", "rate")
      ("tile", "literal['auto','none']")         ->  ("tile",)
    """
    path: list[str | int] = []
    models = [model]
    next_is_member = False  # of a union of plain types
    for step in loc:
        tagged = [candidate for candidate in models if step in _tags(candidate)]
        if tagged:
            models = tagged
            continue
        if next_is_member:
            next_is_member = False
            continue
        path.append(step)
        annotations = [
            candidate.model_fields[str(step)].annotation
            for candidate in models
            if step in candidate.model_fields
        ]
        next_is_member = any(map(_is_choice, annotations))
        # an index of a list, or a key of a mapping, is no field: the models stay those around it
        models = [inner for each in annotations for inner in _models_in(each)] or models
    return tuple(path), models


def _tags(model: type[BaseModel]) -> tuple[object, ...]:
    """Return the values that the field `kind` of `model` allows; empty without that field.

    A union chooses its member by this field.
    """
    kind = model.model_fields.get("kind")
    return () if kind is None else get_args(kind.annotation)


def _is_choice(annotation: object) -> bool:
    """Return whether an annotation is a union of several types, none of which contains a model.

    None is not counted as a member. `Annotated`, and any type with a single argument, is judged by
    its first argument.
    """
    members = [member for member in get_args(annotation) if member is not NoneType]
    if get_origin(annotation) is Annotated or len(members) == 1:
        return _is_choice(members[0])
    return get_origin(annotation) in (Union, UnionType) and not [*_models_in(annotation)]


def _has_secrets(model: type[BaseModel]) -> bool:
    """Return whether the annotation of a field of `model` is SecretStr, or has it as an argument.

    Types nested deeper, and the fields of inner models, are not searched.
    """
    fields = [field.annotation for field in model.model_fields.values()]
    return any(SecretStr in (kind, *get_args(kind)) for kind in fields)


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
