"""Has the graphs of VGG19 built once, into the cache, by whichever builder is installed.

Builders are entry points of the group `stylewatch.graphs`: functions as `Builder` describes. One
runs in a child process, so that what it needs for building is not held while painting.
"""

import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from platformdirs import user_cache_path

from stylewatch_plugins.errors import BackendMissingError
from stylewatch_plugins.graph_cache import MOST, lock, make_room, note_use
from stylewatch_plugins.graph_file import Pair, Plan

GROUP = "stylewatch.graphs"
NAME = "vgg19"

_log = logging.getLogger(__name__)


class Builder(Protocol):
    """Builds a pair of graphs."""

    def __call__(self, plan: Plan, weights: str, pair: Pair) -> None:
        """Write both files, each whole or not at all, out of the weights called `weights`."""
        ...


def cache_folder() -> Path:
    """Where graphs lie, which can be made again: in the user's cache folder."""
    return user_cache_path("stylewatch") / "graphs"


def problem() -> str | None:
    """Why no graphs can be had here, in a sentence; None where some are, or can be built."""
    if any(cache_folder().glob("*.onnx")):
        return None
    if find_spec("onnx") is None:
        return (
            "the package onnx, which builds the graphs, is not installed; `pip install onnx` "
            "brings it"
        )
    if not entry_points(group=GROUP, name=NAME):
        return (
            f"no builder of graphs is installed (entry points of the group {GROUP}); "
            "`pip install stylewatch` brings one"
        )
    return None


@contextmanager
def ready(
    plan: Plan, weights: str, *, cache: Path | None = None, anew: bool = False
) -> Iterator[Pair]:
    """The graphs of `plan`, both whole; they are built where they are not there yet, or `anew`.

    Nobody else opens, builds or removes them as long as this context lasts. What is built makes
    older ones go. Where the cache cannot be written they are built every time, and are gone with
    this context. Raises BackendMissingError where they cannot be built.
    """
    folder = cache or cache_folder()
    pair = Pair.of(folder, plan.stem)
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(lock(pair))
            if anew or not pair.whole:
                _build(plan, weights, pair)
                make_room(folder, MOST)
            note_use(pair)
        except OSError as error:
            if anew or not pair.whole:  # else others keep them there, for reading
                _log.warning("the graphs cannot be kept, starting takes longer: %s", error)
                name = held.enter_context(tempfile.TemporaryDirectory())
                pair = Pair.of(Path(name), plan.stem)
                _build(plan, weights, pair)
        yield pair


def _build(plan: Plan, weights: str, pair: Pair) -> None:
    _log.warning(
        "building the ONNX graphs of the weights %r for %s pools and %d layers, once, into %s",
        weights, plan.pool, len(plan.layers), pair.features.parent,
    )  # fmt: skip
    began = time.monotonic()
    asked = {"plan": plan.model_dump(mode="json"), "weights": weights}
    files = {"features": str(pair.features), "gradient": str(pair.gradient)}
    child = [sys.executable, "-m", "stylewatch_plugins.graph_builder"]
    ended = subprocess.run(
        child, input=json.dumps({**asked, **files}), capture_output=True, text=True, check=False
    )
    if ended.returncode != 0:
        said = ended.stderr.strip().splitlines()[-1:] or ["without a word"]
        raise BackendMissingError(f"the ONNX graphs cannot be built: {said[0]}")
    _log.warning("built in %.1f s", time.monotonic() - began)
