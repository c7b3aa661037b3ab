"""What users give a regressor: y and X in many forms, and parts of their own."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from regression_tools import data, ensemble, plain, table
from scipy import sparse
from sklearn.metrics import r2_score
from skorch import NeuralNet, NeuralNetRegressor
from skorch.dataset import ValidSplit
from tools import OwnDataset, OwnLoader
from torch import nn

from sklearn_jointens import JointEnsembleRegressor
from sklearn_jointens.nn import ConvNet
from sklearn_jointens.training import MemberFolds

members = pytest.mark.parametrize("member", [table, plain], ids=["table", "plain"])

FORMS = {
    "list": list,
    "series": lambda y: pd.Series(y, index=np.arange(len(y))[::-1]),
    "nullable series": lambda y: pd.Series(y).convert_dtypes(),
    "polars": lambda y: pl.Series(y.tolist()),
    "objects": lambda y: y.astype(object),
    "tensor": torch.tensor,
    "tensor with a gradient": lambda y: torch.tensor(y, requires_grad=True),
    "read-only": lambda y: np.broadcast_to(y, (1, len(y)))[0],
    "reversed": lambda y: y[::-1].copy()[::-1],
    "longdouble": lambda y: y.astype(np.longdouble),
}


@pytest.mark.quick(1)
@members
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_forms_of_y_are_alike(form, member, recwarn):
    X, y = data()
    expected = ensemble(member()).fit(X, y).predict(X)

    fitted = ensemble(member()).fit(X, form(y))

    np.testing.assert_array_equal(fitted.predict(X), expected)
    assert fitted.predict(X).shape == (120,)
    assert fitted.score(X, form(y)) == pytest.approx(r2_score(y, expected))
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.quick(1)
@members
@pytest.mark.parametrize(
    "dtype", [int, np.int8, np.uint8, np.uint16, np.uint32, bool, np.float16]
)
def test_numbers_of_any_dtype_are_floats(dtype, member):
    X, y = data()
    y = y.round().astype(dtype)

    fitted = ensemble(member()).fit(X, y)

    expected = ensemble(member()).fit(X, y.astype(float)).predict(X)
    np.testing.assert_array_equal(fitted.predict(X), expected)


@pytest.mark.quick(1)
@pytest.mark.parametrize("columns", [1, 2])
def test_a_column_is_one_target_and_more_are_several(columns):
    X, y = data()
    Y = np.repeat(y[:, None], columns, 1)
    if columns == 1:
        with pytest.warns(UserWarning, match="A column-vector y was passed"):
            fitted = ensemble().fit(X, Y)
        expected = ensemble().fit(X, y).predict(X)
        np.testing.assert_array_equal(fitted.predict(X), expected)
    else:
        fitted = ensemble().fit(X, Y)
        assert fitted.predict(X).shape == (120, 2)
        for form in (pd.DataFrame(Y), sparse.csr_matrix(Y), Y.tolist()):
            again = ensemble().fit(X, form)
            np.testing.assert_allclose(again.predict(X), fitted.predict(X), rtol=1e-9)


@pytest.mark.quick(2)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@members
def test_members_compute_in_the_dtype_of_X(dtype, member):
    X, y = data()
    fitted = ensemble(member()).fit(X.astype(dtype), y)

    for net in fitted.estimators_:
        kinds = {str(p.dtype) for p in net.module_.parameters()}
        assert kinds == {f"torch.{np.dtype(dtype)}"}


@pytest.mark.quick(1)
@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_the_default_member_takes_tables_as_they_come(frame):
    random = np.random.RandomState(0)
    size, kind = random.uniform(20, 200, 160), random.randint(3, size=160)
    y = 2000 * size * (1 + kind)
    has_gap = random.uniform(size=160) < 0.1
    X = frame(
        {
            "size": [None if gap else s for gap, s in zip(has_gap, size, strict=True)],
            "kind": [["flat", "house", "castle"][k] for k in kind],
            "sold": list(random.uniform(size=160) < 0.5),
        }
    )
    fitted = JointEnsembleRegressor(n_estimators=2, random_state=0)
    fitted.set_params(estimator__max_epochs=15).fit(X, y)

    assert fitted.score(X, y) > 0.8
    new = frame(
        {"size": [100.0, None], "kind": ["castle", "hut"], "sold": [True, False]}
    )
    assert 3e5 < fitted.predict(new)[0] < 9e5
    assert np.isfinite(fitted.predict(new)).all()


@members
def test_sparse_rows_are_as_their_dense_ones(member):
    X, y = data()
    X = np.where(X > 0.5, X, 0)
    fitted = ensemble(member()).fit(sparse.csr_matrix(X), y)

    predicted = fitted.predict(sparse.csc_array(X))

    np.testing.assert_allclose(predicted, fitted.predict(X), rtol=1e-6)
    if member is plain:
        dense = ensemble(plain()).fit(X, y)
        np.testing.assert_allclose(predicted, dense.predict(X), rtol=1e-6)


def test_images():
    random = np.random.RandomState(0)
    X = random.normal(size=(60, 1, 12, 12)).astype(np.float32)
    y = 10 * X.mean((1, 2, 3))
    net = NeuralNetRegressor(
        ConvNet,
        module__widths=(8,),
        module__strides=(1,),
        optimizer=torch.optim.Adam,
        lr=0.02,
        max_epochs=40,
        train_split=None,
        verbose=0,
    )

    fitted = ensemble(net).fit(X, y)

    assert fitted.predict(X).shape == (60,)
    assert fitted.score(X, y) > 0.5
    assert fitted.vectorization_.method == "structural"


# -- parts of the user's own -----------------------------------------------------------


class Flat(nn.Module):
    """Puts out one number a row, without an axis for it."""

    def __init__(self, n_features_in, dtype=None):
        super().__init__()
        self.linear = nn.Linear(n_features_in, 1, dtype=dtype)

    def forward(self, x):
        return self.linear(x)[:, 0]


@pytest.mark.quick(4)
@pytest.mark.parametrize("net", [NeuralNetRegressor, NeuralNet])
@pytest.mark.parametrize("criterion", [nn.MSELoss, nn.PoissonNLLLoss, nn.HuberLoss])
def test_a_module_may_put_out_rows_without_an_axis(net, criterion):
    X, y = data()

    class Column(Flat):
        def forward(self, x):
            return self.linear(x)

    fitted = [
        ensemble(
            net(module, criterion=criterion, train_split=None, verbose=0, max_epochs=3)
        ).fit(X, y)
        for module in (Flat, Column)
    ]

    flat, column = fitted
    np.testing.assert_allclose(flat.predict(X), column.predict(X))
    np.testing.assert_allclose(flat.member_predict(X), column.member_predict(X))
    for one, other in zip(flat.estimators_, flat.member_predict(X), strict=True):
        np.testing.assert_allclose(one.predict(X), other)


OWN_PARTS = {
    "dataset": {"dataset": OwnDataset},
    "iterators": {"iterator_train": OwnLoader, "iterator_valid": OwnLoader},
}


@pytest.mark.quick(1)
@pytest.mark.parametrize("own", OWN_PARTS.values(), ids=OWN_PARTS)
@pytest.mark.parametrize("several", [False, True])
@members
def test_data_sets_and_iterators_of_the_users_own(own, several, member):
    X, y = data()
    y = np.c_[y, X[:, 0]] if several else y
    settings = {"callbacks": None} if member is plain else {}
    settings |= {"train_split": ValidSplit(4), "iterator_train__shuffle": False}
    weight = np.arange(120)

    fitted = ensemble(member(**settings, **own)).fit(X, 1e3 * y, weight)

    expected = ensemble(member(**settings)).fit(X, 1e3 * y, weight)
    np.testing.assert_allclose(fitted.predict(X), expected.predict(X), rtol=1e-6)
    np.testing.assert_allclose(fitted.member_scores_, expected.member_scores_)
    names = ("train_loss", "valid_loss", "train_member_loss", "valid_diversity")
    for name in names:
        np.testing.assert_allclose(fitted.history_[:, name], expected.history_[:, name])


@pytest.mark.quick(2)
@pytest.mark.parametrize("n_targets", [None, 2])
@members
def test_members_are_validated_on_folds_of_their_own(n_targets, member):
    X, y = data()
    y = y if n_targets is None else np.c_[y, 1e3 * X[:, 0]]
    member = member(train_split=MemberFolds(2), callbacks=None)

    fitted = ensemble(member, n_estimators=3, lam=0.7).fit(X, y)

    folds = MemberFolds(2).folds(y, np.arange(3), fitted._draws.seed_of_folds)
    targets, unseen = fitted.net_.targets_, folds.counts == 0
    encoded = targets.encode(y)
    of_members = np.stack([targets.encode(p) for p in fitted.member_predict(X)])
    errors = ((of_members - encoded) ** 2).mean(-1)
    last = fitted.history_[-1]
    losses = [each[own].mean() for each, own in zip(errors, unseen, strict=True)]
    np.testing.assert_allclose(last["valid_member_losses"], losses, rtol=1e-6)
    out_of_fold = (of_members * unseen[:, :, None]).sum(0) / unseen.sum(0)[:, None]
    expected = ((out_of_fold - encoded) ** 2).mean()
    assert last["valid_loss"] == pytest.approx(expected, rel=1e-6)


def test_numbers_are_spread_evenly_over_folds():
    y = np.random.RandomState(0).exponential(size=400)

    for targets in (y, np.c_[y, np.ones(400)]):
        folds = MemberFolds(4).folds(targets, np.arange(1), 0).of_rows
        means = [y[folds == fold].mean() for fold in range(4)]
        np.testing.assert_allclose(means, y.mean(), rtol=0.05)


def test_combinations_of_labels_are_spread_evenly_over_folds():
    random = np.random.RandomState(0)
    y = (random.uniform(size=(200, 3)) < [0.5, 0.1, 0.3]) * 1

    folds = MemberFolds(4).folds(y, np.arange(1), 0).of_rows

    _, kinds = np.unique(y, axis=0, return_inverse=True)
    for kind in np.unique(kinds):
        counts = np.bincount(folds[kinds.ravel() == kind], minlength=4)
        assert counts.max() - counts.min() <= 1
