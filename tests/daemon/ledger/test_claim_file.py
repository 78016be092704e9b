"""The claim beside the files of a job is read as it was written, or said to be damaged."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.ledger.claim import FILE_NAME, FILES, MAX_BYTES, Claim, File, load, save

ODD = Path("/in") / os.fsdecode(b"latin\xe9\n.jpg")
IN = Path("/in/trip")
LOOK = Look(1, 2, 3)


def file(role: str, name: str, source: Path, *, own: bool = True) -> File:
    return File(role, name, source, LOOK, own)


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
)


def saved(claim: Claim, jobs: Path) -> Path:
    """Make the folder of a job with its claim."""
    folder = jobs / claim.id
    (folder / FILES).mkdir(parents=True)
    save(claim, folder)
    return folder


@pytest.mark.parametrize(
    "claim",
    [
        CLAIM,
        replace(CLAIM, after="keep", folder=None),
        replace(CLAIM, retry_of="trip/old", inbox=Path("/gone"), folder=None),
    ],
)
def test_a_claim_is_read_as_it_was_written(claim: Claim, tmp_path: Path) -> None:
    assert load(saved(claim, tmp_path)) == claim


def test_a_claim_knows_which_of_its_files_are_the_only_ones() -> None:
    assert [each.name for each in CLAIM.pictures] == ["style.jpg", "a.jpg", "m.png"]
    assert (CLAIM.main.name, CLAIM.job_file) == ("a.jpg", CLAIM.files[3])
    assert replace(CLAIM, files=CLAIM.files[:1]).main.name == "style.jpg"
    table: dict[str, tuple[dict[str, Any], list[int], list[int], int]] = {
        "archive": ({}, [1, 2, 3], [1, 2, 3], 6),
        "delete": ({"after": "delete"}, [1, 2, 3], [1, 2, 3], 0),
        "keep": ({"after": "keep"}, [], [], 0),
        "retry": ({"retry_of": "old"}, [], [1, 2, 3], 6),
    }
    for name, (changes, leaving, only, archived) in table.items():
        claim = replace(CLAIM, **changes)
        assert [n for n in range(4) if claim.leaves_inbox(claim.files[n])] == leaving, name
        assert [n for n in range(4) if claim.holds_only_copy(claim.files[n])] == only, name
        assert claim.archived == archived, name


DAMAGES: dict[str, tuple[dict[str, Any], str]] = {
    "lacks its outbox": ({"outbox": None}, "outbox: "),
    "has no files": ({"files": []}, "it has no picture"),
    "has another id": ({"id": "another"}, "it belongs to another job"),
    "has an odd end for inputs": ({"after": "burn"}, "after is burn"),
    "has a role that no file has": ({"file_role": "frame"}, "such a role"),
    "has a name that leads out": ({"file_name": "../../x.jpg"}, "such a name"),
    "has two files of a name": ({"file_name": "m.png"}, "two of its files have the same name"),
    "has a null byte": ({"file_source": "/in/a\0"}, "absolute path"),
    "has a relative outbox": ({"outbox": "out"}, "absolute path"),
    "has a source elsewhere": ({"file_source": "/etc/passwd"}, "it is not in the inbox"),
    "has a source above": ({"file_source": "/in/../etc/passwd"}, "absolute path"),
    "has a folder that is the inbox": ({"folder": "/in"}, "not in the inbox"),
}
"""Changed values of a claim; keys that begin with `file_` belong to its content."""


@pytest.mark.parametrize(("values", "why"), DAMAGES.values(), ids=DAMAGES)
def test_a_claim_that_leads_elsewhere_is_damaged(
    values: dict[str, Any], why: str, tmp_path: Path
) -> None:
    folder = saved(CLAIM, tmp_path)
    claim = json.loads((folder / FILE_NAME).read_text())
    for key, value in values.items():
        where = claim["files"][1] if key.startswith("file_") else claim
        where[key.removeprefix("file_")] = value
    (folder / FILE_NAME).write_text(json.dumps(claim))
    with pytest.raises(ValueError, match=f"claim.json is damaged: .*{why}"):
        load(folder)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.write_bytes(b"[" * 100_000), "is damaged"),
        (lambda path: path.write_bytes(b" " * (MAX_BYTES + 1)), "longer than"),
        (os.mkfifo, "not a regular file"),
    ],
    ids=["gone", "deep", "long", "pipe"],
)
def test_a_claim_that_cannot_be_read_is_damaged(
    make: Callable[[Path], object], why: str, tmp_path: Path
) -> None:
    folder = saved(CLAIM, tmp_path)
    (folder / FILE_NAME).unlink()
    make(folder / FILE_NAME)
    with pytest.raises(ValueError, match=f"claim.json .*{why}"):
        load(folder)


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("."), lambda path: None])
def test_a_claim_without_its_files_is_damaged(
    make: Callable[[Path], object], tmp_path: Path
) -> None:
    folder = saved(CLAIM, tmp_path)
    os.mkfifo(folder / FILES / "a.jpg")
    with pytest.raises(ValueError, match="its files are no regular files"):
        load(folder)
    (folder / FILES / "a.jpg").unlink()
    (folder / FILES).rmdir()
    make(folder / FILES)
    with pytest.raises(ValueError, match=FILE_NAME):
        load(folder)


def test_a_shortage_of_this_machine_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bytes:
        raise OSError(24, "Too many open files")

    folder = saved(CLAIM, tmp_path)
    monkeypatch.setattr(atomic, "read", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        load(folder)
