"""The process that builds graphs: by the builder that is installed, or a sentence why not."""

import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from stylewatch_plugins import graph_builder, graphs
from stylewatch_plugins.errors import BackendMissingError
from stylewatch_plugins.graph_file import Pair


def entry(value: str) -> EntryPoint:
    return EntryPoint(graphs.NAME, value, graphs.GROUP)


def test_a_builder_of_another_package_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets the plan, the weights' name and where the files go."""
    (tmp_path / "strange_builder.py").write_text(
        "def build(plan, weights, pair):\n    pair.features.write_text(f'{weights} {plan.pool}')\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = [entry("strange_builder:build")]
    monkeypatch.setattr(graph_builder, "entry_points", lambda **_: found)
    pair = Pair.of(tmp_path, "graph")
    plan = {
        "weights": "0" * 64,
        "mean": [1, 2, 3],
        "layers": ["conv1_1"],
        "pool": "max",
        "pool_edge": "floor",
    }
    files = {"features": str(pair.features), "gradient": str(pair.gradient)}
    graph_builder.build({"plan": plan, "weights": "mine", **files})
    assert pair.features.read_text() == "mine max"


def test_without_a_builder_it_says_what_brings_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_builder, "entry_points", lambda **_: [])
    with pytest.raises(BackendMissingError, match="no builder of graphs is installed"):
        graph_builder.builder()


def test_a_builder_without_its_packages_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [entry("no_such_package:build")]
    monkeypatch.setattr(graph_builder, "entry_points", lambda **_: found)
    with pytest.raises(BackendMissingError, match=r"needs a package .*no_such_package"):
        graph_builder.builder()


def test_the_process_ends_with_a_sentence() -> None:
    plan = {"weights": "0", "mean": [1, 2, 3], "layers": [], "pool": "max", "pool_edge": "floor"}
    asked = {"plan": plan, "weights": "none", "features": "a", "gradient": "b"}
    child = [sys.executable, "-m", "stylewatch_plugins.graph_builder"]
    ended = subprocess.run(
        child, input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("there are no weights 'none'")
