"""A prototype of the user's own skorch class: what is honoured, and what is refused."""

import re

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from skorch.dataset import Dataset, ValidSplit, unpack_data
from tools import LogitColumn, Net, ensemble, skorch_net, three_classes
from torch import nn
from torch.utils.data import DataLoader

from sklearn_jointens import JointEnsembleClassifier, JointEnsembleClassifierCV
from sklearn_jointens.training import MemberNetClassifier

LABELS = np.array(["a", "b", "c"])


@pytest.fixture
def data():
    return three_classes(60, LABELS)


def member(kind=NeuralNetClassifier, module=Net, **params):
    settings = {"lr": 0.2, "max_epochs": 2, "batch_size": 16}
    return skorch_net(module, kind, **{**settings, **params})


def geometric_mean(proba):
    mean = np.exp(np.log(np.clip(proba, 1e-30, 1)).mean(0))
    return mean / mean.sum(-1, keepdims=True)


def assert_predicts_as_its_members(clf, X, y, decide=lambda proba: proba.argmax(1)):
    """All that is said of the ensemble follows from what its members predict."""
    own = np.array([net.predict_proba(X) for net in clf.estimators_])
    np.testing.assert_allclose(clf.member_proba(X), own, atol=1e-6)
    together = geometric_mean(own)
    np.testing.assert_allclose(clf.predict_proba(X), together, atol=1e-5)
    some = clf.predict_proba(X, members=[0, 2])
    np.testing.assert_allclose(some, geometric_mean(own[[0, 2]]), atol=1e-5)
    np.testing.assert_array_equal(clf.predict(X), clf.classes_[decide(together)])
    scores = [accuracy_score(y, net.predict(X)) for net in clf.estimators_]
    np.testing.assert_allclose(clf.score_members(X, y), scores)
    np.testing.assert_allclose(clf.member_scores_, scores)
    np.testing.assert_allclose(
        clf.net_.predict_proba(X), clf.predict_proba(X), atol=1e-6
    )


# -- infer ---------------------------------------------------------------------------


class Cooler(NeuralNetClassifier):
    """Changes rows before the module, and logits after it."""

    def infer(self, x, **fit_params):
        return super().infer(2 * x + 1, **fit_params) / 3


class Reshaping(NeuralNetClassifier):
    """Gives its module rows of another shape."""

    def infer(self, x, **fit_params):
        return self.module_(x.view(len(x), 1, 2, 3), **fit_params)


class Images(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 2)
        self.out = nn.Linear(8, n_classes)

    def forward(self, x):
        return self.out(torch.tanh(self.convolution(x)).flatten(1))


class OwnBinary(NeuralNetBinaryClassifier):
    """Takes the module's output as it is, but for its last axis."""

    def infer(self, x, **fit_params):
        return self.module_(x, **fit_params).squeeze(-1) * 2


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    ("kind", "module"), [(Cooler, Net), (Reshaping, Images), (OwnBinary, LogitColumn)]
)
def test_an_infer_of_the_users_own_is_used_in_prediction(data, kind, module):
    """It was used in training alone: probabilities were 0.5 apart."""
    X, y = data
    y = y if kind is not OwnBinary else y == "a"
    clf = ensemble(member(kind, module, max_epochs=10)).fit(X, y)
    assert_predicts_as_its_members(clf, X, y)
    again = JointEnsembleClassifier.__new__(JointEnsembleClassifier)
    again.__setstate__(clf.__getstate__())
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))


def test_training_and_prediction_infer_alike(data):
    X, y = data
    own = ensemble(member(Cooler, train_split=ValidSplit(3))).fit(X, y)

    class Scaled(Net):
        def forward(self, x):
            return super().forward(2 * x + 1) / 3

    plain = ensemble(member(module=Scaled, train_split=ValidSplit(3))).fit(X, y)
    np.testing.assert_allclose(own.predict_proba(X), plain.predict_proba(X), atol=1e-5)
    for name in ("train_loss", "valid_loss"):
        np.testing.assert_allclose(
            own.history_[:, name], plain.history_[:, name], rtol=1e-4
        )


class OverClasses(NeuralNetClassifier):
    """Counts axes from the first."""

    def infer(self, x, **fit_params):
        return super().infer(x, **fit_params).log_softmax(1)


class OfTwoAxes(NeuralNetClassifier):
    def infer(self, x, **fit_params):
        n_rows, _ = (logits := super().infer(x, **fit_params)).shape
        return logits.view(n_rows, -1)


