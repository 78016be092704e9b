"""The HTML of a report: whole in itself, it loads nothing and runs nothing.

All names and sentences from outside are escaped here, where text becomes HTML.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template

from stylewatch_daemon.files.names import shown
from stylewatch_daemon.outbox.receipt import Receipt
from stylewatch_daemon.views.formatting import duration, when
from stylewatch_daemon.views.formatting import size as in_pixels
from stylewatch_daemon.views.job import JobView
from stylewatch_daemon.views.loss_curve import Curve

GONE = "this picture is no longer there"

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Figure:
    """A picture with its caption; `data` is a data: URI, empty where there is no such picture."""

    caption: str
    data: str = ""


@dataclass(frozen=True)
class Figures:
    """All pictures of a report."""

    output: Figure
    inputs: Sequence[Figure]
    stages: Sequence[Figure]


def page(view: JobView, receipt: Receipt, figures: Figures) -> str:
    """Render the report of a job with this `receipt`."""
    template = Template(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    subtitle = (
        f"recipe {receipt.recipe.get('name', '?')}",
        f"{in_pixels(receipt.size)} pixels",
        f"{receipt.backend.name} on {receipt.backend.device}",
        duration(receipt.seconds),
        when(receipt.finished),
    )
    return template.substitute(
        title=escape(view.name),
        subtitle=escape(" · ".join(map(shown, subtitle))),
        version=escape(shown(receipt.version)),
        output=_figure(figures.output, "output"),
        warnings=_warnings(view.warnings),
        inputs=_row("Inputs", figures.inputs, "row inputs"),
        stages=_row("Stages", figures.stages, "row"),
        curve=_curve(view.curve),
        tables="\n".join(_tables(view, receipt)),
    )


def _tables(view: JobView, receipt: Receipt) -> Iterable[str]:
    network = receipt.weights
    facts = [
        ("job", view.name),
        ("state", receipt.state),
        *view.facts,
        ("network SHA-256", shown(network.sha256) if network else ""),
        ("retry of", shown(receipt.retry_of or "")),
        ("started", when(receipt.started)),
        ("finished", when(receipt.finished)),
    ]
    attempts = [
        (
            when(row.started) if row.started else "",
            row.backend,
            row.resumed,
            row.outcome,
            row.reason,
        )
        for row in view.attempt_rows
    ]
    inputs = [(row.role, row.name, row.size, row.converted, row.sha256) for row in view.inputs]
    tables = (
        ("Result", (), [(label, text) for label, text in facts if text]),
        ("Input files", ("role", "name", "pixels", "converted", "SHA-256"), inputs),
        ("Final losses", ("term", "value", "weight", "value x weight"), view.losses),
        ("Attempts", ("started", "backend", "resumed", "outcome", "reason"), attempts),
        ("Settings of the recipe", (), view.settings),
        ("Output files", ("file", "SHA-256"), [file for file in view.files if file[1]]),
    )
    return (_section(title, _table(head, rows)) for title, head, rows in tables if rows)


def _figure(figure: Figure, kind: str = "") -> str:
    """A picture with its caption, or a sentence in its place."""
    caption = escape(figure.caption)
    inner = (
        f'<img src="{escape(figure.data)}" alt="{caption}">'
        if figure.data
        else f'<p class="gone">{GONE}</p>'
    )
    return f'<figure class="{kind}">{inner}<figcaption>{caption}</figcaption></figure>'


def _row(title: str, figures: Sequence[Figure], kind: str) -> str:
    if not figures:
        return ""
    inner = "\n".join(map(_figure, figures))
    return _section(title, f'<div class="{kind}">\n{inner}\n</div>')


def _curve(curve: Curve | None) -> str:
    if curve is None:
        return ""
    legend = "the total is dark; content terms are green, style terms orange" if curve.terms else ""
    caption = "; ".join(filter(None, (curve.words, legend)))
    inner = f"{curve.svg}<figcaption>{escape(caption)}</figcaption>"
    return _section("Losses", f'<figure class="curve">{inner}</figure>')


def _warnings(sentences: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f'<ul class="warnings">{items}</ul>' if items else ""


def _section(title: str, inner: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{inner}\n</section>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table without its empty columns; the first cell of a row names it."""
    kept = [number for number, column in enumerate(zip(*rows, strict=True)) if any(column)]
    titles = "".join(f'<th scope="col">{escape(head[number])}</th>' for number in kept if head)
    body = "\n".join(
        f'<tr><th scope="row">{escape(row[kept[0]])}</th>'
        f"{''.join(_cell(row[number]) for number in kept[1:])}</tr>"
        for row in rows
    )
    above = f"<thead><tr>{titles}</tr></thead>" if titles else ""
    return f'<div class="wide"><table>{above}<tbody>\n{body}\n</tbody></table></div>'


def _cell(text: str) -> str:
    kind = ' class="digest"' if _DIGEST.fullmatch(text) else ""
    return f"<td{kind}>{escape(text)}</td>"
