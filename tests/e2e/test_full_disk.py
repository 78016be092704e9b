"""A disk that fills up in the middle of a job: nothing is lost, nothing is half there."""

import contextlib
import io
from pathlib import Path

import pytest
from PIL import Image
from tests.daemon.disks import CAN_MOUNT, fill_up, let_children_write, small_disk
from tests.daemon.faults import fill, tree
from tests.daemon.settings_made import make_inbox, make_settings

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.model import Started
from stylewatch_daemon.service.service import Summary, once
from stylewatch_daemon.settings.job import JobSettings

DISK_KIB = 600
FULL = ["tmpfs"] if CAN_MOUNT else ["RLIMIT_FSIZE"]


class Line:
    """A line whose outbox lies on `disk`, and a pair in its inbox."""

    def __init__(self, root: Path, disk: Path, pictures: Path) -> None:
        self.root, self.outbox = root, disk / "out"
        for name in ("content", "style"):
            fill(root / "in" / "job", f"{name}.jpg")
            (root / "in" / "job" / f"{name}.jpg").write_bytes(
                (pictures / f"{name}.jpg").read_bytes()
            )

    def run(self, reporter: Reporter | None = None, free_bytes: int = 0) -> Summary:
        job = JobSettings(backend="sketch", recipe="gatys", size="32", steps=6, save_every=2)
        inbox = make_inbox(self.root / "in", self.outbox)
        settings = make_settings(
            (inbox,), self.root / "state", quiet_s=0.0, job=job,
            backends={"sketch": {"seconds_per_step": 0.05}}, free_bytes=free_bytes,
        )  # fmt: skip
        return once(settings, reporter)

    def seen(self) -> dict[str, bytes]:
        """What people see of the job."""
        return {
            path.relative_to(self.outbox).as_posix(): path.read_bytes()
            for path in self.outbox.rglob("*.*")
            if path.is_file() and not {".staging", "_status.txt"} & set(path.parts)
        }


class Filling(Reporter):
    """Lets the disk fill up when the first stage is there."""

    def __init__(self, how: str, disk: Path) -> None:
        self.how, self.disk, self.filler = how, disk, disk / "nothing"

    def job_started(self, job: str, started: Started) -> None:
        if self.how == "RLIMIT_FSIZE":
            let_children_write(100)

    def staged(self, job: str, path: Path) -> None:
        if self.how == "tmpfs" and not self.filler.exists():
            self.filler = fill_up(self.disk)


@pytest.mark.parametrize("how", FULL)
def test_a_job_goes_on_once_there_is_room_again(how: str, tmp_path: Path, pictures: Path) -> None:
    unhindered = Line(tmp_path / "1", tmp_path / "big", pictures)
    assert unhindered.run().exit_code == 0
    with small_disk(tmp_path / "small", DISK_KIB) if how == "tmpfs" else _big(tmp_path) as disk:
        line = Line(tmp_path / "2", disk, pictures)
        filling = Filling(how, disk)
        summary = line.run(filling)
        assert summary.exit_code == 75
        (paused,) = summary.paused
        assert paused.exit_code == 73
        there = line.seen()
        assert "job/receipt.json" not in there
        for name, content in there.items():
            if name.endswith(".png"):
                Image.open(io.BytesIO(content)).load()
        filling.filler.unlink(missing_ok=True)
        assert line.run().exit_code == 0
        done = line.seen()
    pictures_ = {name for name in done if name.endswith((".png", ".jpg"))}
    assert {"job/final.png", "job/stages/0002.png", "job/inputs/content.jpg"} <= pictures_
    assert {n: done[n] for n in pictures_} == {n: unhindered.seen()[n] for n in pictures_}
    assert not tree(tmp_path / "2" / "in")


def _big(tmp_path: Path) -> contextlib.AbstractContextManager[Path]:
    """A disk that is not full, but for whoever may write no more on it."""
    return contextlib.nullcontext(tmp_path / "limited")


@pytest.mark.parametrize("how", ["tmpfs" if CAN_MOUNT else "reserve"])
def test_a_job_is_not_begun_before_there_is_room_for_it(
    how: str, tmp_path: Path, pictures: Path
) -> None:
    with small_disk(tmp_path / "small", 64) if how == "tmpfs" else _big(tmp_path) as disk:
        line = Line(tmp_path / "1", disk, pictures)
        summary = line.run(free_bytes=0 if how == "tmpfs" else 1 << 60)
        assert [one.exit_code for one in summary.paused] == [73]
        assert "it goes on once" in summary.paused[0].reason
        assert not line.seen()
