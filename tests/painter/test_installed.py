"""Losses, optimizers and recipes of installed packages, on the path for one test."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest

from stylewatch_painter import installed, losses, optimizers
from stylewatch_painter.errors import RecipeError, RecipesAwayError
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import CoarseLosses, ObjectiveSettings
from stylewatch_plugins import registry

LOSS = """
from __future__ import annotations
from stylewatch_painter.late import torch
from stylewatch_painter.losses.loss import Label, LayerSettings, Loss, Weight
class Settings(LayerSettings):
    name = "means"
    compared = frozenset({"style"})
    @property
    def formula(self): return Means
    def weighed(self, content, style): return self.times(style)
class Means(Loss):
    def __init__(self, settings, scene):
        self.layers = frozenset(settings.layers)
        (style,) = scene.task.styles
        maps = scene.maps(scene.style(style), self.layers)
        self.targets = {Label("style", f"means.{n}", "style-1"): (n, maps[n].mean(1)) for n in maps}
        self.weights = {label: Weight(settings.layers[n]) for label, (n, _) in self.targets.items()}
    def values(self, u, maps, step):
        return {label: (maps[layer].mean(1) - target).square().mean()
                for label, (layer, target) in self.targets.items()}
"""
OPTIMIZER = """
from typing import Literal
from stylewatch_painter.late import torch
from stylewatch_painter.optimizers.optimizer import Optimizer, OptimizerSettings
class Settings(OptimizerSettings):
    kind: Literal["signs"]
    rate: float = 1.0
    def new(self, bounds=None): return Signs(self, bounds)
    def vectors(self, steps): return 2
class Signs(Optimizer):
    def __init__(self, settings, bounds):
        super().__init__(bounds)
        self.rate = settings.rate
    def step(self, x, evaluate):
        evaluation = evaluate(x)
        self._clamp(x.sub_(evaluation.gradient.sign(), alpha=self.rate))
        return evaluation
    def state(self): return {}
    def load(self, state): pass
"""
RECIPE = """
about: Means of features.
objective: {means: {layers: {conv1_1: 1, conv2_1: 1}}}
schedule: {start: content, optimizer: {kind: signs, rate: 2}, steps: 4}
"""
ENTRIES = """
[stylewatch.losses]
means = means_loss:Settings
[stylewatch.optimizers]
signs = signs_optimizer:Settings
[stylewatch.recipes]
means = means_recipes
"""
PAINTING = """
from tests.painter import small
from stylewatch_painter.paint.paint import paint
first, *_, last = paint(small.task("means"), small.network())
print(*last.losses.style["style-1"], last.step, last.losses.total < first.losses.total)
"""

Install = Callable[..., None]


def distribution(site: Path, package: str, entries: str, **files: str) -> None:
    """Write an installed distribution; a `__` in the name of a file is a folder."""
    about = site / f"{package.replace('-', '_')}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(entries)
    for name, text in files.items():
        path = site / (f"{name.replace('__', '/')}.yaml" if "__" in name else f"{name}.py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a distribution on the path until the test ends."""
    before = set(sys.modules)
    monkeypatch.setattr(installed, "_left_out", {})

    def install_(package: str, entries: str, **files: str) -> None:
        distribution(tmp_path / package, package, entries, **files)
        monkeypatch.syspath_prepend(str(tmp_path / package))

    yield install_
    for module in set(sys.modules) - before:
        if module.partition("_")[0] in ("means", "signs", "odd"):
            del sys.modules[module]
    book.packaged.cache_clear()


def test_packages_of_recipes_may_have_the_same_name_for_them(install: Install) -> None:
    for name in ("odd_a", "odd_b"):
        entry = f"[stylewatch.recipes]\nrecipes = {name}\n"
        install(name, entry, **{f"{name}__{name}": "extends: gram\nabout: x\n"})
    book.packaged.cache_clear()
    assert {"odd_a", "odd_b"} <= {*book.names()}
    assert not installed.left_out()


