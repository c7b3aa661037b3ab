"""Whatever a prototype can do alone, it can do as a member."""

import contextlib
import io

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import accuracy_score, log_loss
from skorch import NeuralNetClassifier
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    Freezer,
    Initializer,
    LRScheduler,
    ProgressBar,
    TensorBoard,
    Unfreezer,
)
from skorch.dataset import Dataset, ValidSplit
from skorch.helper import predefined_split
from tools import ensemble, skorch_net, three_classes, weights
from torch import nn
from torch.utils.data import DataLoader, Subset, WeightedRandomSampler
from torch.utils.tensorboard import SummaryWriter

from sklearn_jointens import JointEnsembleClassifier, mlp_classifier
from sklearn_jointens._members import IdenticalMembersWarning

LABELS = np.array(["ant", "bee", "cat"])


class Net(nn.Module):
    """A user's own module, whose sizes are given by hand."""

    def __init__(self, n_hidden=8):
        super().__init__()
        self.hidden = nn.Linear(6, n_hidden)
        self.out = nn.Linear(n_hidden, 3)

    def forward(self, X):
        return self.out(torch.relu(self.hidden(X)))


class Sized(nn.Module):
    """A user's own module, whose sizes and dtype come from the data."""

    def __init__(self, n_features, num_classes, dtype=torch.float32):
        super().__init__()
        self.hidden = nn.Linear(n_features, 8, dtype=dtype)
        self.out = nn.Linear(8, num_classes, dtype=dtype)

    def forward(self, X):
        return self.out(torch.relu(self.hidden(X)))


class Conv(nn.Module):
    """Takes images."""

    def __init__(self, in_channels, n_classes):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 4, 3)
        self.out = nn.Linear(4, n_classes)

    def forward(self, X):
        return self.out(torch.relu(self.conv(X)).mean((2, 3)))


@pytest.fixture
def data():
    return three_classes(80)


def member(module=Net, **params):
    return skorch_net(
        module, **{"lr": 0.1, "max_epochs": 3, "batch_size": 16, **params}
    )


def parameters(fitted, name):
    """One parameter of all members, by its name within a member."""
    return np.array(
        [
            dict(m.module_.named_parameters())[name].detach().cpu().numpy()
            for m in fitted.estimators_
        ]
    )


def initial(clf, X, y):
    return clone(clf).set_params(estimator__max_epochs=0).fit(X, y)


def valid_rows(net, y):
    _, valid = net.train_split(range(len(y)), y)
    return np.asarray(valid.indices)


# -- callbacks see the ensemble ------------------------------------------------------


class ProbaOfEpoch(Callback):
    """What `predict_proba` would say after each epoch, of all training rows."""

    seen = []

    def on_train_begin(self, net, X=None, **kwargs):
        self.X = X
        ProbaOfEpoch.seen = []

    def on_epoch_end(self, net, **kwargs):
        ProbaOfEpoch.seen.append(net.predict_proba(self.X))


@pytest.mark.quick(5)
@pytest.mark.parametrize("use_caching", [True, False])
@pytest.mark.parametrize("labels", [LABELS, np.array([3, 5, 9])])
def test_scores_are_the_ensembles(data, use_caching, labels, device):
    X, y = data
    net = member(
        train_split=ValidSplit(4),
        callbacks=[
            ("proba", ProbaOfEpoch()),
            ("acc", EpochScoring("accuracy", name="acc", use_caching=use_caching)),
            (
                "loss",
                EpochScoring("neg_log_loss", name="nll", use_caching=use_caching),
            ),
            (
                "train_acc",
                EpochScoring(
                    "accuracy", name="t_acc", on_train=True, use_caching=False
                ),
            ),
            (
                "own",
                EpochScoring(
                    lambda net, X, y: float((net.predict(X) == y).mean()),
                    name="own",
                    use_caching=use_caching,
                ),
            ),
        ],
    )
    clf = ensemble(net, device=device).fit(X, labels[y])
    valid = valid_rows(net, y)
    train = np.setdiff1d(np.arange(len(y)), valid)
    for row, proba in zip(clf.history_, ProbaOfEpoch.seen, strict=True):
        accuracy = accuracy_score(y[valid], proba[valid].argmax(axis=1))
        for name in ("acc", "own", "valid_acc"):
            assert row[name] == pytest.approx(accuracy)
        assert row["t_acc"] == pytest.approx(
            accuracy_score(y[train], proba[train].argmax(axis=1))
        )
        assert row["nll"] == pytest.approx(
            -log_loss(y[valid], proba[valid], labels=[0, 1, 2]), rel=1e-4
        )
        assert row["nll"] == pytest.approx(-row["valid_loss"], rel=1e-4)
    np.testing.assert_allclose(clf.predict_proba(X), proba, atol=1e-6)
    assert clf.score(X[valid], labels[y[valid]]) == pytest.approx(accuracy)


