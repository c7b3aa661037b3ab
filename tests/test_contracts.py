"""What ensembles of every kind of targets promise, as identities."""

import copy
import pickle

import numpy as np
import pytest
import torch
from kinds import KINDS, N_ROWS, Net, each_kind, rows
from sklearn.base import clone, is_classifier
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV
from tools import weights

from sklearn_jointens import JointEnsembleClassifier, JointEnsembleRegressor
from sklearn_jointens.training import DivergenceError

OF_CLASSES = [kind for kind in KINDS if kind.is_of_classes]
OF_NUMBERS = [kind for kind in KINDS if not kind.is_of_classes]


class Unlike(Net):
    """The same, with a path that depends on the rows."""

    def forward(self, x):
        return super().forward(x) if x.sum() > -torch.inf else x


def trained_by_skorch(kind, members, X):
    """The same modules, trained by skorch alone."""
    nets = []
    for member in members:
        module = copy.deepcopy(member.module_)
        settings = {
            name: value
            for name, value in kind.settings().items()
            if not name.startswith("module__")
        }
        net = kind.plain_class(module, **settings)
        y = kind.plain_y
        if kind.name == "one logit":
            y = y[:, None]
        nets.append(net.fit(X, y))
    return nets


@pytest.mark.core
@each_kind
def test_lam_0_is_skorch_nets_trained_one_by_one(kind):
    X = rows()
    start = kind.ensemble(kind.member(max_epochs=0), lam=0).fit(X, kind.y)

    fitted = kind.ensemble(lam=0).fit(X, kind.y)

    alone = trained_by_skorch(kind, start.estimators_, X)
    np.testing.assert_allclose(weights(fitted), weights(alone), rtol=1e-9, atol=1e-9)
    assert not np.allclose(weights(fitted), weights(start))


@pytest.mark.core
@each_kind
@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
def test_one_member_is_the_prototype_at_any_lam(kind, lam):
    X = rows()
    unfitted = kind.ensemble(kind.member(max_epochs=0), n_estimators=1)
    start = unfitted.fit(X, kind.y).estimators_

    fitted = kind.ensemble(n_estimators=1, lam=lam).fit(X, kind.y)

    (alone,) = trained_by_skorch(kind, start, X)
    np.testing.assert_allclose(weights(fitted), weights([alone]), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        fitted.history_[:, "train_loss"], alone.history[:, "train_loss"], rtol=1e-6
    )


@pytest.mark.core
@each_kind
def test_the_loss_is_the_mean_member_loss_less_lam_times_the_diversity(kind):
    fitted = kind.ensemble(lam=0.7).fit(rows(), kind.y)

    for row in fitted.history_:
        of_members, diversity = row["train_member_loss"], row["train_diversity"]
        assert diversity >= 0
        assert row["train_loss"] == pytest.approx(of_members - 0.7 * diversity)
        assert of_members == pytest.approx(np.mean(row["train_member_losses"]))


@pytest.mark.core
@each_kind
def test_members_of_any_module_train_the_same(kind):
    X = rows()
    structural = kind.ensemble().fit(X, kind.y)
    assert structural.vectorization_.method == "structural"

    other = kind.ensemble(kind.member().set_params(module=Unlike)).fit(X, kind.y)

    assert other.vectorization_.method != "structural"
    np.testing.assert_allclose(weights(other), weights(structural), atol=1e-9)


@pytest.mark.core
@each_kind
def test_dropping_members_is_predicting_with_the_rest(kind):
    X = rows()
    fitted = kind.ensemble().fit(X, kind.y)

    smaller = fitted.drop_members([1])

    expected = kind.predicted(fitted, X, members=[0, 2])
    np.testing.assert_allclose(kind.predicted(smaller, X), expected, rtol=1e-9)
    np.testing.assert_allclose(
        kind.predicted(fitted, X, members=[2, 0]), expected, rtol=1e-9
    )
    np.testing.assert_array_equal(smaller.predict(X), fitted.predict(X, members=[0, 2]))
    np.testing.assert_array_equal(smaller.member_scores_, fitted.member_scores_[[0, 2]])


