"""Styles of the library are found by their names."""

from pathlib import Path

from tests.daemon.faults import fill

from stylewatch_daemon.settings.style_library import find_styles


def test_styles_have_names_that_differ(tmp_path: Path) -> None:
    styles = tmp_path / "styles"
    fill(tmp_path, "far/picture.png", "styles/night.jpg", "styles/Makefile", "styles/x.mask.jpg")
    (styles / "wave.png").symlink_to(tmp_path / "far/picture.png")
    assert find_styles(styles, "wave") == {"wave": tmp_path / "far/picture.png"}
    assert find_styles(styles, "day") == find_styles(tmp_path / "gone", "all") == {}
    fill(tmp_path, "twice/night.jpg", "twice/night.png", "twice/wave.jpg")
    assert set(find_styles(tmp_path / "twice", "all")) == {"night.jpg", "night.png", "wave"}
    for name in ("night.jpg", "night.png"):
        assert find_styles(tmp_path / "twice", name) == {"night": tmp_path / "twice" / name}
