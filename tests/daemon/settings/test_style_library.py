"""Styles of the library are found by their names."""

from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

import pytest
from tests.daemon.faults import Disk, fill

from stylewatch_daemon.base.errors import OutputError, SettingsError, UsageError
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.settings.style_library import (
    add_style,
    every_style,
    find_styles,
    named_styles,
)
from stylewatch_painter.sample import shipped_styles


def test_styles_have_names_that_differ(tmp_path: Path) -> None:
    styles = tmp_path / "styles"
    fill(tmp_path, "far/picture.png", "styles/night.jpg", "styles/Makefile", "styles/x.mask.jpg")
    (styles / "wave.png").symlink_to(tmp_path / "far/picture.png")
    assert find_styles(styles, "wave") == {"wave": tmp_path / "far/picture.png"}
    assert find_styles(styles, "day") == find_styles(tmp_path / "gone", "all") == {}
    fill(tmp_path, "twice/night.jpg", "twice/night.png", "twice/wave.jpg")
    fill(tmp_path, "twice/._wave.jpg", "twice/.night.jpg")
    assert set(find_styles(tmp_path / "twice", "all")) == {"night.jpg", "night.png", "wave"}
    for name in ("night.jpg", "night.png"):
        assert find_styles(tmp_path / "twice", name) == {"night": tmp_path / "twice" / name}


def test_a_name_need_not_be_spelled_as_the_file_is_but_it_fits_only_one(tmp_path: Path) -> None:
    fill(
        tmp_path, "e\u0301te\u0301.jpg", "Wave.png", "wave.jpg", "night.jpg", "night.png", "a.b.png"
    )
    assert find_styles(tmp_path, "\u00c9T\u00e9") == {
        "e\u0301te\u0301": tmp_path / "e\u0301te\u0301.jpg"
    }
    assert find_styles(tmp_path, "wave") == {"wave": tmp_path / "wave.jpg"}  # an exact name wins
    assert find_styles(tmp_path, "a.b") == {"a.b": tmp_path / "a.b.png"}
    for name, two in (("WAVE", "Wave.png and wave.jpg"), ("night", "night.jpg and night.png")):
        with pytest.raises(SettingsError, match=f"several pictures .*: {two}; give the whole name"):
            find_styles(tmp_path, name)
    assert len(find_styles(tmp_path, "all")) == 6
    with pytest.raises(UsageError, match="has a file called e\u0301te\u0301"):
        add_style(tmp_path, MountGuard(), "\u00c9t\u00e9", ".jpg", BytesIO(b"picture"), "")


def test_a_style_whose_disk_is_away_is_not_replaced_by_a_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "Mosaic.jpg").symlink_to(tmp_path / "away/mosaic.jpg")
    (tmp_path / "The Scream.png").touch()
    for name in ("Mosaic", "the scream"):
        with pytest.raises(UsageError, match="is empty, or its disk is away"):
            named_styles(tmp_path, [name])
    assert every_style(tmp_path) == {}
    fill(tmp_path, "mosaic.png")
    assert [*every_style(tmp_path)] == [*find_styles(tmp_path, "all")] == ["mosaic.png"]
    assert named_styles(tmp_path, ["impasto"]) == [shipped_styles()["Impasto"].path]


def test_a_style_that_is_added_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    def add(picture: BytesIO) -> str:
        return add_style(tmp_path, MountGuard(), "wave", ".jpg", picture, "")

    class Slow(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            with pytest.raises(UsageError, match=r"wave\.jpg: choose another name"):
                add(BytesIO(b"second"))
            assert find_styles(tmp_path, "all") == {}
            return super().read(size)

    class Full(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        add(Full())
    assert list(tmp_path.iterdir()) == []
    assert add(Slow(b"first")) == "wave"
    assert (tmp_path / "wave.jpg").read_bytes() == b"first"


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_style_is_not_kept_below_the_mount_point_of_a_missing_library(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "styles").mkdir()
    disk, guard = Disk(tmp_path / "styles", monkeypatch), MountGuard()
    guard.check(disk.folder)

    class Going(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if when == "meanwhile" and disk.is_there:
                stack.enter_context(disk.unplugged())
            return super().read(size)

    with ExitStack() as stack:
        if when == "before":
            stack.enter_context(disk.unplugged())
        with pytest.raises(OutputError, match="styles, which is not mounted now"):
            add_style(disk.folder, guard, "wave", ".jpg", Going(b"picture"), "Hokusai")
        assert list(disk.folder.iterdir()) == []
