"""Compile the painter's kernels for each instruction set, while the wheel is built.

A machine without a C++ compiler installs a wheel without them, and paints more slowly.
"""

import os
import platform
import shlex
import shutil
import subprocess
import sysconfig
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path(__file__).parent / "stylewatch_painter/network/kernels.cpp"

PACKAGE = "stylewatch_painter/network"
"""Folder of the libraries in the wheel."""

FLAGS = ("-std=c++17", "-O3", "-fno-math-errno", "-ffp-contract=fast", "-fPIC", "-shared")

AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma")

VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "x86_64": {
        "avx2": ("-mavx2", "-mfma"),
        "avx512": AVX512,
        "avx512bf16": (*AVX512, "-mavx512bf16"),
    },
    "arm64": {"generic": ()},  # NEON is part of the architecture
}


class KernelsHook(BuildHookInterface[Any]):
    """Build hook of hatchling that compiles the libraries for the wheel.

    For an editable installation, which runs from the sources, libraries are written beside the
    sources. For a wheel nothing is written there: the sources may belong to somebody else, and a
    library beside them may be for another machine.
    """

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the libraries; if that succeeds, mark the wheel as one for this platform."""
        self._folder = TemporaryDirectory()
        is_editable = version == "editable"
        folder = SOURCE.parent if is_editable else Path(self._folder.name)
        built = compile_all(folder, self.app.display_warning)
        if not built:
            return
        if not is_editable:
            build_data["force_include"] |= {str(path): f"{PACKAGE}/{path.name}" for path in built}
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{system().replace('-', '_').replace('.', '_')}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the temporary folder of the compiled libraries, which the wheel now contains."""
        self._folder.cleanup()


def system() -> str:
    """Return the platform of the wheel, such as linux-x86_64; on a Mac, that of one machine."""
    name = sysconfig.get_platform()
    if not name.endswith("universal2"):
        return name
    # no older system runs on an ARM Mac, and pip knows no older tag for one
    return "macosx-11.0-arm64" if target() == "arm64" else name.replace("universal2", target())


def target() -> str:
    """Return the machine to compile for: this one, or that of _PYTHON_HOST_PLATFORM."""
    machine = sysconfig.get_platform().rpartition("-")[2]
    return platform.machine() if machine == "universal2" else machine


def compile_all(folder: Path, warn: Callable[[str], None]) -> list[Path]:
    """Compile the libraries for `target` into `folder`, and return the paths of those that succeed.

    The compiler is that of `compiler_here`. If there is none, or if a library fails to compile,
    `warn` is called with a message. Existing libraries are always compiled again: only
    `kernels.variants` decides whether a library is complete and made from this source.
    """
    machine = {"aarch64": "arm64"}.get(target(), target())
    variants = VARIANTS.get(machine, {})
    libraries = [folder / f"_kernels_{name}.so" for name in variants]
    compiler = compiler_here()
    if libraries and not compiler:
        warn("no C++ compiler was found: pictures are painted more slowly on the CPU")
        return []
    with ThreadPoolExecutor() as pool:
        mistakes = list(pool.map(partial(compile_one, compiler), libraries, variants.values()))
    compiled = []
    for library, mistake in zip(libraries, mistakes, strict=True):
        if mistake is None:
            compiled.append(library)
        else:
            warn(f"{library.name} was not built: {mistake}")
    return compiled


def compiler_here() -> list[str]:
    """Return the command of CXX, or of the C++ compiler of this machine; empty if there is none."""
    named = os.environ.get("CXX", "")
    try:
        words = shlex.split(named)
    except ValueError:  # its quotes do not match: compile_one says that there is no such program
        words = [named]
    return words or list(filter(shutil.which, ("c++", "g++", "clang++")))[:1]


def compile_one(compiler: list[str], library: Path, flags: tuple[str, ...]) -> str | None:
    """Compile the library; return what the compiler says if it fails."""
    checksum = f"-DSTYLEWATCH_SOURCE={zlib.crc32(SOURCE.read_bytes())}u"
    beside = library.with_suffix(".part")
    command = [*compiler, *FLAGS, *flags, checksum, str(SOURCE), "-o", str(beside)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, errors="replace")
        with beside.open("rb") as file:  # a compiler may say that all is well, and write nothing
            os.fsync(file.fileno())
        beside.replace(library)
    except (OSError, subprocess.CalledProcessError) as error:
        return getattr(error, "stderr", "") or str(error)
    return None