class FlatBinary(NeuralNetBinaryClassifier):
    """Relies on what skorch's class makes of the outputs of one member."""

    def infer(self, x, **fit_params):
        return super().infer(x, **fit_params) * 2


@pytest.mark.parametrize("n_estimators", [1, 3])
@pytest.mark.parametrize(
    ("kind", "module", "reason"),
    [
        (OverClasses, Net, "gives other outputs there."),
        (OfTwoAxes, Net, "raised ValueError: too many values to unpack (expected 2)."),
        (FlatBinary, LogitColumn, "raised ValueError: Expected module output to have "),
    ],
)
def test_an_infer_that_counts_axes_is_refused(data, kind, module, reason, n_estimators):
    X, y = data
    y = y if kind is not FlatBinary else y == "a"
    clf = ensemble(member(kind, module), n_estimators=n_estimators)
    start = (
        "The 'estimator' parameter of JointEnsembleClassifier must have an 'infer' "
        "that does for the outputs of all members at once, of shape (n_members, "
        "n_samples, ...), what it does for those of each member: axes are counted "
        f"from the last. Got that of {kind.__name__} instead, which {reason}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(start)}"):
        clf.fit(X, y)
    assert not hasattr(clf, "estimators_")


# -- data sets and iterators ---------------------------------------------------------


class DoublesRows(NeuralNetClassifier):
    def get_dataset(self, X, y=None):
        return super().get_dataset(2 * X, y)


class DoublesBatches(NeuralNetClassifier):
    """Makes its iterators itself, and other rows in them."""

    def get_iterator(self, dataset, training=False):
        iterator = super().get_iterator(dataset, training)
        collate = iterator.collate_fn

        def doubled(items):
            X, y = collate(items)
            return 2 * X, y

        iterator.collate_fn = doubled
        return iterator


class DoublingLoader(DataLoader):
    def __iter__(self):
        return ((2 * X, y) for X, y in super().__iter__())


WEIGHTS = np.linspace(0.1, 1, 60)


@pytest.mark.quick(2)
@pytest.mark.parametrize("train_split", [None, ValidSplit(3)])
@pytest.mark.parametrize(
    ("kind", "params", "sample_weight"),
    [
        (DoublesRows, {}, None),
        (DoublesRows, {}, WEIGHTS),
        (DoublesBatches, {}, None),
        (
            NeuralNetClassifier,
            {"iterator_train": DoublingLoader, "iterator_valid": DoublingLoader},
            None,
        ),
    ],
    ids=["get_dataset", "get_dataset-weighted", "get_iterator", "iterator"],
)
def test_data_sets_and_iterators_of_the_users_own_are_used(
    data, kind, params, sample_weight, train_split
):
    """``get_dataset`` and ``get_iterator`` were never called; ``iterator_valid`` was
    not used in prediction."""
    X, y = data
    split = {"train_split": train_split}
    own = ensemble(member(kind, **params, **split))
    own.fit(X, y, sample_weight=sample_weight)
    plain = ensemble(member(**split)).fit(2 * X, y, sample_weight=sample_weight)
    np.testing.assert_allclose(
        own.predict_proba(X), plain.predict_proba(2 * X), atol=1e-5
    )
    np.testing.assert_allclose(own.member_scores_, plain.member_scores_)
    np.testing.assert_allclose(
        own.score_members(X, y), [net.score(X, y) for net in own.estimators_]
    )
    np.testing.assert_allclose(
        own.estimators_[0].predict_proba(X), own.member_proba(X)[0], atol=1e-6
    )
    for name in ("train_loss", "valid_loss")[: 1 if train_split is None else 2]:
        np.testing.assert_allclose(
            own.history_[:, name], plain.history_[:, name], rtol=1e-4
        )


def test_a_data_set_of_the_users_own_is_given_encoded_targets(data):
    seen = []

    class Watching(NeuralNetClassifier):
        def get_dataset(self, X, y=None):
            seen.append(y)
            return super().get_dataset(X, y)

    X, y = data
    ensemble(member(Watching)).fit(X, y)
    targets = [given for given in seen if given is not None]
    np.testing.assert_array_equal(targets[0], np.searchsorted(LABELS, y))


class Balanced(NeuralNetClassifier):
    """Draws its rows by the targets of the data set."""

    def get_iterator(self, dataset, training=False):
        if not training:
            return super().get_iterator(dataset, training)
        assert len(dataset.y) == len(dataset)
        order = np.arange(len(dataset))[::-1].tolist()
        return DataLoader(dataset, batch_size=len(order), sampler=order)


