"""Patterns for names: what makes no sense is told with what would, the rest is filled safely."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from stylewatch_daemon.errors import InputError
from stylewatch_daemon.settings import patterns

FOLDER: TypeAdapter[str] = TypeAdapter(patterns.Folder)
FILE: TypeAdapter[str] = TypeAdapter(patterns.File)
PLACES = patterns.values(
    "album/sub/photo", Path("photo.v2.jpg"), [Path("wave.jpg")], recipe="/r/mine.yaml", seed=7
)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("{name}", "album/sub/photo"),
        ("{folder}/{content}-{style}", "album/sub/photo.v2-wave"),
        ("{recipe} {seed}", "mine 7"),
        ("../../{stem}", "_/_/photo.v2"),
    ],
)
def test_a_folder_is_filled_part_by_part_and_leads_nowhere_else(pattern: str, path: str) -> None:
    assert patterns.folder(FOLDER.validate_python(pattern), PLACES) == path


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("final", "final"),
        ("{stem}-{style}", "photo.v2-wave"),
        ("{name}", "album_sub_photo"),
        ("..", "_"),
    ],
)
def test_a_file_has_one_part_whatever_its_places_say(pattern: str, name: str) -> None:
    assert patterns.file(FILE.validate_python(pattern), PLACES) == name


def test_places_that_stand_for_nothing_go() -> None:
    alone = patterns.values("photo", Path("photo.jpg"), [], recipe="best", seed=0)
    assert (alone["folder"], alone["style"]) == ("", "")
    assert patterns.folder("{folder}/{stem}", alone) == "photo"
    assert patterns.folder("{folder}/{style}", alone) == "photo"
    assert patterns.file("{style}", alone) == "final"


def test_all_places_there_are_can_be_filled() -> None:
    assert set(PLACES) == set(patterns.PLACES)


@pytest.mark.parametrize("pattern", ["{nam}", "{}-x", "{stem", "stem}", "{content:3}", "{{stem}}"])
@pytest.mark.parametrize("kind", [FOLDER, FILE], ids=["folder", "file"])
def test_a_place_that_there_is_not_is_refused_with_those_that_there_are(
    kind: TypeAdapter[str], pattern: str
) -> None:
    with pytest.raises(ValidationError, match=r"is no place to fill, there are \{name\}, "):
        kind.validate_python(pattern)


def test_a_name_has_a_length_and_a_depth() -> None:
    for pattern in ("a" * 501, "/".join("a" * 17)):
        with pytest.raises(ValidationError, match="at most 500 characters and 16 parts"):
            FOLDER.validate_python(pattern)
    long = PLACES | {"name": "/".join(["b" * 100] * 10)}
    with pytest.raises(InputError, match="path of 3029 bytes; the limit is 2000: shorten `name`"):
        patterns.folder("{name}/{name}/{name}", long)


@pytest.mark.parametrize("kind", [FOLDER, FILE], ids=["folder", "file"])
def test_an_empty_name_is_refused(kind: TypeAdapter[str]) -> None:
    with pytest.raises(ValidationError, match=r"a name is wanted, as \{name\}"):
        kind.validate_python(" ")


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("{folder}/{stem}", "names a file in the job's folder, and no folders.*`flat`"),
        ("..\\{stem}", "names a file in the job's folder"),
        ("{stem}.PNG", r"the ending is what `format` says: leave \.PNG out"),
        ("sea.jpeg", r"leave \.jpeg out"),
    ],
)
def test_a_file_that_names_a_folder_or_an_ending_is_refused(pattern: str, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        FILE.validate_python(pattern)
