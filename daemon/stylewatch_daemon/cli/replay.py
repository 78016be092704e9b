"""Repeat a job from its receipt."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel

from stylewatch_daemon.base.errors import InputError, SettingsError
from stylewatch_daemon.base.model import CONTENT_MASK, MASK
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.names import safe, shortened
from stylewatch_daemon.outbox.job_files import MAX_BYTES
from stylewatch_daemon.outbox.publish import RECEIPT
from stylewatch_daemon.outbox.receipt import InputRecord, Receipt
from stylewatch_daemon.settings import yaml_lines
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.job import RECIPE_FIELDS, JobFile, JobSettings
from stylewatch_painter.recipes.recipe import Recipe

_MEMORY_OPTIONS = ("tile", "history")
"""Backend options that depend on the available memory and affect the picture."""

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True)
class Replay:
    """A receipt and its folder."""

    receipt: Receipt
    folder: Path

    @property
    def pictures(self) -> Sequence[InputRecord]:
        """The records of the content and the styles."""
        return [each for each in self.receipt.inputs if not each.role.endswith(("init", MASK))]

    def options(self, styles: int) -> dict[str, Any]:
        """Return options that name its masks and the picture to start from, for so many styles."""
        records = [each for each in self.receipt.inputs if each not in self.pictures]
        files = {each.role: str(self.path(each)) for each in records}
        masks = [files.get(f"style-{number}{MASK}", "none") for number in range(1, 1 + styles)]
        named = {"mask": files.get(CONTENT_MASK), "init": files.get("init")}
        return {name: file for name, file in named.items() if file} | {"style_mask": masks}

    def path(self, record: InputRecord) -> Path:
        """Return the file of an input, found by its digest or else its name; InputError if none."""
        folder = self.folder / "inputs"
        named = folder / Path(record.name).name
        files = [path for path in (named, *sorted(folder.glob("*"))) if path.is_file()]
        path = next((path for path in files if _digest(path) == record.sha256), named)
        if not path.is_file():
            raise InputError(
                f"{named} does not exist; with --from, name the pictures that lie elsewhere: "
                "CONTENT STYLE..., --init, --mask, --style-mask"
            )
        return path

    def differences(self, pictures: Sequence[Path]) -> Iterator[str]:
        """Yield a sentence for each difference between `pictures` and the receipt."""
        if len(pictures) != len(self.pictures):
            yield f"the receipt has {len(self.pictures)} pictures, here are {len(pictures)}"
        for record, path in zip(self.pictures, pictures, strict=False):
            if _digest(path) != record.sha256:
                yield f"{path} is not the {record.role} of the receipt, {record.name}"

    def configured(self, config: Config, scratch: Path) -> Config:
        """Return `config` with the job settings and the memory options of the receipt.

        The device of `config` is used if the backend is the same, otherwise none is named. The
        recipe is written into the folder `scratch`. Raises InputError for an invalid value.
        """
        recipe = _check(Recipe, self.receipt.recipe, "the recipe of this receipt cannot be used")
        job: JobSettings = _check(
            JobFile, self.receipt.settings, "the settings of this receipt cannot be used"
        )
        file = scratch / f"{safe(recipe.name)}.yaml"
        file.write_text(yaml.safe_dump(recipe.model_dump(mode="json")), encoding="utf-8")
        device = config.job.device if config.job.backend == job.backend else None
        # the recipe already includes the changes of the job
        applied = (*RECIPE_FIELDS, "content_weight", "style_weight", "schedule")
        update = {name: JobSettings.model_fields[name].default for name in applied}
        # `only` by itself would change the start and the detail kept
        update |= {"init": recipe.schedule.start, "recipe": str(file), "device": device}
        update["set"] = {"keep_detail": recipe.schedule.keep_detail}
        job = job.model_copy(update=update)
        decided = self.receipt.attempts[-1].decided if self.receipt.attempts else {}
        limited = {
            key: decided[key] for key in _MEMORY_OPTIONS if isinstance(decided.get(key), int)
        }
        own = {job.backend: {**config.backends.get(job.backend, {}), **limited}}
        return config.model_copy(update={"job": job, "backends": {**config.backends, **own}})


def read(path: Path) -> Replay:
    """Read the receipt in the file or folder `path`; raises InputError if it is invalid."""
    file = path
    try:
        file = path / RECEIPT if path.is_dir() else path
        plain = json.loads(atomic.read(file.resolve(), MAX_BYTES))
    except OSError as error:
        raise InputError(f"{shortened(file)} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not a receipt: {error}") from error
    return Replay(_check(Receipt, plain, f"{file} is not a receipt"), file.parent)


def _digest(path: Path) -> str:
    try:
        return atomic.digest(path.resolve())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _check(model: type[_Model], plain: Any, problem: str) -> _Model:
    """Validate a part of a receipt; raises an InputError with the `problem` and all mistakes."""
    try:
        return yaml_lines.check(model, yaml_lines.Document(problem, plain))
    except SettingsError as error:
        raise InputError("; ".join(str(error).splitlines())) from error
