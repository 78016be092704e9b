"""The commands that add to and repair an installation, and what holds while it is changed."""

import sys
from collections.abc import Iterator
from importlib import invalidate_caches
from pathlib import Path

import pytest

from stylewatch_painter import installation
from stylewatch_painter.errors import RecipesAwayError
from stylewatch_painter.installation import incomplete, repair_command, unloadable
from stylewatch_painter.recipes import book

FILES = ("stylewatch_painter/one.py", "stylewatch_painter/recipes/best.yaml")
WHEEL = "stylewatch-1.0.0-py3-none-any.whl"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of an installation from a wheel, in place of the sources."""
    record = [*FILES, "stylewatch_painter/__pycache__/one.cpython-311.pyc"]
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    metadata = tmp_path / "stylewatch-1.0.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: stylewatch\nVersion: 1.0.0\n")
    (metadata / "RECORD").write_text("".join(f"{name},,\n" for name in record))
    (metadata / "direct_url.json").write_text(f'{{"url": "file:///packages/{WHEEL}"}}')
    monkeypatch.setattr(installation, "_project", lambda: None)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield tmp_path
    book.packaged.cache_clear()
    invalidate_caches()


def test_files_that_are_missing_are_named_with_a_command_that_brings_them(site: Path) -> None:
    assert incomplete() == ""
    (site / FILES[1]).unlink()
    assert "such as best.yaml" in incomplete()
    assert repair_command("stylewatch") in incomplete()


def test_a_recipe_is_not_missing_while_the_program_is_installed_anew(site: Path) -> None:
    """Its picture waits: what ships with the program is never the mistake of a job."""
    (site / FILES[1]).unlink()
    with pytest.raises(RecipesAwayError, match="as while it is installed"):
        book.find("no-such-recipe")


def test_our_recipes_are_not_missing_while_their_folder_is_away(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book, "_OWN", site / "away")
    book.packaged.cache_clear()
    for look in (book.names, lambda: book.find("best")):
        with pytest.raises(RecipesAwayError, match="cannot be read"):
            look()


def test_a_repair_takes_the_program_from_where_it_came(site: Path) -> None:
    words = f"install --force-reinstall --no-deps /packages/{WHEEL}`"
    assert repair_command("stylewatch").endswith(words)
    broken = ImportError("gone", name="stylewatch_painter.one")
    (site / "stylewatch-1.0.0.dist-info/top_level.txt").write_text("stylewatch_painter\n")
    assert str(unloadable(broken)).endswith(words)


def test_what_it_lacks_comes_with_the_program(site: Path) -> None:
    lacking = ImportError("No module named 'of_no_package'", name="of_no_package")
    assert str(unloadable(lacking)).endswith(f"install /packages/{WHEEL}`")
    of_others = str(unloadable(lacking, package="made-up"))
    assert of_others.endswith("install --force-reinstall made-up`")


def test_without_metadata_no_command_is_made_up(site: Path) -> None:
    (site / "stylewatch-1.0.0.dist-info").rename(site / "away")
    sys.path[:] = [str(site)]
    assert "such as METADATA" in incomplete()
    assert repair_command("stylewatch") == "another installation of stylewatch"


def test_the_package_whose_code_fails_is_the_one_to_repair(tmp_path: Path) -> None:
    """As torch, which says on several lines that its library is missing."""
    try:
        exec(compile("raise ImportError('no C extensions:\\n so it is')", "x", "exec"),
             {"__name__": "numpy.core"})  # fmt: skip
    except ImportError as error:
        sentence = str(unloadable(error, "stylewatch_plugins.torch_autograd"))
    assert sentence.startswith("numpy cannot be loaded (no C extensions: so it is): ")
    assert sentence.endswith("install --force-reinstall --no-deps numpy`")
