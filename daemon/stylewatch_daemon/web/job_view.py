"""The story of one job, for its page: its pictures, its losses, its receipt, its attempts."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stylewatch_daemon.outbox.job_files import stages
from stylewatch_daemon.store.journal import Attempt
from stylewatch_daemon.store.ledger import COUNTED_AS, DISMISSIBLE, Entry
from stylewatch_daemon.store.thumbs import SIDE
from stylewatch_daemon.views.formatting import duration, size
from stylewatch_daemon.web import files
from stylewatch_daemon.web.loss_svg import Curve
from stylewatch_daemon.web.picture_urls import Image, Shower, name_of, number_of
from stylewatch_daemon.web.views import ENDED, Painting, Views

MOST_STAGES = 200
"""How many stages a page shows; of more than that, some between are left out."""

LONGEST = 200_000
"""Letters of a receipt that is shown whole on the page; a longer one can be had as a file."""

_FEW = 5  # figures of a number


@dataclass(frozen=True)
class StageShown:
    """A stage: large, and small in the strip."""

    step: int
    large: Image
    small: Image


@dataclass(frozen=True)
class Term:
    """A term of the loss at the end."""

    name: str
    value: str
    weight: str
    part: str


@dataclass(frozen=True)
class Story:
    """All that the page of a job shows."""

    id: str
    name: str
    state: str
    standing: str
    reason: str
    wish: str
    retry_of: str
    entered: str
    finished: str
    painting: Painting | None
    before: Image | None
    after: Image | None
    stages: tuple[StageShown, ...]
    animation: Image | None
    curve: Curve | None
    inputs: tuple[Image, ...]
    facts: tuple[tuple[str, str], ...]
    terms: tuple[Term, ...]
    total: str
    warnings: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]
    attempts: tuple[Attempt, ...]
    receipt: str
    has_receipt: bool
    jobs: tuple[tuple[str, str], ...]
    """The jobs of a series, and how each stands."""

    dismissed: bool

    @property
    def is_dismissible(self) -> bool:
        """Whether the status lists it among those that were refused or failed."""
        return self.state in DISMISSIBLE and not self.dismissed

    @property
    def is_over(self) -> bool:
        """Whether it is at its end."""
        return self.state in ENDED


def story(views: Views, entry: Entry, attempts: Sequence[Attempt]) -> Story:
    """The story of a job with these `attempts`."""
    told, shower = files.receipt(entry), views.shower
    stages = tuple(_stages(shower, entry))
    text = json.dumps(told, indent=2, ensure_ascii=False) if told else ""
    losses = told.get("losses") or {}
    painting = views.painting(entry)
    return Story(
        id=entry.id,
        name=name_of(entry),
        state=entry.state,
        standing=COUNTED_AS[entry.state],
        reason=entry.reason,
        wish=entry.wish,
        dismissed=entry.dismissed,
        retry_of=entry.retry_of,
        entered=entry.entered,
        finished=entry.finished or "",
        painting=painting,
        before=_before(shower, entry),
        after=_after(shower, entry, stages),
        stages=stages,
        animation=shower.large(entry, "animation", f"{name_of(entry)}, stage after stage, moving"),
        curve=painting.curve if painting else views.curve(entry),
        inputs=tuple(one for role in _SHOWN for one in shower.inputs(entry, role)),
        facts=tuple((key, value) for key, value in _facts(entry, told) if value),
        terms=tuple(_terms(losses)),
        total=_number(losses.get("total")),
        warnings=tuple(map(str, told.get("warnings") or ())),
        settings=tuple(_leaves(told.get("recipe") or entry.settings or {})),
        attempts=tuple(attempts),
        receipt=text if len(text) <= LONGEST else "",
        has_receipt=bool(told),
        jobs=tuple((str(one["name"]), str(one["state"])) for one in told.get("jobs") or ()),
    )


_SHOWN = ("content", "style", "init")


def _before(shower: Shower, entry: Entry) -> Image | None:
    number = number_of(entry, "content")
    if number is None:
        return None
    return shower.large(entry, f"input-{number}", f"{name_of(entry)}, the photograph")


def _after(shower: Shower, entry: Entry, stages: Sequence[StageShown]) -> Image | None:
    final = shower.large(entry, "final", f"{name_of(entry)}, the finished painting")
    return final or (stages[-1].large if stages else None)


def _stages(shower: Shower, entry: Entry) -> Iterator[StageShown]:
    steps = list(stages(entry))
    stride = max(1, math.ceil(len(steps) / MOST_STAGES))
    for step in dict.fromkeys([*steps[::stride], *steps[-1:]]):
        alt = f"{name_of(entry)}, as it stood after step {step}"
        large = shower.large(entry, f"stage-{step}", alt)
        small = shower.small(entry, f"stage-{step}", f"step {step}", SIDE)
        if large and small:
            yield StageShown(step, large, small)


def _facts(entry: Entry, told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is worth knowing at a glance."""
    settings = entry.settings or {}
    recipe, backend = told.get("recipe") or {}, told.get("backend") or {}
    yield "recipe", str(recipe.get("name") or settings.get("recipe") or "")
    on = " on ".join(str(backend[key]) for key in ("name", "device") if backend.get(key))
    yield "painted by", on or str(settings.get("backend") or "")
    yield "precision", str(backend.get("precision") or "")
    yield "size", size(told["size"]) if told.get("size") else ""
    yield "stages", str(len(told["stages"])) if told.get("stages") else ""
    yield "time", duration(told["seconds"]) if "seconds" in told else ""
    yield "seed", str(told.get("seed", ""))
    weights = told.get("weights") or {}
    yield "network", f"{weights['name']}, {weights['bits']} bits" if weights else ""
    yield "version", str(told.get("version") or "")


def _terms(plain: Mapping[str, Any], name: str = "") -> Iterator[Term]:
    for key, inner in plain.items():
        if not isinstance(inner, Mapping):
            continue
        place = f"{name} {key}".strip()
        if "value" not in inner:
            yield from _terms(inner, place)
            continue
        value, weight = inner["value"], inner["weight"]
        part = "on the gradient" if "gradient_weight" in inner else _number(value * weight)
        yield Term(place, _number(value), _number(weight), part)


def _leaves(plain: Mapping[str, Any], around: str = "") -> Iterator[tuple[str, str]]:
    """Settings by their dotted names, without those that say nothing."""
    for key, value in plain.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{around}{key}.")
        elif value not in (None, {}, "", []):
            yield f"{around}{key}", str(value)


def _number(value: object) -> str:
    return f"{value:.{_FEW}g}" if isinstance(value, int | float) else ""
