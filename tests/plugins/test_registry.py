"""The registry, with real distributions that are on the path for one test."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.plugins.strangers import distribution

from stylewatch_plugins import registry
from stylewatch_plugins.errors import BackendMissingError

WHOLE = """
class Made:
    name, version = "made", "1"
    def __init__(self, options):
        self.options = dict(options)
    def devices(self): return ()
    def problem(self): return None
    def provenance(self, task): ...
    def estimate(self, task): ...
    def measure(self, task): ...
    def paint(self, task, wish): yield
"""


Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a distribution with one backend on the path until the test ends."""
    before = set(sys.modules)

    def install_(name: str, source: str, package: str = "made-up") -> None:
        distribution(tmp_path / package, package, name, source)
        monkeypatch.syspath_prepend(str(tmp_path / package))

    yield install_
    for module in set(sys.modules) - before:
        if module.endswith("_backend"):
            del sys.modules[module]


def refusal(name: str) -> str:
    """The message for a backend that cannot be loaded: always one line."""
    with pytest.raises(BackendMissingError) as caught:
        registry.load(name, {})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_requested_backend_alone_is_imported_and_gets_its_options(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry points are read once."""
    install("bad", "raise SystemExit(3)", package="bad")
    install("made", WHOLE)
    assert {"bad", "made", "sketch", "torch"} <= set(registry.names())
    registry.load("made", {})
    monkeypatch.setattr(registry, "entry_points", None)
    assert vars(registry.load("made", {"device": "here"})) == {"options": {"device": "here"}}
    assert "bad_backend" not in sys.modules


def test_backend_that_was_installed_meanwhile_is_found(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path / "made-up"))
    assert "made" in refusal("made")
    install("made", WHOLE)
    sys.path.pop(0)  # it is on the path twice now
    assert registry.load("made", {}).__class__.__name__ == "Made"


def test_unknown_name_gets_a_hint(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("made", WHOLE, package="some")
    message = refusal("maid")
    assert "did you mean 'made'?" in message
    assert "`stylewatch doctor`" in message and "`pip install`" in message
    assert f"there are {', '.join(registry.names())};" in refusal("zzzzzzzz")
    install("made", WHOLE, package="other")
    assert registry.names().count("made") == 1
    assert refusal("made").startswith("other and some both bring a backend 'made'")
    monkeypatch.setattr(sys, "path", [])
    assert registry.names() == []
    assert "`pip install stylewatch`" in refusal("torch")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import nothing_of_that_name", "No module named 'nothing_of_that_name'"),
        ("raise RuntimeError('first line\\nsecond line')", "RuntimeError: first line;"),
        ("raise SystemExit", "SystemExit;"),
        ("def broken(:", "SyntaxError"),
        ("", "AttributeError"),
        ("Made = 7", "TypeError"),
        (WHOLE.replace("version", "vers").replace("devices", "dev"), "it lacks version, devices;"),
    ],
)
def test_broken_backend_is_reported_with_a_remedy(install: Install, source: str, why: str) -> None:
    install("made", source)
    message = refusal("made")
    assert message.startswith("backend 'made' of made-up is broken: ")
    assert why in message
    assert "`pip install --force-reinstall made-up`" in message


def test_backend_for_another_stylewatch_is_not_made(install: Install) -> None:
    unmade = WHOLE.replace("self.options = dict(options)", "raise ZeroDivisionError")
    install("made", unmade.replace("    name, ", "    contract = 0\n    name, "))
    message = refusal("made")
    why = "it has version 0 of the contract, and this stylewatch version 1;"
    assert message.startswith(f"backend 'made' of made-up does not fit: {why}")
    assert "`pip install --upgrade stylewatch made-up`" in message


def test_author_of_an_error_is_named(install: Install) -> None:
    raises = WHOLE.replace("def problem(self): return None", "def problem(self): 1 / 0")
    install("made", raises)
    install("some = other_backend:Made\nmore", raises, package="other")
    for name, author in (("made", "the backend 'made' of made-up"), ("more", "a backend of other")):
        with pytest.raises(ZeroDivisionError) as caught:
            registry.load(name, {}).problem()
        assert registry.author(caught.value) == author
    assert registry.author(ZeroDivisionError()) is None
    with pytest.raises(BackendMissingError) as ours:
        registry.load("no such", {})
    assert registry.author(ours.value) is None