def test_an_iterator_of_the_users_own_keeps_the_weights_of_its_rows(data):
    X, y = data
    own = ensemble(member(Balanced)).fit(X, y, sample_weight=WEIGHTS)
    plain = ensemble(member(batch_size=-1)).fit(X, y, sample_weight=WEIGHTS)
    np.testing.assert_allclose(own.predict_proba(X), plain.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        (DoublesBatches, {}, "The 'collate_fn' of the member's iterators must be "),
        (
            NeuralNetClassifier,
            {"iterator_train": DoublingLoader},
            "The 'iterator_train' and 'iterator_valid' parameters of the member must "
            "leave batches as they are when rows have weights (sample_weight, "
            "class_weight, bootstrap); change rows in a 'dataset'. Got DoublingLoader "
            "instead.",
        ),
    ],
)
def test_iterators_that_lose_the_rows_of_weights_are_refused(
    data, kind, params, message
):
    clf = ensemble(member(kind, **params), bootstrap=True)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        clf.fit(*data)


class OwnLoader(MemberNetClassifier):
    """Stands in front of what gives batches their weights."""

    def get_iterator(self, dataset, training=False):
        return DataLoader(dataset, batch_size=20)


def test_batches_without_the_weights_of_their_rows_are_refused(data):
    message = (
        "The member's class must train on the batches of its iterators as they are "
        "when rows have weights (sample_weight, class_weight, bootstrap). Got batches "
        "of list instead, which have none."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ensemble(member(OwnLoader)).fit(*data, sample_weight=WEIGHTS)
    ensemble(member(OwnLoader)).fit(*data)


# -- methods that are called, and those that would not be ----------------------------


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("fit", "which members that are trained as one do without; use 'fit_loop'"),
        ("predict", "which predictions with all members at once do without; use the"),
        ("predict_proba", "which predictions with all members at once do without"),
        ("forward", "which predictions with all members at once do without"),
        ("forward_iter", "which predictions with all members at once do without"),
        ("evaluation_step", "which predictions with all members at once do without"),
        ("get_all_learnable_params", "which members share; use skorch's Freezer"),
        ("score", "which an ensemble has of its own; use a scorer"),
        ("get_split_datasets", "which does not tell the rows that are split"),
    ],
)
@pytest.mark.parametrize("base", [NeuralNetClassifier, MemberNetClassifier])
@pytest.mark.parametrize("kind", [JointEnsembleClassifier, JointEnsembleClassifierCV])
def test_methods_that_an_ensemble_does_without_are_refused(
    data, name, reason, base, kind
):
    """They were called by the members, and never by the ensemble."""

    def own(self, *args, **kwargs):
        return getattr(super(Own, self), name)(*args, **kwargs)

    Own = type("Own", (base,), {name: own})
    start = (
        f"The 'estimator' parameter of {kind.__name__} must not override '{name}', "
        f"{reason}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(start)}"):
        kind(member(Own)).fit(*data)


class Counting(NeuralNetClassifier):
    """Takes its steps in ways of its own, and says which were called."""

    called = set()

    def _note(self, name):
        Counting.called.add(name)

    def run_single_epoch(self, *args, **kwargs):
        self._note("run_single_epoch")
        return super().run_single_epoch(*args, **kwargs)

    def validation_step(self, batch, **fit_params):
        self._note("validation_step")
        return super().validation_step(batch, **fit_params)

    def train_step(self, batch, **fit_params):
        """Without skorch's `train_step_single`, and its dictionary."""
        self._note("train_step")
        self._set_training(True)
        self.optimizer_.zero_grad()
        X, y = unpack_data(batch)
        y_pred = self.infer(X, **fit_params)
        loss = self.get_loss(y_pred, y, X=X, training=True)
        loss.backward()
        self.optimizer_.step()
        return {"loss": loss, "y_pred": y_pred}

    def on_batch_end(self, net, **kwargs):
        self._note("on_batch_end")
        super().on_batch_end(net, **kwargs)


@pytest.mark.parametrize("sample_weight", [None, WEIGHTS], ids=["plain", "weighted"])
def test_steps_of_the_users_own_are_taken(data, sample_weight):
    """A step's own dictionary ended in a KeyError, and it was given no weights."""
    X, y = data
    split = {"train_split": ValidSplit(3)}
    Counting.called.clear()
    own = ensemble(member(Counting, **split)).fit(X, y, sample_weight)
    assert Counting.called == {
        "run_single_epoch",
        "validation_step",
        "train_step",
        "on_batch_end",
    }
    plain = ensemble(member(**split)).fit(X, y, sample_weight)
    np.testing.assert_array_equal(own.predict_proba(X), plain.predict_proba(X))
    for name in ("train_loss", "valid_loss", "train_member_accuracies"):
        assert own.history_[:, name] == plain.history_[:, name]


