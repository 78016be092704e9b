"""Results of the benchmark: a table for the terminal or a page, and JSON."""

import json
import os
import platform
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.rows import Figures

CPU, AVX2, GPU = "bench.json", "bench-avx2.json", "bench-gpu.json"
"""The files of results: of a processor with bf16, of one with AVX2 alone, and of a GPU."""

_LIMIT = os.environ.get("ATEN_CPU_CAPABILITY", "")
"""The instructions that torch may use at most."""

Results = dict[str, Any]
"""JSON of results: rows by key, `about` the machine, rows without a goal in `beside`."""


def machine() -> Results:
    """Describe the machine of the measurements."""
    import torch

    return {
        "machine": f"{os.cpu_count()} cores ({_processor()})",
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }


def cpu_file() -> str:
    """Return the file of results for this processor."""
    return CPU if _instructions() else AVX2


def _processor() -> str:
    """Return the name of the processor, and its bf16 instructions."""
    limit = [f"limited to {_LIMIT.upper()}"] if _LIMIT else []
    return ", ".join([_cpuinfo().get("model name", platform.processor()), *_instructions(), *limit])


def _instructions() -> list[str]:
    """Return the bf16 instructions of the processor, unless torch may not use them."""
    flags = () if _LIMIT else _cpuinfo().get("flags", "").split()
    return [flag for flag in flags if flag in ("avx512_bf16", "amx_bf16")]


def _cpuinfo() -> dict[str, str]:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return {}
    pairs = (line.split(":", 1) for line in cpuinfo.read_text("utf-8").splitlines() if line)
    return {key.strip(): value.strip() for key, value in pairs}


def keep(path: Path, figures: Mapping[str, Figures], about: Results) -> Results:
    """Write the figures into the JSON at `path`, beside rows of another time; returns it all."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for key, found in figures.items():
        beside = kept.setdefault("beside", {})
        where, other = (beside, kept) if found.row.must is None else (kept, beside)
        other.pop(key, None)  # from when it had a goal, or had none
        where[key] = {**found.as_json(), "measured": now}
    kept["about"] = about
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    return kept


def rows(results: Results) -> Iterator[tuple[str, Results]]:
    """The rows with a goal, then those without."""
    yield from ((key, row) for key, row in results.items() if key not in ("about", "beside"))
    yield from results.get("beside", {}).items()


def lines(results: Results) -> Iterator[str]:
    """The table for a terminal."""
    yield f"{'row':24} {'median':>9}  {'spread (runs)':24} {'must':>7} {'aim':>7}"
    for key, row in rows(results):
        cells = [number(row["median"]), spread(row), *(goal(row, name) for name in ("must", "aim"))]
        yield f"{key:24} {cells[0]:>9}  {cells[1]:24} {cells[2]:>7} {cells[3]:>7}  {row['title']}"


def markdown(results: Results) -> Iterator[str]:
    """Yield the lines of the table for a page."""
    yield "| | what | median (spread, runs) | must | aim |"
    yield "| --- | --- | --- | --- | --- |"
    for key, row in rows(results):
        unit = f" {row['unit']}" if row["unit"] else ""
        measured = f"{number(row['median'])}{unit} ({spread(row)})"
        goals = " | ".join(goal(row, name) for name in ("must", "aim"))
        yield f"| `{key}` | {row['title']} | {measured} | {goals} |"


def spread(row: Results) -> str:
    """The least and the most, and of how many."""
    return f"{number(row['min'])} .. {number(row['max'])}, {len(row['values'])}"


def goal(row: Results, name: str) -> str:
    """Return a goal, and a mark if it is met."""
    if name not in row:
        return ""
    return f"{row[name]:g} {'✓' if row[f'{name}_met'] else '✗'}"


def number(value: float) -> str:
    """Three figures that count, and no exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
