"""The ONNX graphs of VGG: plans, files and their cache, and how graphs are built into it.

Builders are entry points of the group `stylewatch.graphs`: functions that take a Plan, the name of
the weights, and the Pair of files to write, each atomically. One runs in a child process, so that
the memory for building is free again before a job runs; nothing here imports onnx.

A graph's file ends in a seal: the SHA-256 of all bytes before it, in the form of one more entry
of the model's metadata, so that every reader of ONNX accepts it.
"""

import hashlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from filelock import FileLock
from platformdirs import user_cache_path

from stylewatch_painter.errors import PainterError
from stylewatch_painter.installation import install_command
from stylewatch_painter.network.weights import WeightsFile
from stylewatch_painter.recipes.recipe import Objective, Strict
from stylewatch_painter.vgg import LAYERS, Architecture, LayerName
from stylewatch_plugins.errors import BackendError, BackendMissingError, GraphError

FORM = "stylewatch-graph/1"
"""The format of our graphs; the number grows with every change of how they are built."""

MANIFEST = "stylewatch"
"""The key of the manifest, a JSON text, in a graph's metadata."""

GROUP = "stylewatch.graphs"
NAME = "vgg19"

MAX_CACHE = 2**30
"""Bytes that the cache may take: some nine pairs in fp32, more than the shipped recipes need."""

Part = Literal["features", "gradient"]
Precision = Literal["fp32", "fp16"]

FEATURES, GRADIENT = ".features.onnx", ".gradient.onnx"
"""Suffixes of the two files of a pair."""

_SEAL = b"\x72\x4a\x0a\x06sha256\x12\x40"  # metadata_props: an entry of a key and 64 digits
_DIGITS = 64
_LONGEST_WAIT = 300  # seconds, for another process that builds or opens the same graphs
_NO_BUILDER = (
    f"no builder of graphs is installed (entry points of the group {GROUP}); "
    "`pip install stylewatch` brings one"
)

_log = logging.getLogger(__name__)


class Plan(Strict):
    """The content of a pair of graphs; `weights` is the SHA-256 of the trained network."""

    weights: str
    mean: tuple[float, float, float]
    layers: tuple[LayerName, ...]
    pool: Literal["max", "average"]
    pool_edge: Literal["floor", "ceil"]
    precision: Precision = "fp32"
    architecture: Architecture = "vgg19"

    @classmethod
    def of(cls, objective: Objective, file: WeightsFile, precision: Precision = "fp32") -> "Plan":
        """Make the plan for all layers of `objective`, in the network of `file`."""
        return cls(
            weights=file.sha256,
            mean=file.mean,
            layers=tuple(layer for layer in LAYERS if layer in objective.all_layers),
            pool=objective.network.pool,
            pool_edge=objective.network.pool_edge,
            precision=precision,
            architecture=file.architecture,
        )

    @property
    def stem(self) -> str:
        """The file name of this plan, without suffix; no other plan has it."""
        digest = hashlib.sha256((FORM + self.model_dump_json()).encode()).hexdigest()
        return f"{self.architecture}-{self.pool}-{self.pool_edge}-{self.precision}-{digest[:16]}"

    def check(self, path: Path, part: Part, manifest: str) -> None:
        """Raise GraphError where the manifest of `path` is not that of this plan's `part`."""
        fields = read_manifest(path, manifest)
        for field, value in {"part": part, **self.model_dump(mode="json")}.items():
            if fields.get(field) != value:
                raise GraphError(
                    f"{path} is a graph for {field} {fields.get(field)!r}, and {value!r} is "
                    "needed; `stylewatch-export build` makes one that fits"
                )


def read_manifest(path: Path, manifest: str) -> dict[str, object]:
    """Parse the `manifest` of the graph at `path`.

    Raises GraphError: it is missing, or of another format.
    """
    fields = None
    with suppress(ValueError):
        fields = json.loads(manifest)
    form = fields.get("form") if isinstance(fields, dict) else None
    if not isinstance(fields, dict) or form is None:
        raise GraphError(
            f"{path} has no manifest of stylewatch's; `stylewatch-export build` makes graphs "
            "that do"
        )
    if form != FORM:
        raise GraphError(
            f"{path} is of the form {form}, and {FORM} is needed here; `stylewatch-export build` "
            "makes it anew"
        )
    return fields


@dataclass(frozen=True)
class Pair:
    """The files of a feature graph and of its gradient graph."""

    features: Path
    gradient: Path

    @classmethod
    def of(cls, folder: Path, stem: str) -> "Pair":
        """Name the two files called `stem` in `folder`, whether they exist or not."""
        return cls(folder / f"{stem}{FEATURES}", folder / f"{stem}{GRADIENT}")

    @property
    def whole(self) -> bool:
        """Both files exist, and neither has changed since it was written."""
        try:
            check_seal(self.features)
            check_seal(self.gradient)
        except (GraphError, OSError):
            return False
        return True

    def lock(self, wait: float = _LONGEST_WAIT) -> FileLock:
        """Make the lock for building, opening or removing the pair; waits `wait` seconds."""
        stem = self.features.name.removesuffix(FEATURES)
        return FileLock(self.features.with_name(f"{stem}.lock"), timeout=wait)

    def bytes(self) -> int:
        """Return the size of the files that exist."""
        return sum(path.stat().st_size for path in (self.features, self.gradient) if path.exists())


