"""The claim beside the files of a job is read as it was written, or said to be damaged."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill

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
    device=5,
)


def saved(claim: Claim, jobs: Path) -> Path:
    """Make the folder of a job with its files and its claim."""
    folder = jobs / claim.id
    fill(folder / FILES, *(each.name for each in claim.files))
    save(claim, folder)
    return folder


@pytest.mark.parametrize(
    "claim",
    [
        CLAIM,
        replace(CLAIM, after="keep", folder=None, device=None, in_place=True),
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
        "in place": ({"in_place": True}, [], [], 6),
    }
    for name, (changes, leaving, only, archived) in table.items():
        claim = replace(CLAIM, **changes)
        assert [n for n in range(4) if claim.leaves_inbox(claim.files[n])] == leaving, name
        assert [n for n in range(4) if claim.holds_only_copy(claim.files[n])] == only, name
        assert claim.archived == archived, name


def changed(**values: Any) -> Callable[[Path], object]:
    """Change values in the claim, with the prefix `file_` those of its content."""

    def damage(folder: Path) -> None:
        claim = json.loads((folder / FILE_NAME).read_text())
        for key, value in values.items():
            where = claim["files"][1] if key.startswith("file_") else claim
            where[key.removeprefix("file_")] = value
        (folder / FILE_NAME).write_text(json.dumps(claim))

    return damage


def replaced(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Move something aside, and make another thing in its place."""

    def damage(folder: Path) -> None:
        (folder / name).rename(folder / "aside")
        make(folder / name)

    return damage


def link(path: Path) -> None:
    path.symlink_to(path.parent / "aside")


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, MAX_BYTES + 1)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "is gone": (lambda folder: (folder / FILE_NAME).unlink(), "No such file"),
    "is binary": (replaced(FILE_NAME, lambda path: path.write_bytes(b"\xff\xfe{")), "is damaged"),
    "is deep": (replaced(FILE_NAME, lambda path: path.write_bytes(b"[" * 100_000)), "is damaged"),
    "is huge": (replaced(FILE_NAME, sparse), "longer than"),
    "is a pipe": (replaced(FILE_NAME, os.mkfifo), "not a regular file"),
    "is a link": (replaced(FILE_NAME, link), "not a regular file"),
    "is a list": (replaced(FILE_NAME, lambda path: path.write_text("[]")), "is damaged"),
    "lacks its outbox": (changed(outbox=None), "outbox: "),
    "has no files": (changed(files=[]), "it has no picture"),
    "has another id": (changed(id="another"), "it belongs to another job: another"),
    "has an odd end for inputs": (changed(after="burn"), "after: .*after: burn"),
    "has a role that no file has": (
        changed(file_role="frame"),
        "files.1.role: .* such a role: frame",
    ),
    "has a name that leads out": (changed(file_name="../../x.jpg"), "such a name"),
    "has two files of a name": (changed(file_name="m.png"), "two of its files have the same name"),
    "has a null byte": (changed(file_source="/in/a\0"), "absolute path"),
    "has a relative outbox": (changed(outbox="out"), "absolute path"),
    "has a source elsewhere": (changed(file_source="/etc/passwd"), "it is not in the inbox: /etc"),
    "has a source above": (changed(file_source="/in/../etc/passwd"), "absolute path"),
    "has a folder elsewhere": (changed(folder="/etc"), "not in the inbox: /etc"),
    "has a folder that is the inbox": (changed(folder="/in"), "not in the inbox: /in"),
    "has files that are a link": (replaced(FILES, link), "files is not a folder"),
    "has a picture that is a pipe": (
        replaced(f"{FILES}/a.jpg", os.mkfifo),
        "it is not a regular file: a.jpg",
    ),
    "lies in another folder": (lambda folder: folder.rename(folder.with_name("2")), "cannot be"),
}


@pytest.mark.parametrize(("damage", "why"), DAMAGES.values(), ids=DAMAGES)
def test_a_claim_that_leads_elsewhere_or_cannot_be_read_is_damaged(
    damage: Callable[[Path], object], why: str, tmp_path: Path
) -> None:
    folder = saved(CLAIM, tmp_path)
    damage(folder)
    with pytest.raises(ValueError, match=f"claim.json .*{why}"):
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
