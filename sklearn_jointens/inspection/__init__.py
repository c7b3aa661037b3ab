"""Floor 5: what a fitted ensemble or search looks like from outside."""

from sklearn_jointens.inspection._calibration import calibration
from sklearn_jointens.inspection._decomposition import diversity_decomposition
from sklearn_jointens.inspection._disagreement import pairwise_disagreement
from sklearn_jointens.inspection._diversity_map_display import DiversityMapDisplay
from sklearn_jointens.inspection._lam_curve import LamCurveDisplay
from sklearn_jointens.inspection._loss_decomposition_display import (
    LossDecompositionDisplay,
)
from sklearn_jointens.inspection._member_curves_display import MemberCurvesDisplay
from sklearn_jointens.inspection._member_filters_display import MemberFiltersDisplay
from sklearn_jointens.inspection._risk_coverage import risk_coverage_curve
from sklearn_jointens.inspection._risk_coverage_display import RiskCoverageDisplay
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
    "calibration",
    "diversity_decomposition",
    "pairwise_disagreement",
    "risk_coverage_curve",
    "uncertainty",
]
