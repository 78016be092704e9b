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

from stylewatch_painter.installation import has_compiler
from stylewatch_painter.recipes import book

ROOT = Path(__file__).parents[1]
PACKAGES = [
    "stylewatch_classics",
    "stylewatch_learned",
    "stylewatch_daemon",
    "stylewatch_export",
    "stylewatch_painter",
    "stylewatch_plugins",
    "stylewatch_ray",
]

EXTRAS = [
    "apprise",
    "av",
    "cv2",
    "h5py",
    "onnx",
    "onnxruntime",
    "pillow_heif",
    "ray",
    "starlette",
]
"""A module of each extra."""


def run(*words: str | Path, folder: Path | None = None, code: int = 0) -> str:
    """Run a program, which must exit with `code`; return what it prints."""
    ended = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stderr if code else ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a fresh environment in which the wheel is installed."""
    return environment(wheel, tmp_path_factory.mktemp("environment"))


@pytest.fixture(scope="module")
def light(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment in which no package of an extra can be imported."""
    programs = environment(wheel, tmp_path_factory.mktemp("light"))
    (packages,) = programs.parent.glob("lib/python*/site-packages")
    line = f"import sys; sys.modules.update(dict.fromkeys({EXTRAS}))\n"
    (packages / "light.pth").write_text(line, encoding="utf-8")
    return programs


def environment(wheel: Path, home: Path) -> Path:
    """Install the wheel into an environment at `home`; return the folder of its programs."""
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", "--no-index", "--no-deps", "--disable-pip-version-check", wheel)
    own = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(own) / "libraries.pth").write_text("\n".join(sorted(libraries)), encoding="utf-8")
    return python.parent


def test_wheel_holds_the_packages_with_the_files_of_the_page(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    compiled = [name for name in names if "/_kernels_" in name]
    assert bool(compiled) == has_compiler(), "compiled if there is a compiler"
    for name in ("LICENSE", "NOTICE"):
        assert any(path.endswith(f".dist-info/licenses/{name}") for path in names)
    web = ROOT / "daemon/stylewatch_daemon/web"
    files = [path for path in web.rglob("*.*") if path.suffix not in (".py", ".pyc")]
    assert {path.suffix for path in files} >= {".html", ".css", ".js", ".yaml"}
    assert {f"stylewatch_daemon/web/{path.relative_to(web)}" for path in files} <= names


def test_packages_settings_and_units_come_from_the_wheel(programs: Path, tmp_path: Path) -> None:
    ask = (
        "import importlib, sys; from stylewatch_daemon.settings.paths import shipped; "
        "print(shipped('config.yaml'), shipped('systemd'), sep='\\n'); "
        "[print(importlib.import_module(name).__file__) for name in sys.argv[1:]]"
    )
    lines = run(programs / "python", "-c", ask, *PACKAGES, folder=tmp_path).splitlines()
    settings, units, *packages = map(Path, lines)
    for path in (settings, units, *packages):
        assert path.is_relative_to(programs.parent)
    assert settings.read_bytes() == (ROOT / "config.yaml").read_bytes()
    installed, own = (
        {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
        for folder in (units, ROOT / "systemd")
    )
    assert installed == own


def test_commands_work_in_an_empty_folder(programs: Path, pictures: Path, tmp_path: Path) -> None:
    pair = (pictures / "content.jpg", pictures / "style.jpg")
    command = (programs / "stylewatch", "render", *pair, "-o", "output.png", "--steps", "2")
    run(*command, "--backend", "sketch", folder=tmp_path)
    with Image.open(tmp_path / "output.png") as output:
        assert output.size == (48, 36)
    recipes = json.loads(run(programs / "stylewatch", "recipes", "--json", folder=tmp_path))
    assert [recipe["name"] for recipe in recipes] == book.names()
    words = ("build", "--layer", "conv1_1", "-o", "graphs")
    features, _ = run(programs / "stylewatch-export", *words, folder=tmp_path).split()
    assert (tmp_path / features).is_file()
    run(programs / "stylewatch", "sample", "pair", folder=tmp_path)
    assert {path.name for path in (tmp_path / "pair").iterdir()} == {"content.jpg", "style.jpg"}


def test_without_extras_it_paints_and_says_what_to_install(
    light: Path, pictures: Path, tmp_path: Path
) -> None:
    pair = (pictures / "content.jpg", pictures / "style.jpg")
    command = (light / "stylewatch", "render", *pair, "-o", "painted", "--steps", "1")
    run(*command, "--recipe", "gatys", "--artifact", "losses,sheet", folder=tmp_path)
    (folder,) = (path.parent for path in (tmp_path / "painted").rglob("receipt.json"))
    receipt = json.loads((folder / "receipt.json").read_text("utf-8"))
    assert (folder / "final.png").is_file() and (folder / "sheet.png").is_file()
    assert (folder / "losses.svg").is_file()
    assert not [words for words in receipt["warnings"] if "was not drawn" in words]
    sentence = f"`{light / 'python'} -m pip install 'stylewatch[onnx"
    assert sentence in run(light / "stylewatch", "doctor", folder=tmp_path)
    words = ("build", "--layer", "conv1_1", "-o", "graphs")
    assert sentence in run(light / "stylewatch-export", *words, folder=tmp_path, code=69)
