"""What `see_inside.py` shows: a table of each kind of inspection, and pictures."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss, roc_auc_score

from examples._data import Data
from examples._report import STYLE, markdown_table
from sklearn_jointens import JointEnsembleClassifier
from sklearn_jointens import inspection as inspect

mpl.use("Agg")

import matplotlib.pyplot as plt

SHARES = (0.25, 0.5, 0.75)
MEASURES = {
    "total_entropy": "entropy of the mean probability",
    "expected_entropy": "mean entropy of the members",
    "mutual_information": "mutual information",
    "ensemble_entropy": "entropy of the ensemble",
    "diversity": "diversity",
    "disagreement": "disagreement",
    "variation_ratio": "variation ratio",
}


# Those whose risk is drawn against coverage.
DRAWN_MEASURES = ("ensemble_entropy", "mutual_information")


class Run(NamedTuple):
    """A fitted ensemble, and the rows that its last epochs were chosen by.

    Attributes
    ----------
    lam : float
    seed : int
    ensemble : JointEnsembleClassifier
    X_valid, y_valid : ndarray
    """

    lam: float
    seed: int
    ensemble: JointEnsembleClassifier
    X_valid: np.ndarray
    y_valid: np.ndarray


class Subject(NamedTuple):
    """All that is inspected.

    Attributes
    ----------
    runs : list of Run
    data : Data
    odd_rows : ndarray of shape (n_odd, n_features)
        Rows that are of no class.
    odd : str
        What they are.
    """

    runs: list[Run]
    data: Data
    odd_rows: np.ndarray
    odd: str

    def first_of_each_lam(self) -> list[Run]:
        """In the order of lam."""
        first = {run.lam: run for run in reversed(self.runs)}
        return [first[lam] for lam in sorted(first)]


def _table(rows: list[dict[str, Any]], form: dict[str, str]) -> str:
    """Means over seeds by lam, with standard errors where there are several."""
    by_lam = pd.DataFrame(rows).groupby("lam")
    lines = [["lam", *form]]
    for lam, own in by_lam:
        cells = [
            f"{own[name].mean():{spec}}"
            + (f" ± {own[name].sem():{spec}}" if len(own) > 1 else "")
            for name, spec in form.items()
        ]
        lines.append([f"{lam:g}", *cells])
    return markdown_table(lines)


def robustness(subject: Subject, path: Path) -> str:
    """Accuracy when members are dropped at random, another subset for each row."""
    X, y = subject.data.X_test, subject.data.y_test
    rows, drawn = [], {}
    for run in subject.runs:
        n_members = len(run.ensemble.estimators_)
        counts = sorted(
            {min(round(n_members * k / 20), n_members - 1) for k in range(20)}
        )
        curve = inspect.robustness_curve(
            run.ensemble, X, y, n_dropped=counts, random_state=run.seed
        )
        means = 100 * curve.scores.mean(1)
        drawn.setdefault(run.lam, curve)
        lost = {
            f"points lost with {share:.0%} dropped": means[0]
            - means[curve.n_dropped == round(n_members * share)].item()
            for share in SHARES
        }
        kept = curve.n_dropped[means > means[0] - 0.5]
        rows.append(
            {
                "lam": run.lam,
                "test accuracy, %": 100 * curve.score,
                **lost,
                "may be dropped for 0.5 points, %": 100 * kept.max() / n_members,
            }
        )
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(7, 4.6), layout="constrained")
        for lam in sorted(drawn):
            inspect.RobustnessCurveDisplay.from_curve(
                drawn[lam], name=f"lam = {lam:g}", ax=axis
            )
        figure.savefig(path.with_suffix(".png"), dpi=150)
        plt.close(figure)
    names = [name for name in rows[0] if name != "lam"]
    return _table(rows, dict.fromkeys(names, ".1f"))


def pruning(subject: Subject, path: Path) -> str:
    """The smallest ensemble that loses at most half a point on held-out rows."""
    rows = []
    for run in subject.runs:
        found = inspect.prune_members(run.ensemble, run.X_valid, run.y_valid)
        X, y = subject.data.X_test, subject.data.y_test
        score, pruned = run.ensemble.score(X, y), found.estimator.score(X, y)
        rows.append(
            {
                "lam": run.lam,
                "members": len(run.ensemble.estimators_),
                "left": len(found.members),
                "test accuracy, %": 100 * score,
                "of those left, %": 100 * pruned,
                "times smaller": found.n_parameters / found.pruned_n_parameters,
                "times faster": found.seconds / found.pruned_seconds,
            }
        )
    form = ".0f", ".1f", ".1f", ".1f", ".1f", ".1f"
    return _table(rows, dict(zip(list(rows[0])[1:], form, strict=True)))


def calibration(subject: Subject, path: Path) -> str:
    """Calibration error, before and after one temperature for the ensemble."""
    X, y = subject.data.X_test, subject.data.y_test
    rows = []
    for run in subject.runs:
        scaled = CalibratedClassifierCV(
            FrozenEstimator(run.ensemble), method="temperature"
        ).fit(run.X_valid, run.y_valid)
        (temperature,) = scaled.calibrated_classifiers_
        error, loss = _calibration_error_and_loss(run.ensemble, X, y)
        scaled_error, scaled_loss = _calibration_error_and_loss(scaled, X, y)
        of_members = [
            _calibration_error_and_loss(member, X, y)[0]
            for member in run.ensemble.estimators_
        ]
        rows.append(
            {
                "lam": run.lam,
                "ECE, %": error,
                "mean member's, %": np.mean(of_members),
                "log-loss": loss,
                "temperature": 1 / temperature.calibrators[0].beta_,
                "ECE with it, %": scaled_error,
                "log-loss with it": scaled_loss,
            }
        )
    form = ".1f", ".1f", ".3f", ".2f", ".1f", ".3f"
    return _table(rows, dict(zip(list(rows[0])[1:], form, strict=True)))


def _calibration_error_and_loss(
    estimator: BaseEstimator, X: np.ndarray, y: np.ndarray
) -> tuple[float, float]:
    error = inspect.calibration(estimator, X, y).expected_calibration_error
    proba = estimator.predict_proba(X).astype(np.float64)
    # In float32 they sum to 1 but for rounding, of which scikit-learn would warn.
    return 100 * error, log_loss(y, proba / proba.sum(1, keepdims=True))


def uncertainty(subject: Subject, path: Path) -> str:
    """How well each measure tells rows of no class, and the ensemble's own errors."""
    X, y = subject.data.X_test, subject.data.y_test
    rows: list[dict[str, Any]] = []
    curves: dict[str, dict] = {name: {} for name in DRAWN_MEASURES}
    for run in subject.runs:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", inspect.RewardedDiversityWarning)
            known = inspect.uncertainty(run.ensemble, X)
            odd = inspect.uncertainty(run.ensemble, subject.odd_rows)
        wrong = run.ensemble.predict(X) != y
        is_odd = np.repeat([False, True], [len(X), len(subject.odd_rows)])
        for measure, name in MEASURES.items():
            both = np.concatenate([known[measure], odd[measure]])
            curve = inspect.risk_coverage_curve(wrong, known[measure])
            rows.append(
                {
                    "lam": run.lam,
                    "measure": name,
                    "rows": roc_auc_score(is_odd, both),
                    "errors": roc_auc_score(wrong, known[measure]),
                    "area": 100 * curve.area,
                }
            )
            if measure in curves:
                curves[measure].setdefault(run.lam, (wrong, known[measure]))
    table = pd.DataFrame(rows)
    _draw_uncertainty(table, curves, subject.odd, path.with_suffix(".png"))
    return "\n\n".join(
        f"**{title}**\n\n{_wide(table, column, spec)}"
        for column, title, spec in (
            ("rows", f"ROC AUC: {subject.odd} against test rows", ".3f"),
            ("errors", "ROC AUC: the ensemble's errors on test rows", ".3f"),
            ("area", "area under the risk-coverage curve, %", ".2f"),
        )
    )


