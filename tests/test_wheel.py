"""A wheel in an environment of its own, and an empty folder, has all that stylewatch needs.

The environment sees the libraries of the one that runs the tests, but not its editable install:
a folder named in a .pth file is searched, while the .pth files inside it are not followed.
"""

import json
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from stylewatch_painter.recipes import book

ROOT = Path(__file__).parents[1]
PACKAGES = ["stylewatch_daemon", "stylewatch_export", "stylewatch_painter", "stylewatch_plugins"]


def run(*words: str | Path, folder: Path | None = None) -> str:
    """What a program prints on stdout; its whole output where it fails."""
    ended = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the programs of a fresh environment lie, in which the wheel is installed."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", "--no-index", "--no-deps", "--disable-pip-version-check", wheel)
    own = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(own) / "libraries.pth").write_text("\n".join(sorted(libraries)), encoding="utf-8")
    return python.parent


def test_the_wheel_holds_the_four_packages_and_nothing_beside_them(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    for name in ("LICENSE", "NOTICE"):
        assert any(found.endswith(f".dist-info/licenses/{name}") for found in names)


def test_the_packages_come_from_the_wheel_and_not_from_the_checkout(
    programs: Path, tmp_path: Path
) -> None:
    ask = (
        "import importlib, json, sys; "
        "print(json.dumps([importlib.import_module(name).__file__ for name in sys.argv[1:]]))"
    )
    files = json.loads(run(programs / "python", "-c", ask, *PACKAGES, folder=tmp_path))
    assert all(Path(file).is_relative_to(programs.parent) for file in files)


def test_the_settings_and_the_units_ship(programs: Path, tmp_path: Path) -> None:
    ask = (
        "import sys; from stylewatch_daemon.settings.config import shipped; "
        "[print(shipped(name)) for name in sys.argv[1:]]"
    )
    found = run(programs / "python", "-c", ask, "config.yaml", "systemd", folder=tmp_path)
    settings, units = (Path(line) for line in found.splitlines())
    assert settings.is_relative_to(programs.parent) and units.is_relative_to(programs.parent)
    assert settings.read_bytes() == (ROOT / "config.yaml").read_bytes()
    shipped = {path.relative_to(units) for path in units.rglob("*") if path.is_file()}
    ours = ROOT / "systemd"
    assert shipped == {path.relative_to(ours) for path in ours.rglob("*") if path.is_file()}


def test_the_page_ships_with_its_templates_and_what_browsers_load(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    web = ROOT / "daemon/stylewatch_daemon/web"
    ours = [path for name in ("templates", "static") for path in (web / name).rglob("*")]
    assert {path.suffix for path in ours if path.is_file()} >= {".html", ".css", ".js"}
    inside = {f"stylewatch_daemon/web/{path.relative_to(web)}" for path in ours if path.is_file()}
    assert inside <= names


def test_the_recipes_and_the_backends_can_be_named(programs: Path, tmp_path: Path) -> None:
    recipes = json.loads(run(programs / "stylewatch", "recipes", "--json", folder=tmp_path))
    assert [recipe["name"] for recipe in recipes] == book.names()
    backends = json.loads(run(programs / "stylewatch", "backends", "--json", folder=tmp_path))
    assert {"onnx", "sketch", "torch"} <= {backend["name"] for backend in backends}


def test_the_export_has_its_program_and_the_backend_its_builder(
    programs: Path, tmp_path: Path
) -> None:
    words = ("build", "--layer", "conv1_1", "-o", "graphs")
    features, _ = run(programs / "stylewatch-export", *words, folder=tmp_path).split()
    assert (tmp_path / features).is_file()
    ask = "from stylewatch_plugins.graphs import builder; print(builder().__module__)"
    assert run(programs / "python", "-c", ask, folder=tmp_path).strip() == "stylewatch_export.graph"


def test_a_pair_is_painted_in_an_empty_folder(
    programs: Path, pictures: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    pair = (pictures / "content.jpg", pictures / "style.jpg")
    command = (programs / "stylewatch", "render", *pair, "-o", "painted.png", "--steps", "2")
    run(*command, "--backend", "sketch", folder=empty)
    with Image.open(empty / "painted.png") as painted:
        assert painted.size == (48, 36)


def test_the_sample_pair_can_be_drawn(programs: Path, tmp_path: Path) -> None:
    run(programs / "python", "-m", "stylewatch_painter.sample", "pair", folder=tmp_path)
    assert {path.name for path in (tmp_path / "pair").iterdir()} == {"content.jpg", "style.jpg"}
