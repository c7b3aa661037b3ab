"""Weights and numbers of any size, inputs of any kind, arrays that nobody may write to.

Every warning is an error here, those that torch gives once in a process too.
"""

import re

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from skorch.dataset import Dataset, ValidSplit
from skorch.helper import SliceDict
from tools import weights
from torch import nn
from torch.utils.data import Subset, TensorDataset

from sklearn_jointens import (
    JointEnsembleClassifier,
    JointEnsembleClassifierCV,
    mlp_classifier,
    tabular_classifier,
)
from sklearn_jointens.training._batches import unwrap_subset

Ensemble, Search = JointEnsembleClassifier, JointEnsembleClassifierCV
MAKERS = {"mlp": mlp_classifier, "table": tabular_classifier}


@pytest.fixture
def _warns_always():
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(before)


def member(maker=mlp_classifier, **params):
    return maker((4,), max_epochs=2, **params)


def narrow(**params):
    return member(module__dtype=torch.float32, **params)


# -- weights -------------------------------------------------------------------------


@pytest.mark.quick(1)
@pytest.mark.parametrize("exponent", [-1000, -166, 126, 1000])
@pytest.mark.parametrize("maker", MAKERS)
def test_weights_count_relative_to_one_another(iris, maker, exponent):
    """Those of 1e-50 or 1e38 left the net untrained, with a loss of 0."""
    X, y = iris[0].astype(np.float32), iris[1]
    sizes = np.random.RandomState(0).uniform(0.1, 3, len(y))
    net = member(MAKERS[maker], train_split=ValidSplit(4))
    for params in ({}, {"class_weight": {0: 1, 1: 3, 2: 0.5}}, {"bootstrap": True}):
        plain, scaled = (
            Ensemble(net, 2, random_state=0, **params).fit(X, y, sample_weight=w)
            for w in (sizes, sizes * 2.0**exponent)
        )
        np.testing.assert_array_equal(weights(scaled), weights(plain))
        assert scaled.history_[:, "valid_loss"] == plain.history_[:, "valid_loss"]
        assert scaled.history_[-1, "train_loss"] > 0
        for clf, w in ((plain, sizes), (scaled, sizes * 2.0**exponent)):
            clf.partial_fit(X, y, sample_weight=w)
        np.testing.assert_array_equal(weights(scaled), weights(plain))


@pytest.mark.parametrize("scale", [1e-50, 1e38, 1e300])
def test_class_weights_count_relative_to_one_another(iris, scale):
    X, y = iris[0].astype(np.float32), iris[1]
    plain, scaled = (
        Ensemble(
            member(), 2, class_weight={0: size, 1: 3 * size, 2: size}, random_state=0
        ).fit(X, y, sample_weight=np.full(len(y), size))
        for size in (1.0, scale)
    )
    np.testing.assert_allclose(weights(scaled), weights(plain), atol=1e-6)


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_class_weights_are_finite_and_not_negative(iris, value):
    clf = Ensemble(member(), 2, class_weight={0: 1.0, 1: 1.0, 2: value})
    with pytest.raises(
        ValueError,
        match=r"^The 'class_weight' parameter of JointEnsembleClassifier must hold "
        r"finite numbers of at least 0\. Got \{0: 1\.0, 1: 1\.0, 2: .*\} instead\.$",
    ):
        clf.fit(*iris)


def test_a_search_weighs_as_fits_of_its_splits_do(iris):
    """The largest weight of a split is not that of all rows."""
    X, y = iris[0].astype(np.float32), iris[1]
    w = np.geomspace(1e-45, 1e45, len(y))[np.random.RandomState(0).permutation(len(y))]
    search = Search(member(), 2, lams=[0, 1], cv=3, random_state=0, scoring=log_losses)
    grid = GridSearchCV(
        Ensemble(member(), 2, random_state=0), {"lam": [0, 1]}, cv=3, scoring=log_losses
    )
    results = [clf.fit(X, y, sample_weight=w).cv_results_ for clf in (search, grid)]

    assert search.batching_.method == "program"
    for k in range(3):
        np.testing.assert_allclose(
            *(result[f"split{k}_test_score"] for result in results), rtol=1e-4
        )


