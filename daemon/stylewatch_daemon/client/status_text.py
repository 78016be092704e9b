"""The status as text for people: for `_status.txt`, `stylewatch status` and the view of a job."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from textwrap import indent
from typing import Any

from stylewatch_daemon.base.model import End, Job, Progress, State
from stylewatch_daemon.base.words import columns, progress_text
from stylewatch_daemon.client.condition import condition
from stylewatch_daemon.files.disks import amount
from stylewatch_daemon.files.names import shown

Rows = Sequence[Sequence[str]]

PREPARING = "preparing"
"""Progress of a job before its first step."""


def running_text(running: Mapping[str, Any]) -> str:
    """Describe the progress of a running job, given its entry in status.json."""
    if running["loss"] is None:
        return PREPARING
    progress = Progress(
        running["step"], running["steps"], running["size"], running["loss"], 0.0, running["unit"]
    )  # fmt: skip
    return progress_text(progress, running["seconds_left"])


def standing(job: Job, status: Mapping[str, Any]) -> str:
    """Describe what a job that has not ended is doing, or why it waits."""
    reason = why_waits(job, status)
    running = {record["id"]: record for record in status["running"]}.get(job.id)
    if running is not None:
        return running_text(running)
    wish = "to be finished early; " if job.asked is End.STOPPED_EARLY else ""
    if job.seen == "running" and status["health"]["at_work"]:
        if job.state is State.RUNNING:
            return PREPARING
        return f"its end waits: {reason}" if reason else "its end is being published"
    return f"{wish}waits: {reason}" if reason else f"{wish}waits in the queue"


def why_waits(job: Job, status: Mapping[str, Any]) -> str:
    """Return why a job does not go on now; empty if it does, or waits for its turn in the queue.

    A problem of its outbox counts as the reason even before the daemon tries to start the job.
    """
    if job.seen == "waiting" and job.reason:
        return one_line(job.reason)
    now = condition(status)
    is_begun = job.seen == "running" and status["health"]["at_work"]
    own = obstacle(status, job.title, job.outbox, *[job.inbox] * (job.state is State.CLAIMED))
    return own or ("" if now.is_ready or is_begun else now.sentence)


def obstacle(status: Mapping[str, Any], *names: object) -> str:
    """Return the problem in `status` of the first of `names` that has one; empty if none has.

    `names` are titles of jobs, or folders.
    """
    for name in map(shown, names):
        for text in status["health"]["trouble"]:
            if text.startswith(f"{name}: "):
                return one_line(text.removeprefix(f"{name}: "))
    return ""


def sections(status: Mapping[str, Any]) -> dict[str, Rows]:
    """Return the tables of the status by title, those that need attention before the queue."""
    waiting = [[name] for name in status["waiting"]]
    health = status["health"]
    more = status["counts"]["waiting"] - len(waiting)
    return {
        "Running": [
            [f"{job['job']}: {running_text(job)}", job["device"]] for job in status["running"]
        ],
        "Learning": [[one_line(text)] for text in health["learning"]],
        "Problems": [[one_line(text)] for text in health["trouble"]],
        "Refused or failed (see _refused)": [*_refusals(status["refused"])],
        "Incomplete": [
            [f"{pair['name']}: waits for {pair['waits_for']}"] for pair in status["incomplete"]
        ],
        "Finished": status.get("finished", ()),
        "Trash": [[trash_text(status)]] if status["trash"]["jobs"] else [],
        "Notes": [[one_line(text)] for text in health["notes"]],
        "Queue": [*waiting, *([[f"... and {more} more"]] if waiting and more else [])],
    }


def _refusals(refused: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[str]]:
    """Yield a row for each refused or failed job; jobs with the same title have their ids."""
    titles = Counter(job["job"] for job in refused)
    for job in refused:
        id_text = f" ({job['id']})" if titles[job["job"]] > 1 else ""
        yield [f"{job['job']}{id_text}: {one_line(job['reason'])}"]


def trash_text(status: Mapping[str, Any]) -> str:
    """Return the size of the trash, such as `2 jobs, 3.1 MB`."""
    count = status["trash"]["jobs"]
    return f"{count} job{'' if count == 1 else 's'}, {amount(status['trash']['bytes'])}"


def titled(parts: Mapping[str, Rows]) -> list[str]:
    """Return the text of each table that has rows, indented below its title."""
    tables = {title: indent(columns(rows), "  ") for title, rows in parts.items() if rows}
    return [f"{title}:\n{table}" for title, table in tables.items()]


def text(status: Mapping[str, Any]) -> str:
    """Return the content of `_status.txt`: the condition of the daemon, and the tables."""
    return "\n\n".join([condition(status).sentence, *titled(sections(status))])


def one_line(text: str) -> str:
    """Return a text on one line, with semicolons in place of line breaks."""
    return "; ".join(text.split("\n"))
