"""The registry, met through real distributions that stand on the path for one test."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stylewatch_plugins import registry
from stylewatch_plugins.errors import BackendMissingError, BackendOptionError

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
    """Puts a distribution with one backend on the path, and takes it away after the test."""
    before = set(sys.modules)

    def install_(name: str, source: str, package: str = "made-up") -> None:
        module = package.replace("-", "_") + "_backend"
        site = tmp_path / package
        about = site / f"{package}-1.0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{name} = {module}:Made\n")
        (site / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(str(site))

    yield install_
    for module in set(sys.modules) - before:
        if module.endswith("_backend"):
            del sys.modules[module]


def refusal(name: str) -> str:
    """What the registry says when it cannot load `name`: always one line."""
    with pytest.raises(BackendMissingError) as caught:
        registry.load(name, {})
    told = str(caught.value)
    assert "\n" not in told
    return told


def test_the_projects_own_backends_come_in_by_the_same_door() -> None:
    assert {"sketch", "torch"} <= set(registry.names())
    assert registry.load("sketch", {}).name == "sketch"


def test_a_backend_of_another_distribution_is_named_and_gets_its_options(install: Install) -> None:
    install("made", WHOLE)
    assert "made" in registry.names()
    assert vars(registry.load("made", {"device": "here"})) == {"options": {"device": "here"}}


def test_what_is_installed_is_read_once(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("made", WHOLE)
    registry.load("made", {})

    def read(**_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(registry, "entry_points", read)
    assert registry.load("made", {}).__class__.__name__ == "Made"


def test_a_backend_that_was_installed_meanwhile_is_found(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path / "made-up"))
    assert "made" in refusal("made")
    install("made", WHOLE)
    sys.path.pop(0)  # it stands there twice now
    assert registry.load("made", {}).__class__.__name__ == "Made"


def test_a_distribution_that_is_gone_takes_its_backend_with_it(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("made", WHOLE)
    monkeypatch.undo()
    assert "made" not in registry.names()


def test_only_the_backend_asked_for_is_imported(install: Install) -> None:
    install("made", WHOLE)
    install("other", WHOLE, package="other")
    registry.load("made", {})
    assert "made_up_backend" in sys.modules
    assert "other_backend" not in sys.modules


def test_a_broken_backend_does_not_stop_another(install: Install) -> None:
    install("bad", "raise SystemExit(3)", package="bad")
    install("made", WHOLE)
    assert "bad" in registry.names()
    assert registry.load("made", {}).name == "made"


def test_a_name_that_is_nearly_right_brings_the_right_one(install: Install) -> None:
    install("made", WHOLE)
    told = refusal("maid")
    assert "did you mean 'made'?" in told
    assert "`stylewatch backends`" in told
    assert "`pip install`" in told


def test_a_name_that_is_near_to_none_brings_the_whole_choice() -> None:
    assert f"there are {', '.join(registry.names())};" in refusal("zzzzzzzz")


def test_without_any_backend_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a bare checkout that was never installed."""
    monkeypatch.setattr(sys, "path", [])
    assert registry.names() == []
    assert "`pip install stylewatch`" in refusal("torch")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import nothing_of_that_name", "No module named 'nothing_of_that_name'"),
        ("raise RuntimeError('first line\\nsecond line')", "RuntimeError: first line;"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise SystemExit", "SystemExit;"),
        ("def broken(:", "SyntaxError"),
        ("", "AttributeError"),
        ("Made = 7", "TypeError"),
        (WHOLE.replace("self, options", "self"), "TypeError"),
        (WHOLE.replace("dict(options)", "options.no_such"), "AttributeError"),
        (WHOLE.replace("def paint", "def draw"), "it lacks paint;"),
        (WHOLE.replace("version", "vers").replace("devices", "dev"), "it lacks version, devices;"),
    ],
)
def test_a_broken_backend_is_one_sentence_with_a_remedy(
    install: Install, source: str, why: str
) -> None:
    install("made", source)
    told = refusal("made")
    assert told.startswith("backend 'made' of made-up is broken: ")
    assert why in told
    assert "`pip install --force-reinstall made-up`" in told


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("contract = 2", "it keeps version 2 of the contract, and this stylewatch version 1;"),
        ("capabilities = 'all'", "its capabilities are not a Capabilities, but 'all';"),
    ],
)
def test_a_backend_for_another_stylewatch_is_not_even_made(
    install: Install, said: str, why: str
) -> None:
    unmade = WHOLE.replace("self.options = dict(options)", "raise ZeroDivisionError")
    install("made", unmade.replace("    name, ", f"    {said}\n    name, "))
    told = refusal("made")
    assert told.startswith(f"backend 'made' of made-up does not fit: {why}")
    assert "`pip install --upgrade stylewatch made-up`" in told


def test_an_error_is_known_by_the_backend_that_it_came_through(install: Install) -> None:
    install("made", WHOLE.replace("def problem(self): return None", "def problem(self): 1 / 0"))
    backend = registry.load("made", {})
    with pytest.raises(ZeroDivisionError) as caught:
        backend.problem()
    assert registry.author(caught.value) == "the backend 'made' of made-up"
    assert registry.author(ZeroDivisionError()) is None
    with pytest.raises(BackendMissingError) as ours:
        registry.load("no such", {})
    assert registry.author(ours.value) is None


def test_of_a_package_with_several_backends_no_wrong_one_is_named(install: Install) -> None:
    broken = WHOLE.replace("def problem(self): return None", "def problem(self): 1 / 0")
    install("one = made_up_backend:Made\ntwo", broken)
    with pytest.raises(ZeroDivisionError) as caught:
        registry.load("two", {}).problem()
    assert registry.author(caught.value) == "a backend of made-up"


def test_two_distributions_with_one_name_are_both_named(install: Install) -> None:
    install("made", WHOLE, package="one")
    install("made", WHOLE, package="two")
    assert registry.names().count("made") == 1
    assert refusal("made").startswith("one and two both bring a backend 'made'")


def test_an_option_it_does_not_have_is_told_as_the_backend_tells_it(install: Install) -> None:
    refuses = "from stylewatch_plugins.errors import BackendOptionError\n" + WHOLE.replace(
        "self.options = dict(options)", "raise BackendOptionError('no option named color')"
    )
    install("made", refuses)
    with pytest.raises(BackendOptionError, match="no option named color"):
        registry.load("made", {"color": "red"})


def test_naming_the_backends_imports_no_numpy() -> None:
    """The daemon's supervisor names backends, and must stay light."""
    script = (
        "import sys; from stylewatch_plugins import registry; registry.names();"
        " sys.exit(any(name in sys.modules for name in ('numpy', 'torch', 'PIL', 'pydantic')))"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
