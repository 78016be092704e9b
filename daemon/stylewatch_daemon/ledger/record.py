"""Records of jobs that have ended: all that the ledger has of a job, to enter it again."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from pydantic import TypeAdapter

from stylewatch_daemon.base.model import Attempt, Job, OutputFile


@dataclass(frozen=True)
class Record:
    """A job that has ended, with its files in the outbox and its attempts."""

    job: Job
    files: tuple[OutputFile, ...]
    attempts: tuple[Attempt, ...]

    def as_json(self) -> str:
        """Return the record as text in ASCII: names of files may not be valid Unicode."""
        return json.dumps(asdict(self))

    @classmethod
    def of_json(cls, text: str | bytes) -> Self:
        """Return the record in a text; raises ValueError."""
        record: Self = TypeAdapter[Any](cls).validate_python(json.loads(text))
        return record

    @property
    def size(self) -> int:
        """Sum of the sizes of the files in the outbox in bytes."""
        return sum(file.size for file in self.files if file.part != "finals")

    @property
    def folders(self) -> list[str]:
        """The folders of the job in its outbox."""
        return [folder for folder in (self.job.place, self.job.refused_as) if folder]

    def moved(self, folders: Mapping[str, str]) -> "Record":
        """Return the record with other names of the job's folders, by the former ones."""

        def path(former: str) -> str:
            for folder in folders:
                if former.startswith(f"{folder}/"):
                    return former.replace(folder, folders[folder], 1)
            return former

        job = self.job
        inputs = tuple(replace(file, published=path(file.published)) for file in job.inputs)
        places = (folder and folders.get(folder, folder) for folder in (job.place, job.refused_as))
        place, refused_as = places
        job = replace(job, inputs=inputs, place=place, refused_as=refused_as)
        files = tuple(file._replace(path=path(file.path)) for file in self.files)
        return replace(self, job=job, files=files)