def _wide(table: pd.DataFrame, column: str, spec: str) -> str:
    """A line for each measure, a column for each lam."""
    wide = table.groupby(["measure", "lam"], sort=False)[column].agg(["mean", "sem"])
    lams = sorted(table["lam"].unique())
    lines = [["measure", *(f"lam = {lam:g}" for lam in lams)]]
    for name in MEASURES.values():
        cells = []
        for lam in lams:
            mean, error = wide.loc[(name, lam)]
            told = "" if np.isnan(error) else f" ± {error:{spec}}"
            cells.append(f"{mean:{spec}}{told}")
        lines.append([name, *cells])
    return markdown_table(lines)


def _draw_uncertainty(
    table: pd.DataFrame,
    curves: dict[str, dict[float, Any]],
    odd: str,
    path: Path,
) -> None:
    """ROC AUC of each measure by lam, and risk against coverage by two of them."""
    with plt.rc_context(STYLE):
        figure, (first, *others) = plt.subplots(
            1, 3, figsize=(13, 5), layout="constrained"
        )
        wide = table.pivot_table(index="lam", columns="measure", values="rows")
        for name in MEASURES.values():
            first.plot([f"{lam:g}" for lam in wide.index], wide[name], "o-", label=name)
        first.axhline(0.5, color="grey", linestyle=":")
        first.set(xlabel="lam", ylabel="ROC AUC", title=f"Tells {odd}")
        worst = max(wrong.mean() for wrong, _ in curves[DRAWN_MEASURES[0]].values())
        for axis, (measure, by_lam) in zip(others, curves.items(), strict=True):
            for lam in sorted(by_lam):
                curve = inspect.risk_coverage_curve(*by_lam[lam])
                axis.plot(curve.coverage, curve.risk, label=f"lam = {lam:g}")
            axis.set(
                xlabel="coverage, the most certain first",
                ylabel="error rate",
                ylim=(0, 1.5 * worst),
                title=f"By {MEASURES[measure]}",
            )
        figure.legend(
            *first.get_legend_handles_labels(), loc="outside lower left", ncols=3
        )
        figure.legend(
            *axis.get_legend_handles_labels(), loc="outside lower right", ncols=3
        )
        figure.savefig(path, dpi=120)
        plt.close(figure)


