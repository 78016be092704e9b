"""The meter of commands."""

import sys

import pytest
from bench.common import run


def test_a_command_is_measured_from_its_start_to_its_end() -> None:
    program = "import time; print('a'); time.sleep(0.5); x = b'x' * 10**8; print('b')"
    done, less = (run(sys.executable, "-c", text) for text in (program, "print('a')"))
    assert done.lines == ["a", "b"]
    assert done.moments[1] - done.moments[0] >= 0.5 and done.seconds >= 0.5
    assert done.peak - less.peak == pytest.approx(100, rel=0.05)
    with pytest.raises(RuntimeError, match="ended with 3"):
        run(sys.executable, "-c", "raise SystemExit(3)")
