"""`stylewatch sample`: a pair to try things with."""

from pathlib import Path

from tests.daemon.cli.conftest import Run

from stylewatch_painter.images.read import read


def test_pair_is_written_and_no_other_picture_replaced(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "inbox" / "rocket"
    for _ in range(2):  # the second time the same files are there
        ended = run("sample", folder)
        assert ended.code == 0 and ended.lines == [
            f"{folder}/content.jpg",
            f"{folder}/style.jpg",
        ]
    assert read(folder / "content.jpg").size == (640, 427)
    assert read(folder / "style.jpg").size == (640, 507)
    (folder / "style.jpg").write_bytes(b"mine")
    ended = run("sample", folder)
    assert ended.code == 73 and "style.jpg is another picture, and is not replaced" in ended.err
    assert (folder / "style.jpg").read_bytes() == b"mine"
    assert run("sample", folder / "content.jpg" / "pair").code == 73
