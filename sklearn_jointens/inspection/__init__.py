"""Floor 5: what a fitted ensemble or search looks like from outside."""

from sklearn_jointens.inspection._lam_curve import LamCurveDisplay

__all__ = ["LamCurveDisplay"]
