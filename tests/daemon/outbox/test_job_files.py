"""The pictures of an ended job are found where they lie, and nothing else in their place."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill

from stylewatch_daemon.errors import InputError
from stylewatch_daemon.outbox import job_files
from stylewatch_daemon.store.ledger import Entry


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def noted(role: str, name: str, **more: Any) -> Mapping[str, Any]:
    """An input as the ledger has it; files that `fill` makes hold their own names."""
    return {"role": role, "name": name, "size": len(name), **more}


def entry(root: Path, *inputs: Mapping[str, Any], **more: Any) -> Entry:
    """A job that is done."""
    return Entry(
        "1", "a", str(root / "in"), str(root / "out"), "done", "", inputs, 0,
        **{"place": "a", **more},
    )  # fmt: skip


def content(root: Path, **more: Any) -> job_files.Input:
    """The content picture `c.jpg` of a job."""
    told = {key: more.pop(key) for key in ("sha256", "source") if key in more}
    one, _ = job_files.inputs(
        entry(root, noted("content", "c.jpg", **told), noted("style", "s"), **more)
    )
    return one


def test_the_archive_comes_first_then_what_was_refused_then_where_it_lay(tmp_path: Path) -> None:
    places = ["out/a/inputs/c.jpg", "out/_refused/a/c.jpg", "in/album/c.jpg"]
    one = content(tmp_path, refused_as="_refused/a", source=str(tmp_path / "in/album/c.jpg"))
    for place in reversed(places):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text("c.jpg")
        assert one.find().path == tmp_path / place


def test_with_a_digest_only_these_bytes_count(tmp_path: Path) -> None:
    fill(tmp_path, "out/a/inputs/c.jpg")
    with pytest.raises(InputError, match=r"c\.jpg \(content\) is no longer as it was"):
        content(tmp_path, sha256=digest("other")).find()
    (tmp_path / "out/a/inputs/c.jpg").write_text("other")
    assert content(tmp_path, sha256=digest("other")).find().path.exists()


def test_without_one_as_many_bytes_count(tmp_path: Path) -> None:
    (tmp_path / "out/a/inputs").mkdir(parents=True)
    for text, wanted in (("c.jpg", True), ("another", False)):
        (tmp_path / "out/a/inputs/c.jpg").write_text(text)
        if wanted:
            content(tmp_path).find()
        else:
            with pytest.raises(InputError):
                content(tmp_path).find()


@pytest.mark.parametrize("link", ["out/a/inputs/c.jpg", "out/a/inputs", "out/a", "in/album"])
def test_no_link_is_followed(tmp_path: Path, link: str) -> None:
    inside = {"out/a/inputs/c.jpg": "", "out/a/inputs": "c.jpg", "out/a": "inputs/c.jpg",
              "in/album": "c.jpg"}[link]  # fmt: skip
    target = tmp_path / "away" / inside if inside else tmp_path / "away"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("c.jpg")
    (tmp_path / link).parent.mkdir(parents=True)
    (tmp_path / link).symlink_to(tmp_path / "away")
    (tmp_path / "out").mkdir(exist_ok=True)
    assert (tmp_path / link / inside).read_text() == "c.jpg"
    with pytest.raises(InputError):
        content(tmp_path, source=str(tmp_path / "in/album/c.jpg")).find()


def test_a_pipe_in_its_place_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "out/a/inputs").mkdir(parents=True)
    os.mkfifo(tmp_path / "out/a/inputs/c.jpg")
    with pytest.raises(InputError):
        content(tmp_path).find()


def test_the_roles_of_a_job_from_before_they_were_noted_are_told_by_its_receipt(
    tmp_path: Path,
) -> None:
    fill(tmp_path, "out/a/inputs/c.jpg", "out/a/inputs/s", "out/a/inputs/t")
    told = [("content", "c.jpg"), ("style-1", "s"), ("style-2", "t"), ("init", "../../c.jpg")]
    records = [{"role": role, "name": name, "sha256": digest(f"out/a/inputs/{name}")}
               for role, name in told]  # fmt: skip
    (tmp_path / "out/a/receipt.json").write_text(json.dumps({"inputs": records}))
    old = entry(tmp_path, {"name": "c.jpg", "size": 5}, {"name": "s", "size": 1})
    assert [(one.role, one.find().path.name) for one in job_files.inputs(old)] == [
        ("content", "c.jpg"), ("style", "s"), ("style", "t")
    ]  # fmt: skip


@pytest.mark.parametrize("receipt", [None, "{}", "[", '{"inputs": [{"role": "content"}]}'])
def test_where_nobody_knows_the_roles_it_says_so(tmp_path: Path, receipt: str | None) -> None:
    fill(tmp_path, "out/a/inputs/c.jpg")
    if receipt is not None:
        (tmp_path / "out/a/receipt.json").write_text(receipt)
    with pytest.raises(InputError, match="drop the pair again"):
        job_files.inputs(entry(tmp_path, {"name": "c.jpg", "size": 5}))


@pytest.mark.parametrize("role", ["content", "style"])
def test_one_side_is_enough_where_the_job_was_for_it_alone(tmp_path: Path, role: str) -> None:
    """By the settings that it was begun with, or by its job.yaml."""
    begun = entry(tmp_path, noted(role, "c.jpg"), settings={"only": role})
    assert [one.role for one in job_files.inputs(begun)] == [role]
    with_file = entry(tmp_path, noted(role, "c.jpg"), noted("job", "job.yaml"))
    assert [one.role for one in job_files.inputs(with_file)] == [role, "job"]
    with pytest.raises(InputError, match="drop the pair again"):
        job_files.inputs(entry(tmp_path, noted(role, "c.jpg"), settings={"only": None}))


def test_masks_are_found_by_whose_they_are(tmp_path: Path) -> None:
    pair = noted("content", "c.jpg"), noted("style", "s")
    masks = noted("content-mask", "c.png"), noted("style-2-mask", "s.png")
    roles = ["content", "style", "content-mask", "style-2-mask"]
    told = entry(tmp_path, *pair, *masks, noted("style-mask", "x"))
    assert [one.role for one in job_files.inputs(told)] == roles
    fill(tmp_path, "out/a/receipt.json")
    records = [{"role": {"style": "style-1"}.get(role, role), "name": f"{role}.x", "sha256": "0"}
               for role in roles]  # fmt: skip
    (tmp_path / "out/a/receipt.json").write_text(json.dumps({"inputs": records}))
    assert [one.role for one in job_files.inputs(entry(tmp_path))] == roles


def test_a_stage_is_found_by_its_step(tmp_path: Path) -> None:
    fill(tmp_path, "out/a/stages/0005.png", "out/a/stages/0010.jpg", "out/a/stages/notes.txt")
    start = job_files.stage(entry(tmp_path), 10)
    assert (start.role, start.name) == ("init", "stage-0010.jpg")
    assert start.find().path == tmp_path / "out/a/stages/0010.jpg"
    with pytest.raises(InputError, match="a has no stage 7; there are 5, 10"):
        job_files.stage(entry(tmp_path), 7)


def test_stages_come_in_their_order_by_their_steps(tmp_path: Path) -> None:
    names = ["10000.png", "0005.png", "000020.jpg", "notes.txt"]
    fill(tmp_path, *(f"out/a/stages/{name}" for name in names))
    assert list(job_files.stages(entry(tmp_path))) == [5, 20, 10000]
    (tmp_path / "out/a/stages").rename(tmp_path / "elsewhere")
    (tmp_path / "out/a/stages").symlink_to(tmp_path / "elsewhere")
    assert job_files.stages(entry(tmp_path)) == {}


@pytest.mark.parametrize("place", ["a", None])
def test_where_all_stages_are_gone_it_says_so(tmp_path: Path, place: str | None) -> None:
    fill(tmp_path, "out/a/receipt.json")
    with pytest.raises(InputError, match=r"retention\.stages"):
        job_files.stage(entry(tmp_path, place=place), 5)


def test_a_stage_that_is_not_the_one_of_the_receipt_does_not_count(tmp_path: Path) -> None:
    fill(tmp_path, "out/a/stages/0005.png")
    record = {"file": "stages/0005.png", "sha256": digest("painted")}
    ended = {"stages": [record], "finished": "2026-01-01T00:00:00+00:00"}
    (tmp_path / "out/a/receipt.json").write_text(json.dumps(ended))
    start = job_files.stage(entry(tmp_path), 5)
    with pytest.raises(InputError, match="no longer as it was"):
        start.find()
    (tmp_path / "out/a/stages/0005.png").write_text("painted")
    start.find()
