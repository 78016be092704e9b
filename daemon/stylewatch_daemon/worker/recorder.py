"""The story of one painting: its files as they are staged, its losses, at the end the receipt."""

import csv
import hashlib
import io
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from typing import Any

from stylewatch_daemon.artifacts.process import drawn
from stylewatch_daemon.files import flat_layout
from stylewatch_daemon.outbox import publish
from stylewatch_daemon.outbox.receipt import OutputRecord, Receipt
from stylewatch_daemon.worker import artifacts
from stylewatch_daemon.worker.contract import Order, Saving, Staged
from stylewatch_daemon.worker.oom_fallback import AS_ASKED, Relief
from stylewatch_daemon.worker.prepare import Prepared
from stylewatch_daemon.worker.resume import coarse
from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.images.encode import suffix
from stylewatch_plugins.contract import Losses, Provenance, Stage, Step

_LEAST_DIGITS = 4  # of a stage's number
_UPHILL = "steps that led far uphill, and were taken back: {count}"


@dataclass(eq=False)
class Story:
    """All that is reported of one painting, over all its attempts."""

    order: Order
    prepared: Prepared
    seen: Provenance
    started: str
    weights: dict[str, Any]
    seconds_before: float = 0.0
    rows: list[list[float]] = field(default_factory=list)
    stages: list[dict[str, Any]] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    step: int = 0
    taken_back: int = 0
    decided: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What `auto` came to, by the backend that had to decide."""
    relief: Relief = AS_ASKED
    together: int = 1
    """How many are painted at once, this one with them."""
    began: float = field(default_factory=time.monotonic)
    picture: bytes = b""
    digests: dict[str, str] = field(default_factory=dict)
    receipt: Mapping[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    """Which keepsakes there are not, and why, in sentences."""
    fresh: set[str] = field(default_factory=set)
    """What was left since the last `keep_staged`."""

    @classmethod
    def begin(
        cls,
        order: Order,
        prepared: Prepared,
        remembered: Mapping[str, Any],
        relief: Relief = AS_ASKED,
    ) -> "Story":
        """A fresh story, or what an earlier attempt remembered of it.

        Raises CheckpointError: that one was painted with another trained network.
        """
        seen = prepared.backend.provenance(prepared.task)
        weights = dict(seen.weights)
        if remembered.get("weights", weights) != weights:
            raise CheckpointError("this checkpoint was painted with other weights")
        now = datetime.now(UTC).isoformat()
        known = {"started": now, "weights": weights, **remembered, "relief": relief}
        story = cls(order, prepared, seen, **known)
        story.decided.setdefault(seen.name, dict(seen.decided))
        return story

    def remember(self) -> dict[str, Any]:
        """What the next attempt must know, as plain JSON values."""
        return {
            "started": self.started,
            "weights": self.weights,
            "seconds_before": self.seconds,
            "rows": self.rows,
            "stages": self.stages,
            "columns": self.columns,
            "step": self.step,
            "taken_back": self.taken_back,
            "decided": self.decided,
            "relief": self.relief.as_json(),
        }

    @property
    def seconds(self) -> float:
        """How long the painting took so far, all attempts together."""
        return self.seconds_before + time.monotonic() - self.began

    @property
    def warnings(self) -> tuple[str, ...]:
        """Where the painting departs from what was asked, in sentences."""
        notes = (
            *self.prepared.task.recipe.notes,
            *self.seen.warnings,
            *self.prepared.regions.warnings,
            *self.relief.notes,
            *self.prepared.dress.warnings,
            *coarse(self.prepared.task, self.order.settings.from_step),
            *self.missing,
        )
        return (*notes, _UPHILL.format(count=self.taken_back)) if self.taken_back else notes

    def add(self, step: Step) -> None:
        """Take in a step and its losses."""
        named = dict(_flat(step.losses))
        self.columns = list(named)
        self.step, self.taken_back = step.step, step.taken_back
        self.rows.append([step.step, *step.size, round(step.seconds, 3), *named.values()])

    def stage(self, stage: Stage, picture: bytes | None = None) -> Iterator[Staged]:
        """Leave the picture of a stage, `encoded` already if it is given, and the losses so far."""
        digits = max(_LEAST_DIGITS, len(str(stage.steps)))
        name = f"stages/{stage.step:0{digits}}{suffix(self.order.settings.format)}"
        self.picture = self.encoded(stage) if picture is None else picture
        yield self._staged(name, self.picture, stage.step)
        self.stages.append(
            {
                "file": name,
                "sha256": self.digests.pop(name),
                "step": stage.step,
                "seconds": round(stage.seconds, 3),
                "losses": stage.losses.as_json(),
            }
        )
        yield self._staged("losses.csv", self._table(), stage.step)

    def stages_again(self) -> Iterator[Staged]:
        """Those that earlier attempts left, and perhaps nobody heard of."""
        for one in self.stages:
            yield Staged(one["file"], one["sha256"], one["step"])

    def end(self, stage: Stage) -> Iterator[Staged | Saving]:
        """Leave the last picture once more, whole, then keepsakes, and last of all the receipt."""
        name = f"{self.order.final}{suffix(self.order.settings.format)}"
        dress = self.prepared.dress
        whole = self.picture if dress.is_whole(stage.picture) else dress.final(stage.picture)
        yield self._staged(name, whole, stage.step)
        yield from self._keepsakes(name, stage)
        final = flat_layout.as_seen(self.order.name, name)
        self.digests[final] = self.digests.pop(name)
        state = "done" if stage.step == stage.steps else "finished"
        receipt = self._receipt(state, final, stage)
        self.receipt = receipt.model_dump(mode="json", exclude_none=True)
        yield self._staged("receipt.json", receipt.as_json().encode(), stage.step)

    def _keepsakes(self, final: str, stage: Stage) -> Iterator[Staged | Saving]:
        """Leave what is to be kept beside; the painting does not suffer where that goes wrong."""
        files = artifacts.files(self.order, final)
        if not files:
            return
        height, width, _ = stage.picture.shape
        told = artifacts.Told(
            columns=self.columns,
            rows=self.rows,
            stages=self.stages,
            losses=stage.losses,
            final=final,
            digest=self.digests[final],
            size=(width, height),
            seconds=self.seconds,
        )
        yield Saving()
        for one in drawn(artifacts.asked(self.order, self.prepared, told)):
            problem = one.problem
            if not problem:
                try:
                    staged = self._staged(files[one.name], one.content, stage.step)
                except OSError as error:
                    problem = f"it cannot be written: {error.strerror or error}"
                else:
                    yield staged
            if problem:
                self.missing.append(f"{files[one.name]} was not drawn: {problem}")
            yield Saving()

    def keep_staged(self) -> None:
        """Make what was left so far last, whatever becomes of the machine."""
        publish.keep_staged(self.order.staging, self.fresh)
        self.fresh.clear()

    def encoded(self, stage: Stage) -> bytes:
        """The file of a stage's picture; any thread may make it. Raises SaveError."""
        return self.prepared.dress.stage(stage.picture)

    def _staged(self, name: str, content: bytes, step: int) -> Staged:
        publish.stage(self.order.staging, name, content)
        self.fresh.add(name)
        self.digests[name] = digest = hashlib.sha256(content).hexdigest()
        return Staged(name, digest, step)

    def _table(self) -> bytes:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["step", "width", "height", "seconds", *self.columns])
        table.writerows(self.rows)
        return text.getvalue().encode()

    @property
    def _batch(self) -> dict[str, int]:
        return {"batch": self.together} if self.together > 1 else {}

    @property
    def _color(self) -> dict[str, str] | None:
        settings = self.order.settings
        if settings.color == "style":
            return None
        return {"mode": settings.color, "space": settings.color_space}

    def _receipt(self, state: str, final: str, stage: Stage) -> Receipt:
        task, seen = self.prepared.task, self.seen
        height, width, _ = stage.picture.shape
        attempt = {
            "backend": seen.name,
            "device": seen.device,
            "decided": {**seen.decided, **self.relief.decided, **self._batch},
            "ended": state,
        }
        plain = {
            "job": self.order.name,
            "retry_of": self.order.retry_of,
            "only": self.order.settings.only,
            "state": state,
            "recipe": task.recipe.model_dump(mode="json"),
            "color": self._color,
            "output": {
                **self.order.settings.model_dump(include={*OutputRecord.model_fields}),
                "keep": self.order.settings.artifacts,
            },
            "backend": {
                key: getattr(seen, key) for key in ("name", "version", "device", "precision")
            },
            "weights": self.weights or None,
            "size": (width, height),
            "seed": task.seed,
            "inputs": self.prepared.inputs,
            "mask": self.order.settings.mask.model_dump() if self.prepared.regions.inputs else None,
            "stages": self.stages,
            "final": final,
            "files": [{"file": file, "sha256": digest} for file, digest in self.digests.items()],
            "losses": stage.losses.as_json(),
            "attempts": (*self.order.attempts, attempt),
            "warnings": self.warnings,
            "started": self.started,
            "finished": datetime.now(UTC),
            "seconds": round(self.seconds, 3),
            "version": _version(),
        }
        return Receipt.model_validate(plain)


@cache
def _version() -> str:
    return version("stylewatch")  # which reads a file, and does not change while we run


def _flat(losses: Losses) -> Iterator[tuple[str, float]]:
    """The columns of the table: the total, then every term's own value."""
    yield "total", losses.total
    for layer, term in losses.content.items():
        yield f"content.{layer}", term.value
    for style, layers in losses.style.items():
        name = "style" if len(losses.style) == 1 else style
        for layer, term in layers.items():
            yield f"{name}.{layer}", term.value
    if losses.tv is not None:
        yield "tv", losses.tv.value