def log_losses(clf, X, y, sample_weight=None):
    return -log_loss(y, clf.predict_proba(X), sample_weight=sample_weight)


# -- numbers beyond what members compute in ------------------------------------------


def beyond(value, dtype):
    return re.escape(
        f"must hold numbers that are finite in {dtype}, which its members compute in: "
        f"of at most {torch.finfo(dtype).max:.2g}. Got {value} instead."
    )


@pytest.mark.parametrize("value", [1e39, -1e300])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_numbers_that_members_cannot_hold_are_refused(iris, kind, value):
    """They became infinite: the probabilities were NaN."""
    X, y = iris[0].astype(np.float64), iris[1]
    clf = Ensemble(narrow(), 2, warm_start=True).fit(X, y)
    before = weights(clf)
    too_large = X.copy()
    too_large[5, 1] = value
    rows = kind(too_large)
    calls = [
        lambda: Ensemble(narrow(), 2).fit(rows, y),
        lambda: Ensemble(narrow(), 2).partial_fit(rows, y, classes=np.unique(y)),
        lambda: Search(narrow(), 2, cv=3).fit(rows, y),
        lambda: clf.fit(rows, y),
        lambda: clf.partial_fit(rows, y),
        lambda: clf.score(rows, y),
        lambda: clf.score_members(rows, y),
        lambda: clf.drop_members(n_weakest=1, X=rows, y=y),
        lambda: clf.predict(rows),
        lambda: clf.predict_proba(rows[5:6]),
        lambda: clf.predict_log_proba(rows),
        lambda: clf.member_proba(rows),
    ]
    for call in calls:
        with pytest.raises(
            ValueError,
            match=r"^The 'X' parameter of JointEnsembleClassifier(CV)? "
            + beyond(value, torch.float32),
        ):
            call()
    np.testing.assert_array_equal(weights(clf), before)


def test_numbers_that_only_a_long_double_holds_are_refused(iris):
    X = iris[0].astype(np.longdouble)
    X[0, 0] = np.longdouble("1e400")
    if not np.isfinite(X[0, 0]):
        pytest.skip("A long double is a double here.")
    with pytest.raises(ValueError, match=re.escape("Got 1e+400 instead.")):
        Ensemble(member(), 2).fit(X, iris[1])


class Half(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3).half()

    def forward(self, X):
        return self.layer(X).float()


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float64])
def test_the_range_is_that_of_the_members_weights(iris, dtype):
    X = np.ones_like(iris[0], dtype=dtype)
    X[3, 3] = 70000
    net = NeuralNetClassifier(Half, criterion=nn.CrossEntropyLoss, train_split=None)
    with pytest.raises(ValueError, match=beyond(X[3, 3], torch.float16)):
        Ensemble(net, 2).fit(X, iris[1])


@pytest.mark.parametrize("value", [1e39, -1e300])
def test_members_for_tables_take_any_number(iris, value):
    X, y = iris[0].astype(np.float64), iris[1]
    X[5, 1] = value
    clf = Ensemble(narrow(maker=tabular_classifier), 2, random_state=0).fit(X, y)
    assert np.isfinite(clf.predict_proba(X)).all()


@pytest.mark.parametrize("value", [3.4e38, -3.4028235e38])
def test_numbers_up_to_the_largest_are_taken(iris, value):
    X, y = iris[0].astype(np.float64), iris[1]
    clf = Ensemble(narrow(), 2, random_state=0).fit(X, y)
    X[5, 1] = value
    clf.predict(X)


# -- several inputs ------------------------------------------------------------------

