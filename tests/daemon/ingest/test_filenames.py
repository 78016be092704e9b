"""File names say what part they are, of which job."""

from pathlib import Path

import pytest

from stylewatch_daemon.ingest.filenames import Folder, sort


def sorted_by_name(*names: str) -> Folder:
    return sort(Path("in") / name for name in names)


def names(paths: list[Path] | tuple[Path, ...]) -> list[str]:
    return [path.name for path in paths]


def test_the_parts_of_a_folder_are_known_in_any_case() -> None:
    own = sorted_by_name("Content.JPG", "STYLE.png", "Init.png", "job.YML", "content.Mask.png").own
    assert names(own.contents) == ["Content.JPG"]
    assert names(own.styles) == ["STYLE.png"]
    assert names(own.inits) == ["Init.png"]
    assert names(own.settings) == ["job.YML"]
    assert own.masks == {"content-mask": Path("in/content.Mask.png")}


def test_styles_go_by_their_numbers() -> None:
    own = sorted_by_name("style-10.jpg", "style-2.jpg", "style.jpg").own
    assert names(own.styles) == ["style.jpg", "style-2.jpg", "style-10.jpg"]


def test_parts_of_named_jobs_are_kept_together() -> None:
    folder = sorted_by_name("a.b.content.jpg", "A.B.style-2.jpg", "a.b.job.yaml", "x.style.jpg")
    assert set(folder.named) == {"a.b", "x"}
    assert folder.names["a.b"] == "A.B"
    assert names(folder.named["a.b"].beside_content) == ["A.B.style-2.jpg", "a.b.job.yaml"]


def test_other_pictures_are_pictures_and_other_files_nothing() -> None:
    folder = sorted_by_name("photo.JPG", "notes.txt", "content.xmp", "style.txt", "film.mov")
    assert names(folder.pictures) == ["photo.JPG"]
    assert folder.own.beside_content == ()
    assert not folder.own.contents


def test_a_content_of_an_unknown_kind_is_a_content_to_be_refused_later() -> None:
    assert names(sorted_by_name("content.cr2").own.contents) == ["content.cr2"]


def test_a_mask_belongs_to_the_picture_called_so_and_is_none_itself() -> None:
    folder = sorted_by_name("photo.jpg", "Photo.mask.png")
    assert names(folder.pictures) == ["photo.jpg"]
    assert folder.picture_masks["photo"].name == "Photo.mask.png"


def test_masks_of_styles_count_as_the_styles_do() -> None:
    own = sorted_by_name("style-7.jpg", "style.jpg", "style-7.mask.png", "style-3.mask.png").own
    assert own.masks == {"style-2-mask": Path("in/style-7.mask.png")}
    assert own.lacking == ("the picture of style-3.mask.png",)
    assert {"style-7.mask.png", "style-3.mask.png"} <= {*names(own.beside_content)}


@pytest.mark.parametrize("second", ["content.png", "CONTENT.jpg"])
def test_two_contents_are_one_too_many(second: str) -> None:
    double = sorted_by_name("content.jpg", second).own.double
    assert double is not None
    assert "only one content picture" in double
