"""The page of a report: what is told of a painting, as HTML that asks nobody for anything.

All that comes from outside, names and sentences, is escaped here, at the one place where text
becomes HTML.
"""

import re
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from string import Template

from stylewatch_daemon.cli.html.facts import Table, subtitle, tables
from stylewatch_daemon.cli.html.gallery import GONE, Gallery, Shown
from stylewatch_daemon.cli.html.painted import Painted
from stylewatch_daemon.files.names import shown

_DIGEST = re.compile(r"[0-9a-f]{64}")


def page(painted: Painted, gallery: Gallery) -> str:
    """The whole page."""
    template = Template(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(painted.name),
        subtitle=escape(subtitle(painted)),
        version=escape(painted.receipt.version),
        painting=_figure(gallery.painting, "painting"),
        warnings=_warnings(painted.receipt.warnings),
        inputs=_row("From", gallery.inputs, "row inputs"),
        stages=_row("On the way", gallery.stages, "row"),
        losses=_section("Losses, drawn", _figure(gallery.losses, "plot"))
        if gallery.losses.data
        else "",
        tables="\n".join(_section(one.title, _table(one)) for one in tables(painted)),
    )


def _figure(one: Shown, kind: str = "") -> str:
    """A picture with its caption, or a word in its place."""
    caption = escape(one.caption)
    inner = (
        f'<img src="{escape(one.data)}" alt="{caption}">'
        if one.data
        else f'<p class="gone">{GONE}</p>'
    )
    return f'<figure class="{kind}">{inner}<figcaption>{caption}</figcaption></figure>'


def _row(title: str, pictures: Sequence[Shown], kind: str) -> str:
    if not pictures:
        return ""
    inner = "\n".join(_figure(one) for one in pictures)
    return _section(title, f'<div class="{kind}">\n{inner}\n</div>')


def _warnings(sentences: Iterable[str]) -> str:
    told = "".join(f"<li>{escape(shown(one))}</li>" for one in sentences)
    return f'<ul class="warnings">{told}</ul>' if told else ""


def _section(title: str, inner: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{inner}\n</section>"


def _table(table: Table) -> str:
    """What stands first in a row names it."""
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in table.head)
    rows = "\n".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(map(_cell, rest))}</tr>'
        for first, *rest in table.rows
    )
    above = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f'<div class="wide"><table>{above}<tbody>\n{rows}\n</tbody></table></div>'


def _cell(text: str) -> str:
    kind = ' class="digest"' if _DIGEST.fullmatch(text) else ""
    return f"<td{kind}>{escape(text)}</td>"
