"""Parts of an HTML page. Whatever comes from outside is escaped here."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from sklearn_jointens.inspection._drawing import drawing_for

# What should be 0 may be as large; a difference, in units of what it is between.
_ROUNDING = 1e-15
_ROUNDING_OF_DIFFERENCES = 1e-12


class Section(NamedTuple):
    """A part of the page under a heading of its own.

    Attributes
    ----------
    name : str
        By which the page links to it.
    title : str
    advice : str
        What to look for.
    parts : list of str
        Each of them HTML.
    """

    name: str
    title: str
    advice: str
    parts: list[str]


def number(value: float) -> str:
    """A number as it is read: some four digits, and signs that do not break."""
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    if np.isnan(value):
        return "\N{EM DASH}"
    if abs(value) < _ROUNDING:
        return "0"
    digits = 4 if abs(value) >= 0.1 else 3
    return f"{value:.{digits}g}".replace("-", "\N{MINUS SIGN}")


def change(value: float) -> str:
    """A difference, with its sign."""
    return f"+{number(value)}" if value > 0 else number(value)


def without_rounding(value: float, between: float) -> float:
    """A difference of numbers as large as `between`; 0 if it is of rounding alone."""
    return 0.0 if abs(value) < _ROUNDING_OF_DIFFERENCES * abs(between) else value


def paragraph(text: str) -> str:
    """Plain text."""
    return f"<p>{escape(text)}</p>"


def facts(pairs: Iterable[tuple[str, Any]], kind: str = "facts") -> str:
    """A list of what is what; of kind "tiles" in large."""
    rows = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{_cell(value)}</dd></div>"
        for name, value in pairs
    )
    return f'<dl class="{kind}">{rows}</dl>'


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows under a head; the first cell of a row says what it is of."""
    heads = "".join(
        f'<th scope="col">{escape(name)}</th>' if name else "<td></td>" for name in head
    )
    body = "".join(
        f'<tr><th scope="row">{_cell(first)}</th>'
        + "".join(f"<td>{_cell(value)}</td>" for value in others)
        + "</tr>"
        for first, *others in rows
    )
    return (
        f'<div class="table" tabindex="0"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def details(summary: str, text: str) -> str:
    """Text as it stands, to be opened."""
    return (
        f"<details><summary>{escape(summary)}</summary>"
        f"<pre>{escape(text)}</pre></details>"
    )


def picture(draw: Any, alt: str, caption: str, *, of_pixels: bool = False) -> str:
    """A figure.

    Parameters
    ----------
    draw : callable
        Draws on the Axes that it is given.
    alt : str
        What is seen, for those who do not see it.
    caption : str
    of_pixels : bool, default=False
        Whether its colours mean numbers, so that a dark page leaves them as they are.
    """
    svg = drawing_for("report").svg_of(draw)
    data = base64.b64encode(svg).decode()
    kind = ' class="pixels"' if of_pixels else ""
    return (
        f'<figure{kind}><img src="data:image/svg+xml;base64,{data}" '
        f'alt="{escape(alt)}"><figcaption>{escape(caption)}</figcaption></figure>'
    )


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The whole page, which loads nothing.

    Parameters
    ----------
    title : str
    lead : str
        HTML above the sections.
    sections : sequence of Section
    """
    links = "".join(
        f'<li><a href="#{each.name}">{escape(each.title)}</a></li>' for each in sections
    )
    bodies = "".join(
        f'<section id="{each.name}"><h2>{escape(each.title)}</h2>'
        f'<p class="advice">{escape(each.advice)}</p>'
        f'<div class="parts">{"".join(each.parts)}</div></section>'
        for each in sections
    )
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body>"
        f"<header><h1>{escape(title)}</h1>{lead}"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></header>'
        f"<main>{bodies}</main></body></html>"
    )


def in_notebook(html: str) -> str:
    """The page in a frame, where its style is its own."""
    return (
        f'<iframe srcdoc="{escape(html)}" title="Report" '
        'style="width:100%;height:85vh;border:0"></iframe>'
    )


def _cell(value: Any) -> str:
    """Numbers in figures, anything else as text."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return number(value) if is_number else escape(str(value))
