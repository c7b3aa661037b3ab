"""Floor 5: what a fitted ensemble or search looks like from outside."""

from sklearn_jointens.inspection._collusion import collusion_report
from sklearn_jointens.inspection._contributions import member_contributions
from sklearn_jointens.inspection._lam_curve import LamCurveDisplay
from sklearn_jointens.inspection._loss_decomposition_display import (
    LossDecompositionDisplay,
)
from sklearn_jointens.inspection._member_curves_display import MemberCurvesDisplay
from sklearn_jointens.inspection._member_filters_display import MemberFiltersDisplay
from sklearn_jointens.inspection._pruning import prune_members
from sklearn_jointens.inspection._robustness import robustness_curve
from sklearn_jointens.inspection._robustness_display import RobustnessCurveDisplay

__all__ = [
    "LamCurveDisplay",
    "LossDecompositionDisplay",
    "MemberCurvesDisplay",
    "MemberFiltersDisplay",
    "RobustnessCurveDisplay",
    "collusion_report",
    "member_contributions",
    "prune_members",
    "robustness_curve",
]
