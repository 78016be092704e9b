"""The files of a job are found by what they are, and never through a link."""

from pathlib import Path

import pytest
from tests.daemon.web.world import finished_job, picture, write

from stylewatch_daemon.views.output_files import find, read_losses, read_receipt


def test_a_changed_receipt_is_read_again_and_leads_to_no_file_elsewhere(tmp_path: Path) -> None:
    job, path = finished_job(tmp_path), tmp_path / "out/sea/receipt.json"
    assert read_receipt(job)["seconds"] == 61.0
    path.write_text('{"seconds": 5}')
    assert read_receipt(job) == {"seconds": 5}
    for text in ("{ damaged", "[" * 99_999, r'{"\udfff": 1}', '{"seconds": NaN}', "1" + "0" * 400):
        path.write_text(text)
        assert read_receipt(job) == {}, text
    write(tmp_path / "secret.png", picture(3))
    path.write_text('{"final": "../../secret.png"}')
    assert find(job, tmp_path / "state", "final") is None


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
    assert (read_losses(job), read_receipt(job)) == ("", {})
    assert find(job, tmp_path / "state", "final") is None