def test_a_package_brings_a_loss_an_optimizer_and_a_recipe(tmp_path: Path) -> None:
    """Beside a broken package, of which a sentence says what is wrong."""
    files = {"means_loss": LOSS, "signs_optimizer": OPTIMIZER, "means_recipes__means": RECIPE}
    distribution(tmp_path, "stylewatch-means", ENTRIES, **files)
    distribution(tmp_path, "odd", "[stylewatch.losses]\nodd = odd_loss:Settings\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    ended = subprocess.run(
        [sys.executable, "-c", PAINTING], env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.stdout.split() == ["means.conv1_1", "means.conv2_1", "4", "True"]
    assert ended.stderr == (
        "'odd' of the losses of package odd is left out: ModuleNotFoundError: No module named"
        " 'odd_loss'\n"
    )


@pytest.mark.parametrize(
    ("kind", "name", "source", "reason"),
    [
        ("losses", "means", "raise RuntimeError('first\\nsecond')", "RuntimeError: first"),
        ("losses", "means", "raise SystemExit", "SystemExit"),
        ("losses", "means", "Settings = 7", "it is no subclass of LossSettings"),
        ("losses", "means", LOSS.replace("def formula", "def formulas"), "it lacks formula"),
        ("losses", "means", LOSS.replace('"means"', '"mean"'), "do not have the name means"),
        ("losses", "means", LOSS.replace("    name =", "    size: Size\n    name ="),
         "name 'Size' is not defined"),
        ("optimizers", "signs", "Settings = dict", "it is no subclass of OptimizerSettings"),
        ("optimizers", "signs", OPTIMIZER.replace("def vectors", "def m"), "it lacks vectors"),
        ("optimizers", "signs", OPTIMIZER.replace('"signs"', '"sign"'),
         "its settings lack kind: Literal['signs']"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_left_out(
    install: Install, caplog: pytest.LogCaptureFixture, kind: str, name: str, source: str,
    reason: str,
) -> None:  # fmt: skip
    install("odd", f"[stylewatch.{kind}]\n{name} = odd_module:Settings\n", odd_module=source)
    assert name not in losses.kinds() | optimizers.kinds()
    (record,) = caplog.records
    start = f"{name!r} of the {kind} of package odd is left out: "
    assert record.getMessage().startswith(start) and reason in record.getMessage()
    assert record.exc_info is None
    assert [kept.startswith(start) for kept in installed.left_out()] == [True]


@pytest.mark.parametrize(
    "name", ["style", "transport", "strength", "json", "scales", "weighed", "Means"]
)
def test_no_name_is_taken_from_another_loss_or_field(
    install: Install, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    before, source = losses.kinds(), LOSS.replace('"means"', repr(name))
    install("a-package", f"[stylewatch.losses]\n{name} = odd_loss:Settings\n", odd_loss=source)
    assert losses.kinds() == before
    assert f"{name!r} of the losses of package a-package is left out: " in caplog.text


def test_while_a_package_cannot_be_imported_nothing_is_unknown_for_good(install: Install) -> None:
    """But one that does not fit brings nothing, now and later."""
    install("odd", "[stylewatch.losses]\nmeans = odd_loss:Settings", odd_loss="Settings = 7")
    losses.kinds()
    with pytest.raises(RecipeError):
        book.find("means")
    install("signs", "[stylewatch.losses]\nsigns = signs_loss:Settings", signs_loss="import gone")
    losses.kinds()
    for load in (partial(book.find, "means"), partial(book.change, book.find("best"), {"x": 1})):
        with pytest.raises(RecipesAwayError, match="package signs is left out: ModuleNotFoundEr"):
            load()


def test_faults_of_other_losses_and_optimizers_are_their_packages(install: Install) -> None:
    broken = "def fail(): raise ValueError"
    install("odd", "[stylewatch.losses]\nmeans = odd_loss:Settings", odd_loss=broken)
    install("signs", "[stylewatch.optimizers]\nsigns = signs_optimizer:S", signs_optimizer=broken)
    for module, name in (("odd_loss", "the loss 'means' of odd"),
                         ("signs_optimizer", "the optimizer 'signs' of signs")):  # fmt: skip
        with pytest.raises(ValueError) as raised:
            import_module(module).fail()
        assert registry.author(raised.value) == name


def test_recipes_of_packages_replace_none_of_ours(
    install: Install, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = book.packaged()
    install("a", "[stylewatch.recipes]\na = means_recipes", means_recipes__means=RECIPE,
            means_recipes__best=RECIPE, means_recipes__gatys=RECIPE)  # fmt: skip
    install("b", "[stylewatch.recipes]\nb = odd_recipes\nc = odd_module", odd_recipes__a="",
            odd_module="")  # fmt: skip
    (tmp_path / "b/odd_recipes/a.yaml").unlink()
    book.packaged.cache_clear()
    try:
        folder = tmp_path / "a/means_recipes"
        assert book.packaged() == {**before, "means": folder / "means.yaml"}
    finally:
        book.packaged.cache_clear()
    assert [record.getMessage() for record in caplog.records] == [
        "'b' of the recipes of package b is left out: there is no YAML file in its folder",
        "'c' of the recipes of package b is left out: it is no package of YAML files",
        *(f"{folder / name}.yaml is left out: there is another recipe of that name"
          for name in ("best", "gatys")),
    ]  # fmt: skip


def test_a_checkout_that_is_not_installed_has_all_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    before = losses.kinds(), optimizers.kinds()
    monkeypatch.setattr(installed, "distributions", lambda: ())
    assert (losses.kinds(), optimizers.kinds()) == before


def test_other_fields_of_an_objective_are_known() -> None:
    fields = {*ObjectiveSettings.model_fields, *CoarseLosses.model_fields}
    assert fields - losses.kinds().keys() == losses.OTHER_FIELDS
    methods = {name for name in vars(ObjectiveSettings) if not name.startswith("_")} - fields
    assert methods - {"model_config"} == losses.METHODS


@pytest.mark.parametrize("text", [b"[console_scripts]\nodd odd\n", b"\xff\xfe", b"[a]\n = 3\n"])
def test_metadata_that_cannot_be_read_concern_nobody_else(
    text: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = losses.kinds()
    folder = tmp_path / "odd-1.0.dist-info"
    folder.mkdir()
    (folder / "entry_points.txt").write_bytes(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert losses.kinds() == before
    (folder / "entry_points.txt").write_text("[stylewatch.losses]\nodd = nowhere:Odd\n")
    assert losses.kinds() == before, "a package without a name"
