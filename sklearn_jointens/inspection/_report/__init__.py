"""All that is seen of an ensemble, on one page."""

from sklearn_jointens.inspection._report._report import Report, report

__all__ = ["Report", "report"]
