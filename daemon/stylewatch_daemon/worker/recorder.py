"""The record of one job: its files as they are staged, its losses, and finally the receipt."""

import csv
import hashlib
import io
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from stylewatch_daemon.artifacts import drawing
from stylewatch_daemon.artifacts.request import ArtifactRequest, LossTable, Source, file_name
from stylewatch_daemon.base.model import End
from stylewatch_daemon.base.words import short_duration
from stylewatch_daemon.files import atomic, entries
from stylewatch_daemon.outbox import publish
from stylewatch_daemon.outbox.publish import CLIP_FOLDER, LOSSES, RECEIPT, STAGES
from stylewatch_daemon.outbox.receipt import Receipt
from stylewatch_daemon.settings.job import is_file
from stylewatch_daemon.worker.messages import FileStaged, Order, Saving
from stylewatch_daemon.worker.oom_fallback import AS_ASKED, OomFallback
from stylewatch_daemon.worker.paint_clip import ClipPainter
from stylewatch_daemon.worker.prepare import Prepared, enlarged_start, limited_size, selected
from stylewatch_painter import installed
from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.images.encode import suffix
from stylewatch_plugins.contract import Losses, Provenance, Stage, Step

_FIRST_COLUMNS = ("step", "width", "height", "seconds")
_MIN_DIGITS = 4  # minimum digits of a stage's number


