"""`stylewatch status`: what is painted, what waits and for what, and how the daemon is."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.client import Daemon, StateFolder, daemon
from stylewatch_daemon.cli.console import say, say_json
from stylewatch_daemon.cli.follow import painting
from stylewatch_daemon.outbox import status_json
from stylewatch_daemon.outbox.status_txt import ASIDE
from stylewatch_daemon.store.requests import PAUSED
from stylewatch_daemon.views.formatting import columns

Watch = Annotated[bool, typer.Option("--watch", "-w", help="Go on telling, until Ctrl-C.")]

REFRESH_EVERY = 0.5
"""Seconds between two looks with `--watch`; the daemon tells news as often."""

Standing = Mapping[str, Any]
"""How things stand, as `status.json` has it."""

Rows = Sequence[Sequence[str]]


def status(
    config_file: options.Config = None,
    state: StateFolder = None,
    json: options.AsJson = False,
    watch: Watch = False,
) -> None:
    """Tell what the daemon paints, what waits and for what, what was refused, and how it is."""
    here = daemon(config_file, state)
    if not watch:
        _told(standing(here), here.state, json)
        return
    with _showing(here.state, json) as show:
        while True:
            show(standing(here))
            time.sleep(REFRESH_EVERY)


def standing(here: Daemon) -> Standing:
    """How things stand: what the daemon said last, and if it is gone, what its ledger knows."""
    at_work = here.is_at_work()
    said = {**status_json.nothing(), **(here.published() or {})}
    paused = (here.state / PAUSED).exists()
    said["health"] = {**said["health"], "at_work": at_work, "paused": paused}
    if at_work:
        return said
    with here.ledger() as ledger:
        counts = ledger.counts() if ledger else dict(said["counts"])
    counts["waiting"] += counts["running"]  # cut off: it goes on at the next start
    return {**said, "counts": {**counts, "running": 0}, "running": []}


def _told(now: Standing, state: Path, json: bool) -> None:
    if json:
        say_json(now)
    elif sys.stdout.isatty():
        from rich.console import Console

        Console().print(*_tables(now, state), sep="\n")
    else:
        say(_text(now, state))


@contextmanager
def _showing(state: Path, json: bool) -> Iterator[Callable[[Standing], None]]:
    """Yield the function that shows each new status; Ctrl-C ends the display normally."""
    try:
        if json or not sys.stdout.isatty():
            yield _Changes(lambda now: _told(now, state, json))
            return
        from rich.console import Group
        from rich.live import Live

        with Live(auto_refresh=False) as live:
            yield lambda now: live.update(Group(*_tables(now, state)), refresh=True)
    except KeyboardInterrupt:
        return


class _Changes:
    """Tells only what is new, where nobody could take the old away."""

    def __init__(self, tell: Callable[[Standing], None]) -> None:
        self._tell = tell
        self._last: Standing = {}

    def __call__(self, now: Standing) -> None:
        news = {key: value for key, value in now.items() if key != "at"}
        if news != self._last:
            self._last = news
            self._tell(now)


def _text(now: Standing, state: Path) -> str:
    parts = [
        f"{title}:\n" + "\n".join(f"  {line}" for line in columns(rows).splitlines())
        for title, rows in _sections(now)
    ]
    return "\n\n".join([_daemon(now["health"], state), _counted(now["counts"]), *parts])


def _tables(now: Standing, state: Path) -> Iterator[Any]:
    """The same as tables of rich; text goes in as it is, not as rich's markup."""
    from rich.table import Table
    from rich.text import Text

    yield Text(_daemon(now["health"], state))
    yield Text(_counted(now["counts"]))
    for title, rows in _sections(now):
        table = Table(title=title, title_justify="left", show_header=False, expand=True)
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        yield table


def _sections(now: Standing) -> Iterator[tuple[str, Rows]]:
    """All that there is something to say of."""
    more = now["counts"]["waiting"] - len(now["waiting"])
    waiting = [[name] for name in now["waiting"]]
    aside = now["health"].get("set_aside", 0)
    parts: dict[str, Rows] = {
        "painting": [[one["job"], painting(one), one["device"]] for one in now["running"]],
        "waiting their turn": [*waiting, *([[f"... and {more} more"]] if waiting and more else [])],
        "waiting for another half": [[one["name"], one["waits_for"]] for one in now["incomplete"]],
        "in the way": [[_line(text)] for text in now["health"]["trouble"]],
        "set aside": [[f"{aside} {ASIDE}"]] if aside else [],
        "refused, or failed": [[one["job"], _line(one["reason"])] for one in now["refused"]],
        "notes": [[_line(text)] for text in now["health"].get("notes", ())],
    }
    yield from ((title, rows) for title, rows in parts.items() if rows)


def _daemon(health: Mapping[str, Any], state: Path) -> str:
    paused = "; paused: nothing new is begun until `stylewatch resume`" if health["paused"] else ""
    if not health["at_work"]:
        return f"no daemon is at work with {state}{paused}"
    if health["since"] is None:
        return f"a daemon is at work with {state}, and has yet to say how it stands"
    deaf = "; no file events come in, scans have to do" if health["observer"] is False else ""
    return (
        f"stylewatch {health['version']} is at work with {state} since {health['since']}, "
        f"process {health['pid']}{paused}{deaf}"
    )


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.items())


def _line(text: str) -> str:
    return "; ".join(text.splitlines())
