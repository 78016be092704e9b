"""The trash of an outbox: files of deleted jobs, until they are restored or removed for good."""

from dataclasses import replace
from pathlib import PurePosixPath

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.files import atomic, disks, entries, safe_dirs
from stylewatch_daemon.ledger.record import Record
from stylewatch_daemon.outbox import removal
from stylewatch_daemon.outbox.publish import Outbox, writing


def folder_of(job_id: str) -> str:
    """Return the folder in the outbox for the files of a deleted job, with their former paths."""
    return f"{disks.MARK[0]}/trash/{job_id}"


def there(record: Record) -> Record:
    """Return the record of a deleted job with the paths of its files in the trash."""
    files = tuple(file for file in record.files if file.part != "finals")
    folders = {name: f"{folder_of(record.job.id)}/{name}" for name in record.folders}
    return replace(record, files=files).moved(folders)


def purge(outbox: Outbox, record: Record, step: Step) -> Record:
    """Remove the files of a deleted job that nobody has changed, as `removal.remove` does."""
    removal.remove(outbox.root, there(record).files, step)
    return record


def take_back(outbox: Outbox, record: Record, step: Step) -> Record:
    """Move the folders of a deleted job back, each as a whole; return its record as it is then.

    A folder whose name is taken gets another one, by which a later call knows what was moved
    before a kill. Raises OutputError, also if that name is taken, too.
    """
    places = {}
    with writing(f"the outbox {outbox.root}"):
        for name in record.folders:
            former = PurePosixPath(folder_of(record.job.id), name)
            other = f"{name}-{record.job.id[-6:]}"
            if not entries.exists(outbox.root / former):  # moved before a kill
                places[name] = other if entries.exists(outbox.root / other) else name
                continue
            places[name] = name if outbox.choose(name) == name else other
            _move(outbox, former, PurePosixPath(places[name]), step)
            outbox.drop_empty(str(former.parent))
    return record.moved(places)


def _move(outbox: Outbox, former: PurePosixPath, place: PurePosixPath, step: Step) -> None:
    if entries.is_taken(outbox.root / place):
        raise OutputError(f"{outbox.root / place} is in the way: move it away")
    with (
        safe_dirs.opened(outbox.root, str(former.parent)) as source,
        outbox.made(str(place.parent)) as target,
    ):
        atomic.sweep(target, owner=place.name)  # a kill may have left a half
        atomic.move(former.name, place.name, source, target, step)
        atomic.sync_folder(source)
