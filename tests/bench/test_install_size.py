"""The measured installation: what it runs, what counts as its size, and what is too large."""

import os
import tempfile
from pathlib import Path

import pytest
from bench import install_size
from bench.common import ROOT


def test_each_file_counts_once_by_the_blocks_that_it_takes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    empty = install_size.bytes_on_disk(tmp_path)
    (tmp_path / "a" / "b").write_bytes(os.urandom(100_000))
    size = install_size.bytes_on_disk(tmp_path) - empty
    assert 100_000 <= size < 200_000
    os.link(tmp_path / "a" / "b", tmp_path / "c")
    assert install_size.bytes_on_disk(tmp_path) - empty == size


@pytest.mark.parametrize(("size", "code"), [(100_000, 0), (2_000_000, 1)])
def test_a_picture_is_painted_outside_of_the_checkout(
    size: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = []

    def timed(*command: object) -> float:
        assert not Path.cwd().is_relative_to(ROOT)
        words = [str(word) for word in command]
        commands.append(words)
        if "wheel" in words:
            Path("stylewatch.whl").touch()
        if "venv" in words:
            Path(words[-1]).mkdir()
            Path(words[-1], "library").write_bytes(os.urandom(size))
        if "render" in words:
            Path(os.environ["XDG_CACHE_HOME"]).mkdir()
        return 0.0

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr(install_size, "timed", timed)
    monkeypatch.setattr(install_size, "MOST_BYTES", 1_000_000)
    assert install_size.main(["--no-index"]) == code
    build, environment, install, _, render = commands
    assert build[-1] == str(ROOT)
    assert install[0].startswith(environment[-1]) and render[0].startswith(environment[-1])
    assert install[2] == "--no-index" and install[-1].endswith("/stylewatch.whl")
