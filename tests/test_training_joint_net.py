"""Training all members as one program is training them: the contracts of `JointNet`."""

import functools

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch import NeuralNetBinaryClassifier
from skorch.callbacks import Callback, GradientNormClipping
from skorch.dataset import ValidSplit
from tools import ensemble, skorch_net, three_classes
from torch import nn

from sklearn_jointens import JointEnsembleClassifier, _members, mlp_classifier
from sklearn_jointens.losses import diversity, joint_loss
from sklearn_jointens.nn import vectorize_members

WAYS = ("structural", "vmap", "loop")
LAMS = (0.0, 0.5, 1.0)


class Net(nn.Module):
    """A user's own module, whose sizes are given by hand."""

    def __init__(self, n_hidden=8, n_out=3):
        super().__init__()
        self.hidden = nn.Linear(6, n_hidden)
        self.norm = nn.LayerNorm(n_hidden)
        self.out = nn.Linear(n_hidden, n_out)

    def forward(self, X):
        return self.out(torch.relu(self.norm(self.hidden(X))))


class Normalized(Net):
    def __init__(self, n_hidden=8):
        super().__init__(n_hidden)
        self.norm = nn.BatchNorm1d(n_hidden)


class ProbabilityNet(Net):
    def forward(self, X):
        return super().forward(X).softmax(dim=1)


class LogitColumn(Net):
    def __init__(self, n_hidden=8):
        super().__init__(n_hidden, n_out=1)


class LogitVector(LogitColumn):
    def forward(self, X):
        return super().forward(X)[:, 0]


class ZeroAndLogit(LogitColumn):
    """The two-class member that says what a one-logit member says."""

    def forward(self, X):
        logit = super().forward(X)
        return torch.cat([torch.zeros_like(logit), logit], dim=1)


class Reseed(Callback):
    """Makes the order of batches the same for every net, whatever came before."""

    def on_train_begin(self, net, **kwargs):
        torch.manual_seed(7)


@pytest.fixture
def data():
    return three_classes(70)


def prototype(module=Net, **params):
    return skorch_net(
        module, **{"lr": 0.1, "max_epochs": 4, "batch_size": 16, **params}
    )


def states(fitted):
    """Each member's tensors by name."""
    return [
        {k: v.clone().cpu() for k, v in member.module_.state_dict().items()}
        for member in fitted.estimators_
    ]


def initial_states(clf, X, y):
    """What the members start from."""
    return states(clone(clf).set_params(estimator__max_epochs=0).fit(X, y))


def trained_alone(net, start, X, y):
    """A plain skorch net, trained from these weights by skorch's own loop."""
    alone = clone(net).initialize()
    alone.module_.load_state_dict(start)
    with torch.random.fork_rng(devices=[]):
        return alone.partial_fit(X, y)


def assert_same_states(found, expected, atol=1e-5):
    for j, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert a.keys() == b.keys()
        for name in b:
            torch.testing.assert_close(
                a[name], b[name], rtol=0, atol=atol, msg=f"member {j}: {name}"
            )


# -- lam = 0 and one member ----------------------------------------------------------


@pytest.mark.quick(1)
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer__momentum": 0.9},
        {"optimizer__momentum": 0.9, "optimizer__nesterov": True},
        {"optimizer": torch.optim.Adam, "lr": 0.02},
        {"optimizer": torch.optim.AdamW, "lr": 0.02, "optimizer__weight_decay": 0.1},
        {"optimizer": torch.optim.RMSprop, "lr": 0.01},
        {"batch_size": -1, "lr": 0.5},
    ],
    ids=str,
)
def test_lam_0_equals_skorch_nets_fitted_one_by_one(data, settings, shuffle, device):
    X, y = data
    net = prototype(
        callbacks=[Reseed],
        iterator_train__shuffle=shuffle,
        train_split=ValidSplit(4),
        **settings,
    )
    net.set_params(device=device)
    clf = ensemble(net, lam=0.0)
    start = initial_states(clf, X, y)
    clf.fit(X, y)
    alone = [trained_alone(net, weights_j, X, y) for weights_j in start]
    atol = 1e-5 if device == "cpu" else 1e-4
    expected = [
        {k: v.cpu() for k, v in member.module_.state_dict().items()} for member in alone
    ]
    assert_same_states(states(clf), expected, atol=atol)
    for part in ("train", "valid"):
        np.testing.assert_allclose(
            np.transpose(clf.history_[:, f"{part}_member_losses"]),
            [member.history[:, f"{part}_loss"] for member in alone],
            atol=atol,
        )
    np.testing.assert_allclose(
        np.transpose(clf.history_[:, "valid_member_accuracies"]),
        [member.history[:, "valid_acc"] for member in alone],
        atol=1e-6,
    )
    np.testing.assert_allclose(
        clf.member_proba(X), [member.predict_proba(X) for member in alone], atol=atol
    )