def test_cached_training_scores_are_of_the_outputs_in_training(data):
    X, y = data
    scoring = EpochScoring("accuracy", name="t_acc", on_train=True)
    net = member(lr=0.0, callbacks=[scoring])
    clf = ensemble(net).fit(X, LABELS[y])
    assert clf.history_[-1]["t_acc"] == pytest.approx(clf.score(X, LABELS[y]))


def test_early_stopping_restores_the_best_epoch_of_the_ensemble(data, device):
    X, y = data
    stop = EarlyStopping(
        monitor="valid_loss", patience=3, load_best=True, sink=lambda _: None
    )
    net = member(
        max_epochs=60,
        lr=0.1,
        batch_size=8,
        optimizer__momentum=0.9,
        train_split=ValidSplit(2),
        callbacks=[("proba", ProbaOfEpoch()), ("stop", stop)],
    )
    clf = ensemble(net, lam=1.0, device=device).fit(X, LABELS[y])
    losses = clf.history_[:, "valid_loss"]
    best = int(np.argmin(losses))
    assert 0 < best == len(losses) - 4
    np.testing.assert_allclose(clf.predict_proba(X), ProbaOfEpoch.seen[best], atol=1e-6)
    by_member = np.array([m.predict_proba(X) for m in clf.estimators_])
    np.testing.assert_allclose(by_member, clf.member_proba(X), atol=1e-6)
    log_mean = np.log(by_member).mean(axis=0)
    expected = np.exp(log_mean) / np.exp(log_mean).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(expected, ProbaOfEpoch.seen[best], atol=1e-5)
    valid = valid_rows(net, y)
    assert log_loss(y[valid], expected[valid]) == pytest.approx(min(losses), rel=1e-4)


def test_stopping_early_keeps_the_members_of_the_last_epoch(data):
    stop = EarlyStopping(
        monitor="train_loss", patience=1, threshold=1.0, sink=lambda _: None
    )
    clf = ensemble(member(max_epochs=9, callbacks=[stop])).fit(*data)
    assert len(clf.history_) == 2
    assert len(clf.history_[-1]["train_member_losses"]) == 3
    expected = ensemble(member(max_epochs=2)).fit(*data)
    np.testing.assert_array_equal(weights(clf), weights(expected))


def is_second_epoch(net):
    return len(net.history) == 2


@pytest.mark.parametrize("load_best", [False, True])
def test_checkpoints_keep_the_ensemble(data, load_best, tmp_path, device):
    X, y = data
    checkpoint = Checkpoint(
        monitor=is_second_epoch,
        dirname=tmp_path,
        f_pickle="net.pkl",
        load_best=load_best,
    )
    net = member(callbacks=[("proba", ProbaOfEpoch()), ("keep", checkpoint)])
    clf = ensemble(net, device=device).fit(X, LABELS[y])
    epoch = 1 if load_best else -1
    np.testing.assert_allclose(
        clf.predict_proba(X), ProbaOfEpoch.seen[epoch], atol=1e-6
    )
    clf.net_.load_params(checkpoint=checkpoint.initialize())
    np.testing.assert_allclose(clf.predict_proba(X), ProbaOfEpoch.seen[1], atol=1e-6)


def test_learning_rate_schedules_are_those_of_a_member(data):
    """A rate that is zero from the third epoch on trains as two epochs do."""
    X, y = data
    schedule = LRScheduler("StepLR", step_size=2, gamma=0.0)
    clf = ensemble(member(max_epochs=5, callbacks=[schedule])).fit(X, y)
    two = ensemble(member(max_epochs=2)).fit(X, y)
    np.testing.assert_array_equal(weights(clf), weights(two))
    assert clf.history_[:, "event_lr"] == [0.1, 0.1, 0.0, 0.0, 0.0]


