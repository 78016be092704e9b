"""The tables of a report: what was done, with what, and how it went."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stylewatch_daemon.cli.html.painted import Painted
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.views.formatting import duration, terms
from stylewatch_daemon.views.formatting import size as in_pixels


@dataclass(frozen=True)
class Table:
    """A table with its title and, where it has any, the names of its columns."""

    title: str
    rows: Sequence[Sequence[str]]
    head: Sequence[str] = ()


def subtitle(painted: Painted) -> str:
    """In a line, what it is."""
    receipt = painted.receipt
    told = [
        f"recipe {receipt.recipe.get('name', '?')}",
        f"{in_pixels(receipt.size)} pixels",
        f"{receipt.backend.name} on {receipt.backend.device}",
        duration(receipt.seconds),
        _when(receipt.finished),
    ]
    return " · ".join(shown(one) for one in told)


def tables(painted: Painted) -> Iterator[Table]:
    """All tables, the most telling ones first; none is empty."""
    receipt = painted.receipt
    found = [
        Table("Made with", list(_made_with(painted))),
        Table("Inputs", [_input(one.model_dump()) for one in receipt.inputs],
              ("role", "name", "pixels", "done on reading", "SHA-256")),
        Table("Losses", list(_losses(receipt.losses.model_dump(exclude_none=True))),
              ("term", "value", "weight", "value x weight")),
        Table("Attempts", list(_attempts(painted)),
              ("started", "backend", "went on from", "how it ended", "why")),
        Table("Settings of the recipe", list(_settings(receipt.recipe))),
        Table("Files", [(shown(file), digest) for file, digest in _files(painted)],
              ("file", "SHA-256")),
    ]  # fmt: skip
    return (_filled(one) for one in found if one.rows)


def _filled(table: Table) -> Table:
    """Without the columns in which nothing stands."""
    kept = [number for number, column in enumerate(zip(*table.rows, strict=True)) if any(column)]
    return Table(
        table.title,
        [[row[number] for number in kept] for row in table.rows],
        [table.head[number] for number in kept] if table.head else (),
    )


def flat(plain: Mapping[str, Any], around: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by their dotted names, without those that say nothing."""
    for key, value in plain.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{around}{key}.")
        elif value not in (None, {}, [], ()):
            yield f"{around}{key}", value


def _settings(recipe: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    return ((key, _line(value)) for key, value in flat(recipe))


def _made_with(painted: Painted) -> Iterator[tuple[str, str]]:
    receipt = painted.receipt
    backend, weights = receipt.backend, receipt.weights
    yield "job", painted.name
    yield "state", receipt.state
    yield "recipe", _line(receipt.recipe.get("about") or receipt.recipe.get("name", ""))
    yield "backend", f"{backend.name} {backend.version}, {backend.device}, {backend.precision}"
    if weights:
        yield "weights", f"{weights.name}, {weights.bits} bits, {weights.sha256}"
    yield "seed", str(receipt.seed)
    if receipt.color:
        yield "colors", f"{receipt.color.mode}, in {receipt.color.space}"
    if receipt.retry_of:
        yield "paints again", shown(receipt.retry_of)
    yield "started", _when(receipt.started)
    yield "finished", _when(receipt.finished)
    yield "took", duration(receipt.seconds)
    yield "stylewatch", receipt.version


def _input(one: Mapping[str, Any]) -> Sequence[str]:
    converted = "; ".join(map(str, one["converted"]))
    return one["role"], shown(one["name"]), in_pixels(one["size"]), converted, one["sha256"]


def _losses(plain: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Each term, and the total last."""
    yield from terms(plain)
    yield "total", "", "", f"{plain['total']:.6g}"


def _attempts(painted: Painted) -> Iterator[Sequence[str]]:
    """As the ledger knows them, or else the receipt."""
    if painted.story and painted.story["attempts"]:
        for one in painted.story["attempts"]:
            on = f"{one['backend']} ({one['device']})" if one["device"] else one["backend"]
            step = f"step {one['step']}" if one["step"] else "the beginning"
            how = one["how"] if one["ended"] else "not ended"
            yield _when(one["started"]), on, step, how, _line(one["reason"])
        return
    for said in painted.receipt.attempts:
        how, _, why = said.ended.partition(": ")
        on = f"{said.backend} ({said.device})" if said.device else said.backend
        yield "", on, "", how, _line(why)


def _files(painted: Painted) -> Iterator[tuple[str, str]]:
    yield from ((one.file, one.sha256) for one in painted.receipt.stages)
    yield from ((one.file, one.sha256) for one in painted.receipt.files)


def _when(time: datetime | str) -> str:
    """To the second, in UTC."""
    try:
        at = datetime.fromisoformat(time) if isinstance(time, str) else time
    except ValueError:
        return shown(time)
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _line(value: object) -> str:
    """`value` on one line; a list without its brackets."""
    if isinstance(value, list | tuple):
        return "; ".join(_line(one) for one in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_line(inner)}" for key, inner in value.items())
    return "; ".join(shown(line) for line in str(value).split("\n"))
