"""The ONNX graphs of VGG: their contents, their files, and the cache of built graphs.

`stylewatch-export` builds them in a child process, so that the memory for building is free again
before a job runs, and this package does not import onnx.
"""

import fcntl
import hashlib
import json
import logging
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from platformdirs import user_cache_path
from pydantic import Field

from stylewatch_painter import regular_file
from stylewatch_painter.fields import Strict
from stylewatch_painter.installation import install_command
from stylewatch_painter.network.weights import WeightsFile
from stylewatch_painter.recipes.recipe import ObjectiveSettings
from stylewatch_painter.vgg import LAYERS, Architecture, LayerName
from stylewatch_plugins.errors import BackendMissingError, GraphError

FORM = "stylewatch-graph/1"
"""Format of the graphs; the number increases with every change in how they are built."""

MANIFEST = "stylewatch"
"""Key of the manifest, a JSON text, in a graph's metadata."""

MAX_CACHE_BYTES = 2**30
"""Maximum size of the cache in bytes: about nine pairs, more than the shipped recipes need."""

Part = Literal["features", "gradient"]

FEATURES, GRADIENT = ".features.onnx", ".gradient.onnx"
"""Suffixes of the two files of a pair."""

_BUILD = "from stylewatch_export.cli import main; main()"

_log = logging.getLogger(__name__)


class Plan(Strict):
    """Contents of a pair of graphs: layers and pools of a trained network.

    `weights` is the SHA-256 (hex) of the network. `mean` (RGB, 0..255) is subtracted from pictures.
    """

    weights: str
    mean: tuple[float, float, float]
    layers: Annotated[tuple[LayerName, ...], Field(min_length=1)]
    pool: Literal["max", "average"]
    pool_edge: Literal["floor", "ceil"]
    architecture: Architecture = "vgg19"

    @classmethod
    def of(cls, objective: ObjectiveSettings, file: WeightsFile) -> "Plan":
        """Return the plan for all layers of `objective`, in the network of `file`."""
        return cls(
            weights=file.sha256,
            mean=file.mean,
            layers=tuple(layer for layer in LAYERS if layer in objective.layers),
            pool=objective.network.pool,
            pool_edge=objective.network.pool_edge,
            architecture=file.architecture,
        )

    @property
    def stem(self) -> str:
        """File name of the graphs without suffix, unique to this plan."""
        digest = hashlib.sha256((FORM + self.model_dump_json()).encode()).hexdigest()
        return f"{self.architecture}-{self.pool}-{self.pool_edge}-{digest[:16]}"

    def check(self, path: Path, part: Part, manifest: str) -> None:
        """Raise GraphError unless the graph at `path` is the given `part` of this plan.

        `manifest` is the JSON text in the metadata of the graph.
        """
        fields = read_manifest(path, manifest)
        for field, value in {"part": part, **self.model_dump(mode="json")}.items():
            if fields.get(field) != value:
                raise GraphError(
                    f"{path} is a graph for {field} {fields.get(field)!r}, and {value!r} is "
                    "needed; `stylewatch-export build` makes one that fits"
                )


def read_manifest(path: Path, manifest: str) -> dict[str, object]:
    """Return the fields of `manifest`, a JSON text in the metadata of the graph at `path`.

    Raises GraphError if the text is empty or damaged, or if its `form` is not FORM.
    """
    try:
        fields = json.loads(manifest)
    except (ValueError, RecursionError):
        fields = None
    form = fields.get("form") if isinstance(fields, dict) else None
    if not isinstance(fields, dict) or form != FORM:
        raise GraphError(
            f"{path} is not a graph of the form {FORM}; `stylewatch-export build` makes such graphs"
        )
    return fields