def test_schedules_may_follow_the_ensembles_loss_or_the_batches(data):
    X, y = data
    plateau = LRScheduler("ReduceLROnPlateau", monitor="valid_loss", patience=0)
    cycle = LRScheduler("CyclicLR", base_lr=0.01, max_lr=0.1, step_every="batch")
    for schedule in (plateau, cycle):
        net = member(train_split=ValidSplit(4), callbacks=[schedule])
        assert len(ensemble(net).fit(X, y).history_) == 3


def test_tensorboard_is_written_and_may_be_dropped_and_gone_on_with(data, tmp_path):
    """Its open file cannot be copied, and scikit-learn's clone tried to."""
    X, y = data
    writer = SummaryWriter(tmp_path)
    net = member(callbacks=[TensorBoard(writer)], train_split=ValidSplit(4))
    clf = ensemble(net, warm_start=True).fit(X, y)
    clf.drop_members([0]).predict(X)
    clf.fit(X, y)
    assert len(clf.history_) == 6
    (file, *_) = tmp_path.iterdir()
    written = file.read_bytes()
    for tag in ("Loss/train_loss", "Loss/valid_loss", "train_diversity"):
        assert tag.encode() in written


def test_a_progress_bar_is_shown(data):
    with contextlib.redirect_stderr(io.StringIO()) as shown:
        ensemble(member(callbacks=[ProgressBar(detect_notebook=False)])).fit(*data)
    assert "0/5" in shown.getvalue()


class History(Callback):
    """Collects what a user's callback is given."""

    seen = []

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        row = dict(net.history[-1])
        History.seen.append((type(net).__mro__, row, len(dataset_train)))


def test_a_users_callback_sees_the_net_its_history_and_data(data):
    History.seen = []
    net = member(callbacks=[History()], train_split=ValidSplit(4))
    ensemble(net).fit(*data)
    assert len(History.seen) == 3
    for epoch, (classes, row, n_rows) in enumerate(History.seen, start=1):
        assert NeuralNetClassifier in classes
        assert row["epoch"] == epoch
        assert n_rows == 60
        assert {"train_ensemble_loss", "valid_diversity"} <= set(row)


class Elsewhere(Callback):
    """Predicts other data than the net is trained on."""

    def on_epoch_end(self, net, **kwargs):
        assert net.predict_proba(np.zeros((500, 6), np.float32)).shape == (500, 3)


def test_callbacks_may_predict_more_rows_than_are_weighted(data):
    X, y = data
    net = member(callbacks=[Elsewhere()])
    ensemble(net, bootstrap=True).fit(X, y, sample_weight=np.ones(len(y)))


# -- parameters by their names -------------------------------------------------------


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adafactor])
def test_freezing_goes_by_the_members_own_names(data, optimizer):
    """On stacked weights, and on members that keep their own."""
    clf = ensemble(member(callbacks=[Freezer("hidden.*")], optimizer=optimizer, lr=0.1))
    start, clf = initial(clf, *data), clone(clf).fit(*data)
    for name in ("hidden.weight", "hidden.bias"):
        np.testing.assert_array_equal(parameters(clf, name), parameters(start, name))
    for name in ("out.weight", "out.bias"):
        change = abs(parameters(clf, name) - parameters(start, name))
        assert (change.reshape(3, -1).max(axis=1) > 0).all()


@pytest.mark.parametrize("n_epochs", [2, 3])
def test_parameters_may_be_thawed_in_an_epoch(data, n_epochs):
    callbacks = [Freezer("out.*"), Unfreezer("out.*", at=3)]
    clf = ensemble(member(callbacks=callbacks, max_epochs=n_epochs))
    start, clf = initial(clf, *data), clone(clf).fit(*data)
    change = abs(parameters(clf, "out.bias") - parameters(start, "out.bias")).max()
    assert (change > 0) == (n_epochs == 3)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adafactor])
