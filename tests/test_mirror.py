"""Every module has its test file, and no test file stands alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {
    "daemon": ROOT / "daemon" / "stylewatch_daemon",
    "export": ROOT / "export" / "stylewatch_export",
    "painter": ROOT / "plugins" / "stylewatch_painter",
    "plugins": ROOT / "plugins" / "stylewatch_plugins",
}


def modules(room: str) -> Iterator[Path]:
    """The room's modules, relative to its package."""
    for path in ROOMS[room].rglob("*.py"):
        if path.stem not in ("__init__", "__main__"):
            yield path.relative_to(ROOMS[room])


def mirrored(module: Path) -> Path:
    return module.with_name(f"test_{module.name}")


@pytest.mark.parametrize("room", ROOMS)
def test_every_module_has_a_test_file_and_every_test_file_a_module(room: str) -> None:
    tests = ROOT / "tests" / room
    expected = {mirrored(module) for module in modules(room)}
    found = {path.relative_to(tests) for path in tests.rglob("test_*.py")}
    assert not expected - found, "modules without a test file"
    assert not found - expected, "test files without a module"


def test_every_package_is_a_room_that_is_mirrored() -> None:
    packages = {path.parent for path in ROOT.glob("*/stylewatch_*/__init__.py")}
    assert packages == set(ROOMS.values())
