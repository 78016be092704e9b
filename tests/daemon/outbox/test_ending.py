"""The end of a job is published whole; publishing it again changes nothing."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.daemon.faults import fill, make_sparse, tree
from tests.daemon.outbox.endings import (
    JOB_FILE,
    PAINTED,
    PHOTO,
    digest,
    everything,
    make_ending,
    output,
    publish,
    receipt,
)

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.base.model import End
from stylewatch_daemon.files import strangers
from stylewatch_daemon.outbox.ending import (
    Ending,
    Publication,
    PublishedFiles,
    publish_late,
    publish_output,
    publish_receipt,
    publish_refusal,
)
from stylewatch_daemon.outbox.publish import RECEIPT

# -- jobs with a picture


def test_a_painted_job_is_published_with_its_inputs_and_its_receipt(tmp_path: Path) -> None:
    ending = make_ending(tmp_path)
    published = publish(ending)
    folder = ending.claim.outbox / "album/a"
    text = (folder / RECEIPT).read_text()
    assert json.loads(text) == receipt(), "without news it is as the worker wrote it"
    assert everything(ending.claim.outbox) == {
        **{f"album/a/{name}": name for name in PAINTED},
        f"album/a/inputs/{PHOTO}": PHOTO,
        f"album/a/inputs/{JOB_FILE}": JOB_FILE,
        f"album/a/{RECEIPT}": text,
    }
    assert published == PublishedFiles(
        (
            output("album/a/final.png", "final"),
            output("album/a/losses.csv"),
            output(f"album/a/inputs/{PHOTO}", "inputs"),
            output(f"album/a/inputs/{JOB_FILE}", "inputs"),
            output(f"album/a/{RECEIPT}", "receipt", text),
        ),
        {
            PHOTO: output(f"album/a/inputs/{PHOTO}", "inputs"),
            JOB_FILE: output(f"album/a/inputs/{JOB_FILE}", "inputs"),
        },
    )
    assert publish(ending) == published


@pytest.mark.parametrize("after", ["archive", "delete", "keep"])
def test_inputs_that_changed_while_the_job_ran_are_archived_in_any_case_and_said(
    after: str, tmp_path: Path
) -> None:
    ending = make_ending(tmp_path, after)
    (ending.inputs / PHOTO).write_text("later.jpg")  # as many bytes
    (ending.inputs / JOB_FILE).write_text("seed: 7")  # without a digest it goes by its time
    fill(ending.claim.outbox / "album/a/stages", "0009.png", "0010.png")
    changed = {JOB_FILE: digest("seed: 7"), PHOTO: digest("later.jpg")} if after != "keep" else {}
    published = publish(ending)
    news = tuple(f"{name} changed while the job ran: the job used its earlier content, and "
                 f"inputs/{name} has the new one" for name in changed)  # fmt: skip
    assert published.news == news
    assert {name: file.sha256 for name, file in published.inputs.items()} == changed
    assert publish(ending) == published
    folder = tmp_path / "out/album/a"
    record = json.loads((folder / RECEIPT).read_text())
    assert tree(folder / "inputs") == ({JOB_FILE: "seed: 7", PHOTO: "later.jpg"} if changed else {})
    assert record["warnings"] == ["as ever", *news]
    entries = [entry.get("changed", {}).get("sha256") for entry in record["inputs"]]
    assert entries == [changed.get(PHOTO), None]
    stages = sorted(path.name for path in (folder / "stages").iterdir())
    assert stages == ["0001.png", "0010.png"], "0009.png is of an attempt that started over"


def test_inputs_that_did_not_change_are_deleted_if_that_is_wanted(tmp_path: Path) -> None:
    publish(make_ending(tmp_path, "delete"))
    assert not (tmp_path / "out/album/a/inputs").exists()


@pytest.mark.parametrize(
    "text",
    [json.dumps({**receipt(), "files": [{"file": "b", "sha256": "1"}]}), '{"shop": "photo lab"}'],
)
def test_the_receipt_of_another_is_neither_read_nor_replaced(text: str, tmp_path: Path) -> None:
    ending = make_ending(tmp_path)
    theirs = tmp_path / "out/album/a" / RECEIPT
    theirs.write_text(text)
    before = everything(tmp_path / "out")
    assert publish_output(ending) is None
    assert everything(tmp_path / "out") == before


def test_no_receipt_is_published_once_its_owner_has_moved_the_folder_away(tmp_path: Path) -> None:
    ending = make_ending(tmp_path)
    assert publish_output(ending) is not None
    (tmp_path / "out/album").rename(tmp_path / "away")
    assert publish_receipt(ending) is Publication.GONE
    assert not (tmp_path / "out/album").exists()
    assert not (tmp_path / "away/a" / RECEIPT).exists()


@pytest.mark.parametrize("is_own", [True, False])
def test_late_bytes_of_an_input_complete_the_receipt_of_the_job_and_no_other(
    is_own: bool, tmp_path: Path
) -> None:
    ending = make_ending(tmp_path)
    ending = replace(ending, listed=publish(ending).files)
    path = tmp_path / "out/album/a" / RECEIPT
    if not is_own:
        path.write_text(json.dumps({**receipt(), "job": "another"}))
        inputs = tuple(file for file in ending.listed if file.part == "inputs")
        ending = replace(ending, listed=inputs)
    before = path.read_text()
    (ending.inputs / PHOTO).write_text("later.jpg")
    published = publish_late(ending, [PHOTO])
    assert (path.read_text() != before) == is_own
    assert [file.part for file in published.files] == ["inputs", *["receipt"] * is_own]


# -- jobs without one


PLACE = "_refused/album/a"


def refused(root: Path) -> Ending:
    """The ending of a job that failed after a stage."""
    ending = make_ending(root)
    return replace(ending, job=replace(ending.job, end=End.FAILED, refused_as=PLACE))


def test_the_own_inputs_of_a_job_come_back_with_the_reason(tmp_path: Path) -> None:
    ending = refused(tmp_path)
    published = publish_refusal(ending)
    assert tree(ending.claim.outbox) == {
        **{f"album/a/{name}": name for name in PAINTED},
        f"{PLACE}/{PHOTO}": PHOTO,
        f"{PLACE}/{JOB_FILE}": JOB_FILE,
        f"{PLACE}/reason.txt": "Bad.\n",
    }
    assert published is not None
    assert [file.part for file in published.files] == ["refused", "refused", "reason"]
    assert publish_refusal(ending) == published


@pytest.mark.parametrize(
    "theirs",
    [{"reason.txt": "Worse.\n", PHOTO: PHOTO, JOB_FILE: JOB_FILE},
     {"reason.txt": "Bad.\n", PHOTO: "other.jpg", JOB_FILE: JOB_FILE}],
    ids=["another reason", "other inputs"],
)  # fmt: skip
def test_a_place_that_somebody_else_has_taken_is_not_used(
    theirs: dict[str, str], tmp_path: Path
) -> None:
    ending = refused(tmp_path)
    (tmp_path / "out" / PLACE).mkdir(parents=True)
    for name, text in theirs.items():
        (tmp_path / "out" / PLACE / name).write_text(text)
    assert publish_refusal(ending) is None
    assert tree(tmp_path / "out" / PLACE) == theirs


# -- files of strangers (law 11)


@pytest.mark.parametrize("publish", [publish_output, publish_refusal])
def test_a_huge_file_under_the_name_of_an_input_is_not_read(
    publish: Callable[[Ending, Step], PublishedFiles | None], tmp_path: Path
) -> None:
    steps: list[int] = []
    ending = refused(tmp_path) if publish is publish_refusal else make_ending(tmp_path)
    folder = tmp_path / "out" / (PLACE if publish is publish_refusal else "album/a/inputs")
    (folder / PHOTO).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    make_sparse(folder / PHOTO)
    (folder / "reason.txt").write_text("Bad.\n")
    published = publish(ending, lambda: steps.append(1))
    assert len(steps) < 9
    if publish is publish_output:
        assert (folder / "photo-2.jpg").read_text() == PHOTO
        assert (folder / PHOTO).stat().st_size == 1 << 40, "it is somebody's"
    else:
        assert published is None


@pytest.mark.parametrize("after", ["archive", "delete"])
def test_an_input_that_grew_without_end_is_read_only_for_a_time(
    after: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending = make_ending(tmp_path, after)
    (ending.inputs / PHOTO).unlink()
    make_sparse(ending.inputs / PHOTO)
    monkeypatch.setattr(strangers, "PATIENCE_S", 0.1)
    with pytest.raises(OutputError, match="reading it took longer than 0 s"):
        publish_output(ending)
