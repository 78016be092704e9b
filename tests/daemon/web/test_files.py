"""What lies in a job's folder is found by what it is, and nothing is found by a link."""

from functools import partial
from pathlib import Path

import pytest
from tests.daemon.web.jobs import lay, painted, sha256

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.outbox.job_files import Spot
from stylewatch_daemon.web import files
from stylewatch_daemon.web.files import Memory


def test_a_receipt_is_read_again_once_it_was_changed(tmp_path: Path) -> None:
    job, path = painted(tmp_path), tmp_path / "out/sea/receipt.json"
    assert files.receipt(job)["seconds"] == 61.0
    path.unlink()
    assert files.receipt(job) == {}
    path.write_text('{"seconds": 5}')
    assert files.receipt(job) == {"seconds": 5}
    path.write_text("{ damaged")
    assert files.receipt(job) == {}


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_is_behind_a_link_is_not_there(what: str, tmp_path: Path) -> None:
    secret = lay(tmp_path / "elsewhere/secret.csv", b"step,total\n1,2\n")
    assert secret
    job, place = painted(tmp_path), tmp_path / "out/sea"
    if what == "file":
        (place / "losses.csv").unlink()
        (place / "losses.csv").symlink_to(tmp_path / "elsewhere/secret.csv")
    else:
        (tmp_path / "elsewhere/secret.csv").rename(tmp_path / "elsewhere/losses.csv")
        place.rename(tmp_path / "before")
        place.symlink_to(tmp_path / "elsewhere")
    assert files.losses(job) == ""


def test_a_place_does_not_lead_upwards(tmp_path: Path) -> None:
    lay(tmp_path / "secret", b"x")
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputError):
        Spot(tmp_path / "out", "..", "secret").open()


def test_a_digest_is_that_of_the_bytes_and_leaves_them_to_be_read(tmp_path: Path) -> None:
    content = lay(tmp_path / "a", b"content")
    with Spot(tmp_path, "", "a").open() as file:
        assert files.digest(file) == sha256(content)
        assert b"".join(files.chunks(file)) == content


def test_a_memory_makes_a_thing_once_and_forgets_the_oldest() -> None:
    made: list[int] = []
    memory = Memory(2)
    for key in (1, 1, 2, 3, 1):
        memory.get(key, partial(made.append, key))
    assert made == [1, 2, 3, 1]
