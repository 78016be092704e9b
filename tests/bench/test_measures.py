"""Measures of the benchmark on the processor and on a GPU, with painters that are not real."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bench import common, cpu, gpu, probes, reach
from bench.probes import Painting, Request
from bench.referee import Floats, Referee, as_written, read
from PIL import Image

from stylewatch_painter.recipes import book
from stylewatch_painter.scene.task import Task
from stylewatch_plugins import registry

SECONDS = 0.5
"""Seconds of a step."""


@pytest.fixture
def world(tmp_path: Path, pictures: Path) -> cpu.Setting:
    """Small pictures, a kept version, and few jobs."""
    pair = pictures / "content.jpg", pictures / "style.jpg"
    return cpu.Setting(pair, tmp_path, tmp_path, Path("kept"), album=5, jobs=3)


def test_ratios_are_ours_to_theirs_and_the_better_backend_counts(
    world: cpu.Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def painted(whose: str, asked: Request) -> Painting:
        seconds, size = {"ours": 1.0, "theirs": 4.0}[whose], asked.pixels / 250_000
        registry.load(asked.backend, {"device": "cpu", **asked.options})  # it takes these options
        if asked.backend == "onnx" or asked.options:
            seconds = 3.0 if asked.backend == "torch" else 2.0
        moments = [n * seconds * size for n in range(asked.steps)]
        return Painting(moments, 300.0 if whose == "ours" else 400.0, [])

    monkeypatch.setattr(cpu, "painted", painted)
    monkeypatch.setattr(cpu, "available", lambda: 10**11)
    readings = dict(reading for measure in cpu.STEPS for reading in measure.run(world))
    assert {*readings} == {row.key for measure in cpu.STEPS for row in measure.rows}
    wanted = {"step_ratio": 0.25, "memory_ratio": 0.75, "step_ratio_fp32": 0.5,
              "step_ratio_1mp": 0.25, "step_ratio_4mp": 0.25, "pastiche_step_s": 4}  # fmt: skip
    assert {key: readings[key] for key in wanted} == wanted
    monkeypatch.setattr(cpu, "available", lambda: 10**9)
    with pytest.raises(RuntimeError, match="16 GB of free memory"):
        list(cpu.STEPS[-1].run(world))


def test_commands_are_timed_beside_those_of_a_kept_version(
    world: cpu.Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands of the kept version take 4 seconds, pastiche's 9, all others 3."""

    def run(program: Path, *words: object) -> tuple[float, str]:
        seconds = {"kept": 4.0, "pastiche": 9.0}.get(program.name, 3.0)
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
        return seconds, '{"seconds": 6.0}'

    monkeypatch.setattr(cpu, "run", run)
    monkeypatch.setattr("time.time", lambda: 1000.0)
    readings = dict(reading for measure in cpu.COMMANDS for reading in measure.run(world))
    assert {*readings} == {row.key for measure in cpu.COMMANDS for row in measure.rows}
    wanted = {"best_s": 3, "best_s_kept_ratio": 0.75, "pastiche_first_step_s": 9,
              "forecast_ratio": 2, "pictures_per_hour": 1200, "jobs_per_s": pytest.approx(1 / 3),
              "jobs_per_s_kept_ratio": pytest.approx(4 / 3)}  # fmt: skip
    assert {key: readings[key] for key in wanted} == wanted


def test_the_peak_of_memory_is_in_megabytes() -> None:
    program = "before = peak(); b'x' * 10**8; print(peak() - before)"
    command = [sys.executable, "-c", f"from bench.common import peak; {program}"]
    more = subprocess.run(command, check=True, capture_output=True, text=True, cwd=common.ROOT)
    assert float(more.stdout) == pytest.approx(100, rel=0.02)


def test_the_work_of_a_step_is_what_the_layers_multiply_and_add() -> None:
    forward = 2 * 9 * 480 * 640 * (
        3 * 64 + 64 * 64 + (64 * 128 + 128 * 128) / 4 + (128 * 256 + 3 * 256 * 256) / 16
        + (256 * 512 + 3 * 512 * 512) / 64 + 512 * 512 / 256
    )  # fmt: skip
    assert probes.work(640, 480) == 2 * forward == pytest.approx(2 * 222e9, rel=0.01)


def test_steps_that_are_reported_at_once_share_their_time() -> None:
    assert probes.per_step([0.0, 2.0, 3.0, 4.0, 9.0]) == 1.5
    assert probes.per_step([0.0, 3.0, 3.01, 3.02, 6.02, 6.03, 6.04]) == pytest.approx(1.0, rel=0.01)


# How long it takes to be as good as pastiche.


