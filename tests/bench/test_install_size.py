"""The size of the measured installation."""

import os
from pathlib import Path

from bench import install_size


def test_each_file_counts_once_by_the_blocks_that_it_takes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    empty = install_size.bytes_on_disk(tmp_path)
    (tmp_path / "a" / "b").write_bytes(os.urandom(100_000))
    size = install_size.bytes_on_disk(tmp_path) - empty
    assert 100_000 <= size < 200_000
    os.link(tmp_path / "a" / "b", tmp_path / "c")
    assert install_size.bytes_on_disk(tmp_path) - empty == size
