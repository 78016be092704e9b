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


@pytest.mark.parametrize(
    ("what", "final", "artifact"),
    [
        ("sheet", "sheet-2.png", "sheet.png"),
        ("curve", "losses.png", "losses-2.png"),
        ("animation", "progress.webp", "progress-2.webp"),
    ],
)
def test_a_final_picture_with_the_name_of_an_artifact_is_none(
    what: str, final: str, artifact: str, tmp_path: Path
) -> None:
    job, state = finished_job(tmp_path, final=final), tmp_path / "state"
    assert find(job, state, what) is None
    write(tmp_path / "out/sea" / artifact, picture(3))
    opened = find(job, state, what)
    assert opened is not None and opened.spot.name == artifact
    opened.file.close()


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
