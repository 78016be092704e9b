"""The files of a job are found by what they are, and never through a link."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.daemon.faults import make_sparse
from tests.daemon.web.world import enter, finished_job, picture, sha256, write

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.model import OutputFile
from stylewatch_daemon.files import atomic, strangers
from stylewatch_daemon.ledger.ledger import FILE_NAME
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.views import output_files
from stylewatch_daemon.views.output_files import JobFiles


def test_a_changed_receipt_is_read_again_and_leads_to_no_file_elsewhere(tmp_path: Path) -> None:
    job, path = finished_job(tmp_path), tmp_path / "out/sea/receipt.json"
    state = tmp_path / "state"
    assert JobFiles(job, state).receipt["seconds"] == 61.0
    path.write_text('{"seconds": 5}')
    assert JobFiles(job, state).receipt == {"seconds": 5}
    for text in ("{ damaged", "[" * 99_999, r'{"\udfff": 1}', '{"seconds": NaN}', "1" + "0" * 400):
        path.write_text(text)
        assert JobFiles(job, state).receipt == {}, text
    write(tmp_path / "secret.png", picture(3))
    path.write_text('{"final": "../../secret.png"}')
    assert JobFiles(job, state).find("final") is None


@pytest.mark.parametrize("what", ["folder", "file"])
def test_no_link_is_followed(what: str, tmp_path: Path) -> None:
    job, place = finished_job(tmp_path), tmp_path / "out/sea"
    elsewhere = tmp_path / "elsewhere"
    place.rename(elsewhere)
    if what == "folder":
        place.symlink_to(elsewhere)
    else:
        place.mkdir()
        for name in ("losses.csv", "receipt.json", "final.png"):
            (place / name).symlink_to(elsewhere / name)
    files = JobFiles(job, tmp_path / "state")
    assert (files.losses(), files.receipt, files.find("final")) == ("", {}, None)


@pytest.mark.parametrize("make", [os.mkfifo, make_sparse, Path.mkdir])
def test_what_others_put_in_place_of_files_is_neither_read_nor_waited_for(
    make: Callable[[Path], object], tmp_path: Path
) -> None:
    job, place = finished_job(tmp_path), tmp_path / "out/sea"
    enter(tmp_path / "state", job)
    names = ("inputs/content.jpg", "stages/0005.png", "final.png", "losses.csv", "receipt.json")
    for name in (*names, "sheet.png"):
        (place / name).unlink(missing_ok=True)
        make(place / name)
    files = JobFiles(job, tmp_path / "state")
    assert (files.losses(), files.receipt) == ("", {})
    for what in ("input-0", "stage-5", "final", "sheet"):
        assert files.find(what) is None
    found = []
    for name, file in files.all():
        file.close()
        found.append(name)
    assert found == ["stages/0010.png", "stages/0015.png", "inputs/wave.jpg"]


def test_a_large_file_is_read_if_the_ledger_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, state, content = finished_job(tmp_path), tmp_path / "state", picture(15)
    monkeypatch.setattr(output_files, "LARGEST_PICTURE", len(content) - 1)
    enter(state, job)
    assert JobFiles(job, state).find("final") is None
    ledger = LedgerWriter.open(state / FILE_NAME)
    ledger.put_files(job.id, [OutputFile("sea/final.png", "final", "", len(content))])
    ledger.close()
    found = JobFiles(job, state).find("final")
    assert found is not None and found.sha256 == sha256(content)
    found.file.close()


def test_what_is_not_read_in_time_is_not_missing_and_not_read_a_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, state = finished_job(tmp_path), tmp_path / "state"
    with monkeypatch.context() as patch:
        patch.setattr(strangers, "PATIENCE_S", -1.0)
        with pytest.raises(OutputError, match="cannot be read: it cannot be read in time"):
            JobFiles(job, state).find("final")
    monkeypatch.setattr(atomic, "digest_of", None)
    with pytest.raises(OutputError, match="cannot be read in time"):
        JobFiles(replace(job), state).find("final")
