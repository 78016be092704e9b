"""Status of the daemon: `_status.txt` in each outbox, and `status.json` in the state folder.

Nothing depends on these files: an error in writing them stops nothing. They are not synced.
"""

import json
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stylewatch_daemon.base.lanes import Lanes, Step
from stylewatch_daemon.base.model import Job, now
from stylewatch_daemon.client import status_json, status_text
from stylewatch_daemon.client.condition import STARTING, condition
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.intake.inbox import Inbox
from stylewatch_daemon.jobs.jobs import Jobs
from stylewatch_daemon.jobs.live import Worker
from stylewatch_daemon.outbox.publish import Outbox

TEXT_NAME = "_status.txt"

MAX_WAITING = 100
"""Maximum number of waiting jobs that a status names."""

MAX_REFUSALS = 20
"""Maximum number of refused and failed jobs of an outbox that the status names."""

UPDATE_EVERY = 0.5
"""Minimum interval in seconds between updates of status.json."""

TEXT_EVERY = 5.0
"""Minimum interval in seconds between updates of `_status.txt` while jobs make progress."""

PAUSE_PER_SECOND = 50.0
MAX_PAUSE = 10.0
"""Maximum interval in seconds between updates. An interval is usually shorter: PAUSE_PER_SECOND
times the duration of the last update."""

SEVERAL_LINES = ("reason", "trouble")
"""Keys of status.json whose texts may have several lines."""


@dataclass(frozen=True)
class Snapshot:
    """Current state of the daemon, apart from the data in the ledger."""

    inboxes: Sequence[Inbox]
    running: Mapping[str, Worker]
    """Workers by the id of the job."""
    blocked: Mapping[str, str] = field(default_factory=dict)
    """The reasons why jobs and other things wait for something outside the daemon, by name."""
    paused: bool = False
    trying: bool = False
    """True while previews are painted for the page."""
    learning: Sequence[str] = ()
    """Sentences about the styles that are learned."""
    draining: bool = False
    stopping: bool = False
    restarting: bool = False
    """True if the daemon stops in order to start anew by itself."""
    leaving: bool = False
    opens: datetime | None = None
    """Time at which the hours for jobs begin next; None: jobs may run now."""
    old_settings: bool = False
    """True if the file has changed to settings that cannot be used now; `blocked` has the reason.
    """
    events: bool = True
    """True if file events work for every inbox."""


