"""What belongs together in an inbox, and what still waits."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylewatch_daemon.ingest.pairing import PICTURES, Pairing, only_settled, pair
from stylewatch_daemon.model import Incomplete, Pair
from stylewatch_daemon.settings.job import Side

INBOX = Path("/inbox")
STYLES = {"night": Path("/styles/night.jpg"), "wave": Path("/styles/wave.jpg")}


def paired(*names: str, default: dict[str, Path] | None = None) -> Pairing:
    return pair(INBOX, [INBOX / name for name in names], default or {})


def complete(*names: str, default: dict[str, Path] | None = None) -> dict[str, Pair]:
    return {one.name: one for one in paired(*names, default=default).complete}


def waiting(*names: str, default: dict[str, Path] | None = None) -> dict[str, str]:
    return {one.name: one.waits_for for one in paired(*names, default=default).incomplete}


def test_a_folder_with_content_and_style_is_a_job() -> None:
    (job,) = complete("trip/content.jpg", "trip/style-1.jpg", "trip/style-2.jpg", "trip/init.png",
                      "trip/content.mask.png", "trip/job.yaml").values()  # fmt: skip
    assert job == Pair(
        "trip",
        INBOX / "trip/content.jpg",
        (INBOX / "trip/style-1.jpg", INBOX / "trip/style-2.jpg"),
        init=INBOX / "trip/init.png",
        masks={"content-mask": INBOX / "trip/content.mask.png"},
        job_file=INBOX / "trip/job.yaml",
        folder=INBOX / "trip",
    )


def test_folders_in_folders_keep_their_path() -> None:
    assert list(complete("a/b/content.jpg", "a/b/style.jpg")) == ["a/b"]


@pytest.mark.parametrize(
    ("names", "half"),
    [
        (["job/content.jpg"], "a style picture"),
        (["job/style.jpg"], "pictures to paint"),
        (["job/photo.jpg"], "a style picture"),
        (["job/job.yaml"], "a content picture (content.jpg) and a style picture"),
        (["job.content.jpg"], "a style picture"),
        (["job.style.jpg"], "a content picture"),
        (["job.jpg"], "a style picture (job.style.jpg beside job.content.jpg, or pairing"),
        (["job/content.jpg", "job/content.png", "job/style.jpg"], "only one content picture"),
    ],
)
def test_a_half_waits_and_says_for_what(names: list[str], half: str) -> None:
    (found,) = waiting(*names).items()
    assert found[0] == "job"
    assert found[1].startswith(half)
    assert not complete(*names)


def test_an_album_is_a_job_for_each_picture_and_keeps_its_style() -> None:
    jobs = complete("album/style.jpg", "album/job.yaml", "album/1.jpg", "album/2.PNG")
    assert list(jobs) == ["album/1", "album/2"]
    for job in jobs.values():
        assert job.shared == {INBOX / "album/style.jpg", INBOX / "album/job.yaml"}
        assert job.job_file == INBOX / "album/job.yaml"
        assert job.folder is None


def test_subfolders_of_an_album_belong_to_it_unless_they_have_parts_of_their_own() -> None:
    names = ["a/style.jpg", "a/sub/deep/1.jpg", "a/own/style.jpg", "a/own/2.jpg", "a/c/content.jpg"]
    jobs = complete(*names)
    assert {name: job.styles[0].parent.name for name, job in jobs.items()} == {
        "a/sub/deep/1": "a",
        "a/own/2": "own",
    }
    assert list(waiting(*names)) == ["a/c"]


def test_files_side_by_side_belong_together_by_name() -> None:
    jobs = complete("x.content.jpg", "X.style.jpg", "x.style-2.jpg", "x.job.yaml", "y.content.jpg")
    (job,) = jobs.values()
    assert [path.name for path in job.styles] == ["X.style.jpg", "x.style-2.jpg"]
    assert job.job_file == INBOX / "x.job.yaml"
    assert not job.shared


def test_the_inbox_itself_can_be_an_album_but_not_for_its_folders() -> None:
    names = ("style.jpg", "photo.jpg", "folder/other.jpg")
    assert list(complete(*names)) == ["photo"]
    assert list(waiting(*names)) == ["folder"]


def test_a_lone_picture_is_painted_in_the_default_style() -> None:
    (job,) = complete("photo.jpg", default={"night": STYLES["night"]}).values()
    assert (job.name, job.styles) == ("photo", (STYLES["night"],))
    assert job.shared == {STYLES["night"]}


def test_with_several_default_styles_the_last_job_takes_the_picture() -> None:
    jobs = complete("photo.jpg", default=STYLES)
    assert list(jobs) == ["photo-night", "photo-wave"]
    assert INBOX / "photo.jpg" in jobs["photo-night"].shared
    assert INBOX / "photo.jpg" not in jobs["photo-wave"].shared


def test_a_default_style_does_not_hurry_what_may_yet_get_its_own() -> None:
    names = ["a.content.jpg", "folder/photo.jpg", "job/content.jpg"]
    assert list(waiting(*names, default=STYLES)) == ["a", "folder", "job"]


def test_masks_of_an_albums_picture_go_with_it() -> None:
    (job,) = complete("a/style.jpg", "a/photo.jpg", "a/photo.mask.png").values()
    assert job.masks == {"content-mask": INBOX / "a/photo.mask.png"}


def test_a_mask_of_an_albums_style_is_shared_and_a_pictures_own_goes_before_that_of_all() -> None:
    jobs = complete("a/style.jpg", "a/style.mask.png", "a/content.mask.png", "a/photo.jpg",
                    "a/sea.jpg", "a/sea.mask.png")  # fmt: skip
    shared = {"style-1-mask": INBOX / "a/style.mask.png"}
    assert jobs["a/photo"].masks == {"content-mask": INBOX / "a/content.mask.png", **shared}
    assert jobs["a/sea"].masks == {"content-mask": INBOX / "a/sea.mask.png", **shared}
    assert INBOX / "a/style.mask.png" in jobs["a/sea"].shared
    assert INBOX / "a/sea.mask.png" not in jobs["a/sea"].shared


def test_a_lone_photograph_has_its_mask_with_each_style() -> None:
    mask = {"content-mask": INBOX / "sea.mask.png"}
    jobs = complete("sea.jpg", "sea.mask.png", default=STYLES)
    assert [job.masks for job in jobs.values()] == [mask, mask]
    assert [mask["content-mask"] in job.shared for job in jobs.values()] == [True, False]


def test_masks_side_by_side_belong_to_the_styles_by_their_numbers() -> None:
    (job,) = complete("x.content.jpg", "x.style-2.jpg", "x.style-5.jpg", "x.style-5.mask.png",
                      "x.content.mask.jpg").values()  # fmt: skip
    assert job.masks == {
        "content-mask": INBOX / "x.content.mask.jpg", "style-2-mask": INBOX / "x.style-5.mask.png"
    }  # fmt: skip
    assert set(job.masks.values()) < set(job.files)


@pytest.mark.parametrize(
    ("names", "half"),
    [
        (["job/content.jpg", "job/style-1.jpg", "job/style-2.mask.png"], "of style-2.mask.png"),
        (["a/photo.jpg", "a/style.jpg", "a/style-1.mask.png"], "the picture of style-1.mask.png"),
        (["job/content.jpg", "job/style.jpg", "job/content.mask.png", "job/content.mask.jpg"],
         "only one mask of the content"),
        (["job/content.jpg", "job/style-2.jpg", "job/style-2.mask.png", "job/style-2.mask.jpg"],
         "only one mask of style-2"),
    ],
)  # fmt: skip
def test_a_mask_too_many_or_of_no_picture_waits(names: list[str], half: str) -> None:
    (found,) = waiting(*names).values()
    assert half in found


def test_a_pair_waits_for_a_file_that_still_changes() -> None:
    found = paired("job/content.jpg", "job/style.jpg", "job/style-2.jpg", "x.content.jpg",
                   "x.style.jpg")  # fmt: skip
    held = only_settled(found, {INBOX / "job/style-2.jpg"})
    assert [one.name for one in held.complete] == ["x"]
    assert held.incomplete[0].waits_for == "style-2.jpg to stand still"


def test_in_a_job_folder_any_changing_file_holds_the_job() -> None:
    found = paired("job/content.jpg", "job/style.jpg")
    assert not only_settled(found, {INBOX / "job/notes.txt"}).complete


NAMES = st.text(st.characters(exclude_characters="/\0"), min_size=1).filter(
    lambda name: name not in (".", "..")
)


@given(st.lists(st.lists(NAMES, min_size=1, max_size=3).map("/".join), unique=True))
def test_no_file_can_break_the_pairing_or_be_in_two_jobs(names: list[str]) -> None:
    found = paired("style.jpg", *names)
    own = [path for one in found.complete for path in one.files if path not in one.shared]
    assert len(own) == len(set(own))


def only(side: Side, *names: str) -> Pairing:
    """What these files come to where every job.yaml, and none else, says `only`."""
    return pair(INBOX, [INBOX / name for name in names], {}, lambda path: side if path else None)


def test_one_side_alone_is_whole_where_its_job_file_says_so() -> None:
    (one,) = only("content", "job/content.jpg", "job/job.yaml").complete
    assert (one.name, one.content, one.styles) == ("job", INBOX / "job/content.jpg", ())
    (one,) = only("style", "x.style-1.jpg", "x.style-2.jpg", "x.job.yaml").complete
    assert (one.content, len(one.styles), one.main) == (None, 2, INBOX / "x.style-1.jpg")
    (one,) = only("style", "job/style.jpg", "job/job.yaml").complete
    assert one.folder == INBOX / "job"
    assert one.files == (INBOX / "job/style.jpg", INBOX / "job/job.yaml")


def test_the_other_side_alone_waits_all_the_same() -> None:
    (half,) = only("style", "job/content.jpg", "job/job.yaml").incomplete
    assert half.waits_for.startswith("a style picture")
    (half,) = only("content", "x.style.jpg", "x.job.yaml").incomplete
    assert half.waits_for.startswith("a content picture")


def test_an_album_without_pictures_waits_for_them_unless_its_style_was_used() -> None:
    style, root = INBOX / "album/style.jpg", INBOX / "style.jpg"
    waiting = pair(INBOX, [style, root], {}, used=lambda one: one == root).incomplete
    assert waiting == (Incomplete("album", PICTURES),)
    with_a_picture = [style, INBOX / "album/deep/down/1.jpg"]
    assert pair(INBOX, with_a_picture, {}).incomplete == ()


def test_ten_thousand_albums_without_pictures_are_quickly_paired() -> None:
    albums = [INBOX / f"{number}/style.jpg" for number in range(10_000)]
    assert len(pair(INBOX, albums, {}).incomplete) == 10_000


def test_a_folder_for_a_texture_is_no_album() -> None:
    found = only("style", "job/style.jpg", "job/job.yaml", "job/sub/photo.jpg")
    assert [one.name for one in found.complete] == ["job"]
    assert [one.name for one in found.incomplete] == ["job/sub"]


def test_lone_pictures_are_whole_where_all_jobs_are_for_the_content() -> None:
    found = pair(INBOX, [INBOX / "sea.jpg"], {}, lambda path: "content")
    assert [(one.name, one.styles) for one in found.complete] == [("sea", ())]
