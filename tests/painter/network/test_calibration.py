"""The fastest precision and tiles of a device, measured once."""

from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from pydantic import TypeAdapter

from stylewatch_painter.network import calibration, kernels
from stylewatch_painter.network.calibration import Calibration, calibrated, checked_plan, measured
from stylewatch_painter.network.vgg19 import (
    PLAN_SHAPES,
    PLAN_SIDES,
    TORCH,
    Precision,
    planned_tile,
)

CPU = torch.device("cpu")
PLAN = ("246" * 10)[: len(PLAN_SHAPES) * len(PLAN_SIDES)]


@pytest.mark.parametrize(
    ("torch_bf16", "compiled_bf16", "precision", "plan"),
    [
        (0.3, 0.2, "bf16", "6644"),
        (0.25, float("inf"), "bf16", TORCH),
        (0.1, 0.1, "bf16", TORCH),
        (0.32, 0.3, "fp32", "6644"),
    ],
)
def test_lower_precision_is_used_where_it_pays(
    torch_bf16: float,
    compiled_bf16: float,
    precision: Precision,
    plan: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In torch fp32 takes 1 second, compiled a third of that."""

    def tile_seconds(inputs: int, outputs: int, side: int, tile: int, kind: str = "fp32") -> float:
        best = compiled_bf16 if kind == "bf16" else 1 / 3
        return abs(tile - (6 if side < 32 else 4)) + best

    times = {"fp32": 1.0, "bf16": torch_bf16}
    monkeypatch.setattr(calibration, "_seconds", lambda _, kind, *__, **___: times[kind])
    monkeypatch.setattr(calibration, "_tile_seconds", tile_seconds)
    monkeypatch.setattr(kernels, "library", object)
    if plan != TORCH:  # not F(6x6, 3x3) with 512 outputs
        plan = plan * (len(PLAN_SHAPES) - 2) + "4444" * 2
    measurements = measured(CPU)
    assert measurements[0] == Calibration(precision, plan)
    assert {each.precision: each.plan != TORCH for each in measurements} == {
        "fp32": True,
        "bf16": compiled_bf16 < torch_bf16,
    }, "the fastest convolutions of each"


@pytest.mark.parametrize(("bf16", "precision"), [(0.89, "bf16"), (0.91, "fp32")])
def test_without_compiled_kernels_precisions_of_torch_are_compared(
    bf16: float, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = {"fp32": 1.0, "bf16": bf16}
    monkeypatch.setattr(calibration, "_seconds", lambda _, kind, *__, **___: times[kind])
    monkeypatch.setattr(kernels, "library", lambda: None)
    assert measured(CPU)[0] == Calibration(precision, TORCH)


def test_a_device_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cache" / "stylewatch" / "calibration.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"another GPU, torch 1.0": [{"precision": "tf32", "plan": "torch"}]}')
    measurements = [Calibration("bf16"), Calibration("fp32", PLAN)]
    monkeypatch.setattr(calibration, "measured", lambda _: measurements)
    assert calibrated(CPU) == Calibration("bf16")
    monkeypatch.setattr(calibration, "measured", lambda _: [Calibration()])
    assert calibrated(CPU) == Calibration("bf16")
    assert calibrated(CPU, "fp32") == Calibration("fp32", PLAN), "compiled, unlike bf16"
    assert calibrated(CPU, "tf32") == Calibration("tf32"), "not measured"
    assert [path.name for path in file.parent.iterdir()] == ["calibration.json"]
    assert "another GPU, torch 1.0" in file.read_text(), "other devices keep theirs"


def test_times_that_another_process_adds_meanwhile_are_kept(tmp_path: Path) -> None:
    file, entries = tmp_path / "times.json", TypeAdapter(dict[str, float])

    def measure(key: str, value: float) -> Callable[[], tuple[float, bool]]:
        def measured() -> tuple[float, bool]:
            calibration.cached_measurement(file, entries, key, lambda: (value, True))
            return 9.0, True

        return measured

    assert calibration.cached_measurement(file, entries, "cpu", measure("gpu", 1.0)) == 9.0
    assert calibration.cached_measurement(file, entries, "both", measure("both", 2.0)) == 2.0
    assert entries.validate_json(file.read_bytes()) == {"gpu": 1.0, "cpu": 9.0, "both": 2.0}


def test_nothing_is_left_of_times_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "replace", Mock(side_effect=OSError(28, "No space left on device")))
    entries = TypeAdapter(dict[str, float])
    assert (
        calibration.cached_measurement(tmp_path / "times.json", entries, "cpu", lambda: (1.0, True))
        == 1.0
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "damage",
    [
        "[1]",
        "{",
        '{"KEY": 1}',
        '{"KEY": []}',
        '{"KEY": {"precision": "fp32", "plan": "torch"}}',
        '{"KEY": [{"precision": "fp8", "plan": "torch"}]}',
        '{"KEY": [{"precision": "fp32", "plan": "24"}]}',
    ],
)
def test_a_damaged_file_is_measured_anew(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cache" / "stylewatch" / "calibration.json"
    monkeypatch.setattr(calibration, "measured", lambda _: [Calibration("fp32", PLAN)])
    calibrated(CPU)
    key = file.read_text().split('"')[1]
    file.write_text(damage.replace("KEY", key))
    assert calibrated(CPU) == Calibration("fp32", PLAN)
    assert key in file.read_text()


def test_a_plan_has_a_tile_for_each_shape_and_side() -> None:
    assert checked_plan(TORCH) == TORCH and checked_plan(PLAN) == PLAN
    for wrong in ("", "2", PLAN + "2", PLAN[:-1] + "3"):
        with pytest.raises(ValueError, match="no plan"):
            checked_plan(wrong)
    plan = "".join(str(2 + index % 4) for index in range(len(PLAN)))  # a digit for each side
    for height, width, digit in ((1, 2, 2), (6, 9, 2), (13, 19, 3), (20, 36, 4), (400, 500, 5)):
        assert planned_tile(plan, 512, 256, (height, width)) == digit, "of the nearest side"
    assert planned_tile(plan, 3, 64, (13, 19)) == kernels.DIRECT
