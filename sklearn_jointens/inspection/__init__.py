"""Floor 5: what a fitted ensemble or search looks like from outside."""

from sklearn_jointens.inspection._lam_curve import LamCurveDisplay
from sklearn_jointens.inspection._loss_decomposition_display import (
    LossDecompositionDisplay,
)
from sklearn_jointens.inspection._member_curves_display import MemberCurvesDisplay
from sklearn_jointens.inspection._member_filters_display import MemberFiltersDisplay

__all__ = [
    "LamCurveDisplay",
    "LossDecompositionDisplay",
    "MemberCurvesDisplay",
    "MemberFiltersDisplay",
]
