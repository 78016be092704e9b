"""Thumbnails have a place, and no more of them are kept than are wanted."""

from pathlib import Path

from stylewatch_daemon.store import thumbs


def test_all_but_the_wanted_go(tmp_path: Path) -> None:
    for name in ("12ab.jpg", "34cd.jpg", ".34cd.jpg.77"):
        (tmp_path / name).touch()
    thumbs.sweep(tmp_path, {"12ab"})
    assert list(tmp_path.iterdir()) == [thumbs.path_of(tmp_path, "12ab")]


def test_where_there_are_none_nothing_goes(tmp_path: Path) -> None:
    thumbs.sweep(tmp_path / "not there", ())
    assert not (tmp_path / "not there").exists()