@pytest.mark.quick(1)
@pytest.mark.parametrize("lam", LAMS)
@pytest.mark.parametrize(
    "settings",
    [{"optimizer__momentum": 0.9}, {"optimizer": torch.optim.Adam, "lr": 0.02}],
    ids=str,
)
def test_one_member_equals_the_prototype_for_every_lam(data, lam, settings, device):
    X, y = data
    net = prototype(
        callbacks=[Reseed],
        iterator_train__shuffle=True,
        train_split=ValidSplit(4),
        **settings,
    )
    net.set_params(device=device)
    clf = ensemble(net, n_estimators=1, lam=lam)
    (start,) = initial_states(clf, X, y)
    clf.fit(X, y)
    alone = trained_alone(net, start, X, y)
    atol = 1e-5 if device == "cpu" else 1e-4
    expected = {k: v.cpu() for k, v in alone.module_.state_dict().items()}
    assert_same_states(states(clf), [expected], atol=atol)
    for name in ("train_loss", "valid_loss", "valid_acc"):
        np.testing.assert_allclose(
            clf.history_[:, name], alone.history[:, name], atol=atol
        )
    for name in ("train_loss_best", "valid_loss_best", "train_batch_count"):
        assert clf.history_[:, name] == alone.history[:, name]
    np.testing.assert_allclose(clf.predict_proba(X), alone.predict_proba(X), atol=atol)
    np.testing.assert_array_equal(clf.predict(X), alone.predict(X))


@pytest.mark.parametrize(
    "settings",
    [{"optimizer__momentum": 0.9}, {"optimizer": torch.optim.Adam, "lr": 0.02}],
    ids=str,
)
def test_a_members_step_does_not_depend_on_the_number_of_members(data, settings):
    few, many = (
        ensemble(prototype(**settings), n_estimators=n, lam=0.0).fit(*data)
        for n in (3, 6)
    )
    assert_same_states(states(few), states(many)[:3], atol=1e-6)


def test_a_members_step_does_not_depend_on_lam_where_members_agree(data):
    """Members that start alike stay one network, which no lam changes."""
    net = prototype(module=Net())
    fitted = []
    for lam in LAMS:
        with pytest.warns(UserWarning, match="start from the same weights"):
            fitted.append(states(ensemble(net, lam=lam).fit(*data)))
    assert_same_states(fitted[1], fitted[0])
    assert_same_states(fitted[2], fitted[0])


# -- the joint loss ------------------------------------------------------------------


@pytest.mark.core
@pytest.mark.parametrize("lam", LAMS)
def test_history_holds_the_joint_loss_and_its_parts(data, lam):
    net = prototype(train_split=ValidSplit(4))
    history = ensemble(net, lam=lam).fit(*data).history_
    assert len(history) == 4
    for row in history:
        for part in ("train", "valid"):
            whole, member = row[f"{part}_ensemble_loss"], row[f"{part}_member_loss"]
            assert row[f"{part}_diversity"] >= 0
            assert row[f"{part}_diversity"] == pytest.approx(member - whole, abs=1e-9)
            assert member == pytest.approx(np.mean(row[f"{part}_member_losses"]))
            assert len(row[f"{part}_member_accuracies"]) == 3
        assert row["train_loss"] == pytest.approx(
            lam * row["train_ensemble_loss"] + (1 - lam) * row["train_member_loss"],
            rel=1e-5,
        )
        assert row["train_loss"] == pytest.approx(
            row["train_member_loss"] - lam * row["train_diversity"], rel=1e-5
        )
        assert row["valid_loss"] == pytest.approx(row["valid_ensemble_loss"], rel=1e-5)


