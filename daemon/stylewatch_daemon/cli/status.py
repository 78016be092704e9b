"""`stylewatch status`: running jobs, the queue, incomplete pairs, refusals, and the daemon."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.exit_codes import echo, echo_json
from stylewatch_daemon.cli.jobs import open_ledger, state_folder
from stylewatch_daemon.cli.progress import running_text
from stylewatch_daemon.outbox import status_json
from stylewatch_daemon.outbox.status_txt import ASIDE
from stylewatch_daemon.store.control import PAUSED
from stylewatch_daemon.views.formatting import columns

REFRESH_EVERY = 0.5
"""Seconds between two updates with `--watch`; the daemon writes its status as often."""

Status = Mapping[str, Any]
"""The status of the daemon, in the form of `status.json`."""

Rows = Sequence[Sequence[str]]


def status(
    config_file: options.Config = None,
    state: options.State = None,
    json: options.AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Update until Ctrl-C.")] = False,
) -> None:
    """Show running jobs, the queue, incomplete pairs, refused jobs and the daemon's state."""
    folder = state_folder(config_file, state)
    if not watch:
        _print(current_status(folder), folder, json)
        return
    with _display(folder, json) as show:
        while True:
            show(current_status(folder))
            time.sleep(REFRESH_EVERY)


def current_status(state: Path) -> Status:
    """Return what the daemon last published, corrected by its ledger if it no longer runs."""
    running = status_json.is_at_work(state)
    published = {**status_json.nothing(), **(status_json.read(state) or {})}
    paused = (state / PAUSED).exists()
    published["health"] = {**published["health"], "at_work": running, "paused": paused}
    if running:
        return published
    with open_ledger(state) as ledger:
        counts = ledger.counts() if ledger else dict(published["counts"])
    counts["waiting"] += counts["running"]  # interrupted: they continue at the next start
    return {**published, "counts": {**counts, "running": 0}, "running": []}


def _print(now: Status, state: Path, json: bool) -> None:
    if json:
        echo_json(now)
    elif sys.stdout.isatty():
        from rich.console import Console

        Console().print(*_tables(now, state), sep="\n")
    else:
        parts = [
            "\n".join([f"{title}:", *(f"  {line}" for line in columns(rows).splitlines())])
            for title, rows in _sections(now)
        ]
        echo("\n\n".join([_daemon(now["health"], state), _counts(now), *parts]))


@contextmanager
def _display(state: Path, json: bool) -> Iterator[Callable[[Status], None]]:
    """Yield the function that shows each new status; Ctrl-C ends the display normally."""
    try:
        if json or not sys.stdout.isatty():
            latest: dict[str, Any] = {}

            def print_changes(now: Status) -> None:
                nonlocal latest
                content = {key: value for key, value in now.items() if key != "at"}
                if content != latest:
                    latest = content
                    _print(now, state, json)

            yield print_changes
            return
        from rich.console import Group
        from rich.live import Live

        with Live(auto_refresh=False) as live:
            yield lambda now: live.update(Group(*_tables(now, state)), refresh=True)
    except KeyboardInterrupt:
        return


def _tables(now: Status, state: Path) -> Iterator[Any]:
    """Yield the status as tables of rich; Text is not parsed as markup."""
    from rich.table import Table
    from rich.text import Text

    yield Text(_daemon(now["health"], state))
    yield Text(_counts(now))
    for title, rows in _sections(now):
        table = Table(title=title, title_justify="left", show_header=False, expand=True)
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        yield table


def _sections(now: Status) -> Iterator[tuple[str, Rows]]:
    more = now["counts"]["waiting"] - len(now["waiting"])
    waiting = [[name] for name in now["waiting"]]
    aside = now["health"].get("set_aside", 0)
    sections: dict[str, Rows] = {
        "running": [[job["job"], running_text(job), job["device"]] for job in now["running"]],
        "queue": [*waiting, *([[f"... and {more} more"]] if waiting and more else [])],
        "incomplete": [[pair["name"], pair["waits_for"]] for pair in now["incomplete"]],
        "problems": [[_line(text)] for text in now["health"]["trouble"]],
        "set aside": [[f"{aside} {ASIDE}"]] if aside else [],
        "refused or failed": [[job["job"], _line(job["reason"])] for job in now["refused"]],
        "notes": [[_line(text)] for text in now["health"].get("notes", ())],
    }
    yield from ((title, rows) for title, rows in sections.items() if rows)


def _daemon(health: Mapping[str, Any], state: Path) -> str:
    paused = "; paused: no new job is started until `stylewatch resume`" if health["paused"] else ""
    if not health["at_work"]:
        return f"no daemon is running with the state folder {state}{paused}"
    if health["since"] is None:
        return f"a daemon is starting with the state folder {state}"
    scans = "; no file events, scans replace them" if health["observer"] is False else ""
    return (
        f"stylewatch {health['version']} is running with the state folder {state} "
        f"since {health['since']}, process {health['pid']}{paused}{scans}"
    )


def _counts(now: Status) -> str:
    return ", ".join(f"{count} {what}" for what, count in now["counts"].items())


def _line(text: str) -> str:
    return "; ".join(text.splitlines())
