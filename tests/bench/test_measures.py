"""Measures of the benchmark on the processor and on a GPU, with commands that are not real."""

import os
import sys
from pathlib import Path

import pytest
from bench import common, cpu
from bench.common import Done, run


def test_a_command_is_measured_from_its_start_to_its_end() -> None:
    program = "import time; print('a'); time.sleep(0.5); x = b'x' * 10**8; print('b')"
    done, less = (run(sys.executable, "-c", text) for text in (program, "print('a')"))
    assert done.lines == ["a", "b"]
    assert done.moments[1] - done.moments[0] >= 0.5 and done.seconds >= 0.5
    assert done.peak - less.peak == pytest.approx(100, rel=0.05)
    with pytest.raises(RuntimeError, match="ended with 3"):
        run(sys.executable, "-c", "raise SystemExit(3)")


@pytest.fixture
def world(tmp_path: Path, pictures: Path) -> cpu.Setting:
    """Small pictures, a kept version, and few jobs."""
    pair = pictures / "content.jpg", pictures / "style.jpg"
    return cpu.Setting(pair, tmp_path, Path("kept"), pixels=1200, small=1200, jobs=3)


@pytest.fixture
def commands(world: cpu.Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace commands: those of the kept version take 4 seconds, pastiche's 9, all others 3."""

    def run(program: Path, *words: object) -> Done:
        seconds = 4.0 if program.name == "kept" else 3.0
        if "run" in words:
            inbox, outbox = (Path(str(words[words.index(name) + 1]))
                             for name in ("--inbox", "--outbox"))  # fmt: skip
            jobs = [path for path in inbox.glob("album/*") if path.stem != "style"]
            assert len({path.read_bytes() for path in jobs}) == len(jobs)
            for number, job in enumerate(sorted(jobs), start=1):
                receipt = outbox / job.name / "receipt.json"
                receipt.parent.mkdir(parents=True)
                receipt.touch()
                os.utime(receipt, (1000 + number * seconds,) * 2)
        elif f"{world.scratch}/steps/" in words:
            step = 2.0 if {"onnx", "backends.torch.precision=fp32"} & {*words} else 1.0
            lines = "".join(f"{number},{number * step}\n" for number in range(9))
            (world.scratch / "steps").mkdir(exist_ok=True)
            (world.scratch / "steps" / "losses.csv").write_text(f"step,seconds\n{lines}")
        return Done(seconds, 300, ['{"seconds": 6.0}'], [])

    lines = ["cpu", "0    0.1", *(f"{number}    9" for number in range(1, 9))]
    theirs = Done(9, 400, lines, [4.0 * number for number in range(10)])
    monkeypatch.setattr(cpu, "run", run)
    monkeypatch.setattr(common, "pastiche", lambda *_: theirs)
    monkeypatch.setattr(cpu, "available", lambda: 10**11)
    monkeypatch.setattr("time.time", lambda: 1000.0)


@pytest.mark.usefixtures("commands")
def test_ratios_are_ours_to_theirs_and_to_the_kept_version(
    world: cpu.Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = dict(reading for measure in cpu.MEASURES for reading in measure.run(world))
    assert {*readings} == {row.key for measure in cpu.MEASURES for row in measure.rows}
    wanted = {
        "step_ratio": 0.25, "memory_ratio": 0.75, "step_ratio_fp32": 0.5, "step_ratio_4mp": 0.25,
        "best_s": 3, "best_s_kept_ratio": 0.75, "forecast_ratio": 2,
        "pictures_per_hour": 1200, "jobs_per_s": 1 / 3, "jobs_per_s_kept_ratio": 4 / 3,
    }  # fmt: skip
    assert {key: readings[key] for key in wanted} == pytest.approx(wanted)
    monkeypatch.setattr(cpu, "available", lambda: 10**9)
    with pytest.raises(RuntimeError, match="16 GB of free memory"):
        list(cpu.larger(4, world))
