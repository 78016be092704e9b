"""Builds one pair of graphs by the builder that is installed; run as a process."""

import json
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from stylewatch_painter.errors import PainterError
from stylewatch_plugins.errors import BackendError, BackendMissingError
from stylewatch_plugins.graph_file import Pair, Plan
from stylewatch_plugins.graphs import GROUP, NAME, Builder


def builder() -> Builder:
    """The builder of VGG19's graphs; raises BackendMissingError where there is none that runs."""
    for entry in entry_points(group=GROUP, name=NAME):
        try:
            found: Builder = entry.load()
        except ImportError as error:
            raise BackendMissingError(
                f"building the ONNX graphs needs a package that is not installed ({error}); "
                "`pip install onnx` brings it"
            ) from error
        return found
    raise BackendMissingError(
        f"no builder of graphs is installed (entry points of the group {GROUP}); "
        "`pip install stylewatch` brings one"
    )


def build(asked: Mapping[str, Any]) -> None:
    """Build what `graphs` asked for."""
    pair = Pair(Path(asked["features"]), Path(asked["gradient"]))
    builder()(Plan.model_validate_json(json.dumps(asked["plan"])), asked["weights"], pair)


def main() -> None:
    """Read what is asked from stdin; errors go to stderr, in a sentence."""
    try:
        build(json.load(sys.stdin))
    except (BackendError, PainterError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