def decomposition(subject: Subject, path: Path) -> str:
    """Losses of ensemble and members, and what of their diversity is collusion."""
    data = subject.data
    independent = {run.seed: run.ensemble for run in subject.runs if run.lam == 0}
    rows = []
    for run in subject.runs:
        found = inspect.collusion_report(
            run.ensemble,
            *(data.X_train, data.y_train, data.X_test, data.y_test),
            independent=independent.get(run.seed),
            n_repeats=5,
            random_state=run.seed,
        )
        rows.append(
            {
                "lam": run.lam,
                "ensemble loss": found.test_loss,
                "mean member's": found.test_loss + found.test_diversity,
                "diversity": found.test_diversity,
                "debiased": found.debiased_test_diversity,
                "gap to training rows": found.diversity_gap,
                "codependence at 20 %": found.codependence[0],
                "at 40 %": found.codependence[1],
                "at 60 %": found.codependence[2],
            }
        )
    with plt.rc_context(STYLE):
        ensembles = [run.ensemble for run in subject.first_of_each_lam()]
        display = inspect.LossDecompositionDisplay.from_estimators(
            ensembles, data.X_test, data.y_test, y_scale="log"
        )
        display.figure_.savefig(path.with_suffix(".png"), dpi=150)
        plt.close(display.figure_)
    return _table(rows, dict.fromkeys(list(rows[0])[1:], ".3f"))


INSPECTIONS: dict[str, Callable[[Subject, Path], str]] = {
    "robustness": robustness,
    "pruning": pruning,
    "calibration": calibration,
    "uncertainty": uncertainty,
    "decomposition": decomposition,
}