def test_optimizer_groups_go_by_the_members_own_names(data, optimizer):
    clf = ensemble(
        member(
            optimizer=optimizer,
            lr=0.1,
            optimizer__param_groups=[("hidden.*", {"lr": 0.0})],
        )
    )
    start, clf = initial(clf, *data), clone(clf).fit(*data)
    np.testing.assert_array_equal(
        parameters(clf, "hidden.weight"), parameters(start, "hidden.weight")
    )
    assert abs(parameters(clf, "out.bias") - parameters(start, "out.bias")).max() > 0


def test_an_optimizer_that_mixes_entries_keeps_members_apart(data):
    X, y = data
    net = member(optimizer=torch.optim.Adafactor, lr=0.1, batch_size=-1)
    clf = ensemble(net).fit(X, y)
    assert clf.vectorization_.method == "loop"
    assert clf.vectorization_.reason == (
        "loop: Adafactor may mix the entries of a tensor, so that members "
        "keep tensors of their own"
    )
    assert clf.history_[-1]["train_loss"] < clf.history_[0]["train_loss"]


def test_adafactor_at_lam_0_is_adafactor_for_each_member(data):
    """It divides by what it sums over rows and columns of one member's weights."""
    X, y = data
    net = member(optimizer=torch.optim.Adafactor, lr=0.1)
    clf = ensemble(net, lam=0.0)
    start = initial(clf, X, y)
    clf.fit(X, y)
    for before, after in zip(start.estimators_, clf.estimators_, strict=True):
        alone = clone(net).initialize()
        alone.module_.load_state_dict(before.module_.state_dict())
        alone.partial_fit(X, y)
        np.testing.assert_allclose(
            after.predict_proba(X), alone.predict_proba(X), atol=1e-5
        )


# -- data sets, iterators and splits -------------------------------------------------


class Doubling(Dataset):
    """A user's own data set, which changes what it is given."""

    def transform(self, X, y):
        X, y = super().transform(X, y)
        return X * 2, y


class Loader(DataLoader):
    """A user's own iterator, which counts its batches."""

    batches = 0

    def __iter__(self):
        for batch in super().__iter__():
            Loader.batches += 1
            yield batch


SAMPLE_WEIGHTS = [None, np.linspace(0.1, 1, 80)]


@pytest.mark.quick(3)
@pytest.mark.parametrize("sample_weight", SAMPLE_WEIGHTS, ids=["plain", "weighted"])
@pytest.mark.parametrize("train_split", [None, ValidSplit(4)])
def test_a_users_data_set_is_used(data, train_split, sample_weight, device):
    X, y = data
    net = member(dataset=Doubling, train_split=train_split)
    own = ensemble(net, device=device)
    own.fit(X, LABELS[y], sample_weight=sample_weight)
    net = member(train_split=train_split)
    expected = ensemble(net, device=device)
    expected.fit(2 * X, LABELS[y], sample_weight=sample_weight)
    atol = 1e-6 if device == "cpu" else 1e-4
    np.testing.assert_allclose(weights(own), weights(expected), atol=atol)
    np.testing.assert_allclose(
        own.predict_proba(X), expected.predict_proba(2 * X), atol=atol
    )
    np.testing.assert_allclose(
        own.predict_proba(X, members=[1]),
        expected.predict_proba(2 * X, members=[1]),
        atol=atol,
    )
    np.testing.assert_allclose(own.member_scores_, expected.member_scores_)
    np.testing.assert_allclose(
        own.score_members(X, LABELS[y]), expected.score_members(2 * X, LABELS[y])
    )


def test_predicting_with_a_users_data_set_draws_no_random_numbers(data):
    X, y = data
    clf = ensemble(member(dataset=Doubling)).fit(X, y)
    before = torch.get_rng_state()
    clf.predict_proba(X)
    clf.score_members(X, y)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.quick(2)
@pytest.mark.parametrize("bootstrap", [False, True])
@pytest.mark.parametrize("sample_weight", SAMPLE_WEIGHTS, ids=["plain", "weighted"])
@pytest.mark.parametrize("train_split", [None, ValidSplit(4)])
def test_a_users_iterator_is_used(data, train_split, sample_weight, bootstrap):
    X, y = data
    options = {"train_split": train_split, "iterator_train__shuffle": True}
    params = {"bootstrap": bootstrap, "lam": 0.5}
    Loader.batches = 0
    net = member(iterator_train=Loader, iterator_valid=Loader, **options)
    own = ensemble(net, **params).fit(X, y, sample_weight=sample_weight)
    assert Loader.batches >= 15
    stock = ensemble(member(**options), **params)
    stock.fit(X, y, sample_weight=sample_weight)
    np.testing.assert_allclose(weights(own), weights(stock), atol=1e-6)
    np.testing.assert_allclose(
        own.history_[:, "train_loss"], stock.history_[:, "train_loss"], rtol=1e-5
    )


