"""The trash of an outbox: files of deleted jobs, until they are restored or removed for good."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.base.model import OutputFile
from stylewatch_daemon.files import atomic, disks, entries
from stylewatch_daemon.ledger.record import Record
from stylewatch_daemon.outbox import removal
from stylewatch_daemon.outbox.publish import Outbox, writing


def folder_of(job_id: str) -> str:
    """Return the folder in the outbox for the files of a deleted job, with their former paths."""
    return f"{disks.MARK[0]}/trash/{job_id}"


def there(record: Record) -> Record:
    """Return the record of a deleted job with the paths of its files in the trash."""
    return record.moved({name: f"{folder_of(record.job.id)}/{name}" for name in record.folders})


def purge(outbox: Path, record: Record, step: Step = lambda: None) -> list[OutputFile]:
    """Remove the files of a deleted job that nobody has changed, as `removal.remove` does."""
    return removal.remove(outbox, there(record).files, step)


def take_back(
    outbox: Outbox, record: Record, places: Mapping[str, str], step: Step = lambda: None
) -> Mapping[str, str]:
    """Move the folders of a deleted job back to `places`, each as a whole; return the places.

    If one is not chosen yet, or taken by now, nothing is moved, and other places are returned: the
    caller records them first, so that a kill loses no folder. Raises OutputError.
    """
    trash = outbox.root / folder_of(record.job.id)
    chosen = dict(places)
    with writing(f"the outbox {outbox.root}"):
        for name in record.folders:
            is_taken = entries.exists(trash / name) and (
                name not in chosen or entries.is_taken(outbox.root / chosen[name])
            )
            if is_taken or name not in chosen:
                chosen[name] = outbox.choose(name)
        if chosen != places:
            return chosen
        for name in record.folders:
            _take_back(outbox, PurePosixPath(folder_of(record.job.id), name), places[name], step)
    return chosen


def _take_back(outbox: Outbox, former: PurePosixPath, place: str, step: Step) -> None:
    to = PurePosixPath(place)
    if entries.exists(outbox.root / former):
        with outbox.made(str(former.parent)) as source, outbox.made(str(to.parent)) as target:
            atomic.sweep(target, owner=to.name)
            atomic.move(former.name, to.name, source, target, step)
            atomic.sync_folder(source)
    outbox.drop_empty(str(former.parent))
