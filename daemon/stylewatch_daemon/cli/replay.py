"""Repeat a job by its receipt."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from stylewatch_daemon.base.errors import InputError
from stylewatch_daemon.base.model import MASK
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.names import safe, shortened
from stylewatch_daemon.outbox.job_files import MAX_BYTES
from stylewatch_daemon.outbox.publish import RECEIPT
from stylewatch_daemon.outbox.receipt import InputRecord, Receipt
from stylewatch_daemon.settings.job import JobSettings, MaskSettings, StageSettings
from stylewatch_painter.errors import RecipeError
from stylewatch_painter.recipes import book
from stylewatch_painter.validation import mistakes, refusing

_FILE_SETTINGS = ("final", "format", "quality", "depth", "metadata", "stages", "artifacts")
"""Settings of files; `final` is in no receipt, the others only in those of later versions."""

_MEMORY_OPTIONS = ("tile", "history")
"""Options of a backend that depend on the memory, and that change the picture."""


@dataclass(frozen=True)
class Replay:
    """A receipt and its folder."""

    receipt: Receipt
    folder: Path

    def pictures(self) -> tuple[Path, ...]:
        """Return the content and the styles; raises InputError where one is missing."""
        return tuple(self._input(record) for record in self._pictures)

    def init(self) -> Path | None:
        """Return the start picture, if any; raises InputError where it is missing."""
        records = (record for record in self.receipt.inputs if record.role == "init")
        return next((self._input(record) for record in records), None)

    def masks(self) -> dict[str, Path]:
        """Return the masks by their roles; raises InputError where one is missing."""
        records = (record for record in self.receipt.inputs if record.role.endswith(MASK))
        return {record.role: self._input(record) for record in records}

    def differences(self, pictures: tuple[Path, ...]) -> Iterator[str]:
        """Yield a sentence for each of `pictures` that differs from the receipt."""
        if len(pictures) != len(self._pictures):
            yield f"the receipt has {len(self._pictures)} pictures, here are {len(pictures)}"
        for record, path in zip(self._pictures, pictures, strict=False):
            if atomic.digest(path.resolve()) != record.sha256:
                yield f"{path} is not the {record.role} of the receipt, {record.name}"

    def settings(self, scratch: Path, pictures: int, base: JobSettings) -> JobSettings:
        """Return the settings that repeat the job with so many `pictures`.

        Its recipe is written into the folder `scratch`. `base` has the settings of files that the
        receipt lacks. Raises InputError where a value is invalid.
        """
        with refusing(InputError, "this receipt"):
            try:
                recipe = book.check(self.receipt.recipe).model_dump(mode="json")
                settings = self._settings(recipe, pictures, base)
            except RecipeError as error:
                raise InputError(f"this receipt cannot be repeated: {error}") from error
            except ValidationError as error:
                reasons = "; ".join(map(str, mistakes(error, JobSettings)))
                raise InputError(f"this receipt cannot be repeated: {reasons}") from error
        file = scratch / f"{safe(recipe['name'])}.yaml"
        file.write_text(yaml.safe_dump(recipe, allow_unicode=True), encoding="utf-8")
        return settings.model_copy(update={"recipe": str(file)})

    def options(self) -> dict[str, int]:
        """Return the tile and the history that the receipt records, as options of the backend."""
        decided = self.receipt.attempts[-1].decided if self.receipt.attempts else {}
        return {key: decided[key] for key in _MEMORY_OPTIONS if isinstance(decided.get(key), int)}

    def _settings(self, recipe: dict[str, Any], pictures: int, base: JobSettings) -> JobSettings:
        color, only = self.receipt.color, self.receipt.only
        styles = [record for record in self._pictures if record.weight is not None]
        weights = tuple(record.weight for record in styles if record.weight is not None)
        sizes = tuple(record.style_size for record in styles if record.style_size is not None)
        count = pictures - (only != "style")
        files = dict(self.receipt.output or {})
        if "keep" in files:
            files["artifacts"] = files["keep"]
        if files.get("stages"):
            files["stages"] = StageSettings(size=files["stages"].size)
        backend, clip = self.receipt.backend.name, self.receipt.clip
        recorded = clip.model_dump(include={"format"}, exclude_none=True) if clip else {}
        return JobSettings(
            seed=self.receipt.seed,
            backend=backend,
            device=base.device if base.backend == backend else None,
            clip=base.clip.model_copy(update=recorded),
            style_weights=weights if weights and len(weights) == count else None,
            style_size=sizes if sizes and len(sizes) == count else None,
            only=only,
            # `only` by itself would change the start and the detail kept
            init=recipe["schedule"]["start"] if only else None,
            set={"keep_detail": recipe["schedule"]["keep_detail"]} if only else {},
            color=color.mode if color else "style",
            color_space=color.space if color else JobSettings().color_space,
            mask=MaskSettings.model_validate(dict(self.receipt.mask or {})),
            **{key: files.get(key, getattr(base, key)) for key in _FILE_SETTINGS},
        )

    @property
    def _pictures(self) -> tuple[InputRecord, ...]:
        records = self.receipt.inputs
        return tuple(record for record in records if not record.role.endswith(("init", MASK)))

    def _input(self, record: InputRecord) -> Path:
        try:
            return self._find(record)
        except OSError as error:
            path = shortened(error.filename or self.folder)
            raise InputError(f"{path} cannot be read: {error.strerror}") from error

    def _find(self, record: InputRecord) -> Path:
        """Return the file of an input: by its name, or under another name by its digest."""
        inputs = self.folder / "inputs"
        named = inputs / Path(record.name).name
        others = sorted(inputs.iterdir()) if inputs.is_dir() else []
        files = [path for path in (named, *others) if path.is_file()]
        same = (path for path in files if atomic.digest(path.resolve()) == record.sha256)
        path = next(same, named)
        if not path.is_file():
            options = {"init": "--init FILE", "mask": "--mask or --style-mask FILE"}
            option = options.get(record.role.rpartition("-")[2], "CONTENT STYLE...")
            raise InputError(f"{named} does not exist; pass {option} with --from")
        return path


def read(path: Path) -> Replay:
    """Read the receipt in the file or folder `path`; raises InputError where it is invalid."""
    file = path
    try:
        file = path / RECEIPT if path.is_dir() else path
        plain = json.loads(atomic.read(file.resolve(), MAX_BYTES))
    except OSError as error:
        raise InputError(f"{shortened(file)} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not a receipt: {error}") from error
    with refusing(InputError, str(file)):
        try:
            return Replay(Receipt.model_validate(plain), file.parent)
        except ValidationError as error:
            reasons = "; ".join(map(str, mistakes(error, Receipt)))
            raise InputError(f"{file} is not a receipt: {reasons}") from error
