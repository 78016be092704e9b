"""Files of an inbox are paired by their folders and names."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylewatch_daemon.base.model import Pair
from stylewatch_daemon.intake.pairing import (
    LIVE_PHOTO,
    NO_JOB,
    NO_PICTURE,
    PICTURES,
    UNKNOWN,
    Pairing,
    pair,
)

INBOX = Path("/inbox")
STYLES = {"night": Path("/styles/night.jpg"), "wave": Path("/styles/wave.jpg")}
DEFAULT = "a style picture (a.style.jpg beside a.content.jpg, or pairing.default_style)"


def paired(files: str, default: dict[str, Path] | None = None, **more: Any) -> Pairing:
    return pair(INBOX, [INBOX / name for name in files.split()], default or {}, **more)


def complete(files: str, default: dict[str, Path] | None = None) -> dict[str, Pair]:
    return {job.name: job for job in paired(files, default).complete}


@pytest.mark.parametrize(
    ("files", "jobs"),
    [
        ("a/Content.JPG a/STYLE-1.jpg a/init.png a/content.Mask.png a/job.YML a/b.txt",
         {"a": "Content.JPG STYLE-1.jpg init.png content.Mask.png job.YML"}),
        ("j/content.jpg j/style-10.jpg j/style-2.jpg j/style.jpg",
         {"j": "content.jpg style.jpg style-2.jpg style-10.jpg"}),
        ("x.content.jpg X.style.jpg x.style-2.jpg x.job.yaml y.content.jpg",
         {"X": "x.content.jpg X.style.jpg x.style-2.jpg x.job.yaml"}),
        ("al/style.jpg al/job.yaml al/1.jpg al/2.PNG al/film.mov al/style.txt al/content.xmp",
         {"al/1": "1.jpg style.jpg job.yaml", "al/2": "2.PNG style.jpg job.yaml",
          "al/film": "film.mov style.jpg job.yaml"}),
        ("al/style.jpg al/live.HEIC al/Live.MOV", {"al/live": "live.HEIC style.jpg"}),
        ("a/style.jpg a/sub/deep/1.jpg a/own/style-3.jpg a/own/2.jpg a/c/content.jpg",
         {"a/own/2": "2.jpg style-3.jpg", "a/sub/deep/1": "1.jpg style.jpg"}),
        ("style.jpg photo.jpg folder/other.jpg", {"photo": "photo.jpg style.jpg"}),
        ("a/style.jpg a/photo.jpg a/Photo.mask.png",
         {"a/photo": "photo.jpg style.jpg Photo.mask.png"}),
        ("a/style.jpg a/film.mov a/film.mask.MP4 b/content.webm b/content.mask.gif b/style.jpg",
         {"a/film": "film.mov style.jpg film.mask.MP4",
          "b": "content.webm style.jpg content.mask.gif"}),
    ],
)  # fmt: skip
def test_names_and_folders_say_what_belongs_together(files: str, jobs: dict[str, str]) -> None:
    pairs = complete(files).items()
    assert {name: " ".join(path.name for path in job.files) for name, job in pairs} == jobs
    for name, job in pairs:
        assert job.folder == (INBOX / name if job.content == INBOX / name / job.main.name else None)


@pytest.mark.parametrize(
    ("files", "waits_for"),
    [
        ("a/style.jpg", PICTURES),
        ("a/1.jpg a/2.jpg a/2.mask.png", "a style picture (style.jpg)"),
        ("a/job.yaml", "a content picture (content.jpg) and a style picture (style.jpg)"),
        ("a.content.jpg", "a style picture (a.style.jpg)"),
        ("a.jpg a.mask.png", DEFAULT),
        ("a/style.jpg a/job.yaml a/job.yml a/1.jpg",
         "only one job.yaml: there are job.yaml and job.yml"),
        ("a/content.jpg a/CONTENT.png a/style.jpg a/init.png",
         "only one content picture: there are CONTENT.png and content.jpg"),
        ("a/content.jpg a/style-1.jpg a/style-2.mask.png", "the picture of style-2.mask.png"),
    ],
)  # fmt: skip
def test_an_incomplete_pair_has_all_its_files_and_says_what_it_waits_for(
    files: str, waits_for: str
) -> None:
    pairing = paired(files)
    (waiting,) = pairing.incomplete
    assert (waiting.name, waiting.waits_for, pairing.complete) == ("a", waits_for, ())
    assert {f"{path.relative_to(INBOX)}" for path in waiting.files} == {*files.split()}
    assert waiting.main.suffix in (".jpg", ".png", ".yaml") and not waiting.shared


def test_a_lone_picture_gets_the_default_styles_and_the_last_job_takes_it() -> None:
    waiting = paired("a.content.jpg folder/photo.jpg job/content.jpg", STYLES).incomplete
    assert [job.name for job in waiting] == ["a", "folder", "job"]  # not the default style
    jobs = complete("sea.jpg sea.mask.png", STYLES)
    assert [(job.name, job.styles) for job in jobs.values()] == [
        ("sea-night", (STYLES["night"],)), ("sea-wave", (STYLES["wave"],)),
    ]  # fmt: skip
    mine = {INBOX / "sea.jpg", INBOX / "sea.mask.png"}
    assert [job.shared & mine for job in jobs.values()] == [mine, set()]
    assert all(job.masks == {"content-mask": INBOX / "sea.mask.png"} for job in jobs.values())
    assert list(complete("sea.jpg", {"night": STYLES["night"]})) == ["sea"]


def test_files_of_no_pair_are_left_with_the_reason() -> None:
    used = "al/style.jpg al/job.yaml al/1.jpg al/1.mask.png al/own/style.jpg al/own/job.yaml 5.txt"
    skipped = {
        "al/1.mov": LIVE_PHOTO, "al/2.mask.png": NO_PICTURE, "al/sub/job.yaml": NO_JOB,
        "al/sub/style-1.mask.png": NO_JOB, "job.yaml": NO_JOB, "3.mask.png": NO_PICTURE,
        "sea.CR2": UNKNOWN, "al/4": UNKNOWN, "al/style": UNKNOWN,
    }  # fmt: skip
    pairing = paired(" ".join([used, "wait/job.yaml", *skipped]))
    assert pairing.skipped == {INBOX / name: reason for name, reason in skipped.items()}
    assert INBOX / "job.yaml" not in paired("style.jpg job.yaml a.jpg").skipped


NAMES = ("content.jpg", "content.png", "style.jpg", "style-2.jpg", "style-2.mask.png", "init.png",
         "content.mask.png", "job.yaml", "x.content.jpg", "x.style.jpg", "x.style.mask.png",
         "1.jpg", "1.mask.png", "1.mov", "2.mask.png")  # fmt: skip


@given(
    st.sets(st.tuples(st.sampled_from(["", "a/", "a/b/", "c/"]), st.sampled_from(NAMES))),
    st.sampled_from([{}, STYLES]),
)
def test_no_content_is_left_out_and_no_file_taken_twice(
    files: set[tuple[str, str]], default: dict[str, Path]
) -> None:
    """Left out without a word are only further pictures beside a content, and unused styles."""
    paths = {INBOX / folder / name for folder, name in files}
    pairing = pair(INBOX, paths, default)
    pairs = (*pairing.complete, *pairing.incomplete)
    left = paths - pairing.skipped.keys() - {path for job in pairs for path in job.files}
    contents = {path.parent for path in paths if path.stem == "content"}
    assert not [path for path in left if path.stem == "content" or path.name.startswith("x.")]
    assert not [path for path in left if path.name == "1.jpg" and path.parent not in contents]
    assert not {path for job in pairing.complete for path in job.files} & pairing.skipped.keys()
    own = [path for job in pairs for path in job.files if path not in job.shared]
    assert len(own) == len(set(own)), "no file is taken twice"
    assert not [
        path
        for job in pairs
        for path in job.files
        if path.name.startswith("1.") and path not in own
    ], "the last job takes it"
    assert len({job.key for job in pairs}) == len(pairs)
    assert all(job.waits_for for job in pairing.incomplete)
    assert all(job.content and job.styles and not job.waits_for for job in pairing.complete)