class Brightness(Referee):
    """Judges by how bright a picture is."""

    def __init__(self, *_: object) -> None: ...

    def loss(self, picture: Floats) -> float:
        return float(picture.mean())


def gray(step: int) -> Floats:
    """Return what both painters show after a step: a gray of 255.4 less the step."""
    return np.full((1, 2, 3), 255.4 - step, np.float32)


def test_every_loss_of_pastiche_is_reached_and_timed_by_the_command(
    world: cpu.Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps take a tenth of a second; paintings of less than 200 steps are a little behind."""
    given: list[str] = []

    def painted(whose: str, asked: Request) -> Painting:
        steps = asked.keep or [-5, 0, *range(1, asked.steps + 1)]
        late = 1 if asked.steps < 257 else 0
        pictures = [(step, step / 10, gray(step - late)) for step in steps]
        return Painting([step / 10 for step in range(1, asked.steps + 1)], 1.0, pictures)

    def run(program: Path, *words: object) -> tuple[float, str]:
        given.extend(map(str, words))
        steps = int(str(words[words.index("--steps") + 1]))
        Image.fromarray(as_written(gray(steps - 1)).astype(np.uint8)).save(world.out)
        return steps / 10, ""

    monkeypatch.setattr(reach, "Referee", Brightness)
    monkeypatch.setattr(reach, "painted", painted)
    monkeypatch.setattr(cpu, "run", run)
    (measure,) = reach.MEASURES
    readings = dict(measure.run(world))
    assert {*readings} == {row.key for row in measure.rows}
    assert readings["float_ratio"] == 1
    assert readings["png_s"] == 26.7, "255 steps are black, verified in steps of a twentieth"
    assert {"--set=schedule.optimizer.history=60", "--set=keep_range=false"} <= {*given}
    curves = json.loads((world.results / reach.CURVES).read_text("utf-8"))
    assert curves["pastiche"]["png"]["seconds"][:4] == [0.1, 0.2, 0.5, 1]
    assert len(curves["ours"]["float"]["losses"]) == 2 + 50 + 50
    monkeypatch.delattr(reach, "goals")
    assert dict(measure.run(world)) == readings, "the goals are found once"


@pytest.mark.filterwarnings("ignore:Image.Image.getdata is deprecated")
def test_both_real_painters_are_sampled(world: cpu.Setting) -> None:
    asked = Request(
        world.pair, 1200, 2, world.out, keep=(1, 2), changes={"scales": [], "save_every": 1}
    )
    for painter in (probes.ours, probes.theirs):
        steps, moments, pictures = zip(*painter(asked), strict=True)
        assert steps == (1, 2) and moments[0] < moments[1]
        assert {picture.shape for picture in pictures} == {(30, 40, 3)}
    assert np.array_equal(read(world.out), as_written(pictures[-1]))


# On a GPU.


@pytest.fixture
def small(world: cpu.Setting) -> gpu.Setting:
    """Small pictures on the CPU."""
    return gpu.Setting(world.pair, world.scratch, "cpu", "40x30", 1200, 1200, 20, 2, 6, side=64)


def test_figures_of_a_gpu_come_from_times_and_steps(
    small: gpu.Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def paint(_: object, wanted: Task) -> float:
        return 3 + sum(level.steps for level in wanted.levels()) * SECONDS  # 3 for targets

    monkeypatch.setattr(gpu, "paint", paint)
    monkeypatch.setattr(gpu, "matmul", lambda _: 0.5)
    monkeypatch.setattr(gpu, "theirs", lambda asked: [(n, 2.0 * n, None) for n in range(9)])
    monkeypatch.setattr(gpu, "run", lambda *_, **__: (7.0, ""))
    readings = dict(reading for measure in gpu.MEASURES for reading in measure.run(small))
    rows = {row.key for measure in gpu.MEASURES for row in measure.rows}
    assert {*readings} == rows - {"gpu_peak_mb"}
    steps = sum(level.steps for level in small.task(book.find("best")).levels())
    wanted = {
        "devos_h200_s": 3 + 20 * SECONDS, "h200_fraction": probes.work(40, 30) / SECONDS / 0.5e12,
        "h200_pictures_per_hour": 3600 / (3 + steps * SECONDS), "gpu_step_ratio": SECONDS / 2,
        "pastiche_gpu_step_s": 2, "devos_from_start_s": 7,
    }  # fmt: skip
    assert {key: readings[key] for key in wanted} == pytest.approx(wanted)


def test_the_real_backend_runs_what_is_timed(small: gpu.Setting) -> None:
    assert gpu.paint(small.painter(), small.devos(4)) > 0
    assert gpu.matmul(small) > 0


def test_a_machine_without_a_gpu_is_told_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert gpu.main([]) == 69
    assert "finds no GPU here" in capsys.readouterr().err
