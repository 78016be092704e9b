"""The files of a job are found by what they are, and never through a link."""

from pathlib import Path

import pytest
from tests.daemon.web.world import finished_job, picture, write

from stylewatch_daemon.base.model import Job
from stylewatch_daemon.views.output_files import all_files, find, read_losses, read_receipt


def test_a_changed_receipt_is_read_again_and_leads_to_no_file_elsewhere(tmp_path: Path) -> None:
    job, path = finished_job(tmp_path), tmp_path / "out/sea/receipt.json"
    assert read_receipt(job)["seconds"] == 61.0
    path.unlink()
    assert read_receipt(job) == {}
    for text, plain in (('{"seconds": 5}', {"seconds": 5}), ("{ damaged", {}), ("[" * 99_999, {})):
        path.write_text(text)
        assert read_receipt(job) == plain
    for value in (r'"\ud800"', r'{"\udfff": 1}', "NaN", "-Infinity", "1e999", "1" + "0" * 400):
        path.write_text(f'{{"seconds": 5, "extra": {value}}}')
        assert read_receipt(job) == {}, value
    write(tmp_path / "secret.png", picture(3))
    path.write_text('{"final": "../../secret.png"}')
    assert find(job, tmp_path / "state", "final") is None


def contents(job: Job, state: Path) -> list[tuple[str, bytes]]:
    """The files of a job with their names in a download."""
    files = []
    for name, file in all_files(job, state):
        with file:
            files.append((name, file.read()))
    return files


@pytest.mark.parametrize(
    ("what", "final", "artifact"),
    [
        ("sheet", "sheet.png", "sheet-2.png"),
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
    drawn = write(tmp_path / "out/sea" / artifact, picture(3))
    opened = find(job, state, what)
    assert opened is not None and opened.spot.name == artifact
    opened.file.close()
    files = contents(job, state)
    assert len(files) == len(dict(files)) and dict(files)[artifact] == drawn
    assert dict(files)[final] != drawn


def test_all_files_have_both_animations(tmp_path: Path) -> None:
    job = finished_job(tmp_path)
    for name in ("progress.webp", "progress.gif"):
        write(tmp_path / "out/sea" / name, picture(3))
    names = [name for name, _ in contents(job, tmp_path / "state")]
    assert len(names) == len({*names}) and {"progress.webp", "progress.gif"} < {*names}


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
