"""`diversity_decomposition`: loss of the ensemble = mean member loss - diversity."""

from functools import cache

import numpy as np
import pytest
import torch
from kinds import KINDS, Net, each_kind, rows
from regression_tools import data, ensemble, in_units, table
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetBinaryClassifier
from torch import nn

from sklearn_jointens.inspection import diversity_decomposition

X = rows()
WEIGHT = np.random.RandomState(3).randint(4, size=len(X))
OF = {kind.name: kind for kind in KINDS}

# The criterion of each kind with all that it can weigh.
WEIGHED = {
    "classes": {
        "criterion__weight": torch.tensor([0.5, 2.0, 1.0]),
        "criterion__label_smoothing": 0.1,
    },
    "probabilities": {
        "criterion__weight": torch.tensor([0.5, 2.0, 1.0]),
        "criterion__ignore_index": 1,
    },
    "one logit": {"criterion__pos_weight": torch.tensor([2.5])},
    "labels": {
        "criterion__weight": torch.tensor([0.4, 1.5]),
        "criterion__pos_weight": torch.tensor([3.0, 0.5]),
    },
    "counts": {"criterion__full": True},
}
every_case = pytest.mark.parametrize(
    ("name", "is_weighed"),
    [*((name, False) for name in OF), *((name, True) for name in WEIGHED)],
)


@cache
def fitted(name, is_weighed=False, n_estimators=3):
    kind, options = OF[name], WEIGHED[name] if is_weighed else {}
    ensemble = kind.ensemble(kind.member(**options), n_estimators=n_estimators)
    return ensemble.fit(X, kind.y)


def criterion_says(clf, net, output, y, weight):
    """The criterion's mean over rows that are there as often as their weight says."""
    repeated = np.repeat(np.arange(len(y)), weight)
    y = torch.as_tensor(clf.net_.targets_.encode(y)[repeated])
    output = torch.as_tensor(output)[torch.as_tensor(repeated)].double()
    criterion = net.criterion_
    if isinstance(criterion, nn.NLLLoss):
        output = (output + torch.finfo(torch.float32).eps).log()
    if isinstance(criterion, nn.CrossEntropyLoss | nn.NLLLoss):
        return criterion.double()(output, y).item()
    return criterion.double()(output, y.reshape(len(y), -1).double()).item()


def assert_identity(parts):
    np.testing.assert_allclose(
        parts.ensemble_loss, parts.member_loss - parts.diversity, rtol=0, atol=1e-9
    )
    np.testing.assert_allclose(parts.member_loss, parts.member_losses.mean(axis=0))


@pytest.mark.quick(14)
@every_case
@pytest.mark.parametrize("by", [None, "row", "class"])
@pytest.mark.parametrize("sample_weight", [None, WEIGHT])
def test_ensemble_loss_is_mean_member_loss_less_diversity(
    name, is_weighed, by, sample_weight
):
    kind = OF[name]
    if by == "class" and not kind.is_of_classes:
        return

    parts = diversity_decomposition(
        fitted(name, is_weighed), X, kind.y, sample_weight=sample_weight, by=by
    )

    assert_identity(parts)
    assert np.all(~(np.asarray(parts.diversity) < 0))
    assert np.any(np.asarray(parts.diversity) > 1e-6)


@pytest.mark.quick(8)
@every_case
def test_losses_of_members_are_what_their_criterion_says(name, is_weighed):
    kind, model = OF[name], fitted(name, is_weighed)

    parts = diversity_decomposition(model, X, kind.y, sample_weight=WEIGHT)

    expected = [
        criterion_says(model, net, net.forward(X), kind.y, WEIGHT)
        for net in model.estimators_
    ]
    np.testing.assert_allclose(parts.member_losses, expected, rtol=1e-5)


@pytest.mark.quick(2)
@each_kind
def test_loss_of_the_ensemble_on_what_it_learns_from_is_in_its_history(kind):
    net = kind.member(max_epochs=1, batch_size=len(X), lr=0.0)
    model = kind.ensemble(net).fit(X, kind.y)

    parts = diversity_decomposition(model, X, kind.y)

    last = model.history_[-1]
    for name in ("ensemble_loss", "member_loss", "diversity"):
        np.testing.assert_allclose(parts[name], last[f"train_{name}"], atol=1e-6)


@pytest.mark.quick(12)
@every_case
@pytest.mark.parametrize("by", ["row", "class"])
@pytest.mark.parametrize("sample_weight", [None, WEIGHT])
def test_weighted_parts_are_the_whole(name, is_weighed, by, sample_weight):
    kind, model = OF[name], fitted(name, is_weighed)
    if by == "class" and not kind.is_of_classes:
        return

    whole = diversity_decomposition(model, X, kind.y, sample_weight=sample_weight)
    parts = diversity_decomposition(
        model, X, kind.y, sample_weight=sample_weight, by=by
    )

    counts = parts.weight > 0
    for part in ("ensemble_loss", "member_loss", "diversity", "member_losses"):
        mean = np.average(
            parts[part][..., counts], axis=-1, weights=parts.weight[counts]
        )
        np.testing.assert_allclose(mean, whole[part], err_msg=part)