SEVERAL = {
    "a dict with the keys ['a', 'b']": lambda X: {"a": X, "b": X},
    "a SliceDict with the keys ['a', 'b']": lambda X: SliceDict(a=X, b=X),
    "a list of arrays of the shapes [(100, 2), (100, 4)]": lambda X: [X, X[:, :2]],
    "a tuple of arrays of the shapes [(99, 4), (100, 4)]": lambda X: (
        torch.tensor(X),
        X[1:],
    ),
    "the data set Dataset": lambda X: Dataset(X, np.zeros(len(X))),
    "the data set TensorDataset": lambda X: TensorDataset(torch.tensor(X)),
}


@pytest.mark.parametrize("got", SEVERAL)
def test_several_inputs_are_refused_in_words(iris, got):
    """It said "Expected 2D array, got scalar array instead"."""
    X, y = iris
    several, fitted = SEVERAL[got](X), Ensemble(member(), 2).fit(X, y)
    calls = [
        lambda: Ensemble(member(), 2).fit(several, y),
        lambda: Ensemble(member(), 2).fit(several, None),
        lambda: Ensemble().partial_fit(several, y, classes=[0, 1, 2]),
        lambda: Search(member(), 2).fit(several, y),
        lambda: fitted.predict(several),
        lambda: fitted.score_members(several, y),
    ]
    for call in calls:
        with pytest.raises(
            TypeError,
            match=r"^The 'X' parameter of JointEnsembleClassifier(CV)? must be one "
            "array, frame or matrix with a row a sample: put several inputs beside "
            "each other in one array, and part them in the module's forward. Got "
            + re.escape(f"{got} instead."),
        ):
            call()


def test_rows_in_a_list_are_one_array(iris):
    X, y = iris
    expected = Ensemble(narrow(), 2, random_state=0).fit(X, y)
    for rows in (list(X), tuple(X), X.tolist()):
        clf = Ensemble(narrow(), 2, random_state=0).fit(rows, y.tolist())
        np.testing.assert_allclose(weights(clf), weights(expected), atol=1e-5)


# -- arrays that may not be written to -----------------------------------------------


def read_only(values):
    values = np.array(values)
    values.flags.writeable = False
    return values