@each_kind
def test_members_are_skorch_nets_that_predict_what_the_ensemble_says_of_them(kind):
    X = rows()
    fitted = kind.ensemble().fit(X, kind.y)

    of_members = kind.of_members(fitted, X)

    assert of_members.shape[:2] == (3, N_ROWS)
    for j, member in enumerate(fitted.estimators_):
        assert isinstance(member, kind.skorch_class)
        own = fitted.drop_members([i for i in range(3) if i != j])
        np.testing.assert_allclose(kind.predicted(own, X), of_members[j], rtol=1e-9)
        predicted = member.predict(X)
        assert predicted.shape == kind.y.shape
        if kind.is_of_classes:
            np.testing.assert_array_equal(predicted, own.predict(X))
        else:
            np.testing.assert_allclose(predicted, own.predict(X), rtol=1e-9)


@pytest.mark.core
@each_kind
def test_members_are_scored_as_scikit_learn_scores_them(kind):
    X, y = rows(), kind.y
    fitted = kind.ensemble().fit(X, y)
    metric = accuracy_score if is_classifier(fitted) else r2_score

    expected = [metric(y, member.predict(X)) for member in fitted.estimators_]

    np.testing.assert_allclose(fitted.member_scores_, expected)
    np.testing.assert_allclose(fitted.score_members(X, y), expected)
    assert fitted.score(X, y) == pytest.approx(metric(y, fitted.predict(X)))
    weight = np.arange(N_ROWS)
    np.testing.assert_allclose(
        fitted.score_members(X, y, sample_weight=weight),
        [metric(y, m.predict(X), sample_weight=weight) for m in fitted.estimators_],
    )


@pytest.mark.core
@each_kind
@pytest.mark.parametrize("bootstrap", [False, True])
def test_weights_of_rows_are_repeated_rows(kind, bootstrap):
    X, y = rows(), kind.y
    counts = np.random.RandomState(2).randint(0, 4, size=N_ROWS)
    member = kind.member(batch_size=-1)
    if bootstrap:
        # Bags are drawn by row: weights of whole ensembles are compared instead.
        once = kind.ensemble(member, bootstrap=True)
        one = clone(once).fit(X, y, sample_weight=np.full(N_ROWS, 3.0))
        other = clone(once).fit(X, y)
    else:
        one = kind.ensemble(member).fit(X, y, sample_weight=counts)
        other = kind.ensemble(member).fit(np.repeat(X, counts, 0), y.repeat(counts, 0))

    np.testing.assert_allclose(weights(one), weights(other), rtol=1e-9, atol=1e-9)


@each_kind
def test_out_of_bag_rows_are_predicted_by_members_that_have_not_seen_them(kind):
    X, y = rows(), kind.y
    fitted = kind.ensemble(bootstrap=True, oob_score=True, n_estimators=16).fit(X, y)
    name = "oob_decision_function_" if kind.is_of_classes else "oob_prediction_"
    out = getattr(fitted, name)

    for i in range(5):
        seeds = fitted._draws.seeds
        bags = [np.random.RandomState(s).randint(N_ROWS, size=N_ROWS) for s in seeds]
        members = [j for j, bag in enumerate(bags) if i not in bag]
        expected = kind.predicted(fitted, X[i : i + 1], members=members)[0]
        np.testing.assert_allclose(out[i], expected, rtol=1e-9)
    assert np.isfinite(fitted.oob_score_)
    assert len(fitted.member_scores_) == 16


@pytest.mark.core
@each_kind
def test_copies_by_pickle_and_file_predict_the_same(kind, tmp_path):
    X = rows()
    fitted = kind.ensemble().fit(X, kind.y)
    fitted.save(tmp_path / "file")

    for copied in (
        pickle.loads(pickle.dumps(fitted)),
        copy.deepcopy(fitted),
        type(fitted).load(tmp_path / "file", estimator=kind.member()),
    ):
        np.testing.assert_array_equal(
            kind.predicted(copied, X), kind.predicted(fitted, X)
        )
        np.testing.assert_array_equal(copied.predict(X), fitted.predict(X))
        np.testing.assert_array_equal(copied.member_scores_, fitted.member_scores_)