def test_a_users_sampler_is_used(data):
    X, y = data
    sampler = WeightedRandomSampler((y == 1).astype(float) + 1e-12, num_samples=64)
    net = member(iterator_train__sampler=sampler)
    clf = ensemble(net).fit(X, y)
    assert np.mean(clf.predict(X) == 1) > 0.9


def test_a_split_keeps_its_rows_out_of_training(data):
    X, y = data
    net = member(train_split=ValidSplit(4, stratified=True))
    clf = ensemble(net).fit(X, LABELS[y])
    valid = valid_rows(net, LABELS[y])
    changed = X.copy()
    changed[valid] += 9
    again = clone(clf).fit(changed, LABELS[y])
    np.testing.assert_array_equal(weights(clf), weights(again))
    rest = np.setdiff1d(np.arange(len(y)), valid)
    alone = ensemble(member()).fit(X[rest], LABELS[y[rest]])
    np.testing.assert_allclose(weights(clf), weights(alone), atol=1e-6)


@pytest.mark.quick(3)
@pytest.mark.parametrize("n_valid", [20, 160])
@pytest.mark.parametrize("sample_weight", SAMPLE_WEIGHTS, ids=["plain", "weighted"])
@pytest.mark.parametrize("bootstrap", [False, True])
def test_a_predefined_split_has_no_weights(data, n_valid, sample_weight, bootstrap):
    """Weights of the training rows were looked up for it."""
    X, y = data
    rows = np.arange(n_valid) % len(y)
    net = member(train_split=predefined_split(Dataset(X[rows], y[rows])))
    clf = ensemble(net, bootstrap=bootstrap).fit(X, y, sample_weight=sample_weight)
    loss = log_loss(y[rows], clf.predict_proba(X[rows]), labels=[0, 1, 2])
    assert clf.history_[-1]["valid_loss"] == pytest.approx(loss, rel=1e-4)
    if not bootstrap:
        np.testing.assert_allclose(
            clf.member_scores_, [m.score(X[rows], y[rows]) for m in clf.estimators_]
        )


def test_a_users_function_may_split(data):
    X, y = data

    def first_half(dataset, y):
        half = len(y) // 2
        return Subset(dataset, range(half)), Subset(dataset, range(half, len(y)))

    clf = ensemble(member(train_split=first_half)).fit(X, LABELS[y])
    expected = ensemble(member()).fit(X[:40], LABELS[y[:40]])
    np.testing.assert_allclose(weights(clf), weights(expected), atol=1e-6)
    assert clf.history_[-1]["valid_acc"] == pytest.approx(
        clf.score(X[40:], LABELS[y[40:]])
    )


def test_one_batch_may_hold_all_rows(data):
    X, y = data
    whole = ensemble(member(batch_size=-1)).fit(X, y)
    expected = ensemble(member(batch_size=len(y))).fit(X, y)
    np.testing.assert_array_equal(weights(whole), weights(expected))
    assert whole.history_[:, "train_batch_count"] == [1, 1, 1]


def test_the_last_batch_may_be_left_out(data):
    X, y = data
    net = member(batch_size=32, iterator_train__drop_last=True)
    clf = ensemble(net).fit(X, y)
    expected = ensemble(member(batch_size=32)).fit(X[:64], y[:64])
    np.testing.assert_allclose(weights(clf), weights(expected), atol=1e-6)


def test_leaving_out_the_only_batch_is_an_error(data):
    net = member(batch_size=128, iterator_train__drop_last=True)
    with pytest.raises(
        ValueError,
        match=r"^The 'batch_size' parameter of the member must be at most 80, the "
        r"number of training rows, with iterator_train__drop_last=True\. "
        r"Got 128 instead\.$",
    ):
        ensemble(net).fit(*data)