@pytest.mark.quick(1)
@pytest.mark.usefixtures("_warns_always")
@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("labels", [np.int64, np.float64, "U1"])
def test_read_only_arrays_are_taken_without_a_word(iris, maker, labels):
    """torch warned of weights, and of rows, that it does not write to."""
    X, y = read_only(iris[0]), read_only(iris[1].astype(labels))
    w, groups = read_only(np.linspace(0.1, 1, 100)), read_only(np.arange(100) // 10)
    rows = sparse.csr_array(X)
    for part in (rows.data, rows.indices, rows.indptr):
        part.flags.writeable = False
    splits = [tuple(map(read_only, split)) for split in KFold(3).split(X)]
    net = member(MAKERS[maker])
    for given in (X, rows):
        clf = Ensemble(net, 2, bootstrap=True).fit(given, y, sample_weight=w)
        clf.partial_fit(given, y, classes=read_only(np.unique(y)), sample_weight=w)
        clf.score(given, y, w)
        clf.score_members(given, y, sample_weight=w)
        clf.drop_members(n_weakest=1, X=given, y=y, sample_weight=w)
        clf.estimators_[0].fit(given, y).predict(given)
    Search(net, 2, lams=[0, 1], cv=splits).fit(X, y, sample_weight=w)
    Search(net, 2, lams=[0], cv=GroupKFold(2)).fit(X, y, w, groups=groups)


@pytest.mark.usefixtures("_warns_always")
def test_rows_of_a_read_only_subset_are_taken_without_a_word():
    """As they come to another process, which maps them into its memory."""
    inner = Subset(list(range(9)), read_only([1, 3, 5, 7]))
    _, index = unwrap_subset(Subset(inner, read_only([2, 0])))
    assert index.tolist() == [5, 1]
    assert unwrap_subset(inner)[1].tolist() == [1, 3, 5, 7]


# -- weights and members in scores ---------------------------------------------------


def test_members_are_scored_with_weights(iris):
    X, y = iris
    w = np.random.RandomState(0).randint(0, 4, len(y)).astype(float)
    clf = Ensemble(member(), 4, random_state=0).fit(X, y)
    members = clf.estimators_
    repeated = np.repeat(np.arange(len(y)), w.astype(int))
    accuracies = clf.score_members(X, y, sample_weight=w)
    np.testing.assert_allclose(accuracies, [m.score(X, y, w) for m in members])
    np.testing.assert_allclose(accuracies, clf.score_members(X[repeated], y[repeated]))
    losses = clf.score_members(X, y, "neg_log_loss", w)
    np.testing.assert_allclose(
        losses,
        [-log_loss(y, m.predict_proba(X), sample_weight=w) for m in members],
        rtol=1e-5,
    )
    weakest = int(np.argmin(losses))
    smaller = clf.drop_members(
        n_weakest=1, X=X, y=y, scoring="neg_log_loss", sample_weight=w
    )
    expected = clf.drop_members([weakest])
    np.testing.assert_array_equal(smaller.predict_proba(X), expected.predict_proba(X))
    with pytest.raises(ValueError, match=r"Negative values in .*sample_weight"):
        clf.score_members(X, y, sample_weight=-w)


def test_many_rows_are_scored_with_weights_of_their_own(iris):
    """In chunks, each with its part of the weights."""
    X, y = (np.tile(part, (30, 1)[: part.ndim]) for part in iris)
    w = np.linspace(0, 1, len(y))
    clf = Ensemble(member(), 2, random_state=0).fit(*iris)
    np.testing.assert_allclose(
        clf.score_members(X, y, sample_weight=w),
        [m.score(X, y, w) for m in clf.estimators_],
    )


@pytest.mark.quick(1)
@pytest.mark.parametrize("members", [[0], [2, 1], [True, False, True], None])
def test_some_members_may_be_scored(iris, members):
    X, y = iris
    w = np.linspace(0.1, 2, len(y))
    search = Search(member(), 3, lams=[0, 1], cv=3, random_state=0).fit(X, y)
    for clf in (search, search.best_estimator_):
        predicted = clf.predict(X, members=members)
        expected = accuracy_score(y, predicted, sample_weight=w)
        assert clf.score(X, y, w, members=members) == pytest.approx(expected)
        with pytest.raises(ValueError, match="must hold at least one member"):
            clf.score(X, y, members=[])


def test_a_search_scores_some_members_by_its_metric(iris):
    X, y = iris
    search = Search(member(), 3, lams=[0], cv=3, scoring="neg_log_loss").fit(X, y)
    expected = -log_loss(y, search.predict_proba(X, members=[0, 2]))
    assert search.score(X, y, members=[0, 2]) == pytest.approx(expected, rel=1e-5)


class Steep(nn.Module):
    def __init__(self, slope=1.0):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def forward(self, X):
        return self.slope * X[:, 0]


def test_log_probabilities_of_a_sure_binary_net_are_finite():
    """Beyond a logit of 17 the probability is 1, and that of the other class was 0."""
    X = np.array([[-1000.0], [-17.0], [0.5], [20.0], [1000.0]], dtype=np.float32)
    net = NeuralNetBinaryClassifier(
        Steep, max_epochs=0, train_split=None, verbose=0, batch_size=-1
    )
    clf = Ensemble(net, 1).fit(X, [0, 0, 1, 1, 1])
    logit = torch.tensor(X[:, 0]).double()
    expected = torch.stack([nn.functional.logsigmoid(s * logit) for s in (-1, 1)], 1)
    np.testing.assert_allclose(clf.predict_log_proba(X), expected, rtol=1e-6)
