"""Results of the benchmark: JSON, and tables for the terminal or a page."""

import json
import os
import platform
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from stylewatch_painter.network.device import device_model, fastest_precision

CPU, AVX2, GPU = "bench.json", "bench-avx2.json", "bench-gpu.json"
"""The files of results: of a processor with bf16, of one with AVX2 alone, and of a GPU."""

Results = dict[str, Any]
"""JSON of results: rows by key, `about` the machine, rows without a goal in `beside`."""


def machine() -> dict[str, str]:
    """Describe the machine of the measurements."""
    return {
        "machine": f"{os.cpu_count()} cores ({device_model(torch.device('cpu'))})",
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }


def cpu_file() -> str:
    """Return the file of results for this processor, as torch may use it."""
    return CPU if fastest_precision(torch.device("cpu"), compiled=True) == "bf16" else AVX2


def keep(path: Path, rows: Mapping[str, Results], about: Mapping[str, str]) -> Results:
    """Write rows into the JSON at `path`, beside rows of another time; returns it all."""
    kept: Results = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    kept.setdefault("beside", {})
    for key, row in rows.items():
        measured = {**row, "measured": datetime.now(UTC).isoformat(timespec="seconds")}
        (kept if "must" in row else kept["beside"])[key] = measured
    kept["about"] = dict(about)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    return kept


def markdown(results: Results) -> Iterator[str]:
    """Yield the lines of the table for a page."""
    yield "| | what | median (spread, runs) | must | aim |"
    yield "| --- | --- | --- | --- | --- |"
    goals_first = {**results, **results["beside"]}
    for key, row in goals_first.items():
        if key in ("about", "beside"):
            continue
        measured = f"{_number(row['median'])} {row['unit']}".rstrip()
        goals = f"{_goal(row, 'must')} | {_goal(row, 'aim')}"
        yield f"| `{key}` | {row['title']} | {measured} ({_spread(row)}) | {goals} |"


def _spread(row: Results) -> str:
    """Return the least and the most, and of how many."""
    return f"{_number(row['min'])} .. {_number(row['max'])}, {len(row['values'])}"


def _goal(row: Results, name: str) -> str:
    """Return a goal, and a mark if it is met."""
    return f"{row[name]:g} {'✓' if row[f'{name}_met'] else '✗'}" if name in row else ""


def _number(value: float) -> str:
    """Return three figures that count, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def into_page(page: Path, text: str, name: str = "bench") -> None:
    """Replace the text between the two marks with this name; keep the rest of the page."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, first, rest = page.read_text(encoding="utf-8").partition(begin)
    _, second, after = rest.partition(end)
    assert first and second, f"{page} has its two marks"
    page.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", encoding="utf-8")