def test_history_without_a_split_says_nothing_of_validation(data):
    (*_, row) = ensemble(prototype()).fit(*data).history_
    assert not [name for name in row if name.startswith("valid")]


@pytest.mark.quick(2)
@pytest.mark.parametrize("batch_size", [-1, 16])
def test_history_holds_what_the_members_outputs_say(data, batch_size, device):
    """With a step of nothing, every batch is seen by the same, final members."""
    X, y = data
    lam = 0.3
    net = prototype(lr=0.0, batch_size=batch_size, train_split=ValidSplit(4))
    clf = ensemble(net, lam=lam, device=device).fit(X, y)
    train, valid = net.train_split(net.get_dataset(X, y), y)
    for part, rows in (("train", train.indices), ("valid", valid.indices)):
        proba = clf.member_proba(X[rows])
        logits = torch.from_numpy(proba).log()
        target = torch.from_numpy(y[rows])
        losses = -np.log(proba[:, range(len(rows)), y[rows]]).mean(axis=1)
        accuracies = (proba.argmax(axis=2) == y[rows]).mean(axis=1)
        for row in clf.history_:
            np.testing.assert_allclose(row[f"{part}_member_losses"], losses, rtol=1e-4)
            np.testing.assert_allclose(
                row[f"{part}_member_accuracies"], accuracies, rtol=1e-5
            )
            loss = joint_loss(logits, target, lam if part == "train" else 1.0)
            assert row[f"{part}_loss"] == pytest.approx(loss.item(), rel=1e-4)
            assert row[f"{part}_diversity"] == pytest.approx(
                diversity(logits).item(), rel=1e-3
            )


def test_epoch_losses_are_the_batches_averaged_by_size(data):
    (row, *_) = ensemble(prototype(batch_size=32)).fit(*data).history_
    sizes = [batch["train_batch_size"] for batch in row["batches"]]
    losses = [batch["train_loss"] for batch in row["batches"]]
    assert sizes == [32, 32, 6]
    assert row["train_loss"] == pytest.approx(np.average(losses, weights=sizes))


