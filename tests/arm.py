"""The convolutions in the wheel for ARM: their tests run by qemu, `make test-arm`.

It takes mmdebstrap and qemu-user, and downloads Python and torch for aarch64.
"""

import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from tests.dist import ROOT, build_wheel, ended_by_signals, run

TOOLS = ("qemu-aarch64-static", "mmdebstrap")
SYSTEM = "libbz2-1.0,libexpat1,libffi8,libgomp1,libssl3,libstdc++6,python3"
"""Debian's packages that the tests need."""

PACKAGES = ("annotated-types", "filelock", "fsspec", "iniconfig", "jinja2", "markupsafe", "mpmath",
            "networkx", "numpy", "packaging", "pillow", "platformdirs", "pluggy", "pydantic",
            "pydantic-core", "pygments", "pytest", "pyyaml", "safetensors", "sympy",
            "typing-extensions", "typing-inspection")  # fmt: skip
"""Python's packages that the tests need, in the versions of constraints.txt."""

TORCH = "torch==2.9.1"
"""The last version whose build for ARM on the package index needs no CUDA."""

TESTS = "tests/painter/network/test_kernels.py"


def install(wheel: Path, folder: Path) -> Path:
    """Return a folder with the wheel and what it needs, for Python 3.11 of Debian."""
    site = folder / "site"
    platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in (17, 26, 27, 28)]
    run(
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile",
        "--target", site, "--only-binary=:all:", "--python-version=3.11",
        "--implementation=cp", "--platform=manylinux2014_aarch64", *platforms, *PACKAGES, TORCH,
        PIP_CONSTRAINT=str(versions(folder)),
    )  # fmt: skip
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def versions(folder: Path) -> Path:
    """Return the constraints without torch, whose last version for ARM is another one."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    path = folder / "constraints.txt"
    path.write_text("\n".join(line for line in lines if not line.startswith("torch==")))
    return path


def main() -> int:
    """Build, install and test; without the tools, say so and return 0."""
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        print(f"skipped: nothing was tested for ARM: {', '.join(missing)} is missing")
        return 0
    with ended_by_signals(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        system = folder / "system"
        sources = sorted(Path("/etc/apt/sources.list.d").glob("*.sources"))
        run("mmdebstrap", "--quiet", "--variant=extract", "--architectures=arm64",
            f"--include={SYSTEM}", "", system, *sources)  # fmt: skip
        site = install(build_wheel("aarch64", ROOT, folder / "dist"), folder)
        # Without a limit pytest lists the folders above, and qemu shows /tmp of the foreign system.
        run(
            "qemu-aarch64-static", "-L", system, system / "usr/bin/python3.11", "-m", "pytest",
            "--noconftest", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", ROOT,
            "--confcutdir", ROOT, "--import-mode=importlib", TESTS,
            PYTHONPATH=f"{site}:{ROOT}", PYTHONDONTWRITEBYTECODE="1",
        )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