def sealed(model: bytes) -> bytes:
    """Append the seal to a serialized model."""
    return model + _SEAL + hashlib.sha256(model).hexdigest().encode()


def check_seal(path: Path) -> None:
    """Raise GraphError where `path` was changed or cut short, OSError where it cannot be read."""
    length = path.stat().st_size - len(_SEAL) - _DIGITS
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while length > 0 and (block := file.read(min(length, 1 << 20))):
            digest.update(block)
            length -= len(block)
        seal = file.read()
    if seal != _SEAL + digest.hexdigest().encode():
        raise GraphError(
            f"{path} is cut short, damaged or no graph of stylewatch's; "
            "`stylewatch-export build` makes it anew"
        )


def cache_folder() -> Path:
    """Return the folder of graphs that can be built again, in the user's cache folder."""
    return user_cache_path("stylewatch") / "graphs"


def problem() -> str | None:
    """Explain why there are no graphs and none can be built; None if there are, or they can."""
    if any(cache_folder().glob("*.onnx")):
        return None
    if find_spec("onnx") is None:
        return (
            "the package onnx, which builds the graphs, is not installed: "
            f"{install_command('onnx')}"
        )
    return None if entry_points(group=GROUP, name=NAME) else _NO_BUILDER


@contextmanager
def ready(
    plan: Plan, weights: str, *, cache: Path | None = None, anew: bool = False
) -> Iterator[Pair]:
    """Hold the graphs of `plan`; they are built if they are not there yet, or if `anew`.

    No other process opens, builds or removes them within this context. After a build the pairs
    used least recently are removed from the cache. Where the cache cannot be written, graphs are
    built into a temporary folder, which is removed with this context. Raises BackendMissingError
    where they cannot be built.
    """
    folder = cache or cache_folder()
    pair = Pair.of(folder, plan.stem)
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(pair.lock())
            if anew or not pair.whole:
                _build(plan, weights, pair)
                make_room(folder, MAX_CACHE)
            os.utime(pair.features)  # `make_room` removes the oldest first
        except OSError as error:
            if anew or not pair.whole:  # else the cache is readable, and that is enough
                _log.warning("the graphs cannot be kept, starting takes longer: %s", error)
                temporary = stack.enter_context(tempfile.TemporaryDirectory())
                pair = Pair.of(Path(temporary), plan.stem)
                _build(plan, weights, pair)
        yield pair


def make_room(folder: Path, limit: int) -> None:
    """Remove the pairs used least recently until the rest takes at most `limit` bytes.

    Pairs that are locked, and those that may not be removed, stay.
    """

    def last_used(pair: Pair) -> float:
        """Return seconds since the epoch; 0 if another process has removed the pair by now."""
        return pair.features.stat().st_mtime if pair.features.exists() else 0.0

    stems = [path.name.removesuffix(FEATURES) for path in folder.glob(f"*{FEATURES}")]
    pairs = sorted((Pair.of(folder, stem) for stem in stems), key=last_used)
    excess = sum(pair.bytes() for pair in pairs) - limit
    for pair in pairs:
        if excess <= 0:
            return
        with suppress(OSError), pair.lock(wait=0):
            freed = pair.bytes()
            pair.gradient.unlink(missing_ok=True)
            pair.features.unlink(missing_ok=True)  # last: pairs are found by this file
            excess -= freed


def _build(plan: Plan, weights: str, pair: Pair) -> None:
    """Build `pair` in a child process; raises BackendMissingError."""
    _log.warning(
        "building the ONNX graphs of the weights %r for %s pools and %d layers, once, into %s",
        weights, plan.pool, len(plan.layers), pair.features.parent,
    )  # fmt: skip
    began = time.monotonic()
    files = [str(pair.features), str(pair.gradient)]
    code = "from stylewatch_plugins.graphs import main; main()"
    child = [sys.executable, "-c", code, plan.model_dump_json(), weights, *files]
    ended = subprocess.run(child, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        reason = ended.stderr.strip().splitlines()[-1:] or ["without a word"]
        raise BackendMissingError(f"the ONNX graphs cannot be built: {reason[0]}")
    _log.warning("built in %.1f s", time.monotonic() - began)


def main() -> None:
    """Run the child process of `_build`; an error goes to stderr, in a sentence."""
    plan, weights, features, gradient = sys.argv[1:]
    try:
        entries = tuple(entry_points(group=GROUP, name=NAME))
        if not entries:
            raise BackendMissingError(_NO_BUILDER)
        build = entries[0].load()
        build(Plan.model_validate_json(plan), weights, Pair(Path(features), Path(gradient)))
    except (BackendError, PainterError, OSError) as error:
        sys.exit(str(error))
    except ImportError as error:
        sys.exit(f"a package is not installed ({error}): {install_command('onnx')}")
