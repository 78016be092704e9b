"""Fixtures for all tests: small pictures, and folders in place of those of the user."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch
from PIL import Image
from tests import nodes
from tests.daemon.faults import replaced
from tests.daemon.world import DaemonWorld, FakeInspector

from stylewatch_daemon.base import child
from stylewatch_daemon.files.system import system

pytest.register_assert_rewrite("stylewatch_plugins.testing")

# the same examples in every run, however long one takes: no run fails that others do not
hypothesis.settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("repeatable")

# tests are small, and threads would only wait for each other; the variable is for children
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)
# programs behave as for users: Python's output has a buffer, and modules are kept compiled
for variable in ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"):
    os.environ.pop(variable, None)
# set before a test imports ONNX Runtime, which would send reports
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# set before a test imports Ray, which reads it once: the clusters of tests ask for a token
os.environ["RAY_AUTH_MODE"] = "token"

FREE_BYTES = 1 << 40
"""Free space of the disk of temporary files that tests see."""

BROWSER = [] if "STYLEWATCH_BROWSER" in os.environ else ["browser"]  # make test-browser sets it
# the first is a package of its own, with its own tests
collect_ignore = ["example_backend", *BROWSER]


SLOW = ("tests/e2e/", "tests/upgrade/", "tests/daemon/executors/", "tests/ray/",
        "tests/test_wheel.py", "tests/bench/")  # fmt: skip
"""Paths of slow tests, which run first, so that no process of xdist is idle at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(SLOW))


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Read and write no caches and settings of the user."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        for name in ("CACHE", "CONFIG", "DATA", "STATE"):
            patch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
        with nodes.with_a_token(home):
            yield


@pytest.fixture(scope="session", autouse=True)
def free_space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have no test depend on the free space of this machine; disks of tests show their own."""
    disk, real = tmp_path_factory.getbasetemp().stat().st_dev, os.statvfs

    def statvfs(path: str | Path) -> os.statvfs_result:
        status = real(path)
        if Path(path).stat().st_dev != disk:
            return status
        blocks = max(status.f_blocks, FREE_BYTES // status.f_frsize)
        return os.statvfs_result([*status[:2], *[blocks] * 3, *status[5:]])

    with replaced(os, statvfs=statvfs), replaced(system, statvfs=statvfs):
        yield


@pytest.fixture(autouse=True)
def repeatable_random_numbers() -> None:
    """Have every test see the same random numbers in every run."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def restored_signals() -> Iterator[None]:
    """Restore the handler of SIGTERM, which libraries like Ray replace."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if before is not None and signal.getsignal(signal.SIGTERM) is not before:
        signal.signal(signal.SIGTERM, before)


@pytest.fixture(autouse=True)
def closed_worlds() -> Iterator[None]:
    """Close the ledgers of the worlds of a test."""
    yield
    for world in [*DaemonWorld.opened]:
        world.close()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with content.jpg (48x36, smooth shades) and style.jpg (40x32, bold stripes)."""
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
    """Replace the inspection: nothing is decoded."""
    monkeypatch.setattr("stylewatch_daemon.app.daemon.Inspector", FakeInspector)


@pytest.fixture
def children_exit_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give child processes a minute to exit by themselves, on a machine that is busy."""
    monkeypatch.setattr(child, "STOP_TIMEOUT", 60.0)


@pytest.fixture
def hears_signals() -> Iterator[None]:
    """Handle SIGHUP and SIGINT, which nohup and shells have ignored, also in children."""
    before = {
        signal.SIGHUP: signal.signal(signal.SIGHUP, lambda *_: None),
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