class OwnCriterion(NeuralNetClassifier):
    """Asks the criterion, which knows nothing of members."""

    def validation_step(self, batch, **fit_params):
        X, y = unpack_data(batch)
        loss = self.criterion_(self.infer(X).mean(0), y)
        return {"loss": loss, "y_pred": self.infer(X)}


def test_steps_without_the_joint_loss_are_refused(data):
    """Figures of the batch before were taken for theirs."""
    message = (
        "The member's class must compute the loss with 'get_loss', which is that of "
        "all members. Got other steps of OwnCriterion instead."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ensemble(member(OwnCriterion, train_split=ValidSplit(3))).fit(*data)


# -- predict_nonlinearity ------------------------------------------------------------


def cold(logits):
    return torch.softmax(3 * logits, -1)


def unlike_the_logits(logits):
    """The most probable class is that of the smallest logit."""
    return torch.softmax(-logits, -1)


def of_one_logit(logit):
    assert logit.ndim == 1
    positive = torch.sigmoid(2 * logit - 1)
    return torch.stack([1 - positive, positive], 1)


class OwnNonlinearity(NeuralNetClassifier):
    def _get_predict_nonlinearity(self):
        return cold


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    ("net", "is_binary"),
    [
        (lambda **p: member(predict_nonlinearity=cold, **p), False),
        (lambda **p: member(predict_nonlinearity=unlike_the_logits, **p), False),
        (lambda **p: member(OwnNonlinearity, **p), False),
        (
            lambda **p: member(
                NeuralNetBinaryClassifier,
                LogitColumn,
                predict_nonlinearity=of_one_logit,
                **p,
            ),
            True,
        ),
    ],
    ids=["cold", "unlike", "method", "binary"],
)
def test_a_predict_nonlinearity_is_honoured(data, net, is_binary):
    """It was ignored but for the members' own predictions."""
    X, y = data
    y = y == "a" if is_binary else y
    clf = ensemble(net()).fit(X, y)
    assert_predicts_as_its_members(clf, X, y)
    clf = ensemble(net(train_split=ValidSplit(3)), lam=0.0).fit(X, y)
    accuracies = clf.history_[-1, "valid_member_accuracies"]
    np.testing.assert_allclose(accuracies, clf.member_scores_)
    _, valid = ValidSplit(3)(range(len(y)), y)
    rows = np.asarray(valid.indices)
    assert clf.history_[-1, "valid_acc"] == pytest.approx(clf.score(X[rows], y[rows]))
    np.testing.assert_allclose(
        clf.member_scores_, [m.score(X[rows], y[rows]) for m in clf.estimators_]
    )


def test_a_nonlinearity_that_is_auto_in_other_words_changes_nothing(data):
    X, y = data
    params = {"bootstrap": True, "oob_score": True, "n_estimators": 9}
    auto, own = (
        ensemble(member(predict_nonlinearity=how, train_split=ValidSplit(3)), **params)
        for how in ("auto", lambda logits: torch.softmax(logits, -1))
    )
    auto.fit(X, y)
    own.fit(X, y)
    np.testing.assert_allclose(own.predict_proba(X), auto.predict_proba(X), atol=1e-6)
    np.testing.assert_allclose(own.member_scores_, auto.member_scores_)
    assert own.oob_score_ == auto.oob_score_
    for name in ("valid_acc", "train_member_accuracies", "valid_member_accuracies"):
        np.testing.assert_allclose(own.history_[:, name], auto.history_[:, name])


def test_a_search_over_lam_heeds_the_nonlinearity(data):
    X, y = data
    net = member(predict_nonlinearity=unlike_the_logits)
    search = JointEnsembleClassifierCV(
        net, lams=[0.0, 1.0], n_estimators=2, cv=2, random_state=0
    ).fit(X, y)
    clf = search.best_estimator_
    assert clf.predict_proba(X) == pytest.approx(
        geometric_mean(np.array([m.predict_proba(X) for m in clf.estimators_])),
        abs=1e-5,
    )
    plain = JointEnsembleClassifierCV(
        member(), lams=[0.0, 1.0], n_estimators=2, cv=2, random_state=0, refit=False
    ).fit(X, y)
    ours, theirs = (s.cv_results_["mean_test_member_score"] for s in (search, plain))
    assert not np.allclose(ours, theirs)


