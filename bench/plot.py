"""The plot of the bench: loss against seconds, ours and pastiche's."""

import json
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

LOOKS = {"ours": ("stylewatch, --schedule fast", "#c2571a"), "pastiche": ("pastiche", "#2a5b84")}
KINDS = {"png": ("-", "as written (PNG)"), "float": (":", "before rounding")}


def draw(curves: Path, out: Path) -> None:
    """Draw what the JSON `curves` holds; the ending of `out` says in which format."""
    plain = json.loads(curves.read_text(encoding="utf-8"))
    with mpl.rc_context({"svg.hashsalt": "bench", "font.size": 10}):
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        axes = figure.subplots()
        for whose, (name, color) in LOOKS.items():
            for kind, (dash, words) in KINDS.items():
                curve, label = plain[whose][kind], f"{name}, {words}"
                axes.plot(curve["seconds"], curve["losses"], dash, color=color, label=label)
        axes.set(xscale="log", yscale="log", xlabel="seconds from the start of the command",
                 ylabel="loss of objective pastiche, by the referee")  # fmt: skip
        axes.grid(visible=True, which="both", alpha=0.25)
        axes.legend(frameon=False)
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, dpi=110, metadata={"Software": None})
