"""The laws of a row: one value or one sentence on all ways, in our words, with its place."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.surface.table import ANY, REFUSED, Row, settings
from tests.surface.ways import Answer, ways, without_place

FOREIGN = re.compile(
    r"pydantic|validat|<class|\btuple\b|\bdict\b|NoneType|\bNone\b|\bTrue\b|\bFalse\b|Traceback"
    r"|Error\b|\bstr\b|\bfloat\b|\bint\b|bytes? string|\binput\b|pathlib|PosixPath|instance of"
    r"|\bpath_type\b|regex|pattern_|\bitems? after\b|object at 0x"
    r"|Could not\b|\b(home|temporary) director"
)
"""Words of libraries."""


TEXTS = {setting.key for setting in settings() if not setting.types & {int, float, bool}}
_NO_TEXT = re.compile(r"~|null|yes|['\[{]|[0-9.]+$")


def answers(folder: Path, row: Row) -> dict[str, Answer]:
    """Return what each way makes of a row."""
    found = {name: way(folder, row.key, row.text) for name, way in ways(row.key).items()}
    if row.key in TEXTS and _NO_TEXT.match(row.text):  # text, where quotes are not needed
        found = {name: each for name, each in found.items() if name not in ("option", "form")}
    if row.key == "job.recipe" and row.text.endswith(".yaml"):  # only who starts it names files
        found = {name: each for name, each in found.items() if name not in ("job.yaml", "form")}
    return found


def breaches(row: Row, found: Mapping[str, Answer]) -> Iterator[str]:
    """Yield how the answers to a row break a law."""
    values = {name: each.value for name, each in found.items() if not each.said}
    said = {name: each for name, each in found.items() if each.said}
    if values and said:
        name, other = next(iter(values)), next(iter(said))
        yield f"{name} takes it as {values[name]!r}, {other}: {said[other].said[0]}"
    if len({repr(value) for value in values.values()}) > 1:
        yield f"different values: {values}"
    if len({frozenset(each.sentences[:1]) for each in said.values()}) > 1:
        yield f"different sentences: { {name: each.said for name, each in said.items()} }"
    yield from _wrong_value(row, values)
    for name, answer in said.items():
        if len({*map(_place_of, answer.said)}) < len(answer.said):
            yield f"{name} says {len(answer.said)} sentences: {answer.said}"
        if words := FOREIGN.search(" ".join(answer.sentences)):
            yield f"{name} says {words[0]!r}: {answer.said}"
        is_of_recipe = ": recipe " in answer.said[0]  # of several settings together
        if name in ("config.yaml", "job.yaml") and not is_of_recipe | (" line " in answer.said[0]):
            yield f"{name} gives no line: {answer.said[0]}"


def _place_of(sentence: str) -> str:
    return sentence.removesuffix(without_place(sentence))


def _wrong_value(row: Row, values: Mapping[str, Any]) -> Iterator[str]:
    if row.value is ANY:
        return
    if row.value is REFUSED:
        if values:
            yield f"{next(iter(values))} takes it as {next(iter(values.values()))!r}"
    elif not values:
        yield f"it is refused, and means {row.value!r}"
    else:
        for name, value in values.items():
            if value != row.value:
                yield f"{name} takes it as {value!r}, and it means {row.value!r}"
