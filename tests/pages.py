"""Pages of reports, as tests read them."""

from collections import Counter
from html.parser import HTMLParser

import pytest

# Elements without an end.
VOID = {"meta", "img"}


class Page(HTMLParser):
    """What a page holds; it raises where tags do not match."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes = [], Counter(), []
        self.sections, self.cells, self.text = [], [], ""
        self.alternatives, self.images, self.headings = [], [], []
        self.terms = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, *pair) for pair in attrs]
        attrs = dict(attrs)
        if tag == "section":
            self.sections.append(attrs["id"])
        if tag == "img":
            self.alternatives.append(attrs["alt"])
            self.images.append(attrs["src"])
        if tag in ("td", "th", "dd"):
            self.cells.append("")
        if tag == "dt":
            self.terms.append((len(self.cells), ""))
        if tag in ("h1", "h2", "h3"):
            self.headings.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open and self.open[-1] in ("td", "th", "dd"):
            self.cells[-1] += data

        if self.open and self.open[-1] == "dt":
            at, name = self.terms[-1]
            self.terms[-1] = at, name + data

    def fact(self, term):
        """What the first list that has the term says of it."""
        return next(self.cells[at] for at, name in self.terms if name == term)

    def row(self, name):
        """The cells after the one that says `name`, up to three."""
        at = self.cells.index(name)
        return self.cells[at + 1 : at + 4]


def read(made):
    return Page(made.html)


def near(text, value):
    """Whether a cell shows a number, rounded."""
    return float(text.replace("\N{MINUS SIGN}", "-")) == pytest.approx(value, rel=5e-3)
