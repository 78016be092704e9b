"""A short form of `make soak`, and its verdict."""

from pathlib import Path

from tests.e2e.soak import Soak


def test_mixed_jobs_end_as_they_should_through_kills(tmp_path: Path) -> None:
    soak = Soak(tmp_path, 40, day=1.0)
    soak.run()
    assert soak.wrong == []
    assert soak.kills["daemon"] and soak.kills["worker"]
    assert soak.samples
    files = [sample["daemon, open files"] for sample in soak.samples]
    assert max(files) < 2 * min(files)
