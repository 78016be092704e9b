"""Files of jobs are read where they are, and no link leads out of their folders."""

from dataclasses import replace
from pathlib import Path

import pytest

from stylewatch_daemon.base.errors import InputError
from stylewatch_daemon.base.model import Input, Job
from stylewatch_daemon.outbox import job_files
from stylewatch_daemon.outbox.job_files import SourceFile


def content(root: Path) -> SourceFile:
    """The content picture `c.jpg` of a job that was refused once."""
    picture = Input("content", "c.jpg", str(root / "in/album/c.jpg"), len("c.jpg"))
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
        content(tmp_path).find()
