"""Every row is predicted, in its place, and nobody's random numbers are drawn."""

import re
import threading

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from skorch.dataset import Dataset
from tools import OwnDataset, OwnLoader, skorch_net
from torch import nn
from torch.utils.data import DataLoader

from sklearn_jointens import JointEnsembleClassifier
from sklearn_jointens.training import MemberNetClassifier

X = np.random.RandomState(0).rand(50, 4).astype(np.float32)
Y = np.arange(50) % 3


class Net(nn.Linear):
    def __init__(self, n_features_in, n_classes):
        super().__init__(n_features_in, n_classes)


def member(kind=NeuralNetClassifier, module=Net, **params):
    settings = {"criterion": nn.CrossEntropyLoss, "max_epochs": 1, "batch_size": 16}
    return skorch_net(module, kind, **{**settings, **params})


def ensemble(net, **params):
    return JointEnsembleClassifier(net, n_estimators=2, random_state=0, **params)


class FewRows(Dataset):
    """Leaves out rows whose first number is large."""

    def __init__(self, X, y=None):
        kept = np.flatnonzero(X[:, 0] < 0.9)
        super().__init__(X[kept], None if y is None else y[kept])


class Sorted(Dataset):
    """Gives rows in an order of its own."""

    def __init__(self, X, y=None):
        order = np.argsort(X[:, 0])
        super().__init__(X[order], None if y is None else y[order])


class Dictionaries(Dataset):
    def transform(self, X, y):
        return {"input": X}, 0 if y is None else y


class DropsLast(DataLoader):
    def __init__(self, dataset, batch_size, **kwargs):
        super().__init__(dataset, 5, drop_last=True)


class Endless(DataLoader):
    def __iter__(self):
        while True:
            yield from super().__iter__()


@pytest.mark.quick(3)
@pytest.mark.parametrize("n_rows", [1, 15, 50])
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"dataset": OwnDataset},
        {"iterator_valid": OwnLoader},
        {"dataset": OwnDataset, "iterator_valid": OwnLoader},
    ],
    ids=["stock", "dataset", "iterator", "both"],
)
def test_predictions_leave_no_row_out(params, n_rows):
    """They were memory that nobody had written to."""
    clf = ensemble(member(iterator_valid__drop_last=True, **params)).fit(X, Y)
    expected = ensemble(member()).fit(X, Y)
    np.testing.assert_allclose(
        clf.predict_proba(X[:n_rows]), expected.predict_proba(X[:n_rows]), atol=1e-6
    )
    alone = clf.estimators_[0].predict_proba(X[:n_rows])
    np.testing.assert_allclose(clf.member_proba(X[:n_rows])[0], alone, atol=1e-6)
    np.testing.assert_allclose(
        clf.score_members(X[:n_rows], Y[:n_rows]),
        expected.score_members(X[:n_rows], Y[:n_rows]),
    )


def count_message(got, n_rows):
    return (
        "The 'dataset' and 'iterator_valid' parameters of the member must give each "
        f"row of X once. Got {got} rows for {n_rows} rows of X instead."
    )


@pytest.mark.parametrize(
    ("params", "got"),
    [({"dataset": FewRows}, 6), ({"iterator_valid": DropsLast}, 5)],
)
def test_rows_that_are_left_out_are_found_before_training(params, got):
    first = X.copy()
    first[:8, 0] = [0, 1, 0, 0, 1, 0, 0, 0]
    clf = ensemble(member(**params))
    with pytest.raises(ValueError, match=f"^{re.escape(count_message(got, 8))}$"):
        clf.fit(first, Y)
    assert not hasattr(clf, "estimators_")


@pytest.mark.parametrize("kind", [NeuralNetClassifier, MemberNetClassifier])
def test_rows_that_are_left_out_of_prediction_are_an_error(kind):
    """The rest was memory that nobody had written to."""

    class Filters(kind):
        def get_dataset(self, X, y=None):
            if y is None:
                X = X[X[:, 0] < 2]
            return super().get_dataset(X, y)

    clf = ensemble(member(Filters)).fit(X, Y)
    large = X.copy()
    large[[3, 30], 0] = 3
    for predict in (clf.predict, clf.predict_proba, clf.member_proba):
        with pytest.raises(ValueError, match=f"^{re.escape(count_message(48, 50))}$"):
            predict(large)
    assert clf.predict(X).shape == (50,)


@pytest.mark.parametrize(("then", "got"), [(DropsLast, 45), (Endless, 64)])
def test_batches_that_leave_rows_out_or_do_not_end_are_an_error(then, got):
    class Changing(DataLoader):
        kind = OwnLoader

        def __iter__(self):
            return iter(self.kind(self.dataset, self.batch_size))

    clf = ensemble(member(iterator_valid=Changing)).fit(X, Y)
    Changing.kind = then
    message = f"^{re.escape(count_message(got, 48))}$"
    with pytest.raises(ValueError, match=message):
        clf.predict_proba(X[:48])
    with pytest.raises(ValueError, match=message):
        clf.score_members(X[:48], Y[:48])