@pytest.mark.parametrize("by", [None, "class"])
def test_weights_repeat_rows(by):
    kind, model = OF["classes"], fitted("classes")
    repeated = np.repeat(np.arange(len(X)), WEIGHT)

    actual = diversity_decomposition(model, X, kind.y, sample_weight=WEIGHT, by=by)
    expected = diversity_decomposition(model, X[repeated], kind.y[repeated], by=by)

    for name in ("ensemble_loss", "member_loss", "diversity", "weight"):
        np.testing.assert_allclose(actual[name], expected[name])


def test_loss_of_classes_is_that_of_what_is_predicted():
    kind, model = OF["classes"], fitted("classes")

    parts = diversity_decomposition(model, X, kind.y, sample_weight=WEIGHT)

    expected = log_loss(kind.y, model.predict_proba(X), sample_weight=WEIGHT)
    np.testing.assert_allclose(parts.ensemble_loss, expected, rtol=1e-5)


def test_classes_are_in_the_order_of_classes_():
    kind, model = OF["classes"], fitted("classes")

    parts = diversity_decomposition(model, X, kind.y, by="class")

    np.testing.assert_array_equal(parts.classes, ["ant", "bee", "cat"])
    for place, name in enumerate(parts.classes):
        own = kind.y == name
        alone = diversity_decomposition(model, X[own], kind.y[own])
        np.testing.assert_allclose(parts.diversity[place], alone.diversity)
        np.testing.assert_allclose(parts.member_losses[:, place], alone.member_losses)


def test_a_class_without_rows_is_not_known():
    kind = OF["classes"]
    known = kind.y != "bee"

    parts = diversity_decomposition(
        fitted("classes"), X[known], kind.y[known], by="class"
    )

    np.testing.assert_array_equal(np.isnan(parts.ensemble_loss), [False, True, False])
    np.testing.assert_array_equal(parts.weight > 0, [True, False, True])


def test_each_label_has_a_loss_of_its_own():
    kind, model = OF["labels"], fitted("labels")

    parts = diversity_decomposition(model, X, kind.y, by="class")

    expected = [
        log_loss(own, proba)
        for own, proba in zip(kind.y.T, model.predict_proba(X).T, strict=True)
    ]
    np.testing.assert_allclose(parts.ensemble_loss, expected, rtol=1e-5)
    np.testing.assert_array_equal(parts.classes, [0, 1])


def test_numbers_are_in_the_units_that_they_are_learned_in():
    X, y = data()
    model = ensemble(table()).fit(X, y)

    parts = diversity_decomposition(model, X, y)

    error = in_units(model, y) - in_units(model, model.predict(X))
    np.testing.assert_allclose(parts.ensemble_loss, np.mean(error**2), rtol=1e-5)
    spread = in_units(model, model.member_predict(X)).var(axis=0)
    np.testing.assert_allclose(parts.diversity, spread.mean(), rtol=1e-4)


@each_kind
def test_one_member_is_the_ensemble(kind):
    parts = diversity_decomposition(fitted(kind.name, n_estimators=1), X, kind.y)

    np.testing.assert_allclose(parts.diversity, 0, atol=1e-12)
    np.testing.assert_allclose(parts.ensemble_loss, parts.member_losses[0])


def test_a_threshold_changes_no_loss():
    kind = OF["one logit"]
    settings = kind.settings()
    losses = [
        diversity_decomposition(
            kind.ensemble(NeuralNetBinaryClassifier(Net, threshold=t, **settings)).fit(
                X, kind.y
            ),
            X,
            kind.y,
        ).ensemble_loss
        for t in (0.2, 0.5)
    ]

    assert losses[0] == losses[1]


def test_searches_and_pipelines_are_looked_into():
    kind = OF["classes"]
    scaled = StandardScaler().fit_transform(X)
    expected = diversity_decomposition(
        kind.ensemble().fit(scaled, kind.y), scaled, kind.y
    )

    pipeline = make_pipeline(StandardScaler(), kind.ensemble())
    grid = {f"{pipeline.steps[-1][0]}__lam": [0.5]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, kind.y)

    for model in (search, search.best_estimator_):
        actual = diversity_decomposition(model, X, kind.y)
        np.testing.assert_allclose(actual.diversity, expected.diversity)


def test_wrong_input_is_told():
    classes, numbers = OF["classes"], OF["numbers"]
    model = fitted("classes")

    with pytest.raises(ValueError, match="The 'by' parameter of diversity_decomposit"):
        diversity_decomposition(model, X, classes.y, by="column")
    with pytest.raises(ValueError, match=r"must be 'row' or None for a JointEnsembleR"):
        diversity_decomposition(fitted("numbers"), X, numbers.y, by="class")
    with pytest.raises(ValueError, match="'y' parameter of JointEnsembleClassifier"):
        diversity_decomposition(model, X, np.full(len(X), "dog"))
    with pytest.raises(TypeError, match="'estimator' parameter of diversity_decomp"):
        diversity_decomposition(StandardScaler(), X, classes.y)