class StatusFiles:
    """Writer of the status of `jobs`; `clock` is monotonic, in seconds."""

    def __init__(
        self, jobs: Jobs, lanes: Lanes, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._jobs = jobs
        self._lanes = lanes
        self._clock = clock
        self._json_path = jobs.state.root / status_json.FILE_NAME
        self._daemon = {"since": now(), "pid": os.getpid(), "version": version("stylewatch")}
        waiting = map(Path, jobs.ledger.outboxes_of_waiting())
        self._texts = dict.fromkeys([*jobs.settings.outboxes, *waiting], "")
        """The text written last in each outbox; empty if this daemon has written none."""
        self._writing: set[Path] = set()
        """Outboxes in which a text is being written."""
        self._plain: Mapping[str, Any] = {}
        """Content of status.json, without the time."""
        self._updated = self._texts_written = -float("inf")
        self._took = 0.0
        """Duration of the last update in seconds."""
        self._blocked: list[tuple[str, str]] = []
        self.condition = STARTING
        """The condition of the daemon at the last update."""
        self._say_start()

    @property
    def due(self) -> bool:
        """True if the next update is due; a slow update makes the interval longer."""
        pause = max(UPDATE_EVERY, min(MAX_PAUSE, PAUSE_PER_SECOND * self._took))
        return self._clock() - self._updated >= pause

    def update(self, snapshot: Snapshot, *, has_news: bool = True) -> None:
        """Update `status.json`, and `_status.txt` in every outbox, if they have changed.

        Without news, such as new or ended jobs, the texts are updated only every TEXT_EVERY
        seconds. A change of what is blocked is also reported. Raises OutputError if the ledger
        cannot be read.
        """
        began = self._clock()
        blocked = _blocked(snapshot, snapshot.inboxes)
        if blocked != self._blocked:
            self._blocked = blocked
            self._jobs.reporter.blocked(dict(blocked))
        counts = self.publish(snapshot)
        if has_news or began - self._texts_written >= TEXT_EVERY:
            self._texts_written = began
            # a text is being written: the last one follows it
            busy = set[Path]() if snapshot.leaving else self._writing
            for outbox in self._texts.keys() - busy:
                self._write_text(
                    outbox, status_text.text(self._content(snapshot, [outbox], counts))
                )
        self._updated = self._clock()
        self._took = self._updated - began

    def publish(self, snapshot: Snapshot) -> Mapping[str, int]:
        """Update `status.json` alone, if it has changed; return the numbers of jobs by state."""
        counts = self._jobs.ledger.counts()
        status = {**self._content(snapshot, [*self._texts], counts), "counts": counts}
        self.condition = condition(status)
        self._write_json(status)
        return counts

    def leave(self, snapshot: Snapshot, outboxes: Collection[Path]) -> None:
        """Write a last text into `outboxes`, which the daemon will not use after its restart."""
        counts = self._jobs.ledger.counts()
        for outbox in self._texts.keys() & {*outboxes}:
            self._write_text(outbox, status_text.text(self._content(snapshot, [outbox], counts)))

    def _content(
        self, snapshot: Snapshot, outboxes: Collection[Path], counts: Mapping[str, int]
    ) -> dict[str, Any]:
        """Return the status of `outboxes`, with the keys of status.json.

        Each text is safe to print. `counts` has the numbers of all jobs by state, but here only the
        waiting jobs of `outboxes` are counted as waiting.
        """
        inboxes = [inbox for inbox in snapshot.inboxes if inbox.outbox in outboxes]
        titles, total = self._jobs.ledger.waiting(map(str, outboxes), MAX_WAITING, self._jobs.turns)
        waiting = [title for id_, title in titles.items() if id_ not in snapshot.running]
        refused = list[Job]()
        for outbox in outboxes:
            refused += reversed(self._jobs.ledger.undismissed(MAX_REFUSALS, str(outbox)))
        in_trash, trash_bytes = self._jobs.ledger.trash_size()
        trouble = [f"{what}: {reason}" for what, reason in _blocked(snapshot, inboxes)]
        notes = [note for inbox in inboxes for note in inbox.notes]
        content = {
            "inboxes": [
                {"path": str(inbox.path), "outbox": str(inbox.outbox),
                 "ignored": [{"path": str(path), "reason": why, "changing": path in inbox.unread}
                             for path, why in inbox.ignored.items()]}
                for inbox in inboxes
            ],
            "counts": {**counts, "waiting": len(waiting) + total - len(titles)},
            "running": [
                {"id": job_id, "job": worker.title, "step": worker.step, "steps": worker.steps,
                 "unit": worker.unit, "loss": worker.loss, "size": worker.size,
                 "seconds_left": worker.seconds_left, "device": worker.device}
                for job_id, worker in snapshot.running.items()
                if worker.outbox.root in outboxes
            ],
            "waiting": waiting,
            "incomplete": [
                {"name": pair.name, "waits_for": pair.waits_for, "changing": pair.changing,
                 "files": [*map(str, pair.files)],
                 "may_be_style": [*map(str, pair.may_be_style)]}
                for inbox in inboxes
                for pair in inbox.incomplete
            ],
            "refused": [{"job": job.title, "id": job.id, "reason": job.reason} for job in refused],
            "trash": {"jobs": in_trash, "bytes": trash_bytes},
            "health": {
                **self._daemon,
                "at_work": not snapshot.leaving,  # a daemon that is killed leaves this True
                "paused": snapshot.paused,
                "trying": snapshot.trying,
                "learning": [*snapshot.learning],
                "draining": snapshot.draining,
                "opens": snapshot.opens and snapshot.opens.isoformat(),
                "stopping": snapshot.stopping or snapshot.leaving,
                "restarting": snapshot.restarting,
                "old_settings": snapshot.old_settings,
                "events": snapshot.events,
                "trouble": list(dict.fromkeys(trouble)),
                "notes": list(dict.fromkeys(notes)),
            },
        }  # fmt: skip
        return status_json.with_condition(_safe(content))

    def _write_text(self, outbox: Path, text: str) -> None:
        """Write `text` with the time to an outbox, in its lane, unless the text is unchanged."""
        if text == self._texts[outbox]:
            return
        content = f"stylewatch, {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n\n{text}\n"

        def work(step: Step) -> None:
            self._jobs.mount_guard.check(outbox)
            Outbox(outbox).put(TEXT_NAME, content.encode(errors="replace"))

        def done(result: Exception | None) -> None:
            self._writing.discard(outbox)
            if result is None:  # after an error, the next update writes it
                self._texts[outbox] = text

        self._writing.add(outbox)
        self._lanes.do(outbox, work, done)

    def _say_start(self) -> None:
        """Replace the status.json of an earlier daemon by one that says that a daemon starts."""
        before = status_json.past(status_json.read(self._jobs.state.root))
        starting = dict.fromkeys(("since", "stopping", "restarting", "draining"))
        health = {**before["health"], **starting, "at_work": True}
        status = status_json.with_condition({**before, "at": now(), "health": health})
        atomic.attempt_write(self._json_path, json.dumps(status).encode("ascii"))

    def _write_json(self, content: dict[str, Any]) -> None:
        """Write status.json if anything has changed; after an error the next update writes it."""
        if content == self._plain:
            return
        content_now = json.dumps({**content, "at": now()}).encode("ascii")
        if atomic.attempt_write(self._json_path, content_now):
            self._plain = content


def _blocked(snapshot: Snapshot, inboxes: Sequence[Inbox]) -> list[tuple[str, str]]:
    """Return what is blocked, each with its reason: first that of `inboxes`, then all else."""
    in_inboxes = [item for inbox in inboxes for item in inbox.trouble.items()]
    return [*in_inboxes, *snapshot.blocked.items()]


def _safe(value: Any, name: str = "") -> Any:
    """Return `value` with every text safe to print, on one line unless its key allows several."""
    if isinstance(value, str):
        lines = value.split("\n") if name in SEVERAL_LINES else [value]
        return "\n".join(shown(line) for line in lines)
    if isinstance(value, Mapping):
        return {key: _safe(inner, key) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_safe(item, name) for item in value]
    return value
