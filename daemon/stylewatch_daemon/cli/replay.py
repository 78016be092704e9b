"""A job done once more, by its receipt."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from stylewatch_daemon.errors import InputError
from stylewatch_daemon.files import atomic, flat_layout
from stylewatch_daemon.files.names import safe
from stylewatch_daemon.outbox.receipt import InputRecord, Receipt
from stylewatch_daemon.settings.job import JobSettings, MaskSettings, StageSettings
from stylewatch_daemon.store.journal import MASK
from stylewatch_painter.errors import RecipeError
from stylewatch_painter.recipes import book
from stylewatch_painter.validation import mistakes, refusing

_WRITTEN = ("final", "format", "quality", "depth", "metadata", "stages", "artifacts")
"""Settings of how files are called and written; of names no receipt tells, of all else the first
did not."""
_FITTED = ("tile", "history")
"""Options of a backend that memory decides on, and that change the picture."""


@dataclass(frozen=True)
class Repeat:
    """A receipt, and the folder where it lies."""

    receipt: Receipt
    folder: Path

    def pictures(self) -> tuple[Path, ...]:
        """The content and the styles, in the folder `inputs` beside the receipt.

        Raises InputError where one is not there any more.
        """
        return tuple(self._find(one) for one in self._inputs)

    def init(self) -> Path | None:
        """The picture that the painting started from, where there was one; InputError as above."""
        return next((self._find(one) for one in self.receipt.inputs if one.role == "init"), None)

    def masks(self) -> dict[str, Path]:
        """The masks by their roles; InputError as above."""
        return {one.role: self._find(one) for one in self.receipt.inputs if one.role.endswith(MASK)}

    def differences(self, pictures: tuple[Path, ...]) -> Iterator[str]:
        """A sentence for each of `pictures` that is not the one of the receipt."""
        if len(pictures) != len(self._inputs):
            yield f"the receipt has {len(self._inputs)} pictures, here are {len(pictures)}"
        for one, path in zip(self._inputs, pictures, strict=False):
            if atomic.digest(path.resolve()) != one.sha256:
                yield f"{path} is not the {one.role} of the receipt, {one.name}: another result"

    def settings(self, scratch: Path, pictures: int, below: JobSettings) -> JobSettings:
        """The settings that repeat it with so many `pictures`.

        Its recipe becomes a file in the folder `scratch`. Of how files are written, `below` says
        what the receipt does not. Raises InputError where it makes no sense.
        """
        with refusing(InputError, "this receipt"):
            try:
                recipe = book.check(self.receipt.recipe).model_dump(mode="json")
                settings = self._settings(recipe, pictures, below)
            except RecipeError as error:
                raise InputError(f"this receipt cannot be repeated: {error}") from error
            except ValidationError as error:
                told = "; ".join(str(mistake) for mistake in mistakes(error, JobSettings))
                raise InputError(f"this receipt cannot be repeated: {told}") from error
        file = scratch / f"{safe(recipe['name'])}.yaml"
        file.write_text(yaml.safe_dump(recipe, allow_unicode=True), encoding="utf-8")
        return settings.model_copy(update={"recipe": str(file)})

    def options(self) -> dict[str, int]:
        """Return the tile and the history that the receipt records, as options of the backend."""
        decided = self.receipt.attempts[-1].decided if self.receipt.attempts else {}
        return {key: decided[key] for key in _FITTED if isinstance(decided.get(key), int)}

    def _settings(self, recipe: dict[str, Any], pictures: int, below: JobSettings) -> JobSettings:
        """The settings but for the name of the recipe."""
        looks = [one for one in self._inputs if one.weight is not None]
        styles = pictures - (self.receipt.only != "style")
        weights = tuple(one.weight for one in looks if one.weight is not None)
        sizes = tuple(one.style_size for one in looks if one.style_size is not None)
        color, only = self.receipt.color, self.receipt.only
        return JobSettings(
            seed=self.receipt.seed,
            backend=self.receipt.backend.name,
            style_weights=weights if weights and len(weights) == styles else None,
            style_size=sizes if sizes and len(sizes) == styles else None,
            only=only,
            # which would say itself where to start, and what comes back of the content
            init=recipe["schedule"]["start"] if only else None,
            set={"keep_detail": recipe["schedule"]["keep_detail"]} if only else {},
            color=color.mode if color else "style",
            color_space=color.space if color else JobSettings().color_space,
            mask=MaskSettings.model_validate(dict(self.receipt.mask or {})),
            **self._written(below),
        )

    def _written(self, below: JobSettings) -> dict[str, Any]:
        """How files are written: as the receipt says, else as `below` does."""
        told = dict(self.receipt.output or {})
        told["artifacts"] = told.pop("keep", below.artifacts)
        told |= {"stages": StageSettings(size=one.size)} if (one := told.get("stages")) else {}
        return {key: told.get(key, getattr(below, key)) for key in _WRITTEN}

    @property
    def _inputs(self) -> tuple[InputRecord, ...]:
        return tuple(one for one in self.receipt.inputs if not one.role.endswith(("init", MASK)))

    def _find(self, wanted: InputRecord) -> Path:
        """The file of an input: by its name, or under another by its digest."""
        series = (
            self.folder.parent,
            flat_layout.around(self.folder),
        )  # where it may be one of a series
        around = tuple(folder / "inputs" for folder in (self.folder, *series))
        places = [folder for folder in around if folder.is_dir()]
        named = next(
            (path for folder in places if (path := folder / Path(wanted.name).name).is_file()),
            around[0] / Path(wanted.name).name,
        )
        others = [path for folder in places for path in sorted(folder.iterdir())]
        files = [path for path in (named, *others) if path.is_file()]
        same = (path for path in files if atomic.digest(path.resolve()) == wanted.sha256)
        found = next(same, named)
        if not found.is_file():
            options = {"init": "--init FILE", "mask": "--mask or --style-mask FILE"}
            option = options.get(wanted.role.rpartition("-")[2], "CONTENT STYLE...")
            raise InputError(f"{named} is not there; say {option} beside --from")
        return found


def read(path: Path) -> Repeat:
    """The receipt in the file `path`, or in the folder; InputError where there is none."""
    file = path / "receipt.json" if path.is_dir() else path
    try:
        with refusing(InputError, str(file), ValueError):
            plain = json.loads(file.read_bytes())
            if isinstance(plain, dict) and "sweep" in plain:
                raise InputError(f"{file} is that of a series: name the receipt of one of its jobs")
            return Repeat(Receipt.model_validate(plain), file.parent)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    except InputError:
        raise
    except ValidationError as error:
        told = "; ".join(str(mistake) for mistake in mistakes(error, Receipt))
        raise InputError(f"{file} is no receipt: {told}") from error
    except ValueError as error:
        raise InputError(f"{file} is no receipt: {error}") from error