@dataclass(eq=False)
class Recorder:
    """Record of one job over all its attempts, which also writes the job's files for publication.

    The files go into the staging folder of `order`. `started` is when the first attempt began, in
    ISO 8601 and UTC; `began` is the monotonic time at which this attempt began. `seconds_before` is
    the time of earlier attempts in seconds. `step` is the last recorded step, `taken_back` the
    number of undone steps. `receipt` is empty until `finish` sets it.
    """

    order: Order
    prepared: Prepared
    provenance: Provenance
    started: str
    weights: dict[str, Any]
    seconds_before: float = 0.0
    rows: list[list[float | None]] = field(default_factory=list)
    """Rows of losses.csv, each with the columns that were known at its step."""
    stages: list[dict[str, Any]] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    step: int = 0
    taken_back: int = 0
    decided: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The choices of `auto`, by the backend that made them."""
    packages: dict[str, str] = field(default_factory=dict)
    """The versions, by name, of other packages whose losses and optimizers the job uses."""
    limits: dict[str, int] = field(default_factory=dict)
    """The limits with which the job began; see `Order.limits`."""
    restarts: list[str] = field(default_factory=list)
    """Reasons why checkpoints of earlier attempts could not be continued."""
    fallback: OomFallback = AS_ASKED
    began: float = field(default_factory=time.monotonic)
    receipt: Mapping[str, Any] = field(default_factory=dict)
    _picture: bytes = b""
    """Content of the file of the last stage."""
    _digests: dict[str, str] = field(default_factory=dict)
    _missing: list[str] = field(default_factory=list)
    """Sentences on artifacts that could not be drawn, and on parts that the clip lacks."""
    _unsynced: set[str] = field(default_factory=set)
    """Folders with files that may lose their names in a power cut."""

    @classmethod
    def begin(
        cls,
        order: Order,
        prepared: Prepared,
        remembered: Mapping[str, Any],
        fallback: OomFallback = AS_ASKED,
    ) -> "Recorder":
        """Return a record that continues `remembered`, the values that an earlier attempt stored.

        If `remembered` is empty, the record is new. Raises CheckpointError if that attempt ran with
        another trained network, or with other versions of packages.
        """
        provenance = prepared.backend.provenance(prepared.task)
        weights = dict(provenance.weights)
        packages = prepared.task.recipe.packages
        if remembered.get("weights", weights) != weights:
            raise CheckpointError("this checkpoint was painted with other weights")
        if remembered.get("packages", packages) != packages:
            raise CheckpointError(installed.OTHER_VERSIONS)
        values = {"started": datetime.now(UTC).isoformat(), "weights": weights, **remembered}
        values |= {"packages": packages, "limits": order.limits}
        values.pop("relief", None)
        recorder = cls(order, prepared, provenance, **values, fallback=fallback)
        recorder.decided.setdefault(provenance.name, dict(provenance.decided))
        return recorder

    def remember(self) -> dict[str, Any]:
        """Return plain JSON values from which `begin` continues the record in the next attempt."""
        names = ("started", "weights", "rows", "stages", "columns", "step", "taken_back", "decided",
                "packages", "limits", "restarts")  # fmt: skip
        record = {name: getattr(self, name) for name in names}
        return {**record, "seconds_before": self.seconds, "relief": self.fallback.as_json()}

    @property
    def seconds(self) -> float:
        """Time that the job has taken so far in seconds, over all attempts."""
        return self.seconds_before + time.monotonic() - self.began

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on differences between the result and the request."""
        back = f"steps that increased the loss too much, and were undone: {self.taken_back}"
        return (
            *self.prepared.doubts,
            *self.prepared.task.recipe.notes,
            *self.provenance.warnings,
            *self.prepared.of_masks,
            *self.fallback.notes,
            *self.prepared.output.warnings,
            *(self.prepared.clip.warnings if self.prepared.clip else ()),
            *enlarged_start(self.prepared.task),
            *limited_size(self.prepared.task, self.order.settings),
            *(f"painted anew from the start: {reason}" for reason in self.restarts),
            *self._missing,
            *([back] if self.taken_back else []),
        )

    def add(self, step: Step) -> None:
        """Record a step and its losses."""
        values = _columns(step.losses, len(self.prepared.task.styles))
        self.columns += [name for name in values if name not in self.columns]
        self.step = step.step
        self.taken_back = step.taken_back
        begin = (step.step, *step.size, round(step.seconds, 3))
        self.rows.append([*begin, *map(values.get, self.columns)])

    def stage(self, stage: Stage) -> list[FileStaged]:
        """Write the file of a stage and, except for step 0, losses.csv up to it.

        Return the announcements of the written files.
        """
        digits = max(_MIN_DIGITS, len(str(stage.steps)))
        number = stage.frame or stage.step
        name = f"{STAGES}/{number:0{digits}}{suffix(self.order.settings.format)}"
        self._picture = self.prepared.output.stage(stage.picture)
        written = self._write(name, self._picture, stage.step)
        self.stages.append(
            {
                "file": name,
                "sha256": self._digests.pop(name),
                "step": stage.step,
                "seconds": round(stage.seconds, 3),
                "losses": stage.losses.as_json(len(self.prepared.task.styles)),
            }
        )
        return [written, self.losses(stage.step)] if stage.step else [written]

    def losses(self, step: int) -> FileStaged:
        """Write losses.csv with the losses so far, and return its announcement.

        `step` is the last step that the file shows.
        """
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow([*_FIRST_COLUMNS, *self.columns])
        table.writerows(self.table())
        return self._write(LOSSES, text.getvalue().encode(), step)

    def table(self) -> list[list[float | None]]:
        """Return the rows of losses.csv, with None for terms that a step does not have."""
        width = len(_FIRST_COLUMNS) + len(self.columns)
        return [[*row, *[None] * (width - len(row))] for row in self.rows]

    def earlier_stages(self) -> list[FileStaged]:
        """Return announcements of the stages of earlier attempts.

        These stages may never have been published.
        """
        return [FileStaged(stage["file"], stage["sha256"], stage["step"]) for stage in self.stages]

    def finish(self, stage: Stage) -> Iterator[FileStaged | Saving]:
        """Write the last picture in full size or the clip, then the artifacts, then the receipt.

        Yield the announcement of each file, and Saving around work that takes long. Finally set
        `receipt`.
        """
        if self.prepared.clip is not None:
            name = f"{self.order.final}.{self.order.settings.clip.format}"
            yield Saving()
            yield self._join(name, self.prepared.clip, stage.step)
            drawn = self.stages[-1]["file"], self.stages[-1]["sha256"]
        else:
            name = f"{self.order.final}{suffix(self.order.settings.format)}"
            output = self.prepared.output
            full_size = output.is_full_size(stage.picture)
            content = self._picture if full_size else output.final(stage.picture)
            yield self._write(name, content, stage.step)
            drawn = name, self._digests[name]
        yield from self._draw_artifacts(stage, *drawn)
        receipt = self._receipt(name, stage)
        self.receipt = receipt.model_dump(mode="json", exclude_none=True)
        yield self._write(RECEIPT, receipt.as_json().encode(), stage.step)

    def sync(self) -> None:
        """Sync the folders of staged files and painted frames, so that the names are durable."""
        staging = self.order.staging
        frames = {CLIP_FOLDER} if entries.exists(staging / CLIP_FOLDER) else set()
        publish.keep_staged(staging, self._unsynced | frames)
        self._unsynced.clear()

    def _draw_artifacts(
        self, stage: Stage, final: str, sha256: str
    ) -> Iterator[FileStaged | Saving]:
        """Write the requested artifacts and yield their announcements; an error becomes a warning.

        `final` is the file of the last picture, for a clip of its last key frame, with the digest
        `sha256`.
        """
        names = artifact_names(self.order, final)
        if not names:
            return
        request = artifact_request(self, stage, final, sha256)
        yield Saving()
        for artifact in drawing.draw(request):
            name = names[artifact.name]
            problem = artifact.problem
            if not problem:
                try:
                    yield self._write(name, artifact.content, stage.step)
                except OSError as error:
                    problem = f"it cannot be written: {error.strerror or error}"
            if problem:
                self._missing.append(f"{name} was not drawn: {problem}")
            yield Saving()

    def _join(self, name: str, clip: ClipPainter, frame: int) -> FileStaged:
        """Write the final clip and return its announcement; a lost stream becomes a warning."""
        joined = self.order.staging / CLIP_FOLDER / name
        self._missing += clip.join(joined)
        atomic.sync_file(joined)
        atomic.move(joined, self.order.staging / name)
        self._digests[name] = digest = atomic.digest(self.order.staging / name)
        return FileStaged(name, digest, frame)

    def _write(self, name: str, content: bytes, step: int) -> FileStaged:
        publish.stage(self.order.staging, name, content)
        self._unsynced.add(str(PurePosixPath(name).parent))
        self._digests[name] = digest = hashlib.sha256(content).hexdigest()
        return FileStaged(name, digest, step)

    def _recipe_name(self) -> str:
        """Return the recipe's name in the settings; its own name if they contain a path."""
        named = self.order.settings.recipe
        return self.prepared.task.recipe.name if is_file(named) else named

    def _receipt(self, final: str, stage: Stage) -> Receipt:
        task = self.prepared.task
        provenance = self.provenance
        settings = self.order.settings
        height, width, _ = stage.picture.shape
        state = End.DONE if stage.step == stage.steps else End.STOPPED_EARLY
        attempt = {
            "backend": provenance.name,
            "device": provenance.device,
            "decided": {**provenance.decided, **self.fallback.decided},
            "ended": state,
        }
        backend = ("name", "version", "device", "precision")
        plain = {
            "job": self.order.name,
            "retry_of": self.order.retry_of,
            "state": state,
            "recipe": task.recipe.model_dump(mode="json"),
            "settings": {**settings.model_dump(mode="json"), "recipe": self._recipe_name()},
            "backend": {key: getattr(provenance, key) for key in backend},
            "weights": self.weights or None,
            "packages": self.packages,
            "size": (width, height),
            "seed": task.seed,
            "inputs": self.prepared.inputs,
            "clip": self.prepared.clip and self.prepared.clip.record(),
            "stages": self.stages,
            "final": final,
            "files": [{"file": name, "sha256": digest} for name, digest in self._digests.items()],
            "losses": self.stages[-1]["losses"],
            "attempts": (*self.order.attempts, attempt),
            "warnings": self.warnings,
            "started": self.started,
            "finished": datetime.now(UTC),
            "seconds": round(self.seconds, 3),
            "version": version("stylewatch"),
        }
        return Receipt.model_validate(plain)


