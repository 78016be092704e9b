"""What every test may use: small pictures, and folders of its own where the user's would be."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests import nodes
from tests.daemon.world import make_inspector

pytest.register_assert_rewrite("stylewatch_plugins.testing")

# before torch is there to read it; tests are small, and threads would only wait on one another
os.environ.setdefault("OMP_NUM_THREADS", "1")
# before a test imports ONNX Runtime by itself: it would report to its maker
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# before a test imports Ray, which looks for this once: the clusters of tests ask for a token
os.environ["RAY_AUTH_MODE"] = "token"


ROOM = 1 << 40
"""Bytes that the disk of temporary files has free, as far as tests see."""

BROWSER = [] if "STYLEWATCH_BROWSER" in os.environ else ["browser"]  # make test-browser says so
# the first is a package of its own, with its own tests
collect_ignore = ["example_backend", *BROWSER]


@pytest.fixture(scope="session", autouse=True)
def folders_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Caches and settings of whoever runs the tests are neither read nor written."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        for name in ("CACHE", "CONFIG", "DATA", "STATE"):
            patch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
        with nodes.with_a_token(home):
            yield


@pytest.fixture(scope="session", autouse=True)
def room_enough(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test depends on what the disk of this machine has free; disks of their own do tell."""
    disk, seen = tmp_path_factory.getbasetemp().stat().st_dev, os.statvfs

    def statvfs(path: str | Path) -> os.statvfs_result:
        found = seen(path)
        if Path(path).stat().st_dev != disk:
            return found
        blocks = max(found.f_blocks, ROOM // found.f_frsize)
        return os.statvfs_result([*found[:2], *[blocks] * 3, *found[5:]])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "statvfs", statvfs)
        yield


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """A library that takes SIGTERM over, as Ray does, gives it back after the test."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if before is not None and signal.getsignal(signal.SIGTERM) is not before:
        signal.signal(signal.SIGTERM, before)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with content.jpg (48x36) and style.jpg (40x32): smooth shades, bold stripes."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rows, columns = np.mgrid[0:36, 0:48]
    shades = np.stack([5 * columns, 7 * rows, 255 - 5 * columns], axis=-1)
    Image.fromarray(shades.astype(np.uint8)).save(folder / "content.jpg", quality=95)
    rows, columns = np.mgrid[0:32, 0:40]
    stripes = 127 + 127 * np.sin((rows + columns)[..., None] / np.array([1.5, 2.5, 4.0]))
    Image.fromarray(stripes.astype(np.uint8)).save(folder / "style.jpg", quality=95)
    return folder


@pytest.fixture
def any_file_is_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """For executors that paint nothing: what comes is not decoded."""
    monkeypatch.setattr("stylewatch_daemon.service.daemon.InspectionClient", make_inspector)


@pytest.fixture
def hears_hangups() -> Iterator[None]:
    """Whoever runs under nohup has SIGHUP ignored, and so would its children."""
    before = signal.signal(signal.SIGHUP, lambda *_: None)
    yield
    signal.signal(signal.SIGHUP, before)
