"""What there is to report of a job: its story, its receipt, and where its files lie."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from stylewatch_daemon.artifacts.contract import Seen
from stylewatch_daemon.cli.client import Daemon
from stylewatch_daemon.cli.show import Story, entry_of, story_of
from stylewatch_daemon.errors import InputError
from stylewatch_daemon.files import atomic, flat_layout
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.outbox import job_files
from stylewatch_daemon.outbox.publish import RECEIPT
from stylewatch_daemon.outbox.receipt import Receipt
from stylewatch_daemon.store import thumbs

_THUMBS = "thumbs"
"""In the state folder."""

_NOT_YET = ("waiting", "claimed", "queued", "running")


@dataclass(frozen=True)
class Painted:
    """A painting that is done: `story` is what the ledger knows of it, if it was the daemon's.

    `folder` is where the receipt lies, `final` the painting, `thumbs` a folder of thumbnails.
    """

    name: str
    receipt: Receipt
    folder: Path
    final: Path
    story: Story | None = None
    spots: Mapping[str, tuple[Path, ...]] | None = None
    """Where inputs may lie beside the folder, by their SHA-256."""
    thumbs: Path | None = None

    def input(self, sha256: str, name: str) -> Seen | None:
        """An input where it lies now, or its thumbnail; None where there is neither."""
        around = (self.folder, self.folder.parent, flat_layout.around(self.folder))
        named = [folder / "inputs" / PurePosixPath(name).name for folder in around]
        others = [path for folder in dict.fromkeys(around) for path in _in(folder / "inputs")]
        for path in dict.fromkeys((*named, *(self.spots or {}).get(sha256, ()), *others)):
            with suppress(OSError):
                if path.is_file() and atomic.digest(path.resolve()) == sha256:
                    return Seen((str(path),), sha256)
        small = thumbs.path_of(self.thumbs, sha256) if self.thumbs else None
        return Seen((str(small),)) if small is not None and small.is_file() else None

    def stages(self) -> list[tuple[int, Seen]]:
        """Its stages by their steps, but for the last, which is the painting."""
        return [
            (one.step, Seen((str(self.folder / one.file),), one.sha256))
            for one in self.receipt.stages[:-1]
            if _is_stage(one.file)
        ]

    @property
    def painting(self) -> Seen:
        """The final picture."""
        digests = {one.file: one.sha256 for one in self.receipt.files}
        return Seen((str(self.final),), digests.get(self.receipt.final, ""))


def in_folder(path: Path) -> Painted:
    """The painting whose receipt lies in the folder `path`; raises InputError."""
    receipt = _receipt(path / RECEIPT)
    name = PurePosixPath(receipt.final).name
    final = next(
        (one / name for one in (path, flat_layout.around(path)) if (one / name).is_file()), None
    )
    return Painted(shown(receipt.job), receipt, path, final or path / name)


def of_job(here: Daemon, job: str) -> Painted:
    """The painting of a job in the ledger.

    Raises UsageError where there is no such job, InputError where it has no receipt.
    """
    story = story_of(here, job)
    name = shown(story["place"] or story["name"])
    if story["receipt"] is None or story["place"] is None:
        raise InputError(_no_receipt(name, story))
    folder = Path(story["outbox"], story["place"])
    receipt = _receipt(folder / RECEIPT)
    with here.ledger() as ledger:
        entry = entry_of(ledger, story["id"])
    spots: dict[str, tuple[Path, ...]] = {}
    with suppress(InputError):
        for one in job_files.inputs(entry):
            spots[one.sha256] = tuple(spot.path for spot in one.spots)
    final = Path(story["outbox"], flat_layout.painting(story["place"], receipt.final))
    small = here.state / _THUMBS
    return Painted(name, receipt, folder, final, story, spots, small)


def _no_receipt(name: str, story: Story) -> str:
    if story["state"] in _NOT_YET:
        return (
            f"{name} is not finished yet ({story['state']}): "
            f"`stylewatch show {name}` tells how far it is"
        )
    if story["state"] != "done":
        return f"{name} was not painted ({story['state']}): `stylewatch show {name}` tells why"
    return f"the receipt of {name} is not in {story['outbox']} any more: a report is made from it"


def _receipt(path: Path) -> Receipt:
    try:
        plain = json.loads(path.read_bytes())
        if isinstance(plain, dict) and "sweep" in plain:
            raise InputError(
                f"{path} is that of a series: name one of its jobs, as "
                f"{path.parent.name}/{_first(plain)}"
            )
        return Receipt.model_validate(plain)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except InputError:
        raise
    except (ValidationError, ValueError) as error:
        raise InputError(f"{path} is no receipt of ours: a report is made from one") from error


def _first(plain: Mapping[str, Any]) -> str:
    """The name of the first job of a series."""
    jobs = plain.get("jobs")
    first = jobs[0] if isinstance(jobs, list) and jobs else {}
    return shown(first.get("name", "...")) if isinstance(first, dict) else "..."


def _is_stage(file: str) -> bool:
    path = PurePosixPath(file)
    return path.parts == ("stages", path.name) and bool(job_files.STAGE.fullmatch(path.name))


def _in(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        yield from sorted(folder.iterdir())
