"""constraints.txt has a version of each package that an installation for development gets."""

import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
EXTRAS = ("all", "browser", "dev", "dist")

PINNED_BY_TORCH = ("cuda-", "nvidia-", "triton")
"""Beginnings of the names of what CUDA needs, which only the build of torch for it requires."""


def own_requirements() -> Iterator[Requirement]:
    """Yield what stylewatch requires itself, and for each of its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    yield from map(Requirement, project["dependencies"])
    for texts in project["optional-dependencies"].values():
        yield from map(Requirement, texts)


def installed_requirements(name: str) -> list[Requirement]:
    """Return what a package requires, if it is installed, as that of an extra may not be."""
    try:
        return [Requirement(text) for text in requires(name) or []]
    except PackageNotFoundError:
        return []


def required(requirements: list[Requirement], extras: set[str]) -> Iterator[Requirement]:
    """Yield those requirements that this Python and machine have, with the extras."""
    for requirement in requirements:
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            yield requirement


def all_required() -> set[str]:
    """Return the names of all packages that are required, also by others, in normal form."""
    waiting = list(required(list(own_requirements()), set()))
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if name != "stylewatch" and (name, extras) not in seen:
            seen.add((name, extras))
            waiting += required(installed_requirements(name), set(extras))
    return {name for name, _ in seen}


def test_every_package_has_a_version() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all(str(pin.specifier).startswith("==") for pin in pins)
    names = [canonicalize_name(pin.name) for pin in pins]
    assert len(names) == len(set(names)), "a package has two versions"
    needed = {name for name in all_required() if not name.startswith(PINNED_BY_TORCH)}
    assert needed > {"numpy", "openapi-spec-validator", "twine"}
    assert not needed - set(names)
