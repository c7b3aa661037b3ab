"""Floor 5: what a fitted ensemble or search looks like from outside."""

from sklearn_jointens.inspection._calibration import calibration
from sklearn_jointens.inspection._collusion import collusion_report
from sklearn_jointens.inspection._contributions import member_contributions
from sklearn_jointens.inspection._decomposition import diversity_decomposition
from sklearn_jointens.inspection._disagreement import pairwise_disagreement
from sklearn_jointens.inspection._diversity_map_display import DiversityMapDisplay
from sklearn_jointens.inspection._lam_curve import LamCurveDisplay
from sklearn_jointens.inspection._loss_decomposition_display import (
    LossDecompositionDisplay,
)
from sklearn_jointens.inspection._member_curves_display import MemberCurvesDisplay
from sklearn_jointens.inspection._member_filters_display import MemberFiltersDisplay
from sklearn_jointens.inspection._pruning import prune_members
from sklearn_jointens.inspection._risk_coverage import risk_coverage_curve
from sklearn_jointens.inspection._risk_coverage_display import RiskCoverageDisplay
from sklearn_jointens.inspection._robustness import robustness_curve
from sklearn_jointens.inspection._robustness_display import RobustnessCurveDisplay
from sklearn_jointens.inspection._uncertainty import (
    RewardedDiversityWarning,
    uncertainty,
)

__all__ = [
    "DiversityMapDisplay",
    "LamCurveDisplay",
    "LossDecompositionDisplay",
    "MemberCurvesDisplay",
    "MemberFiltersDisplay",
    "RewardedDiversityWarning",
    "RiskCoverageDisplay",
    "RobustnessCurveDisplay",
    "calibration",
    "collusion_report",
    "diversity_decomposition",
    "member_contributions",
    "pairwise_disagreement",
    "prune_members",
    "risk_coverage_curve",
    "robustness_curve",
    "uncertainty",
]
