"""`stylewatch show JOB`: the story of a job, from the ledger and from its receipt."""

import json as json_
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.client import Daemon, StateFolder, daemon
from stylewatch_daemon.cli.console import say, say_json
from stylewatch_daemon.cli.follow import painting
from stylewatch_daemon.errors import UsageError
from stylewatch_daemon.files.disk_space import amount
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.model import JobState
from stylewatch_daemon.outbox.publish import RECEIPT
from stylewatch_daemon.store.ledger import Entry, Ledger
from stylewatch_daemon.views.formatting import columns, losses
from stylewatch_daemon.views.formatting import size as in_pixels
from stylewatch_painter.validation import nearest

Job = Annotated[
    str, typer.Argument(metavar="JOB", help="Its name in the outbox or in the inbox, or its id.")
]

NEARBY = 1000
"""How many of the latest jobs a name that there is not is compared with."""

Story = dict[str, Any]
"""The ledger's entry of a job, with `attempts`, its `running` and its `receipt` if it has them."""


def show(
    job: Job,
    config_file: options.Config = None,
    state: StateFolder = None,
    json: options.AsJson = False,
) -> None:
    """Tell the story of a job: how it stands, its attempts, pictures, settings, losses, files."""
    story = story_of(daemon(config_file, state), job)
    if json:
        say_json(story)
    else:
        say("\n\n".join(_told(story)))


def story_of(here: Daemon, job: str) -> Story:
    """All that is known of `job`; raises UsageError where there is none, with the nearest name."""
    with here.ledger() as ledger:
        entry = entry_of(ledger, job)
        attempts = ledger.story(entry.id) if ledger else ()
        story = {**asdict(entry), "attempts": [asdict(one) for one in attempts]}
    said = (here.published() or {}).get("running", []) if here.is_at_work() else []
    story["running"] = next((one for one in said if one["job"] == entry.place), None)
    return {**story, "receipt": _receipt(entry)}


def entry_of(ledger: Ledger | None, job: str) -> Entry:
    """What the `ledger` has of `job`; raises UsageError where that is nothing."""
    entry = ledger.find(job) if ledger else None
    if entry is None:
        raise UsageError(_unknown(job, ledger))
    return entry


def _unknown(job: str, ledger: Ledger | None) -> str:
    latest = ledger.latest(*JobState, limit=NEARBY) if ledger else []
    names = {one.place or one.name for one in latest}
    if not names:
        return f"there is no job {job!r}, nor any other yet"
    return nearest(job, names, "job")


def _receipt(entry: Entry) -> Mapping[str, Any] | None:
    if entry.place is None:
        return None
    try:
        plain = json_.loads(Path(entry.outbox, entry.place, RECEIPT).read_bytes())
    except (OSError, ValueError):
        return None
    return plain if isinstance(plain, dict) else None


def _told(story: Story) -> Iterator[str]:
    yield columns([(what, text) for what, text in _facts(story) if text])
    if story["attempts"]:
        yield _table("attempts", [_attempt(one) for one in story["attempts"]])
    receipt = story["receipt"] or {}
    entered = [one for one in story["inputs"] if one.get("role") != "job"]
    pictures = receipt.get("inputs") or entered
    yield _table("pictures", [_input(one) for one in pictures])
    settings = _flat(receipt.get("recipe") or story["settings"] or {})
    if settings:
        yield _table("settings", [(key, _line(value)) for key, value in settings])
    if "sweep" in receipt:
        told = [(one["name"], one["state"]) for one in receipt["jobs"]]
        yield _table("jobs", [(shown(name), shown(state)) for name, state in told])
    elif receipt:
        yield f"losses:\n{_indented(losses(receipt['losses']))}"
        yield _table("files", [(one,) for one in _files(receipt)])


def _facts(story: Story) -> Iterator[tuple[str, str]]:
    yield "job", shown(story["place"] or story["name"])
    yield "id", story["id"]
    yield "state", story["state"]
    yield "painting", painting(story["running"]) if story["running"] else ""
    yield "reason", _line(story["reason"])
    yield "retry of", shown(story["retry_of"])
    yield "inbox", shown(story["inbox"])
    folder = story["refused_as"] or story["place"]
    yield "folder", shown(Path(story["outbox"], folder)) if folder else ""
    yield "entered", story["entered"]
    yield "finished", story["finished"] or ""
    yield "dismissed", "yes" if story["dismissed"] else ""


def _attempt(attempt: Mapping[str, Any]) -> Sequence[str]:
    on = f"{attempt['backend']} ({attempt['device']})" if attempt["device"] else attempt["backend"]
    if attempt["together"] > 1:
        on = f"{on}, {attempt['together']} at once"
    went_on = f"from step {attempt['step']}" if attempt["step"] else ""
    how = attempt["how"] if attempt["ended"] else "not ended"
    return (attempt["started"], on, went_on, how, _line(attempt["reason"]))


def _input(one: Mapping[str, Any]) -> Sequence[str]:
    size = in_pixels(one["size"]) if isinstance(one["size"], list) else amount(one["size"])
    return (shown(one["name"]), size, one.get("sha256") or "")


def _files(receipt: Mapping[str, Any]) -> Iterator[str]:
    """The files of a painting, in its folder; each once."""
    stages = (one["file"] for one in receipt["stages"])
    files = (one["file"] for one in receipt["files"])
    yield from dict.fromkeys([*stages, receipt["final"], *files, RECEIPT])


def _flat(plain: Mapping[str, Any], around: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by their dotted names, without those that say nothing."""
    for key, value in plain.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{around}{key}.")
        elif value is not None and value != {}:
            yield f"{around}{key}", value


def _table(title: str, rows: Sequence[Sequence[str]]) -> str:
    return f"{title}:\n{_indented(columns(rows))}"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _line(value: object) -> str:
    """`value` on one line, without what would mislead a reader."""
    return "; ".join(shown(line) for line in str(value).split("\n"))