@pytest.mark.parametrize(
    "nonlinearity",
    [None, lambda z: z.softmax(-1)[:, :2], lambda z: z.softmax(-1).numpy()],
    ids=["logits", "two columns", "array"],
)
def test_a_nonlinearity_that_gives_no_probabilities_is_refused(data, nonlinearity):
    message = (
        "The 'predict_nonlinearity' parameter of the member must make probabilities "
        "(rows >= 0 that sum to 1) of shape (n_samples, n_classes) = (8, 3) of a "
        f"member's output. Got {nonlinearity!r} instead."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ensemble(member(predict_nonlinearity=nonlinearity)).fit(*data)


# -- threshold -----------------------------------------------------------------------


@pytest.mark.quick(1)
@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_one_threshold_decides_everywhere(data, threshold):
    """Scores of members, of out-of-bag rows and in the history were of 0.5."""
    X, y = data
    y = y == "a"
    net = member(NeuralNetBinaryClassifier, LogitColumn, threshold=threshold)

    def decide(proba):
        return (proba[:, 1] > threshold).astype(int)

    clf = ensemble(net).fit(X, y)
    assert_predicts_as_its_members(clf, X, y, decide)

    bags = ensemble(net, bootstrap=True, oob_score=True, n_estimators=9).fit(X, y)
    proba = bags.oob_decision_function_
    known = ~np.isnan(proba).any(1)
    assert bags.oob_score_ == np.mean(decide(proba[known]) == y[known])

    split = net.set_params(train_split=ValidSplit(3))
    valid = ensemble(split, lam=0.0).fit(X, y)
    rows = np.asarray(ValidSplit(3)(range(len(y)), y)[1].indices)
    own = [np.mean(m.predict(X[rows]) == y[rows]) for m in valid.estimators_]
    np.testing.assert_allclose(valid.history_[-1, "valid_member_accuracies"], own)
    np.testing.assert_allclose(valid.member_scores_, own)

    search = JointEnsembleClassifierCV(
        net.set_params(train_split=None), lams=[0.0], cv=2, random_state=0
    )
    search.fit(X, y)
    best = search.best_estimator_
    np.testing.assert_array_equal(best.predict(X), decide(best.predict_proba(X)) == 1)


def test_training_accuracies_heed_the_threshold(data):
    X, y = data
    net = member(
        NeuralNetBinaryClassifier, LogitColumn, threshold=0.999, lr=0.0, max_epochs=1
    )
    clf = ensemble(net).fit(X, y == "a")
    own = [np.mean(m.predict(X) == (y == "a")) for m in clf.estimators_]
    np.testing.assert_allclose(clf.history_[-1, "train_member_accuracies"], own)


class WithThreshold(NeuralNetClassifier):
    def __init__(self, *args, threshold=0.9, **kwargs):
        super().__init__(*args, **kwargs)
        self.threshold = threshold


def test_a_threshold_of_another_kind_of_net_means_nothing(data):
    """Such an ensemble predicted two of three classes."""
    X, y = data
    clf = ensemble(member(WithThreshold)).fit(X, y)
    assert_predicts_as_its_members(clf, X, y)


class Zero(nn.Module):
    """Says the same of all classes."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 3)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x):
        return self.linear(x)


@pytest.mark.filterwarnings("ignore::sklearn_jointens.IdenticalMembersWarning")
def test_equally_probable_classes_are_told_apart_alike_in_training_and_after(data):
    """Every row of a member that says nothing was counted as right in training."""
    X, y = data
    clf = ensemble(member(module=Zero, lr=0.0, max_epochs=1)).fit(X, y)
    np.testing.assert_allclose(
        clf.history_[-1, "train_member_accuracies"], clf.score_members(X, y)
    )
    np.testing.assert_allclose(clf.member_scores_, np.mean(y == "a"))


def test_a_binary_net_with_another_criterion_is_refused(data):
    """Its members could not predict."""
    X, y = data
    net = member(NeuralNetBinaryClassifier, criterion=nn.CrossEntropyLoss)
    message = (
        "The 'criterion' parameter of the member must be BCEWithLogitsLoss for a "
        "NeuralNetBinaryClassifier, which predicts one logit a row. Got "
        "CrossEntropyLoss instead."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ensemble(net).fit(X, y == "a")


def test_skorchs_own_data_set_is_no_data_set_of_the_users_own(data):
    X, y = data
    clf = ensemble(member(dataset=Dataset)).fit(X, y)
    assert not clf.net_.has_own_batches_
