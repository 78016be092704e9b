"""Puts what was measured last between the marks on the pages, and draws the plot."""

import json
from collections.abc import Iterator
from pathlib import Path

from bench import plot
from bench.reach import CURVES
from bench.table import CPU, GPU, Results, markdown

PLOT = Path("docs", "images", "bench.png")
README, PAGE = Path("README.md"), Path("docs", "benchmark.md")


def publish(results: Path, root: Path) -> None:
    """Write the blocks of README.md and docs/benchmark.md under `root`.

    What there is in the folder `results` is told: figures of the processor, of a GPU, and the
    curves of the plot.
    """
    found = [json.loads(path.read_text(encoding="utf-8"))
             for name in (CPU, GPU) if (path := results / name).is_file()]  # fmt: skip
    if (results / CURVES).is_file():
        plot.draw(results / CURVES, root / PLOT)
    for page in (README, PAGE):
        picture = PLOT if page is README else PLOT.relative_to(PAGE.parent)
        lines = [line for one in found for line in block(one, beside=page is PAGE)]
        if (root / PLOT).is_file():
            lines += ["", f"![Loss against seconds, ours and that of pastiche]({picture})"]
        into_page(root / page, "\n".join(lines))


def block(results: Results, *, beside: bool) -> Iterator[str]:
    """What was measured on one machine."""
    yield ""
    about = results["about"]
    yield f"Measured on {about['machine']}, torch {about['torch']}, with {about['pictures']}."
    yield ""
    yield from markdown(results, beside=beside)


def into_page(page: Path, text: str, name: str = "bench") -> None:
    """Put a text between the two marks that have this name; the rest of the page stays."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, first, rest = page.read_text(encoding="utf-8").partition(begin)
    _, second, after = rest.partition(end)
    assert first and second, f"{page} has its two marks"
    page.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", encoding="utf-8")
