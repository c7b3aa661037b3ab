"""What a search finds, in scikit-learn's words and in two of its own."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from search_tools import LAMS, grid_search, search
from sklearn.metrics import log_loss, make_scorer
from sklearn.model_selection import StratifiedKFold


def further_keys(fitted, names):
    kinds = ("test", "train") if fitted.return_train_score else ("test",)
    return {
        key
        for kind in kinds
        for name in names
        for key in (
            f"mean_{kind}_{name}",
            f"std_{kind}_{name}",
            *(f"split{i}_{kind}_{name}" for i in range(fitted.n_splits_)),
            *([f"rank_{kind}_{name}"] if kind == "test" else []),
        )
    }


# -- cv_results_ -----------------------------------------------------------------------


@pytest.mark.quick(1)
@pytest.mark.parametrize("return_train_score", [False, True])
@pytest.mark.parametrize(
    ("scoring", "refit", "further"),
    [
        (None, True, ["member_score"]),
        ("neg_log_loss", True, ["member_score"]),
        (
            ["accuracy", "neg_log_loss"],
            "accuracy",
            ["member_accuracy", "member_neg_log_loss"],
        ),
        (
            {
                "a": "accuracy",
                "loss": make_scorer(log_loss, response_method="predict_proba"),
            },
            False,
            ["member_a", "member_loss"],
        ),
    ],
    ids=["default", "name", "list", "dict"],
)
def test_results_are_those_of_grid_search_and_two_more(
    scoring, refit, further, return_train_score, iris
):
    settings = {
        "cv": 2,
        "scoring": scoring,
        "refit": refit,
        "return_train_score": return_train_score,
    }
    ours, theirs = search(**settings).fit(*iris), grid_search(**settings).fit(*iris)

    expected = set(theirs.cv_results_)
    further = further_keys(ours, [*further, "diversity"])
    assert set(ours.cv_results_) == expected | further
    assert not expected & further
    for key in expected:
        if "time" in key:
            assert (ours.cv_results_[key] >= 0).all()
        elif key == "params":
            assert ours.cv_results_[key] == theirs.cv_results_[key]
        else:
            np.testing.assert_allclose(
                np.asarray(ours.cv_results_[key], dtype=float),
                np.asarray(theirs.cv_results_[key], dtype=float),
                atol=1e-6,
                err_msg=key,
            )
    assert ours.multimetric_ == theirs.multimetric_
    for name in ("best_index_", "best_score_", "best_params_", "refit_time_"):
        assert hasattr(ours, name) == hasattr(theirs, name), name
        if hasattr(ours, name) and name != "refit_time_":
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name))


def test_results_make_a_frame_with_a_row_a_lam(iris):
    frame = pd.DataFrame(search().fit(*iris).cv_results_)

    assert frame["param_lam"].tolist() == list(LAMS)
    assert len(frame) == len(LAMS)


# -- what is chosen --------------------------------------------------------------------


def scorer_by_lam(scores):
    """A scorer that gives each lam what it is told."""

    def score(clf, X, y):
        return scores[getattr(clf, "lam", LAMS[0])]

    return score


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("scores", "best"), [((1, 2, 3), 2), ((3, 1, 3), 0), ((0, 2, 2), 1), ((1, 1, 1), 0)]
)
def test_the_best_is_chosen_and_the_first_of_several(scores, best, iris):
    scoring = scorer_by_lam(dict(zip(LAMS, scores, strict=True)))

    fitted = search(scoring=scoring).fit(*iris)

    assert fitted.best_index_ == best
    assert fitted.lam_ == LAMS[best]
    assert fitted.best_params_ == {"lam": LAMS[best]}
    assert fitted.best_score_ == scores[best]
    assert fitted.best_estimator_.lam == LAMS[best]
    np.testing.assert_array_equal(fitted.lams_, LAMS)


def test_order_of_lams_is_kept(iris):
    fitted = search(lams=[1, 0, 0.5]).fit(*iris)

    assert fitted.lams_.tolist() == [1.0, 0.0, 0.5]
    assert fitted.lams_.dtype == float
    assert fitted.lam_ == fitted.lams_[fitted.best_index_]
    straight = search().fit(*iris)
    np.testing.assert_allclose(
        fitted.cv_results_["mean_test_diversity"],
        straight.cv_results_["mean_test_diversity"][[2, 0, 1]],
        rtol=1e-9,
    )


@pytest.mark.quick(1)
@pytest.mark.parametrize("selection", ["best", "one_standard_error"])
def test_one_standard_error_prefers_the_smaller_lam(selection, iris):
    """Means are 0.80, 0.88 and 0.90; the standard error of the last is 0.0289."""
    scores = {
        0.4: (0.80, 0.80, 0.80),
        0.2: (0.88, 0.88, 0.88),
        0.9: (0.85, 0.90, 0.95),
    }
    folds = list(StratifiedKFold(3).split(*iris))
    X, _ = iris
    known = {float(X[test].sum()): i for i, (_, test) in enumerate(folds)}

    def scoring(clf, X, y):
        return scores[getattr(clf, "lam", 0.2)][known[float(X.sum())]]

    fitted = search(
        lams=list(scores), cv=folds, scoring=scoring, selection=selection
    ).fit(*iris)

    assert stats.sem(scores[0.9]) == pytest.approx(0.02887, abs=1e-5)
    expected = 0.9 if selection == "best" else 0.2
    assert fitted.lam_ == expected
    assert fitted.best_score_ == pytest.approx(np.mean(scores[expected]))


def test_one_standard_error_of_a_single_split_is_the_best(iris):
    cv = [(np.arange(70), np.arange(70, 100))]
    scoring = scorer_by_lam({0.0: 0.1, 0.5: 0.3, 1.0: 0.2})

    fitted = search(cv=cv, scoring=scoring, selection="one_standard_error").fit(*iris)

    assert fitted.lam_ == 0.5


def test_refit_by_a_callable(iris):
    seen = []

    def most_diverse(results):
        seen.append(results)
        return np.argmax(results["mean_test_diversity"])

    fitted = search(refit=most_diverse).fit(*iris)

    assert fitted.lam_ == LAMS[fitted.cv_results_["mean_test_diversity"].argmax()]
    assert seen[0] is fitted.cv_results_
    assert type(fitted.best_index_) is int
    # One metric is still one metric.
    means = fitted.cv_results_["mean_test_score"]
    assert fitted.best_score_ == means[fitted.best_index_]


def test_refit_by_a_callable_of_several_metrics(iris):
    fitted = search(scoring=["accuracy", "roc_auc_ovr"], refit=lambda _: 1).fit(*iris)

    assert fitted.lam_ == LAMS[1]
    assert not hasattr(fitted, "best_score_")
    assert set(fitted.score(*iris)) == {"accuracy", "roc_auc_ovr"}


def test_refit_by_the_name_of_one_of_several_metrics(iris):
    fitted = search(scoring=["accuracy", "neg_log_loss"], refit="neg_log_loss")
    fitted.fit(*iris)

    means = fitted.cv_results_["mean_test_neg_log_loss"]
    assert fitted.best_index_ == means.argmax()
    assert fitted.best_score_ == means.max()
    X, y = iris
    assert fitted.score(X, y) == pytest.approx(-log_loss(y, fitted.predict_proba(X)))


def test_no_refit_trains_no_final_ensemble(iris):
    fitted = search(refit=False).fit(*iris)

    assert fitted.lam_ in LAMS
    assert not hasattr(fitted, "best_estimator_")
    assert not hasattr(fitted, "refit_time_")
