"""Files of an inbox are paired by their folders and names."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylewatch_daemon.ingest.pairing import PICTURES, Pairing, only_ready, pair
from stylewatch_daemon.model import Incomplete, Pair
from stylewatch_daemon.settings.job import Side

INBOX = Path("/inbox")
STYLES = {"night": Path("/styles/night.jpg"), "wave": Path("/styles/wave.jpg")}
NIGHT = {"night": STYLES["night"]}
DEFAULT = "a style picture (a.style.jpg beside a.content.jpg, or pairing.default_style)"


def paired(*names: str, default: dict[str, Path] | None = None) -> Pairing:
    return pair(INBOX, [INBOX / name for name in names], default or {})


def complete(*names: str, default: dict[str, Path] | None = None) -> dict[str, Pair]:
    return {job.name: job for job in paired(*names, default=default).complete}


def waiting(*names: str, default: dict[str, Path] | None = None) -> dict[str, str]:
    return {job.name: job.waits_for for job in paired(*names, default=default).incomplete}


def test_a_folder_with_content_and_style_is_a_job() -> None:
    names = ("Content.JPG", "STYLE-1.jpg", "style-2.jpg", "init.png", "content.Mask.png", "job.YML",
             "notes.txt")  # fmt: skip
    (job,) = complete(*(f"trip/{name}" for name in names)).values()
    folder = INBOX / "trip"
    assert job == Pair(
        "trip",
        folder / "Content.JPG",
        (folder / "STYLE-1.jpg", folder / "style-2.jpg"),
        init=folder / "init.png",
        masks={"content-mask": folder / "content.Mask.png"},
        job_file=folder / "job.YML",
        folder=folder,
    )


@pytest.mark.parametrize(
    ("files", "jobs"),
    [
        ("a/b/content.jpg a/b/style.jpg", {"a/b": "content.jpg style.jpg"}),
        ("j/content.jpg j/style-10.jpg j/style-2.jpg j/style.jpg",
         {"j": "content.jpg style.jpg style-2.jpg style-10.jpg"}),
        ("j/content.cr2 j/style.jpg", {"j": "content.cr2 style.jpg"}),
        ("x.content.jpg X.style.jpg x.style-2.jpg x.job.yaml y.content.jpg",
         {"X": "x.content.jpg X.style.jpg x.style-2.jpg x.job.yaml"}),
        ("A.b.content.jpg a.B.style.jpg", {"A.b": "A.b.content.jpg a.B.style.jpg"}),
        ("al/style.jpg al/job.yaml al/1.jpg al/2.PNG al/film.mov al/style.txt al/content.xmp",
         {"al/1": "1.jpg style.jpg job.yaml", "al/2": "2.PNG style.jpg job.yaml"}),
        ("a/style.jpg a/sub/deep/1.jpg a/own/style-3.jpg a/own/2.jpg a/c/content.jpg",
         {"a/own/2": "2.jpg style-3.jpg", "a/sub/deep/1": "1.jpg style.jpg"}),
        ("style.jpg photo.jpg folder/other.jpg", {"photo": "photo.jpg style.jpg"}),
        ("a/style.jpg a/photo.jpg a/Photo.mask.png",
         {"a/photo": "photo.jpg style.jpg Photo.mask.png"}),
    ],
)  # fmt: skip
def test_names_and_folders_say_what_belongs_together(files: str, jobs: dict[str, str]) -> None:
    pairs = complete(*files.split()).items()
    assert {name: " ".join(path.name for path in job.files) for name, job in pairs} == jobs


@pytest.mark.parametrize(
    ("files", "name", "waits_for"),
    [
        ("a/content.jpg", "a", "a style picture (style.jpg)"),
        ("a/style.jpg", "a", PICTURES),
        ("a/photo.jpg", "a", "a style picture (style.jpg)"),
        ("a/job.yaml", "a", "a content picture (content.jpg) and a style picture (style.jpg)"),
        ("a.content.jpg", "a", "a style picture (style.jpg)"),
        ("a.style.jpg", "a", "a content picture (content.jpg)"),
        ("a.jpg", "a", DEFAULT),
        ("style.jpg f/o.jpg", "f", "a style picture (style.jpg)"),
        ("a/content.jpg a/CONTENT.png a/style.jpg", "a",
         "only one content picture: there are CONTENT.png and content.jpg"),
        ("a/content.jpg a/style.jpg a/job.yaml a/job.yml", "a",
         "only one job.yaml: there are job.yaml and job.yml"),
        ("j/content.jpg j/style-1.jpg j/style-2.mask.png", "j", "the picture of style-2.mask.png"),
        ("a/photo.jpg a/style.jpg a/style-1.mask.png", "a", "the picture of style-1.mask.png"),
        ("j/content.jpg j/style.jpg j/content.mask.png j/content.mask.jpg", "j",
         "only one mask of the content: there are content.mask.jpg and content.mask.png"),
        ("j/content.jpg j/style-2.jpg j/style-2.mask.png j/style-2.mask.jpg", "j",
         "only one mask of style-2: there are style-2.mask.jpg and style-2.mask.png"),
    ],
)  # fmt: skip
def test_an_incomplete_pair_says_what_it_waits_for(files: str, name: str, waits_for: str) -> None:
    assert waiting(*files.split())[name] == waits_for
    assert name not in complete(*files.split())


def test_an_album_shares_all_but_its_pictures() -> None:
    album = INBOX / "a"
    jobs = complete("a/style.jpg", "a/style.mask.png", "a/content.mask.png", "a/job.yaml",
                    "a/photo.jpg", "a/sea.jpg", "a/sea.mask.png")  # fmt: skip
    shared = {"style-1-mask": album / "style.mask.png"}
    assert jobs["a/photo"].masks == {"content-mask": album / "content.mask.png", **shared}
    assert jobs["a/sea"].masks == {"content-mask": album / "sea.mask.png", **shared}
    names = {path.name for path in jobs["a/sea"].shared}
    assert names == {"style.jpg", "style.mask.png", "content.mask.png", "job.yaml"}
    assert jobs["a/sea"].folder is None


def test_masks_belong_to_the_styles_with_their_numbers() -> None:
    (job,) = complete("x.content.jpg", "x.style-2.jpg", "x.style-5.jpg", "x.style-5.mask.png",
                      "x.content.mask.jpg").values()  # fmt: skip
    assert job.masks == {
        "content-mask": INBOX / "x.content.mask.jpg", "style-2-mask": INBOX / "x.style-5.mask.png"
    }  # fmt: skip
    assert not job.shared


def test_a_lone_picture_gets_the_default_style() -> None:
    (job,) = complete("photo.jpg", default=NIGHT).values()
    assert (job.name, job.styles) == ("photo", (STYLES["night"],))
    assert job.shared == {STYLES["night"]}
    files = ["a.content.jpg", "folder/photo.jpg", "job/content.jpg"]
    assert list(waiting(*files, default=STYLES)) == ["a", "folder", "job"]  # not the default style


def test_with_several_default_styles_the_last_job_takes_the_picture_and_its_mask() -> None:
    jobs = complete("sea.jpg", "sea.mask.png", default=STYLES)
    assert list(jobs) == ["sea-night", "sea-wave"]
    mine = {INBOX / "sea.jpg", INBOX / "sea.mask.png"}
    assert [job.shared & mine for job in jobs.values()] == [mine, set()]
    assert all(job.masks == {"content-mask": INBOX / "sea.mask.png"} for job in jobs.values())


def test_a_pair_waits_for_its_changing_and_truncated_files() -> None:
    names = [f"{job}.{side}.jpg" for job in "xyz" for side in ("content", "style")]
    pairing = paired("job/content.jpg", "job/style.jpg", *names)
    changing = {INBOX / "job/style-2.jpg", INBOX / "y.style.jpg"}  # any file of a job's folder
    ready = only_ready(
        pairing, changing, lambda paths: "its rest" if INBOX / "z.style.jpg" in paths else ""
    )
    assert [job.name for job in ready.complete] == ["x"]
    assert set(ready.incomplete) == {
        Incomplete("job", "style-2.jpg to stop changing", True),
        Incomplete("y", "y.style.jpg to stop changing", True),
        Incomplete("z", "its rest", True),
    }


def test_an_album_without_pictures_is_incomplete_unless_its_style_was_used() -> None:
    style, root = INBOX / "album/style.jpg", INBOX / "style.jpg"
    incomplete = pair(INBOX, [style, root], {}, is_used=lambda path: path == root).incomplete
    assert incomplete == (Incomplete("album", PICTURES),)
    assert pair(INBOX, [style, INBOX / "album/deep/down/1.jpg"], {}).incomplete == ()


def one_sided(side: Side, *names: str) -> Pairing:
    """Pair files, where every job.yaml, and no job without one, is for `side` only."""
    return pair(INBOX, [INBOX / name for name in names], {}, lambda path: side if path else None)


def test_one_side_is_complete_where_the_job_file_says_so() -> None:
    (job,) = one_sided("content", "job/content.jpg", "job/job.yaml").complete
    assert (job.name, job.content, job.styles) == ("job", INBOX / "job/content.jpg", ())
    (job,) = one_sided("style", "x.style-1.jpg", "x.style-2.jpg", "x.job.yaml").complete
    assert (job.content, len(job.styles), job.main) == (None, 2, INBOX / "x.style-1.jpg")
    texture = one_sided("style", "job/style.jpg", "job/job.yaml", "job/sub/photo.jpg")
    (job,) = texture.complete
    assert (job.folder, len(job.files)) == (INBOX / "job", 2)
    assert [job.name for job in texture.incomplete] == ["job/sub"]  # which is in no album
    (half,) = one_sided("style", "job/content.jpg", "job/job.yaml").incomplete
    assert half.waits_for.startswith("a style picture")
    (lone,) = pair(INBOX, [INBOX / "sea.jpg"], {}, lambda path: "content").complete
    assert (lone.name, lone.styles) == ("sea", ())


NAMES = st.text(st.characters(exclude_characters="/\0"), min_size=1).filter(
    lambda name: name not in (".", "..")
)


@given(st.lists(st.lists(NAMES, min_size=1, max_size=3).map("/".join), unique=True))
def test_no_name_breaks_the_pairing_or_is_in_two_jobs(names: list[str]) -> None:
    pairing = paired("style.jpg", *names)
    own = [path for job in pairing.complete for path in job.files if path not in job.shared]
    assert len(own) == len(set(own))
