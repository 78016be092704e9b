"""What the pages show of how things stand: frozen records, made from what the daemon tells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from shutil import disk_usage
from typing import Any

from stylewatch_daemon.outbox.job_files import stages
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.store.ledger import Entry, Ledger
from stylewatch_daemon.views.formatting import duration, memory
from stylewatch_daemon.views.formatting import size as pixels
from stylewatch_daemon.web import files
from stylewatch_daemon.web.files import Memory
from stylewatch_daemon.web.loss_svg import Curve, Trails, curve, points
from stylewatch_daemon.web.picture_urls import CARD, Image, Shower, name_of, parents
from stylewatch_daemon.web.queries import Reader

ENDED: tuple[str, ...] = ("done", "failed", "refused", "cancelled")
"""The states that a gallery can show."""

RECENT, WRONG = 12, 8
"""How many jobs that ended, and how many that came to a bad end, stand on the first page."""

_curves = Memory(32)


@dataclass(frozen=True)
class Card:
    """A job at its end, on a card."""

    id: str
    name: str
    state: str
    made_from: str
    finished: str
    reason: str
    image: Image | None


@dataclass(frozen=True)
class Painting:
    """A job that is being painted."""

    id: str
    name: str
    step: int
    steps: int
    words: str
    left: str
    device: str
    size: str
    curve: Curve | None
    image: Image | None
    begun: bool
    """Whether `image` is a stage; else it is the photograph."""
    wish: str

    @property
    def percent(self) -> int:
        """How much of it is done."""
        return 100 * self.step // self.steps if self.steps else 0


@dataclass(frozen=True)
class Health:
    """How the daemon is, in short."""

    at_work: bool
    paused: bool
    deaf: bool
    trouble: tuple[str, ...]
    notes: tuple[str, ...]
    counts: Mapping[str, int]
    hour: int
    """Jobs that were done within the last hour."""
    free: str
    """Room on the disk of the paintings, in words; empty where that is not known."""
    devices: tuple[str, ...]
    version: str

    @property
    def word(self) -> str:
        """How it is, in a word or two."""
        if not self.at_work:
            return "not running"
        if self.paused:
            return "paused"
        if self.trouble:
            return "held up"
        return "painting" if self.counts["running"] else "ready"


@dataclass(frozen=True)
class Now:
    """How all of it stands."""

    health: Health
    running: tuple[Painting, ...]
    waiting: tuple[str, ...]
    more: int
    """How many more wait than are named."""
    incomplete: tuple[Mapping[str, Any], ...]
    wrong: tuple[Card, ...]
    recent: tuple[Card, ...]


class Views:
    """Makes the records, by what `reader` knows; any thread may ask."""

    def __init__(self, settings: Config, reader: Reader) -> None:
        self._settings, self._reader = settings, reader
        self.shower, self.trails = Shower(reader.state), Trails()

    def now(self) -> Now:
        """How things stand; raises OutputError where the ledger cannot be read."""
        said = self._reader.published()
        with self._reader.ledger() as ledger:
            running = tuple(self._paintings(ledger, said["running"]))
            wrong = ledger.undismissed(WRONG) if ledger else []
            recent = ledger.ended(("done",), RECENT) if ledger else []
            health = self._health(said, ledger)
        waiting = tuple(said["waiting"])
        return Now(
            health=health,
            running=running,
            waiting=waiting,
            more=max(0, said["counts"]["waiting"] - len(waiting)),
            incomplete=tuple(said["incomplete"]),
            wrong=tuple(map(self.card, wrong)),
            recent=tuple(map(self.card, recent)),
        )

    def health(self) -> Health:
        """How the daemon is; raises OutputError where the ledger cannot be read."""
        with self._reader.ledger() as ledger:
            return self._health(self._reader.published(), ledger)

    def card(self, entry: Entry) -> Card:
        """A job at its end, on a card; with the photograph where there is no painting."""
        name = name_of(entry)
        image = None
        if entry.state == "done":
            image = self.shower.small(entry, "final", f"{name}, the finished painting")
        if image is None:
            image = next(iter(self.shower.inputs(entry, "content")), None)
        return Card(
            id=entry.id,
            name=name,
            state=entry.state,
            made_from=" in the manner of ".join([" and ".join(one) for one in _sides(entry)]),
            finished=entry.finished or "",
            reason=entry.reason,
            image=image,
        )

    def painting(self, entry: Entry) -> Painting | None:
        """A job that is being painted, as it was published last; None where it is not."""
        said = self._reader.published()["running"]
        found = next((one for one in said if one["id"] == entry.id), None)
        return None if found is None else self._painting(entry, found)

    def _paintings(
        self, ledger: Ledger | None, running: Sequence[Mapping[str, Any]]
    ) -> list[Painting]:
        found = [(ledger.find(one["id"]), one) for one in running] if ledger else []
        return [self._painting(entry, one) for entry, one in found if entry is not None]

    def _painting(self, entry: Entry, said: Mapping[str, Any]) -> Painting:
        step, steps, left = said["step"], said["steps"], said["seconds_left"]
        self.trails.add(entry.id, step, said["loss"])
        name, newest = name_of(entry), next(reversed(stages(entry)), None)
        image = None
        if newest is not None:
            alt = f"{name}, as it stands after step {newest}"
            image = self.shower.large(entry, f"stage-{newest}", alt)
        begun = image is not None
        if image is None:
            image = next(iter(self.shower.inputs(entry, "content", CARD)), None)
        return Painting(
            id=entry.id,
            name=name,
            step=step,
            steps=steps,
            words=f"step {step} of {steps}" if steps else "being prepared",
            left="" if left is None else f"{duration(left)} left",
            device=said["device"],
            size=pixels(said["size"]) if said["size"] else "",
            curve=self.curve(entry, steps),
            image=image,
            begun=begun,
            wish=entry.wish,
        )

    def curve(self, entry: Entry, steps: int = 0) -> Curve | None:
        """How the loss of a job went down so far, of so many `steps`."""
        table = files.losses(entry)
        found: list[tuple[int, float]] = _curves.get((entry.id, table), lambda: points(table))
        later = self.trails.after(entry.id, found[-1][0] if found else 0)
        return curve([*found, *later], steps)

    def _health(self, said: Mapping[str, Any], ledger: Ledger | None) -> Health:
        told = said["health"]
        hour_ago = datetime.now(UTC) - timedelta(hours=1)
        since = hour_ago.isoformat(timespec="seconds")
        return Health(
            at_work=told["at_work"],
            paused=told["paused"],
            deaf=told["observer"] is False,
            trouble=tuple(told["trouble"]),
            notes=tuple(told.get("notes", ())),
            counts=said["counts"],
            hour=ledger.done_since(since) if ledger else 0,
            free=self._free(),
            devices=tuple(sorted({one["device"] for one in said["running"] if one["device"]})),
            version=told["version"] or "",
        )

    def _free(self) -> str:
        try:
            least = min(disk_usage(inbox.outbox).free for inbox in self._settings.inboxes)
        except (OSError, ValueError):
            return ""
        return f"{memory(least)} free"


def _sides(entry: Entry) -> list[list[str]]:
    """The photographs and the paintings that a job was made from, by name; what there is."""
    content, styles = (parents(entry, role) for role in ("content", "style"))
    return [one for one in (content, styles) if one]
