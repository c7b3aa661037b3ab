"""A fitted ensemble tells all that is seen of it from outside."""

from typing import Any


class ReportedMixin:
    """Has a report."""

    def report(self, X: Any, y: Any, **params: Any) -> Any:
        """All that is seen of the ensemble, on one HTML page.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
            Rows that no member has learned from.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Their targets.
        **params : dict
            Of :func:`sklearn_jointens.inspection.report`, such as `path`, a file to
            write the page to.

        Returns
        -------
        Report
            A notebook shows it; its `save` writes it to a file.

        Raises
        ------
        ImportError
            matplotlib is not installed.
        """
        # What stands above is opened at the call.
        from sklearn_jointens.inspection import report

        return report(self, X, y, **params)
