"""The claim beside the files of a job is read as it was written, or said to be damaged."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import failing, replaced

from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.files.system import system
from stylewatch_daemon.ledger.claim import FILE_NAME, FILES, Claim, File, load, save

ODD = Path("/in") / os.fsdecode(b"latin\xe9\n.jpg")
IN = Path("/in/trip")


def file(role: str, name: str, source: Path, *, own: bool = True) -> File:
    return File(role, name, source, Look(2, 3), own)


CLAIM = Claim(
    "1",
    "trip",
    Path("/in"),
    Path("/out"),
    "archive",
    (
        file("style", "style.jpg", Path("/library/style.jpg"), own=False),
        file("content", "a.jpg", ODD),
        file("style-1-mask", "m.png", IN / "m.png"),
        file("job", "job.yaml", IN / "job.yaml"),
    ),
    folder=IN,
    group="0",
    ledger="12ab",
    left_out=((IN / "a.mov", Look(4, 5)),),
    near=("trip/notes.txt",),
    finals=(Path("/finals"),),
    disks=((Path("/in"), "a disk"), (IN, "a card")),
)
RETRY = replace(CLAIM, retry_of="trip/old", inbox=Path("/gone"), folder=None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a job with its claim."""
    (tmp_path / CLAIM.id / FILES).mkdir(parents=True)
    save(CLAIM, tmp_path / CLAIM.id)
    return tmp_path / CLAIM.id


@pytest.mark.parametrize("claim", [CLAIM, replace(CLAIM, after="keep", folder=None), RETRY])
def test_a_claim_is_read_as_it_was_written(claim: Claim, folder: Path) -> None:
    save(claim, folder)
    assert load(folder) == claim


def test_a_claim_knows_which_of_its_files_leave_the_inbox_and_are_archived() -> None:
    assert [each.name for each in CLAIM.pictures] == ["style.jpg", "a.jpg", "m.png"]
    assert (CLAIM.main.name, CLAIM.job_file) == ("a.jpg", CLAIM.files[3])
    assert replace(CLAIM, files=CLAIM.files[:1]).main.name == "style.jpg"
    for claim, leaving, archived in (
        (CLAIM, [1, 2, 3], 6),
        (replace(CLAIM, after="delete"), [1, 2, 3], 0),
        (replace(CLAIM, after="keep"), [], 0),
        (replace(CLAIM, retry_of="old"), [], 6),
    ):
        assert [n for n in range(4) if claim.leaves_inbox(claim.files[n])] == leaving
        assert claim.archived == archived


def test_a_claim_knows_the_disk_of_each_file() -> None:
    assert [CLAIM.disk_of(path) for path in (ODD, IN / "m.png")] == ["a disk", "a card"]
    assert replace(CLAIM, disks=()).disk_of(ODD) == ""


def test_a_claim_of_version_1_is_read(folder: Path) -> None:
    plain = json.loads((folder / FILE_NAME).read_text())
    for each in plain["files"]:
        each["look"] = {"inode": 7, **each["look"]}
    for key in ("group", "ledger", "left_out", "near", "finals", "disks"):
        del plain[key]
    (folder / FILE_NAME).write_text(json.dumps(plain))
    known = replace(CLAIM, group="", ledger="", left_out=(), near=None, finals=None, disks=())
    assert load(folder) == known


VALUES: dict[str, tuple[dict[str, Any], str]] = {
    "lacks its outbox": ({"outbox": None}, "outbox: "),
    "has another id": ({"id": "another"}, "it belongs to another job"),
    "has a name that leads out": ({"file_name": "../../x.jpg"}, "such a name"),
    "has a relative outbox": ({"outbox": "out"}, "absolute path"),
    "has relative finals": ({"finals": ["finals"]}, "absolute path"),
    "has a source elsewhere": ({"file_source": "/etc/passwd"}, "it is not in the inbox"),
    "has a source above": ({"file_source": "/in/../etc/passwd"}, "absolute path"),
    "has a folder that is the inbox": ({"folder": "/in"}, "not in the inbox"),
    "has a group elsewhere": ({"group": "../../jobs"}, "such an id"),
    "has a ledger elsewhere": ({"ledger": "../.."}, "such an id"),
}
"""Changed values of a claim; keys that begin with `file_` belong to its content."""


@pytest.mark.parametrize(("values", "why"), VALUES.values(), ids=VALUES)
def test_a_claim_that_leads_elsewhere_is_damaged(
    values: dict[str, Any], why: str, folder: Path
) -> None:
    claim = json.loads((folder / FILE_NAME).read_text())
    for key, value in values.items():
        where = claim["files"][1] if key.startswith("file_") else claim
        where[key.removeprefix("file_")] = value
    (folder / FILE_NAME).write_text(json.dumps(claim))
    with pytest.raises(ValueError, match=f"claim.json is damaged: .*{why}"):
        load(folder)


def test_a_claim_with_files_that_are_no_files_is_damaged_and_one_that_cannot_be_read_is_unknown(
    folder: Path,
) -> None:
    os.mkfifo(folder / FILES / "a.jpg")
    with pytest.raises(ValueError, match="its files are not regular files"):
        load(folder)
    (folder / FILES / "a.jpg").unlink()
    broken = failing(OSError(errno.EIO, "Input/output error"))
    with replaced(system, open=broken), pytest.raises(OSError, match="Input/output error"):
        load(folder)
    (folder / FILE_NAME).unlink()
    with pytest.raises(ValueError, match="it is missing"):
        load(folder)