@pytest.mark.core
@each_kind
def test_going_on_is_having_trained_for_longer(kind):
    """Without a state of the optimizer, and with rows in their order."""
    X, y = rows(), kind.y
    longer = kind.ensemble(kind.member(max_epochs=5)).fit(X, y)

    twice = kind.ensemble(kind.member(max_epochs=3), warm_start=True).fit(X, y)
    twice.set_params(estimator__max_epochs=2).fit(X, y)
    bit_by_bit = kind.ensemble()
    for _ in range(5):
        told = {"classes": np.unique(y)} if is_classifier(bit_by_bit) else {}
        bit_by_bit.partial_fit(X, y, **told)

    for other in (twice, bit_by_bit):
        np.testing.assert_allclose(weights(other), weights(longer), rtol=1e-9)
        assert other.n_iter_ == 5


@pytest.mark.core
@each_kind
def test_the_search_is_grid_search_in_one_program(kind):
    X, y = rows(), kind.y
    ensemble = kind.ensemble(n_estimators=2)

    search = kind.search().fit(X, y)

    grid = GridSearchCV(ensemble, {"lam": [0, 0.7]}, cv=2).fit(X, y)
    assert search.batching_.method == "program"
    for name in ("split0_test_score", "split1_test_score", "mean_test_score"):
        np.testing.assert_allclose(
            search.cv_results_[name], grid.cv_results_[name], rtol=1e-9
        )
    assert search.lam_ == grid.best_params_["lam"]
    np.testing.assert_allclose(
        kind.predicted(search.best_estimator_, X),
        kind.predicted(grid.best_estimator_, X),
        rtol=1e-9,
    )
    assert (search.cv_results_["mean_test_diversity"] >= 0).all()
    assert np.isfinite(search.cv_results_["mean_test_member_score"]).all()


@pytest.mark.core
@each_kind
def test_a_loss_that_is_no_number_stops_the_fit(kind):
    with pytest.raises(DivergenceError, match="Lower the member's 'lr'"):
        kind.ensemble(kind.member(lr=np.inf)).fit(rows(), kind.y)


@pytest.mark.parametrize("kind", OF_CLASSES, ids=lambda kind: kind.name)
def test_a_regressor_refuses_members_of_classifiers(kind):
    with pytest.raises(TypeError, match="must be None or an instance of skorch's"):
        JointEnsembleRegressor(kind.member()).fit(rows(), np.arange(N_ROWS))


@pytest.mark.parametrize("kind", OF_NUMBERS, ids=lambda kind: kind.name)
def test_a_classifier_refuses_members_of_regressors(kind):
    with pytest.raises(TypeError, match="must be None or an instance of skorch's"):
        JointEnsembleClassifier(kind.member()).fit(rows(), np.arange(N_ROWS) % 2)


@pytest.mark.core
@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
def test_squared_error_trains_by_negative_correlation_learning(lam):
    """Liu & Yao (1999): ``(f_j - y)^2 - lam * (f_j - f)^2``, with f as a constant."""
    (kind,) = (kind for kind in KINDS if kind.name == "numbers")
    X = rows()
    start = kind.ensemble(kind.member(max_epochs=0)).fit(X, kind.y).estimators_
    modules = [copy.deepcopy(member.module_) for member in start]
    settings = kind.settings()
    optimizer = torch.optim.SGD(
        [p for module in modules for p in module.parameters()], lr=settings["lr"]
    )
    inputs, targets = torch.tensor(X), torch.tensor(kind.y)[:, None]
    for _ in range(settings["max_epochs"]):
        for x, y in zip(inputs.split(16), targets.split(16), strict=True):
            outputs = torch.stack([module(x) for module in modules])
            mean = outputs.detach().mean(0)
            errors = (outputs - y) ** 2 - lam * (outputs - mean) ** 2
            optimizer.zero_grad()
            errors.mean((1, 2)).sum().backward()
            optimizer.step()

    fitted = kind.ensemble(lam=lam).fit(X, kind.y)

    expected = [
        torch.cat([p.detach().ravel() for p in module.parameters()]).numpy()
        for module in modules
    ]
    np.testing.assert_allclose(weights(fitted), expected, rtol=1e-9)
