"""Several labels: the forms that scikit-learn gives them, and what is refused."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from kinds import rows
from scipy import sparse
from sklearn.metrics import f1_score, hamming_loss, log_loss
from sklearn.model_selection import cross_val_score
from sklearn.multioutput import ClassifierChain
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import MultiLabelBinarizer
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from torch import nn

from sklearn_jointens import (
    JointEnsembleClassifier,
    JointEnsembleClassifierCV,
    mlp_classifier,
    tabular_classifier,
)

X = rows()
Y = (np.c_[X[:, 0] + X[:, 1], X[:, 2], X[:, 3]] > [0, 0.5, -1]) * 1


def member(make=mlp_classifier, **params):
    settings = {"criterion": nn.BCEWithLogitsLoss, "max_epochs": 5, "lr": 0.05}
    return make((6,), **{**settings, **params})


def ensemble(estimator=None, **params):
    estimator = member() if estimator is None else estimator
    settings = {"n_estimators": 2, "random_state": 0}
    return JointEnsembleClassifier(estimator, **{**settings, **params})


# -- forms -----------------------------------------------------------------------------


def test_forms_are_those_of_scikit_learns_perceptron():
    ours = ensemble(member(max_epochs=40)).fit(X, Y)
    theirs = MLPClassifier((6,), max_iter=5, random_state=0)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        theirs.fit(X, Y)

    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    for method in ("predict", "predict_proba", "predict_log_proba"):
        one, other = (getattr(clf, method)(X) for clf in (ours, theirs))
        assert one.shape == other.shape
    assert set(ours.predict(X).ravel()) == {0, 1}
    np.testing.assert_array_equal(ours.predict(X), ours.predict_proba(X) > 0.5)
    np.testing.assert_allclose(
        ours.predict_log_proba(X), np.log(ours.predict_proba(X)), rtol=1e-5
    )
    assert ours.member_proba(X).shape == (2, 60, 3)
    assert ours.score(X, Y) > 0.6
    assert ours.score(X, Y) == (ours.predict(X) == Y).all(1).mean()


def test_the_ensemble_is_the_geometric_mean_of_each_label():
    fitted = ensemble(lam=0.5).fit(X, Y)

    odds = fitted.member_proba(X) / (1 - fitted.member_proba(X))

    mean = np.exp(np.log(odds).mean(0))
    np.testing.assert_allclose(fitted.predict_proba(X), mean / (1 + mean), rtol=1e-5)


FORMS = {
    "bool": lambda y: y.astype(bool),
    "float": lambda y: y.astype(float),
    "pandas": lambda y: pd.DataFrame(y, columns=list("abc")),
    "polars": lambda y: pl.DataFrame(y),
    "list": lambda y: y.tolist(),
    "sparse": sparse.csr_matrix,
    "tensor": torch.tensor,
}


@pytest.mark.quick(2)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_forms_of_y_are_alike(form):
    fitted = ensemble().fit(X, form(Y))

    expected = ensemble().fit(X, Y)
    np.testing.assert_array_equal(fitted.predict_proba(X), expected.predict_proba(X))
    np.testing.assert_array_equal(fitted.predict(X), expected.predict(X))
    assert fitted.predict(X).dtype.kind == "i"
    assert fitted.score(X, form(Y)) == expected.score(X, Y)
    np.testing.assert_array_equal(
        fitted.score_members(X, form(Y)), expected.member_scores_
    )


@pytest.mark.parametrize("constant", [0, 1])
def test_a_label_that_all_rows_have_or_none(constant):
    y = np.c_[Y, np.full(60, constant)]

    fitted = ensemble(member(max_epochs=30)).fit(X, y)

    assert (fitted.predict(X)[:, 3] == constant).all()


@pytest.mark.parametrize("n_labels", [2, 3])
def test_members_for_tables_and_early_stopping(n_labels):
    frame = pd.DataFrame(X, columns=list("abcd")).assign(kind=list("xyz") * 20)
    frame.loc[::5, "a"] = np.nan
    y = Y[:, :n_labels]

    fitted = ensemble(member(tabular_classifier, n_splits=2), lam=0.5).fit(frame, y)

    assert fitted.predict(frame).shape == y.shape
    out_of_fold = fitted.history_[:, "valid_loss"]
    assert fitted.best_epoch_ == 1 + np.argmin(out_of_fold)


def test_losses_and_scores_are_scikit_learns():
    fitted = ensemble(member(lr=1e-12), n_estimators=1).fit(X, Y)

    proba = fitted.predict_proba(X)
    expected = np.mean([log_loss(Y[:, k], proba[:, k]) for k in range(3)])
    assert fitted.history_[-1, "train_loss"] == pytest.approx(expected, rel=1e-6)
    hits = (fitted.predict(X) == Y).all(1)
    accuracies = fitted.history_[-1, "train_member_accuracies"]
    np.testing.assert_allclose(accuracies, [hits.mean()], rtol=1e-6)
    assert fitted.score_members(X, Y, scoring="f1_macro") == [
        f1_score(Y, fitted.predict(X), average="macro")
    ]


def test_weights_of_labels():
    often = member(
        criterion__pos_weight=torch.tensor([100.0, 1.0, 0.01]), max_epochs=20
    )

    predicted = ensemble(often).fit(X, Y).predict(X)

    assert predicted[:, 0].mean() > Y[:, 0].mean() + 0.2
    assert predicted[:, 2].mean() < Y[:, 2].mean() - 0.2


def test_at_home_in_scikit_learn():
    words = [[name for name, has in zip("abc", y, strict=True) if has] for y in Y]
    binarizer = MultiLabelBinarizer()
    fitted = ensemble(member(max_epochs=40)).fit(X, binarizer.fit_transform(words))
    said = binarizer.inverse_transform(fitted.predict(X))
    assert np.mean([set(s) == set(w) for s, w in zip(said, words, strict=True)]) > 0.6

    scores = cross_val_score(ensemble(), X, Y, cv=2, scoring="f1_micro")
    assert np.isfinite(scores).all()
    assert hamming_loss(Y, fitted.predict(X)) < 0.2
    chain = ClassifierChain(
        ensemble(mlp_classifier((4,), max_epochs=5)), random_state=0
    )
    assert chain.fit(X, Y).predict(X).shape == Y.shape


def test_going_on_with_labels():
    fitted = ensemble().partial_fit(X, Y, classes=[0, 1, 2]).partial_fit(X, Y)
    again = ensemble().partial_fit(X, Y).partial_fit(X, Y, classes=np.arange(3))

    np.testing.assert_array_equal(fitted.predict_proba(X), again.predict_proba(X))
    # Whether a label is there says nothing of what there will be.
    ensemble().partial_fit(X[:1], np.zeros((1, 3), int)).partial_fit(X, Y)


# -- what is refused -------------------------------------------------------------------

BAD_LABELS = {
    "several classes": (
        np.c_[np.arange(60) % 3, Y],
        "multiclass-multioutput",
        [0, 1, 2],
    ),
    "0 and 2": (2 * Y, "multilabel-indicator", [0, 2]),
    "-1 and 1": (2 * Y - 1, "multilabel-indicator", [-1, 1]),
    "halves": (Y / 2, "continuous-multioutput", [0.0, 0.5]),
    "text": (Y.astype(str), "multiclass-multioutput", ["0", "1"]),
}


@pytest.mark.parametrize(("y", "kind", "values"), BAD_LABELS.values(), ids=BAD_LABELS)
def test_targets_that_are_no_labels(y, kind, values):
    search = JointEnsembleClassifierCV(member(), lams=(0, 1), cv=2)
    for fit in (ensemble().fit, ensemble().partial_fit, search.fit):
        with pytest.raises(ValueError, match="'y' parameter") as caught:
            fit(X, y)
        assert str(caught.value) == (
            f"The 'y' parameter of {type(fit.__self__).__name__} must be classes of "
            "shape (n_samples,), or labels of shape (n_samples, n_labels) that are 0 "
            "or 1: fit an ensemble for each of several outputs with classes of its "
            f"own. Got {kind} targets of shape {y.shape} instead, {values} among them."
        )


class Logits(nn.Module):
    def __init__(self, n_features_in, k):
        super().__init__()
        self.linear = nn.Linear(n_features_in, k)

    def forward(self, x):
        return self.linear(x)


def own(k, kind=NeuralNetClassifier):
    criterion = nn.BCEWithLogitsLoss
    return kind(Logits, module__k=k, criterion=criterion, train_split=None, verbose=0)


BAD_MEMBERS = {
    "default": (
        JointEnsembleClassifier(),
        "The 'estimator' parameter of JointEnsembleClassifier must be a member for "
        "several labels, such as tabular_classifier(criterion=nn.BCEWithLogitsLoss). "
        "Got None instead.",
    ),
    "class weights": (
        ensemble(class_weight="balanced"),
        "The 'class_weight' parameter of JointEnsembleClassifier must be None for "
        "several labels; use the member's criterion__pos_weight. Got 'balanced' "
        "instead.",
    ),
    "outputs": (
        ensemble(own(2)),
        "The 'estimator' parameter of JointEnsembleClassifier must have a module with "
        "outputs of shape (n_samples, n_labels) = (8, 3), a logit for each label, with "
        "criterion=BCEWithLogitsLoss. Got Logits with an output of shape (8, 2) "
        "instead.",
    ),
    "binary net": (
        ensemble(own(3, NeuralNetBinaryClassifier)),
        "The 'estimator' parameter of JointEnsembleClassifier must be a "
        "NeuralNetClassifier for several labels. Got a NeuralNetBinaryClassifier "
        "instead, which predicts one logit a row.",
    ),
    "weights": (
        ensemble(member(criterion__pos_weight=torch.ones(2))),
        "The 'criterion__pos_weight' parameter of the member must have one value or "
        "one for each of 3 labels. Got 2 values instead.",
    ),
}


@pytest.mark.parametrize(("clf", "message"), BAD_MEMBERS.values(), ids=BAD_MEMBERS)
def test_members_that_cannot_learn_labels(clf, message):
    with pytest.raises(ValueError, match="parameter") as caught:
        clf.fit(X, Y)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("first", "then", "shapes"),
    [
        (Y, Y[:, :2], ("(n_samples, 3)", "(60, 2)")),
        (Y, Y[:, 0], ("(n_samples, 3)", "(60,)")),
        (Y[:, 0], Y, ("(n_samples,)", "(60, 3)")),
    ],
)
def test_other_labels_later(first, then, shapes):
    warm = ensemble(warm_start=True).fit(X, first)
    further = ensemble().partial_fit(X, first, classes=np.unique(warm.classes_))
    rule, got = shapes
    for method in (warm.fit, warm.score_members, further.partial_fit):
        with pytest.raises(ValueError, match="'y' parameter") as caught:
            method(X, then)
        assert str(caught.value) == (
            f"The 'y' parameter of JointEnsembleClassifier must have the shape {rule}. "
            f"Got {got} instead."
        )


def test_classes_that_are_not_the_numbers_of_the_labels():
    with pytest.raises(ValueError, match="'classes' parameter") as caught:
        ensemble().partial_fit(X, Y, classes=[0, 1])

    assert str(caught.value) == (
        "The 'classes' parameter of JointEnsembleClassifier.partial_fit must be None "
        "or [0, 1, 2], the numbers of the labels, for several labels. Got [0, 1] "
        "instead."
    )


def test_labels_that_members_cannot_be_scored_on():
    fitted = ensemble().fit(X, Y)

    with pytest.raises(ValueError, match=r"labels of shape .* that are 0 or 1"):
        fitted.score_members(X, Y + 1)
