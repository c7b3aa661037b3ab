"""Colours of what a report alone draws: they differ in lightness too."""

DARK, BRIGHT, GREY = "#08519c", "#d55e00", "#8a96a3"
