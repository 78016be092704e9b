"""Rules for the source that no tool checks: nothing is unfinished, no path is local."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


UNFINISHED = re.compile(
    r"\b(TODO|FIXME|XXX|HACK|NotImplementedError|xfail|importorskip)\b"
    r"|type: ignore|# noqa|mark\.skip\b|pytest\.skip"
)
LOCAL_PATH = re.compile(r"(?<![\w.~*}])/(work|root|tmp|Users|mnt|opt)/\w")
WRITTEN = (".cfg", ".ini", ".md", ".py", ".service", ".conf", ".toml", ".txt", ".yaml")
FOLDERS = (".ci", "bench", "daemon", "docs", "export", "plugins", "systemd", "tests")


def texts() -> Iterator[Path]:
    """Yield all files written by hand but this one, which names what it looks for."""
    for path in [*ROOT.iterdir(), *(path for name in FOLDERS for path in (ROOT / name).rglob("*"))]:
        named = path.suffix in WRITTEN or path.name in ("Makefile", "run", "LICENSE", "NOTICE")
        if path.is_file() and named and path != Path(__file__):
            yield path


@pytest.mark.parametrize("unwanted", [UNFINISHED, LOCAL_PATH], ids=["unfinished", "paths"])
def test_nothing_is_unfinished_and_no_path_is_local(unwanted: re.Pattern[str]) -> None:
    lines = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if unwanted.search(line)
    ]
    assert not lines
