"""Files of jobs are read where they are, and no link leads out of their folders."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import make_sparse

from stylewatch_daemon.base.errors import InputError, OutputError
from stylewatch_daemon.base.model import Input, Job
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.system import system
from stylewatch_daemon.outbox import job_files
from stylewatch_daemon.outbox.job_files import SourceFile


def content(root: Path) -> SourceFile:
    """The content picture `c.jpg` of a job that was refused once."""
    digest = sha256(b"c.jpg").hexdigest()
    picture = Input("content", "c.jpg", str(root / "in/album/c.jpg"), len("c.jpg"), digest)
    job = Job("1", "a", str(root / "in"), str(root / "out"), "then", inputs=(picture,))
    (file,) = job_files.inputs(replace(job, place="a", refused_as="_refused/a"))
    return file


@pytest.mark.parametrize(
    ("link", "inside"),
    [("out/a/inputs/c.jpg", ""), ("out/a", "inputs/c.jpg"), ("in/album", "c.jpg")],
)
def test_no_link_is_followed(tmp_path: Path, link: str, inside: str) -> None:
    target = tmp_path / "away" / inside
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("c.jpg")
    (tmp_path / link).parent.mkdir(parents=True)
    (tmp_path / link).symlink_to(tmp_path / "away")
    (tmp_path / "out").mkdir(exist_ok=True)
    assert (tmp_path / link / inside).read_text() == "c.jpg"
    with pytest.raises(InputError):
        content(tmp_path).find(MountGuard())


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, make_sparse])
def test_what_others_put_in_its_place_is_neither_read_nor_waited_for(
    make: Callable[[Path], object], tmp_path: Path
) -> None:
    place = tmp_path / "out/a/inputs/c.jpg"
    place.parent.mkdir(parents=True)
    make(place)
    with pytest.raises(InputError, match="no longer as it was"):
        content(tmp_path).find(MountGuard())


def test_what_cannot_be_read_is_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = system.open

    def failing(name: Any, *args: Any, **more: Any) -> int:
        if name in ("c.jpg", "stages"):
            raise OSError(errno.EIO, "Input/output error")
        return real(name, *args, **more)

    (tmp_path / "out/a/inputs").mkdir(parents=True)
    monkeypatch.setattr(system, "open", failing)
    with pytest.raises(OutputError, match=r"cannot be read: .*Input/output error"):
        content(tmp_path).find(MountGuard())
    job = Job("1", "a", str(tmp_path / "in"), str(tmp_path / "out"), "then", place="a")
    with pytest.raises(OSError, match="Input/output error"):
        job_files.stages(job)