# -- sizes and kinds of X and y ------------------------------------------------------


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    ("dtype", "computed"),
    [
        (np.float32, np.float32),
        (np.float64, np.float64),
        (np.float16, np.float32),
        (np.int64, np.float32),
        (np.int8, np.float32),
        (np.uint8, np.float32),
        (np.uint16, np.float32),
        (bool, np.float32),
        (">f4", np.float32),
    ],
    ids=str,
)
def test_x_of_any_dtype_trains_as_the_same_numbers_do(data, dtype, computed):
    X, y = data
    X = (np.abs(X) * 3).astype(dtype)
    clf = ensemble(member(Sized)).fit(X, y)
    expected = ensemble(member(Sized)).fit(X.astype(computed), y)
    np.testing.assert_array_equal(weights(clf), weights(expected))
    assert weights(clf).dtype == computed
    assert clf.predict_proba(X).dtype == computed
    np.testing.assert_array_equal(clf.predict_proba(X), expected.predict_proba(X))


def test_what_the_prototype_sets_wins_over_the_data(data):
    X, y = data
    net = member(Sized, module__num_classes=3, module__dtype=torch.float32)
    clf = ensemble(net).fit(X.astype(np.float64), y)
    assert weights(clf).dtype == np.float32
    np.testing.assert_allclose(
        weights(clf), weights(ensemble(member(Sized)).fit(X, y)), atol=1e-6
    )


def test_a_module_that_takes_no_dtype_is_given_its_own(data):
    X, y = data
    clf = ensemble(member()).fit(X.astype(np.float64), y)
    np.testing.assert_array_equal(weights(clf), weights(ensemble(member()).fit(X, y)))
    assert clf.predict_proba(X.astype(np.float64)).dtype == np.float32


def test_torchs_own_layer_is_a_module(data):
    X, y = data
    clf = ensemble(member(nn.Linear)).fit(X, y)
    assert parameters(clf, "weight").shape == (3, 3, 6)
    assert clf.vectorization_.method == "structural"


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_images_are_taken_as_they_are(dtype, device):
    rng = np.random.RandomState(0)
    X = (rng.rand(40, 2, 6, 5) * 9).astype(dtype)
    y = (X.mean((1, 2, 3)) > 4.5).astype(int)
    net = member(Conv, max_epochs=2)
    clf = ensemble(net, lam=0.0, device=device)
    start = initial(clf, X, y)
    clf.fit(X, y)
    assert clf.estimators_[0].module_.conv.in_channels == 2
    atol = 1e-4 if device == "cpu" else 1e-2  # TF32 convolutions
    for before, after in zip(start.estimators_, clf.estimators_, strict=True):
        before.set_params(max_epochs=2)
        before.partial_fit(X, y)
        np.testing.assert_allclose(
            after.predict_proba(X), before.predict_proba(X), atol=atol
        )
    with pytest.raises(ValueError, match="expecting rows of shape"):
        clf.predict(X[:, :, :5])


def test_tensors_are_taken_as_arrays(data):
    X, y = data
    expected = ensemble(member()).fit(X, y, sample_weight=np.arange(1.0, 81))
    clf = ensemble(member()).fit(
        torch.from_numpy(X), torch.from_numpy(y), sample_weight=torch.arange(1.0, 81)
    )
    np.testing.assert_array_equal(weights(clf), weights(expected))
    np.testing.assert_array_equal(
        clf.predict_proba(torch.from_numpy(X)), expected.predict_proba(X)
    )
    assert clf.score(torch.from_numpy(X), torch.from_numpy(y)) == clf.score(X, y)
    assert isinstance(clf.predict(torch.from_numpy(X)), np.ndarray)