def artifact_request(recorder: Recorder, stage: Stage, final: str, digest: str) -> ArtifactRequest:
    """Return the request for artifacts of a job that ends with `stage`.

    `final` is the staged final picture, for a clip its last key frame, with its `digest`.
    """
    order = selected(recorder.order)
    settings = recorder.order.settings
    folders = [order.staging, *([] if order.place is None else [order.place])]

    def staged(name: str, sha256: str, label: str) -> Source:
        """Return the source of a staged file, which may already be published in `order.place`."""
        return Source(tuple(str(folder / name) for folder in folders), sha256, label)

    *earlier, last = recorder.stages
    height, width, _ = stage.picture.shape
    count = len(order.styles)
    is_clip = recorder.prepared.clip is not None
    roles = ["style"] if count == 1 else [f"style {number}" for number in range(1, count + 1)]
    return ArtifactRequest(
        wanted=settings.artifacts,
        losses=LossTable(
            recorder.columns,
            recorder.table(),
            [stage["step"] for stage in recorder.stages],
            recorder.prepared.unit,
        ),
        content=_input("content", order.content) if order.content and not is_clip else None,
        styles=tuple(map(_input, roles, order.styles)),
        stages=tuple(
            staged(
                stage["file"],
                stage["sha256"],
                f"{recorder.prepared.unit} {stage['step']}, {short_duration(stage['seconds'])}",
            )
            for stage in earlier
        ),
        final=staged(
            final,
            digest,
            f"final: {recorder.prepared.unit} {last['step']}, {short_duration(recorder.seconds)}\n"
            f"{recorder.prepared.task.recipe.name}, {width}x{height}, {settings.backend}",
        ),
        max_pixels=max(order.max_pixels, width * height),
    )


def artifact_names(order: Order, final: str) -> dict[str, str]:
    """Return the file name of each requested artifact; none is the name of the `final` picture."""
    return {artifact: file_name(artifact, final) for artifact in order.settings.artifacts}


def _input(role: str, path: Path) -> Source:
    named_by_role = path.stem == role.replace(" ", "-")
    return Source((str(path),), label=role if named_by_role else f"{role}\n{path.name}")


def _columns(losses: Losses, styles: int) -> dict[str, float]:
    """Return the columns of losses.csv: the total, then the contribution of each term.

    The number of the job's `styles` decides the names, so that a term has the same name at all
    sizes. Weights may differ between the sizes of a job, so unweighted values could not be
    compared.
    """
    columns = {"total": losses.total}
    columns |= {f"content.{layer}": term.weighted for layer, term in losses.content.items()}
    for style, layers in losses.style.items():
        name = "style" if losses.has_one_target(styles) else style
        columns |= {f"{name}.{layer}": term.weighted for layer, term in layers.items()}
    single = {"tv": losses.tv, "temporal": losses.temporal}
    columns |= {name: term.weighted for name, term in single.items() if term is not None}
    return columns