@dataclass(frozen=True)
class Pair:
    """The files of a feature graph and of its gradient graph."""

    features: Path
    gradient: Path

    @classmethod
    def of(cls, folder: Path, stem: str) -> "Pair":
        """Return the pair of files called `stem` in `folder`, whether they exist or not."""
        return cls(folder / f"{stem}{FEATURES}", folder / f"{stem}{GRADIENT}")

    @property
    def is_complete(self) -> bool:
        """True if both files exist; raises OSError if that is unknown."""
        return None not in (regular_file.status(self.features), regular_file.status(self.gradient))


def cache_folder() -> Path:
    """Return the folder of the cache, which may not exist yet."""
    return user_cache_path("stylewatch") / "graphs"


def problem() -> str | None:
    """Explain why no graph can be built; None if one can be, or if the cache has any graph."""
    if find_spec("onnx") is not None or any(cache_folder().glob("*.onnx")):
        return None
    return f"the package onnx, which builds the graphs, is not installed: {install_command('onnx')}"


def ready(plan: Plan, weights: str, *, anew: bool = False) -> Pair:
    """Return the graphs of `plan` in the cache, building them if they are missing or if `anew`.

    `weights` is the name of the trained weights. The least recently used pairs are removed from a
    cache of more than MAX_CACHE_BYTES. Raises BackendMissingError if graphs cannot be built or
    stored.
    """
    folder = cache_folder()
    pair = Pair.of(folder, plan.stem)
    if anew or not pair.is_complete:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / f"{plan.stem}.lock").open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed, or the process ends
                # another process may have built them in the meantime
                if anew or not pair.is_complete:
                    _build(plan, weights, folder)
        except OSError as error:
            raise BackendMissingError(
                f"the ONNX graphs cannot be kept in {folder}: {error}; free some space, or name "
                "another cache folder in XDG_CACHE_HOME"
            ) from error
    with suppress(OSError):
        os.utime(pair.features)  # `make_room` removes the oldest first
        make_room(folder, MAX_CACHE_BYTES)
    return pair


def make_room(folder: Path, limit: int) -> None:
    """Remove the least recently used pairs until the rest takes at most `limit` bytes.

    Files of an incomplete pair, which a killed process left in `folder`, count as a pair. A process
    that has opened the graphs of a removed pair can still use them. Raises OSError if a file cannot
    be examined or removed.
    """
    pairs: dict[str, list[Path]] = {}
    newest_first = sorted(
        folder.glob("*.onnx*"), key=lambda path: path.stat().st_mtime, reverse=True
    )
    for path in newest_first:
        pairs.setdefault(path.name.lstrip(".").partition(".")[0], []).append(path)
    size = 0
    for paths in pairs.values():
        size += sum(path.stat().st_size for path in paths)
        if size > limit:
            for path in paths:
                path.unlink(missing_ok=True)


def _build(plan: Plan, weights: str, folder: Path) -> None:
    """Build the pair of `plan` in a child process; raises BackendMissingError if that fails."""
    _log.warning(
        "building the ONNX graphs of the weights %r for %s pools and %d layers, once, into %s",
        weights, plan.pool, len(plan.layers), folder,
    )  # fmt: skip
    began = time.monotonic()
    layers = [word for layer in plan.layers for word in ("--layer", layer)]
    pools = ["--pool", plan.pool, "--pool-edge", plan.pool_edge]
    words = ["build", *layers, *pools, "--weights", weights, "--out", str(folder)]
    child = [sys.executable, "-P", "-c", _BUILD, *words]  # -P: import nothing from this folder
    ended = subprocess.run(child, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        reason = ended.stderr.strip().splitlines()[-1:] or [f"exit code {ended.returncode}"]
        sentence = reason[0].removeprefix("stylewatch-export: ")
        raise BackendMissingError(f"the ONNX graphs cannot be built: {sentence}")
    if not Pair.of(folder, plan.stem).is_complete:
        raise BackendMissingError(f"the weights {weights!r} changed while their graphs were built")
    _log.warning("built in %.1f s", time.monotonic() - began)