@pytest.mark.quick(6)
@pytest.mark.parametrize(
    "convert",
    [
        sparse.csr_array,
        sparse.csr_matrix,
        sparse.csc_array,
        sparse.csc_matrix,
        sparse.coo_array,
    ],
)
@pytest.mark.parametrize("shuffle", [False, True])
def test_sparse_rows_equal_dense_rows_and_are_never_dense_all_at_once(
    data, convert, shuffle, monkeypatch, device
):
    X, y = data
    X[X < 0] = 0
    net = member(iterator_train__shuffle=shuffle, train_split=ValidSplit(4))
    expected = ensemble(net, device=device).fit(X, LABELS[y])
    rows = []
    for kind in (sparse.csr_array, sparse.csr_matrix):
        monkeypatch.setattr(kind, "toarray", counted(kind.toarray, rows))
        monkeypatch.setattr(kind, "todense", None)
    clf = ensemble(net, device=device).fit(convert(X), LABELS[y])
    assert max(rows) <= 20  # the validation rows, which members are scored on
    atol = 0 if device == "cpu" else 1e-5
    np.testing.assert_allclose(weights(clf), weights(expected), rtol=0, atol=atol)
    many = sparse.vstack([convert(X)] * 30, format="csc")
    rows.clear()
    proba = clf.predict_proba(many)
    clf.score_members(many, np.tile(LABELS[y], 30))
    assert max(rows) <= 1000 < many.shape[0]
    np.testing.assert_allclose(
        proba, np.tile(expected.predict_proba(X), (30, 1)), atol=1e-6
    )


def counted(toarray, rows):
    def wrapper(self, *args, **kwargs):
        rows.append(self.shape[0])
        return toarray(self, *args, **kwargs)

    return wrapper


def test_a_read_only_memory_map_equals_the_array(data, tmp_path):
    X, y = data
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    net = member(iterator_train__shuffle=True)
    a, b = (ensemble(net).fit(rows, y) for rows in (X, mapped))
    np.testing.assert_array_equal(weights(a), weights(b))
    np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(mapped))


# -- what is said --------------------------------------------------------------------


def test_a_fit_prints_a_line_an_epoch_only_when_asked(data, capsys):
    net = member(verbose=1, train_split=ValidSplit(4))
    ensemble(net, verbose=0).fit(*data)
    assert capsys.readouterr() == ("", "")
    ensemble(net, verbose=1).fit(*data)
    header, rule, *epochs = capsys.readouterr().out.strip().split("\n")
    assert header.split() == [
        "epoch",
        "train_diversity",
        "train_loss",
        "valid_acc",
        "valid_diversity",
        "valid_loss",
        "dur",
    ]
    assert set(rule) == {"-", " "}
    assert [line.split()[0] for line in epochs] == ["1", "2", "3"]


@pytest.mark.parametrize("lam", [0.0, 0.5])
def test_members_from_one_instance_are_warned_of(data, lam):
    with pytest.warns(IdenticalMembersWarning, match="Give the member's 'module' as"):
        clf = ensemble(member(Net()), lam=lam).fit(*data)
    np.testing.assert_allclose(
        weights(clf), np.tile(weights(clf)[:1], (3, 1)), atol=1e-6
    )


@pytest.mark.parametrize(
    ("net", "params"),
    [
        (member(Net()), {"n_estimators": 1}),
        (member(Net()), {"bootstrap": True}),
        (member(Net), {}),
    ],
)
def test_members_that_differ_are_not_warned_of(data, net, params):
    clf = ensemble(net, **params).fit(*data)
    assert len(np.unique(weights(clf), axis=0)) == clf.n_estimators


def test_an_initializer_sees_the_weights_of_one_member_at_a_time(digits):
    """On stacked weights, Xavier's bound shrank with the number of members."""
    X, y = digits
    fill = Initializer("output.weight", torch.nn.init.xavier_uniform_)
    net = mlp_classifier((8,), max_epochs=1, lr=0.0, callbacks=[fill])
    clf = JointEnsembleClassifier(net, n_estimators=40, random_state=0).fit(X, y)
    bound = np.sqrt(6 / (8 + 10))
    largest = [m.module_.output.weight.abs().max().item() for m in clf.estimators_]
    assert 0.9 * bound < min(largest) <= max(largest) <= bound * (1 + 1e-6)
    assert "Initializer" in clf.vectorization_.reason


@pytest.mark.slow
def test_a_smaller_ensembles_history_speaks_of_its_own_members(digits):
    X, y = digits
    clf = JointEnsembleClassifier(n_estimators=4, random_state=0).fit(X, y)
    kept = clf.drop_members([0, 2]).history_
    for name in ("train_member_losses", "train_member_accuracies"):
        whole = clf.history_[-1, name]
        assert kept[-1, name] == [whole[1], whole[3]]
    assert kept[:, "train_loss"] == clf.history_[:, "train_loss"]
