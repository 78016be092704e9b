"""Files of an inbox are paired by their folders and names."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylewatch_daemon.base.model import Pair
from stylewatch_daemon.files.names import folded
from stylewatch_daemon.intake.pairing import (
    BESIDE,
    LIVE_PHOTO,
    NO_JOB,
    NO_PICTURE,
    PICTURES,
    UNKNOWN,
    Pairing,
    folders_of,
    pair,
    still_holds,
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
        ("a/1.jpg a/2.jpg a/3.jpg a/2.mask.png", "a style picture (style.jpg)"),
        ("a/sea.jpg a/kelp.png a/kelp.mask.png",
         "a style picture (rename kelp.png to style.png, or sea.jpg to style.jpg)"),
        ("a/job.yaml", "a content picture (content.jpg) and a style picture (style.jpg)"),
        ("a.content.jpg", "a style picture (a.style.jpg)"),
        ("a.jpg a.mask.png", DEFAULT),
        ("a/style.jpg a/job.yaml a/job.yml a/1.jpg",
         "only one job.yaml: there are job.yaml and job.yml"),
        ("a/content.jpg a/CONTENT.png a/style.jpg a/init.png",
         "only one content picture: there are CONTENT.png and content.jpg"),
        ("a/content.jpg a/style-1.jpg a/style-2.mask.png", "the picture of style-2.mask.png"),
        ("a/content.jpg a/style.jpg a/style.png",
         "only one picture called style (several are style-1, style-2 ...): "
         "there are style.jpg and style.png"),
        ("a/content.jpg a/style-01.jpg a/style-1.jpg",
         "only one picture called style-1 (several are style-1, style-2 ...): "
         "there are style-01.jpg and style-1.jpg"),
        ("A.content.jpg A.style.jpg a.content.jpg",
         "only one content picture: there are A.content.jpg and a.content.jpg, "
         "which differ only in case"),
    ],
)  # fmt: skip
def test_an_incomplete_pair_has_all_its_files_and_says_what_it_waits_for(
    files: str, waits_for: str
) -> None:
    pairing = paired(files)
    (waiting,) = pairing.incomplete
    assert (folded(waiting.name), waiting.waits_for, pairing.complete) == ("a", waits_for, ())
    assert {f"{path.relative_to(INBOX)}" for path in waiting.files} == {*files.split()}
    assert waiting.main.suffix in (".jpg", ".png", ".yaml") and not waiting.shared
    two = {"kelp.png", "sea.jpg"} if "rename kelp.png" in waits_for else set()
    assert {path.name for path in waiting.may_be_style} == two


@pytest.mark.parametrize("unshown", ["\udcff", "\u202e"])
def test_only_paths_that_a_page_can_show_are_offered_as_the_style(unshown: str) -> None:
    for name in ("b", unshown):
        for files in (f"{name}/1.jpg {name}/2.jpg", f"a/{name}.jpg a/2.jpg"):
            (waiting,) = paired(files).incomplete
            assert len(waiting.may_be_style) == (2 if name == "b" else 0)


def test_pairs_that_wait_for_each_other_in_folders_of_the_same_name_say_so() -> None:
    waiting = paired("a/e\u0301/content.jpg a/\u00e9/style.jpg b/\u00e9/content.jpg").incomplete
    twins = (
        "; there are the folders e\u0301 and \u00e9, which differ only in how accents are stored"
    )
    style = "a style picture (style.jpg)"
    assert [job.waits_for for job in waiting] == [f"{style}{twins}", f"{PICTURES}{twins}", style]


FORMS = ("NFC", "NFD")
CASES = (str, str.upper, str.swapcase)
SPELLED = ("é/content.jpg", "é/style.jpg", "é/init.png", "é/content.mask.png", "é/job.yaml",
           "al/style-1.jpg", "al/style-1.mask.png", "al/été.jpg", "al/été.mask.png", "al/été.mov",
           "tö.content.jpg", "tö.style.jpg", "tö.style.mask.png", "tö.job.yaml")  # fmt: skip


def as_paired(pairing: Pairing) -> object:
    """What belongs together, however it is spelled."""
    return [
        sorted((folded(job.name), {(role, folded(path.name)) for role, path in job.roles})
               for job in jobs)
        for jobs in (pairing.complete, pairing.incomplete)
    ], {folded(str(path)): why for path, why in pairing.skipped.items()}  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(SPELLED), st.tuples(st.sampled_from(FORMS), st.sampled_from(CASES))
    )
)
def test_it_does_not_matter_how_a_system_spells_names(spelled: Mapping[str, Any]) -> None:
    """Only folders keep their spelling, because they are what they are."""
    other = []
    for name, (form, case) in spelled.items():
        folder, slash, last = name.rpartition("/")
        other.append(f"{folder}{slash}{case(normalize(form, last))}")
    assert as_paired(paired(" ".join(other))) == as_paired(paired(" ".join(spelled)))


@pytest.mark.parametrize(
    ("files", "jobs", "waits_for"),
    [
        ("A.content.jpg A.style.jpg a.content.jpg a.style.jpg",
         {"A": "A.content.jpg A.style.jpg", "a": "a.content.jpg a.style.jpg"}, set()),
        ("A.jpg a.jpg A.mask.png style.jpg",
         {"A": "A.jpg style.jpg A.mask.png", "a": "a.jpg style.jpg"}, set()),
        ("a.jpg A.mask.png a.mask.png style.jpg", {"a": "a.jpg style.jpg a.mask.png"}, set()),
        ("a.jpg a.mask.jpg a.mask.png style.jpg", {},
         {"only one mask of a.jpg: there are a.mask.jpg and a.mask.png"}),
        ("a.jpg a.png A.mask.png b.jpg style.jpg", {"b": "b.jpg style.jpg"},
         {"only one picture for A.mask.png: there are a.jpg and a.png"}),
        ("e\u0301.jpg É.mask.png \u00e9.mask.png style.jpg", {},
         {"only one mask of e\u0301.jpg: there are É.mask.png and \u00e9.mask.png, "
          "which differ only in case"}),
        ("e\u0301.jpg \u00e9.jpg É.mask.png style.jpg", {},
         {"only one picture for É.mask.png: there are e\u0301.jpg and \u00e9.jpg, "
          "which differ only in how accents are stored"}),
    ],
)  # fmt: skip
def test_exact_names_win_and_where_two_fit_a_job_waits_with_both(
    files: str, jobs: dict[str, str], waits_for: Collection[str]
) -> None:
    pairing = paired(files)
    assert waits_for == {job.waits_for for job in pairing.incomplete}
    done = {job.name: " ".join(path.name for path in job.files) for job in pairing.complete}
    assert done == jobs


def test_a_lone_picture_gets_the_default_styles_as_jobs_of_one_photograph() -> None:
    waiting = paired("a.content.jpg folder/photo.jpg job/content.jpg", STYLES).incomplete
    assert [job.name for job in waiting] == ["a", "folder", "job"]  # not the default style
    jobs = paired("sea.jpg sea.mask.png shore.jpg content.jpg style.jpg", STYLES).complete
    assert [(job.name, job.styles, {*job.shared}) for job in jobs] == [
        ("content", (INBOX / "style.jpg",), set[Path]()),
        *((f"{name}-{style}", (path,), {path})
          for name in ("sea", "shore") for style, path in STYLES.items()),
    ]  # fmt: skip
    assert [job.main for job in jobs[1:3]] == [INBOX / "sea.jpg"] * 2
    assert [job.masks for job in jobs[1:3]] == [{"content-mask": INBOX / "sea.mask.png"}] * 2
    assert list(complete("sea.jpg", {"night": STYLES["night"]})) == ["sea"]


def test_an_album_without_pictures_waits_unless_it_had_one() -> None:
    assert paired("a/style.jpg").incomplete
    assert paired("a/style.jpg", is_known=(INBOX / "a/style.jpg").__eq__) == Pairing()


def test_files_of_no_pair_are_left_with_the_reason() -> None:
    used = "al/style.jpg al/job.yaml al/1.jpg al/1.mask.png al/own/style.jpg al/own/job.yaml 5.txt"
    used += " job/content.jpg"
    skipped = {
        "al/1.mov": LIVE_PHOTO, "al/2.mask.png": NO_PICTURE, "al/sub/job.yaml": NO_JOB,
        "al/sub/style-1.mask.png": NO_JOB, "job.yaml": NO_JOB, "3.mask.png": NO_PICTURE,
        "sea.psd": UNKNOWN, "al/4": UNKNOWN, "al/style": UNKNOWN, "job/6.jpg": BESIDE,
    }  # fmt: skip
    pairing = paired(" ".join([used, "wait/job.yaml", *skipped]))
    assert pairing.skipped == {INBOX / name: reason for name, reason in skipped.items()}
    assert INBOX / "job.yaml" not in paired("style.jpg job.yaml a.jpg").skipped


PAINT = ", or otherwise to paint it"


@pytest.mark.parametrize(
    ("copy", "original", "others"),
    [
        ("style (1).jpg", "style.jpg",
         f", to style-2.jpg, style-3.jpg ... as a further style{PAINT}"),
        ("a.style-2 copy 3.PNG", "a.style-2.PNG",
         f", to style-2.png, style-3.png ... as a further style{PAINT}"),
        ("Content - Kopie (2).heic", "Content.heic", PAINT),
        ("init (another copy).png", "init.png", PAINT),
        ("content 2.mov", "content.mov", PAINT),
        ("content.mask(1).png", "content.mask.png", ""),
        ("job - Copy.yaml", "job.yaml", ""),
    ],
)  # fmt: skip
def test_a_copy_of_a_part_is_not_painted_and_the_reason_says_how_it_can_be(
    copy: str, original: str, others: str
) -> None:
    files = [INBOX / "al" / name for name in ("style.jpg", "sea.jpg", "sea (1).jpg", copy)]
    pairing = pair(INBOX, files, {})
    assert {job.name for job in pairing.complete} == {"al/sea", "al/sea (1)"}
    reason = f"it is named like a copy of {original}: rename it to {original}{others}"
    assert pairing.skipped == {INBOX / "al" / copy: reason}


def test_settings_with_the_hidden_ending_of_a_text_are_named() -> None:
    texts = {"job.yaml.txt": "job.yaml", "a.job.YML.txt": "a.job.YML", "Job.txt": "Job.yaml"}
    why = "it has no effect: settings are read from {0} (Windows may hide the ending .txt)"
    pairing = pair(INBOX, [INBOX / name for name in (*texts, "notes.txt", "a.txt")], {})
    assert pairing.skipped == {INBOX / name: why.format(right) for name, right in texts.items()}


NAMES = ("content.jpg", "content.png", "style.jpg", "style-2.jpg", "style-2.mask.png", "init.png",
         "content.mask.png", "job.yaml", "x.content.jpg", "x.style.jpg", "x.style.mask.png",
         "1.jpg", "1.mask.png", "1.mov", "2.mask.png")  # fmt: skip


FILES = st.builds(
    lambda files: {INBOX / folder / name for folder, name in files},
    st.sets(st.tuples(st.sampled_from(["", "a/", "a/b/", "a/b/c/", "d/"]), st.sampled_from(NAMES))),
)
DEFAULTS = st.sampled_from([{}, STYLES])


@given(FILES, DEFAULTS)
def test_no_picture_is_left_out_without_a_word_and_no_file_taken_twice(
    files: set[Path], default: dict[str, Path]
) -> None:
    """Only unused parts of albums are left without a word; jobs may share their photograph."""
    pairing = pair(INBOX, files, default)
    pairs = (*pairing.complete, *pairing.incomplete)
    left = files - pairing.skipped.keys() - {path for job in pairs for path in job.files}
    assert not [path for path in left if path.stem == "content" or path.name[:2] in ("x.", "1.")]
    assert not {path for job in pairing.complete for path in job.files} & pairing.skipped.keys()
    owners: dict[Path, set[Path]] = {}
    for job in pairing.complete:
        for path in {*job.files} - job.shared:
            owners.setdefault(path, set()).add(job.main)
    assert all(len(mains) == 1 for mains in owners.values())
    mains = [job.main for job in pairing.complete]
    assert len([*groupby(mains)]) == len(set(mains)), "jobs of a photograph follow each other"
    assert not owners.keys() & {path for job in pairs for path in job.left_out}
    assert all(path in files for job in pairs for path in job.left_out)
    assert len({(job.files[:1], job.name) for job in pairs}) == len(pairs)
    assert all(job.waits_for for job in pairing.incomplete)
    assert all(job.content and job.styles and not job.waits_for for job in pairing.complete)


@given(FILES, DEFAULTS, st.data())
def test_a_claim_makes_nothing_else_a_job(
    files: set[Path], default: dict[str, Path], data: st.DataObject
) -> None:
    """What is left out with a job stays left out once its files are gone."""
    before = pair(INBOX, files, default).complete
    if not before:
        return
    main = data.draw(st.sampled_from(sorted({job.main for job in before})))
    jobs = [job for job in before if job.main == main]
    gone = {path for job in jobs for path in (*job.files, *job.left_out) if path not in job.shared}
    after = pair(INBOX, files - gone, default, is_known=lambda path: True).complete
    assert [job for job in before if job not in jobs] == list(after)


@given(FILES, FILES, DEFAULTS)
def test_a_pair_that_still_holds_is_found_again_as_it_was(
    files: set[Path], added: set[Path], default: dict[str, Path]
) -> None:
    """Only what is left out may grow, by pictures in folders below that nobody lists again."""
    again = {(job.main, job.name): job for job in pair(INBOX, files | added, default).complete}
    for job in pair(INBOX, files, default).complete:
        listed = folders_of(INBOX, job.main)
        if still_holds(job, [path for path in added - files if path.parent in listed]):
            now = again[job.main, job.name]
            assert replace(now, left_out=job.left_out) == job
            assert {*job.left_out} <= {*now.left_out}
            assert not {path for path in now.left_out if path.parent in listed} - {*job.left_out}


@pytest.mark.parametrize(
    ("files", "new", "holds"),
    [
        ("a/content.jpg a/style.jpg", "a/notes.txt", False),
        ("x.content.jpg x.style.jpg", "y.content.jpg y.style.jpg job.yaml z.jpg x.jpg", True),
        ("x.content.jpg x.style.jpg", "X.job.yaml", False),
        ("al/style.jpg al/b/1.jpg", "al/b/2.jpg al/b/2.mask.png al/x.style.jpg al/sea.txt", True),
        ("al/style.jpg al/b/1.jpg", "al/job.yaml", False),
        ("al/style.jpg al/b/1.jpg", "al/b/style-2.jpg", False),
        ("al/style.jpg al/e\u0301.jpg", "al/\u00c9.mask.png", False),
        ("al/style.jpg al/e\u0301.jpg", "al/\u00c9.mov", False),
    ],
)
def test_a_new_file_of_another_job_is_no_reason_to_look_again(
    files: str, new: str, holds: bool
) -> None:
    (job,) = paired(files).complete
    assert still_holds(job, [INBOX / name for name in new.split()]) == holds
    assert job.main.parent in folders_of(INBOX, job.main)