@pytest.mark.quick(3)
@pytest.mark.parametrize("lam", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_one_step_is_the_members_lr_along_m_times_the_joint_gradient(
    data, lam, weighted
):
    """Against autograd through the members' own forward and the formula of eq. 4."""
    X, y = data
    lr, n_members = 0.1, 3
    sample_weight = np.random.RandomState(0).rand(len(y)) if weighted else None
    net = prototype(lr=lr, max_epochs=1, batch_size=-1)
    clf = ensemble(net, lam=lam, n_estimators=n_members)
    start = initial_states(clf, X, y)
    clf.fit(X, y, sample_weight=sample_weight)

    modules = [Net() for _ in range(n_members)]
    for module, state in zip(modules, start, strict=True):
        module.load_state_dict(state)
    share = np.ones(len(y)) if sample_weight is None else sample_weight
    share = torch.from_numpy(share / share.sum()).float()
    logits = torch.stack([module(torch.from_numpy(X)) for module in modules])
    target = torch.from_numpy(y)

    def nll(z):
        return (nn.functional.cross_entropy(z, target, reduction="none") * share).sum()

    loss = lam * nll(logits.mean(0)) + (1 - lam) * sum(map(nll, logits)) / n_members
    (n_members * loss).backward()
    expected = []
    for module in modules:
        for parameter in module.parameters():
            parameter.data -= lr * parameter.grad
        expected.append(module.state_dict())
    assert_same_states(states(clf), expected)
    assert clf.history_[0]["train_loss"] == pytest.approx(loss.item(), rel=1e-5)


# -- criteria ------------------------------------------------------------------------


@pytest.mark.quick(1)
@pytest.mark.parametrize("lam", LAMS)
def test_members_of_probabilities_and_of_logits_give_the_same_ensemble(data, lam):
    """Averaging log-probabilities without renormalising would be lam = 0."""
    X, y = data
    split = ValidSplit(4)
    logits = ensemble(prototype(train_split=split), lam=lam).fit(X, y)
    net = prototype(ProbabilityNet, criterion=nn.NLLLoss, train_split=split)
    probabilities = ensemble(net, lam=lam).fit(X, y)
    assert_same_states(states(probabilities), states(logits), atol=1e-4)
    np.testing.assert_allclose(
        probabilities.predict_proba(X), logits.predict_proba(X), atol=1e-4
    )
    np.testing.assert_allclose(
        probabilities.member_proba(X), logits.member_proba(X), atol=1e-4
    )
    for name in ("train_loss", "valid_loss", "valid_acc", "valid_diversity"):
        np.testing.assert_allclose(
            probabilities.history_[:, name], logits.history_[:, name], atol=1e-4
        )


def test_lam_matters_to_members_of_probabilities(data):
    net = prototype(ProbabilityNet, criterion=nn.NLLLoss)
    alone, joint = (ensemble(net, lam=lam).fit(*data) for lam in (0.0, 1.0))
    assert abs(alone.member_proba(data[0]) - joint.member_proba(data[0])).max() > 0.01


@pytest.mark.quick(1)
@pytest.mark.parametrize("module", [LogitColumn, LogitVector])
@pytest.mark.parametrize("lam", LAMS)
def test_one_logit_members_equal_two_class_members(data, module, lam):
    X, y = data
    y = np.where(y == 1, "yes", "no")
    binary = NeuralNetBinaryClassifier(
        module,
        lr=0.1,
        max_epochs=4,
        batch_size=16,
        train_split=ValidSplit(4, stratified=True),
        verbose=0,
    )
    one = ensemble(binary, lam=lam).fit(X, y)
    net = prototype(ZeroAndLogit, train_split=ValidSplit(4, stratified=True))
    two = ensemble(net, lam=lam).fit(X, y)
    assert one.classes_.tolist() == ["no", "yes"]
    assert_same_states(states(one), states(two))
    np.testing.assert_allclose(one.predict_proba(X), two.predict_proba(X), atol=1e-5)
    np.testing.assert_allclose(one.member_proba(X), two.member_proba(X), atol=1e-5)
    np.testing.assert_array_equal(one.predict(X), two.predict(X))
    for name in ("train_loss", "valid_loss", "valid_acc"):
        np.testing.assert_allclose(
            one.history_[:, name], two.history_[:, name], atol=1e-5
        )
    for j, member in enumerate(one.estimators_):
        assert isinstance(member, NeuralNetBinaryClassifier)
        np.testing.assert_allclose(
            member.predict_proba(X), one.member_proba(X)[j], atol=1e-6
        )
        np.testing.assert_array_equal(
            member.predict(X), one.classes_[one.member_proba(X)[j].argmax(axis=1)]
        )


@pytest.mark.parametrize("threshold", [0.05, 0.5, 0.95])
def test_a_binary_members_threshold_is_honoured(data, threshold):
    X, y = data
    net = NeuralNetBinaryClassifier(
        LogitColumn, max_epochs=2, threshold=threshold, train_split=None, verbose=0
    )
    clf = ensemble(net).fit(X, y == 1)
    np.testing.assert_array_equal(
        clf.predict(X), clf.predict_proba(X)[:, 1] > threshold
    )
    np.testing.assert_array_equal(
        clf.estimators_[0].predict(X), clf.member_proba(X)[0, :, 1] > threshold
    )


# -- the three ways ------------------------------------------------------------------


@pytest.fixture
def way_of(monkeypatch):
    """Makes fits take one way of vectorizing."""
    stock = _members.vectorize_members

    def choose(way):
        forced = functools.partial(stock, method=way)
        monkeypatch.setattr(
            _members,
            "vectorize_members",
            lambda modules, method="auto", example=None: forced(
                modules, example=example
            ),
        )

    return choose


@pytest.mark.core
@pytest.mark.quick(1)
@pytest.mark.parametrize("lam", LAMS)
@pytest.mark.parametrize("way", ["vmap", "loop"])
def test_all_ways_of_vectorizing_train_the_same_ensemble(data, way_of, way, lam):
    X, y = data
    net = prototype(
        optimizer=torch.optim.Adam,
        lr=0.02,
        train_split=ValidSplit(4),
        iterator_train__shuffle=True,
    )
    fitted = []
    for each in ("structural", way):
        way_of(each)
        fitted.append(ensemble(net, lam=lam).fit(X, y))
        assert fitted[-1].vectorization_.method == each
    a, b = fitted
    assert_same_states(states(a), states(b))
    np.testing.assert_allclose(a.predict_proba(X), b.predict_proba(X), atol=1e-5)
    np.testing.assert_allclose(a.member_proba(X), b.member_proba(X), atol=1e-5)
    for name in ("train_loss", "valid_loss", "valid_acc", "train_diversity"):
        np.testing.assert_allclose(a.history_[:, name], b.history_[:, name], atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_the_fitted_state_keeps_its_way(data, way_of, way):
    X, y = data
    way_of(way)
    clf = ensemble(prototype()).fit(X, y)
    assert clf.net_.module_.method == way
    smaller = clf.drop_members([1])
    assert smaller.net_.module_.method == way
    np.testing.assert_allclose(
        smaller.predict_proba(X), clf.predict_proba(X, members=[0, 2]), atol=1e-6
    )


class Branching(Net):
    """Goes another way for other values, so that only a loop can run it."""

    def forward(self, X):
        return super().forward(X if self.hidden.weight.sum() > 0 else -X)


class Scaled(Net):
    """A parameter of its own, so that the layers alone do not say what it does."""

    def __init__(self, n_hidden=8):
        super().__init__(n_hidden)
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, X):
        return torch.cumsum(super().forward(X), dim=1) * self.scale


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("module", "way"), [(Net, "structural"), (Scaled, "vmap"), (Branching, "loop")]
)
def test_any_module_trains_in_the_way_that_can_run_it(data, module, way):
    X, y = data
    net = prototype(module, optimizer__momentum=0.9)
    clf = ensemble(net, lam=0.0)
    start = initial_states(clf, X, y)
    clf.fit(X, y)
    assert clf.vectorization_.method == way
    assert clf.vectorization_.reason.startswith(way)
    expected = [trained_alone(net, state, X, y).module_.state_dict() for state in start]
    assert_same_states(states(clf), expected)