@pytest.mark.parametrize(
    "params",
    [
        {"dataset": Sorted},
        {"iterator_valid__sampler": [7, 6, 5, 4, 3, 2, 1, 0]},
        {
            "iterator_valid__batch_sampler": [[4, 5, 6, 7], [0, 1, 2, 3]],
            "iterator_valid__batch_size": 1,
        },
    ],
    ids=["dataset", "sampler", "batch_sampler"],
)
def test_rows_in_another_order_are_refused(params):
    """Predictions were of other rows."""
    message = (
        "The 'dataset' and 'iterator_valid' parameters of the member must give the "
        "rows of X in their order, in which predictions are returned. Got another "
        "order instead."
    )
    clf = ensemble(member(**params))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        clf.fit(X, Y)


def test_shuffled_validation_is_refused():
    message = (
        "The 'iterator_valid__shuffle' parameter of the member must be False: "
        "predictions come in the order of the rows. Got True instead."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ensemble(member(iterator_valid__shuffle=True)).fit(X, Y)
    ensemble(member(iterator_valid__shuffle=False)).fit(X, Y)


def test_rows_that_are_no_tensor_are_refused():
    message = (
        "The 'dataset' and 'iterator_valid' parameters of the member must give the "
        "rows of a batch as one tensor. Got dict instead."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ensemble(member(dataset=Dictionaries)).fit(X, Y)


@pytest.mark.parametrize(
    "params",
    [{}, {"dataset": OwnDataset}, {"iterator_valid": OwnLoader}],
    ids=["stock", "dataset", "iterator"],
)
def test_prediction_never_touches_the_global_generator(params, monkeypatch):
    """A fit in another thread lost its seed: numbers were drawn from the generator
    that it draws from, and an older state was put back."""
    clf = ensemble(member(**params)).fit(X, Y)
    calls = []
    for name in ("get_rng_state", "set_rng_state", "fork_rng", "manual_seed"):
        monkeypatch.setattr(torch.random, name, lambda *a, n=name, **k: calls.append(n))
        monkeypatch.setattr(torch, name, lambda *a, n=name, **k: calls.append(n), False)
    state = torch.default_generator.get_state()
    clf.predict_proba(X)
    clf.predict(X, members=[1])
    clf.member_proba(X)
    clf.score_members(X, Y)
    clf.estimators_[0].predict(X)
    assert calls == []
    assert torch.equal(torch.default_generator.get_state(), state)


class PredictsMeanwhile(Callback):
    """Predicts in another thread, from the begin of each training step to its end."""

    def __init__(self, predict):
        self.predict = predict

    def _predict(self):
        try:
            chunks = self.predict()
            next(chunks)
        finally:
            self.begun_.set()
        self.go_on_.wait()
        assert list(chunks)

    def on_batch_begin(self, net, **kwargs):
        self.begun_, self.go_on_ = threading.Event(), threading.Event()
        self.thread_ = threading.Thread(target=self._predict)
        self.thread_.start()
        self.begun_.wait()

    def on_batch_end(self, net, **kwargs):
        self.go_on_.set()
        self.thread_.join()


class Dropping(nn.Sequential):
    def __init__(self, n_features_in, n_classes):
        super().__init__(nn.Dropout(0.5), nn.Linear(n_features_in, n_classes))


def test_predicting_in_one_thread_leaves_a_fit_in_another_as_it_is():
    """What ``score_members`` does put an older state of the generator back, which the
    fit in the other thread had drawn from."""
    known = ensemble(member(dataset=OwnDataset, iterator_valid__batch_size=8)).fit(X, Y)
    options = {"module": Dropping, "max_epochs": 2, "iterator_train__shuffle": True}
    expected = ensemble(member(**options)).fit(X, Y)

    def predict():
        return known.net_.natural_iter(known.net_.get_dataset(X, Y))

    meanwhile = [("meanwhile", PredictsMeanwhile(predict))]
    fitted = ensemble(member(**options, callbacks=meanwhile)).fit(X, Y)
    np.testing.assert_array_equal(fitted.predict_proba(X), expected.predict_proba(X))


def test_between_two_chunks_torch_is_as_it_was():
    """Inference mode went on in the code that had asked for the chunk."""
    X = np.random.RandomState(0).normal(size=(20, 3)).astype(np.float32)
    member = MemberNetClassifier(
        nn.Linear,
        module__in_features=3,
        criterion=nn.CrossEntropyLoss,
        train_split=None,
        verbose=0,
    )
    clf = JointEnsembleClassifier(member, 2, random_state=0).fit(X, X[:, 0] > 0)

    modes = [torch.is_inference_mode_enabled() for _ in clf.net_.natural_iter(X)]

    assert modes == [False]
