"""Build the wheel and the source distribution into dist/, and check them: `make dist`.

Each is installed with its dependencies into an environment of its own, and paints the sample pair
there. The options for pip in the variable PIP_OPTIONS are used for that.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"


def run(*words: str | Path, folder: Path = ROOT) -> None:
    """Run a command; exit if it fails."""
    print("$", shlex.join(map(str, words)), flush=True)
    if code := subprocess.run(words, cwd=folder, check=False).returncode:
        sys.exit(f"{words[0]} failed with exit code {code}")


def build() -> tuple[Path, Path]:
    """Return the wheel, for old versions of Linux too if it has compiled parts, and the sdist."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", DIST)
    (wheel,), (source,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    if "-linux_" in wheel.name:
        run(sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", DIST, wheel)
        wheel.unlink()
        (wheel,) = DIST.glob("*.whl")
    return wheel, source


def check_painting(package: Path, folder: Path) -> None:
    """Install a package into a new environment in `folder`; exit if it does not paint there."""
    venv.create(folder / "environment", with_pip=True)
    programs = folder / "environment/bin"
    options = shlex.split(os.environ.get("PIP_OPTIONS", ""))
    constraints = ("--constraint", ROOT / "constraints.txt")
    run(programs / "pip", "install", "--quiet", *options, *constraints, package, folder=folder)
    run(programs / "stylewatch", "sample", "pair", folder=folder)
    pair = ("pair/content.jpg", "pair/style.jpg")
    run(programs / "stylewatch", "render", *pair, "-o", "out.png", "--size", "96", folder=folder)
    with Image.open(folder / "out.png") as picture:
        print(f"{package.name} painted {picture.width}x{picture.height} pixels", flush=True)


def main() -> None:
    """Build and check."""
    packages = build()
    run(sys.executable, "-m", "twine", "check", "--strict", *packages)
    for package in packages:
        with tempfile.TemporaryDirectory() as folder:
            check_painting(package, Path(folder))


if __name__ == "__main__":
    main()