def test_buffers_of_members_are_trained_as_alone(data):
    """Batch normalization's running statistics are handed back too."""
    X, y = data
    net = prototype(Normalized, lr=0.05)
    clf = ensemble(net, lam=0.0)
    start = initial_states(clf, X, y)
    clf.fit(X, y)
    alone = [trained_alone(net, state, X, y) for state in start]
    assert_same_states(states(clf), [member.module_.state_dict() for member in alone])
    assert clf.estimators_[0].module_.norm.num_batches_tracked == 4 * 5
    np.testing.assert_allclose(
        clf.member_proba(X), [member.predict_proba(X) for member in alone], atol=1e-5
    )


@pytest.mark.quick(1)
@pytest.mark.parametrize("norm", [2, float("inf")])
@pytest.mark.parametrize("way", WAYS)
def test_gradient_clipping_is_each_members_own(digits, way, norm, monkeypatch):
    """One norm over all members made lam=0 depend on their number."""
    X, y = digits
    monkeypatch.setattr(
        "sklearn_jointens._members.vectorize_members",
        lambda modules, method="auto", example=None: vectorize_members(
            modules, way, example
        ),
    )
    clip = GradientNormClipping(0.05, norm)
    net = mlp_classifier((6,), max_epochs=3, lr=0.5, callbacks=[clip])
    net.set_params(optimizer=torch.optim.SGD)
    many, one = (
        JointEnsembleClassifier(net, n, 0.0, random_state=0).fit(X, y) for n in (3, 1)
    )
    unclipped = JointEnsembleClassifier(
        net.set_params(callbacks=None), 1, 0.0, random_state=0
    ).fit(X, y)
    together, alone, free = (
        clf.estimators_[0].predict_proba(X) for clf in (many, one, unclipped)
    )
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert abs(free - alone).max() > 0.1
