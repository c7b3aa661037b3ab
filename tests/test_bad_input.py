"""Bad input is refused before any training, by an error that says what to change."""

import json
import pickle
import re
import signal
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted
from skorch import (
    NeuralNetBinaryClassifier,
    NeuralNetClassifier,
    NeuralNetRegressor,
)
from skorch.callbacks import Callback
from tools import exactly, skorch_net
from torch import nn

from sklearn_jointens import (
    DivergenceError,
    IdenticalMembersWarning,
    JointEnsembleClassifier,
    mlp_classifier,
)

OWNER = "JointEnsembleClassifier"


class Watched(nn.Module):
    """A member that remembers whether one of its kind has been trained."""

    trained = False

    def __init__(self, n_features_in=64, n_classes=10):
        super().__init__()
        self.linear = nn.Linear(n_features_in, n_classes)

    def forward(self, x):
        Watched.trained |= self.training
        return self.linear(x)


class OneLogit(Watched):
    def __init__(self):
        super().__init__(n_classes=1)

    def forward(self, x):
        return super().forward(x)[:, 0]


class Images(Watched):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3)

    def forward(self, x):
        return self.convolution(x).flatten(1)


class Dictionary(Watched):
    def forward(self, x):
        return {"logits": super().forward(x)}


class OwnLoss(NeuralNetClassifier):
    def get_loss(self, *args, **kwargs):
        return super().get_loss(*args, **kwargs)


def member(module=Watched, kind=NeuralNetClassifier, **params):
    return skorch_net(
        module, kind, **{"criterion": nn.CrossEntropyLoss, "max_epochs": 1, **params}
    )


def ensemble(estimator=None, **params):
    estimator = member() if estimator is None else estimator
    return JointEnsembleClassifier(estimator, **{"n_estimators": 2, **params})


@pytest.fixture(autouse=True)
def _nothing_is_trained(monkeypatch):
    monkeypatch.setattr(Watched, "trained", False)


def check_refused(clf, X, y, error, message, **fit_params):
    with pytest.raises(error, match=exactly(message)):
        clf.fit(X, y, **fit_params)
    assert not Watched.trained
    assert [name for name in vars(clf) if name.endswith("_")] == []
    with pytest.raises(NotFittedError):
        check_is_fitted(clf)


# -- parameters ------------------------------------------------------------------------


@pytest.mark.core
@pytest.mark.parametrize("lam", [1.5, -0.1, "a", float("nan"), float("inf"), None])
def test_lam(lam, digits):
    check_refused(
        ensemble(lam=lam),
        *digits,
        ValueError,
        f"The 'lam' parameter of {OWNER} must be a float in the range [0.0, 1.0]. "
        f"Got {lam!r} instead.",
    )


@pytest.mark.core
@pytest.mark.parametrize("n_estimators", [0, -1, 1.5, "3", None])
def test_n_estimators(n_estimators, digits):
    check_refused(
        ensemble(n_estimators=n_estimators),
        *digits,
        ValueError,
        f"The 'n_estimators' parameter of {OWNER} must be an int in the range [1, "
        f"inf). Got {n_estimators!r} instead.",
    )


@pytest.mark.parametrize("name", ["bootstrap", "warm_start"])
def test_switches(name, digits):
    check_refused(
        ensemble(**{name: "yes"}),
        *digits,
        ValueError,
        f"The {name!r} parameter of {OWNER} must be an instance of 'bool' or an "
        "instance of 'numpy.bool'. Got 'yes' instead.",
    )


def test_oob_score_of_another_type(digits):
    check_refused(
        ensemble(bootstrap=True, oob_score="f1"),
        *digits,
        ValueError,
        f"The 'oob_score' parameter of {OWNER} must be an instance of 'bool' or an "
        "instance of 'numpy.bool' or a callable. Got 'f1' instead.",
    )


def test_oob_score_without_bootstrap(digits):
    check_refused(
        ensemble(oob_score=True),
        *digits,
        ValueError,
        f"The 'oob_score' parameter of {OWNER} must be False unless bootstrap=True and "
        "warm_start=False: members that go on may have seen any row. Got True instead.",
    )


@pytest.mark.parametrize("class_weight", ["balance", [1, 2]])
def test_class_weight(class_weight, digits):
    check_refused(
        ensemble(class_weight=class_weight),
        *digits,
        ValueError,
        f"The 'class_weight' parameter of {OWNER} must be an instance of 'dict', a "
        f"str among {{'balanced'}} or None. Got {class_weight!r} instead.",
    )


def test_random_state(digits):
    with pytest.raises(ValueError, match="The 'random_state' parameter of"):
        ensemble(random_state="zero").fit(*digits)
    assert not Watched.trained


def test_device_that_torch_does_not_know(digits):
    check_refused(
        ensemble(device="tpu0"),
        *digits,
        ValueError,
        f"The 'device' parameter of {OWNER} must be None, 'auto' or a torch device. "
        "Got 'tpu0' instead.",
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA")
@pytest.mark.parametrize("device", ["cuda", "cuda:1", torch.device("cuda")])
def test_cuda_where_there_is_none(device, digits):
    message = (
        f"The 'device' parameter of {OWNER} must be a device that is available to "
        f"torch. Got {device!r} instead."
    )
    check_refused(ensemble(device=device), *digits, ValueError, message)
    check_refused(ensemble(member(device=device)), *digits, ValueError, message)


def test_unknown_parameter():
    with pytest.raises(ValueError, match=r"^Invalid parameter 'lamb' for estimator"):
        JointEnsembleClassifier().set_params(lamb=0.5)


# -- the prototype ---------------------------------------------------------------------


@pytest.mark.core
@pytest.mark.parametrize(
    ("prototype", "got"),
    [
        (NeuralNetRegressor(Watched), "an instance of NeuralNetRegressor"),
        (NeuralNetClassifier, "the class NeuralNetClassifier"),
        (LogisticRegression(), "an instance of LogisticRegression"),
        (Watched(), "an instance of Watched"),
        ("mlp", "an instance of str"),
    ],
)
def test_prototype_that_is_no_skorch_classifier(prototype, got, digits):
    check_refused(
        ensemble(prototype),
        *digits,
        TypeError,
        f"The 'estimator' parameter of {OWNER} must be None or an instance of skorch's "
        f"NeuralNetClassifier or NeuralNetBinaryClassifier. Got {got} instead.",
    )


def test_prototype_with_a_loss_of_its_own(digits):
    check_refused(
        ensemble(member(kind=OwnLoss)),
        *digits,
        ValueError,
        f"The 'estimator' parameter of {OWNER} must not override 'get_loss', which the "
        "joint loss takes the place of; choose a 'criterion' instead. Got an instance "
        "of OwnLoss instead.",
    )


def test_prototype_whose_optimizer_is_a_name(digits):
    check_refused(
        ensemble(member(optimizer="adamw")),
        *digits,
        ValueError,
        f"The 'estimator__optimizer' parameter of {OWNER} must be a class, such as "
        "torch.optim.AdamW. Got 'adamw' instead.",
    )


def test_fitted_prototype_is_taken_unfitted(digits):
    X, y = digits
    fitted = member().fit(X, y)

    clf = ensemble(fitted, random_state=0).fit(X, y)

    fresh = ensemble(random_state=0).fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), fresh.predict_proba(X))


@pytest.mark.core
def test_criterion_without_a_family(digits):
    check_refused(
        ensemble(member(criterion=nn.MultiMarginLoss)),
        *digits,
        ValueError,
        "The 'criterion' parameter of the member must be CrossEntropyLoss, NLLLoss "
        "(with a module that puts out probabilities) or BCEWithLogitsLoss, whose "
        "losses can be joined. Got MultiMarginLoss instead.",
    )


def test_criterion_that_sums(digits):
    check_refused(
        ensemble(member(criterion__reduction="sum")),
        *digits,
        ValueError,
        "The 'criterion__reduction' parameter of the member must be 'mean'. Got 'sum' "
        "instead.",
    )


@pytest.mark.parametrize(
    ("prototype", "rule", "got"),
    [
        pytest.param(
            member(module__n_classes=7),
            "outputs of shape (n_samples, n_classes) = (8, 10)",
            "Watched with an output of shape (8, 7)",
            id="another width",
        ),
        pytest.param(
            member(criterion=nn.NLLLoss),
            "outputs that are probabilities (rows >= 0 that sum to 1) with "
            "criterion=NLLLoss, as skorch means it; for logits use "
            "criterion=CrossEntropyLoss",
            "Watched with an output of shape (8, 10)",
            id="logits with NLLLoss",
        ),
        pytest.param(
            member(Dictionary),
            "outputs that are a tensor, or a tuple that begins with one",
            "Dictionary with an output that is a dict",
            id="a dict",
        ),
    ],
)
def test_module_with_other_outputs(prototype, rule, got, digits):
    check_refused(
        ensemble(prototype),
        *digits,
        ValueError,
        f"The 'estimator' parameter of {OWNER} must have a module with {rule}. Got "
        f"{got} instead.",
    )


def test_ten_classes_with_a_binary_criterion(digits):
    check_refused(
        ensemble(
            member(OneLogit, NeuralNetBinaryClassifier, criterion=nn.BCEWithLogitsLoss)
        ),
        *digits,
        ValueError,
        f"The 'y' parameter of {OWNER} must hold 2 classes with "
        "criterion=BCEWithLogitsLoss. Only binary classification is supported. Got 10 "
        "classes instead.",
    )


def test_several_logits_with_a_binary_criterion(digits):
    X, y = digits
    prototype = member(kind=NeuralNetBinaryClassifier, criterion=nn.BCEWithLogitsLoss)

    check_refused(
        ensemble(prototype.set_params(module__n_classes=2)),
        X,
        y > 4,
        ValueError,
        f"The 'estimator' parameter of {OWNER} must have a module with one logit a "
        "row, shape (n_samples,) or (n_samples, 1) with n_samples=8, with "
        "criterion=BCEWithLogitsLoss. Got Watched with an output of shape (8, 2) "
        "instead.",
    )


def test_module_that_cannot_take_X(digits):
    check_refused(
        ensemble(member(Images)),
        *digits,
        ValueError,
        f"The 'estimator' parameter of {OWNER} must have a module that takes X, in "
        "batches of shape (n_samples, 64) and dtype torch.float32. Images raised "
        "RuntimeError: Expected 3D (unbatched) or 4D (batched) input to conv2d, but "
        "got input of size: [8, 64]",
    )


def test_module_with_another_number_of_inputs(digits):
    check_refused(
        ensemble(member(module__n_features_in=10)),
        *digits,
        ValueError,
        f"The 'estimator' parameter of {OWNER} must have a module that takes X, in "
        "batches of shape (n_samples, 64) and dtype torch.float32. Watched raised "
        "RuntimeError: mat1 and mat2 shapes cannot be multiplied (8x64 and 10x10)",
    )


@pytest.mark.parametrize("batch_size", [0, -2])
def test_batch_size(batch_size, digits):
    check_refused(
        ensemble(member(batch_size=batch_size)),
        *digits,
        ValueError,
        "The 'batch_size' parameter of the member must be an int of at least 1, or -1 "
        f"for all rows at once. Got {batch_size} instead.",
    )


def test_typo_in_a_setting_of_the_prototype(digits):
    check_refused(
        ensemble(member(module_hidden=3)),
        *digits,
        ValueError,
        "Got an unexpected argument module_hidden, did you mean module__hidden?",
    )


def test_typo_in_an_argument_of_the_module(digits):
    check_refused(
        ensemble(member(module__hidden=3)),
        *digits,
        TypeError,
        "Watched.__init__() got an unexpected keyword argument 'hidden'",
    )


def test_module_as_an_instance_warns_that_members_are_identical(digits):
    message = (
        "All members start from the same weights, so that they would stay one network. "
        "Give the member's 'module' as a class (with its arguments as module__...), "
        "not as an instance, or use bootstrap=True."
    )

    with pytest.warns(IdenticalMembersWarning, match=exactly(message)):
        ensemble(member(Watched())).fit(*digits)


# -- X and y ---------------------------------------------------------------------------


@pytest.mark.parametrize("label", [0, "a", True, -1.0])
def test_one_class(label, digits):
    X, y = digits

    check_refused(
        ensemble(),
        X,
        np.full(len(y), label),
        ValueError,
        f"The 'y' parameter of {OWNER} must hold at least 2 classes. Got 1 class "
        f"instead: [{label!r}].",
    )


def test_X_with_one_axis(digits):
    X, y = digits

    check_refused(
        ensemble(),
        X[:, 0],
        y,
        ValueError,
        f"Expected 2D array, got 1D array instead:\narray={X[:, 0]}.\nReshape your "
        "data either using array.reshape(-1, 1) if your data has a single feature or "
        "array.reshape(1, -1) if it contains a single sample.",
    )


def test_X_without_rows(digits):
    X, y = digits

    check_refused(
        ensemble(),
        X[:0],
        y[:0],
        ValueError,
        "Found array with 0 sample(s) (shape=(0, 64)) while a minimum of 1 is required "
        f"by {OWNER}.",
    )


def test_infinity_in_X(digits):
    X, y = digits
    X[3, 5] = np.inf
    message = "Input X contains infinity or a value too large for dtype('float32')."

    check_refused(ensemble(), X, y, ValueError, message)


@pytest.mark.core
def test_NaN_in_X(digits):
    X, y = digits
    X[3, 5] = np.nan

    clf = ensemble()
    with pytest.raises(ValueError, match=r"^Input X contains NaN\.\nJointEn"):
        clf.fit(X, y)

    assert not Watched.trained
    assert not hasattr(clf, "estimators_")


def test_text_in_X(digits):
    X, y = digits
    X = X.astype(object)
    X[0, 0] = "a"

    check_refused(
        ensemble(), X, y, ValueError, "could not convert string to float: 'a'"
    )


def test_NaN_in_y(digits):
    X, y = digits
    y = np.where(np.arange(len(y)) == 3, np.nan, y)

    check_refused(ensemble(), X, y, ValueError, "Input y contains NaN.")


def test_continuous_y(digits):
    X, y = digits

    check_refused(
        ensemble(),
        X,
        y + 0.5,
        ValueError,
        "Unknown label type: continuous. Maybe you are trying to fit a classifier, "
        "which expects discrete classes on a regression target with continuous values.",
    )


def test_y_with_two_columns(digits):
    X, y = digits

    check_refused(
        ensemble(),
        X,
        np.stack([y, y], axis=1),
        ValueError,
        f"The 'y' parameter of {OWNER} must be classes of shape (n_samples,), or "
        "labels of shape (n_samples, n_labels) that are 0 or 1: fit an ensemble for "
        "each of several outputs with classes of its own. Got multiclass-multioutput "
        "targets of shape (400, 2) instead, [0, 1, 2] among them.",
    )


def test_no_y(digits):
    check_refused(
        ensemble(),
        digits[0],
        None,
        ValueError,
        f"{OWNER} requires y to be passed, but the target y is None.",
    )


@pytest.mark.core
def test_y_of_another_length(digits):
    X, y = digits

    check_refused(
        ensemble(),
        X,
        y[1:],
        ValueError,
        "Found input variables with inconsistent numbers of samples: [400, 399]",
    )


# -- weights of rows -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (-np.ones(400), "Negative values in data passed to `sample_weight`."),
        (np.zeros(400), "Sample weights must contain at least one non-zero number."),
        (np.ones(399), "sample_weight.shape == (399,), expected (400,)!"),
        (np.full(400, np.nan), "Input sample_weight contains NaN."),
        (
            np.ones((400, 1)),
            "Sample weights must be 1D array or scalar, got 2D array. Expected either "
            "a scalar value or a 1D array of length 400.",
        ),
    ],
    ids="negative zero length NaN 2-D".split(),
)
def test_sample_weight(weight, message, digits):
    check_refused(ensemble(), *digits, ValueError, message, sample_weight=weight)


def test_sample_weight_that_leaves_one_class(digits):
    X, y = digits
    message = (
        f"The 'sample_weight' and 'class_weight' parameters of {OWNER} must leave rows "
        "of at least 2 classes with a weight above zero. Got 1 class instead: [3]."
    )

    weight = (y == 3).astype(float)
    check_refused(ensemble(), X, y, ValueError, message, sample_weight=weight)
    by_class = {label: float(label == 3) for label in range(10)}
    check_refused(ensemble(class_weight=by_class), X, y, ValueError, message)


# -- going on --------------------------------------------------------------------------


def test_partial_fit_without_classes(digits):
    message = (
        f"The 'classes' parameter of {OWNER}.partial_fit must hold all labels in the "
        "first call. Got None instead."
    )

    with pytest.raises(ValueError, match=exactly(message)):
        ensemble().partial_fit(*digits)
    assert not Watched.trained


def test_partial_fit_with_other_classes(digits):
    X, y = digits
    clf = ensemble(member(), random_state=0).partial_fit(X, y, classes=range(10))
    message = (
        f"The 'classes' parameter of {OWNER}.partial_fit must be as in the first call, "
        "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]. Got [0, 1, 2] instead."
    )
    before = clf.predict_proba(X)

    with pytest.raises(ValueError, match=exactly(message)):
        clf.partial_fit(X, y, classes=[0, 1, 2])
    np.testing.assert_array_equal(clf.predict_proba(X), before)


def test_partial_fit_with_a_label_that_was_not_announced(digits):
    message = (
        f"The 'y' parameter of {OWNER} must hold the classes [0, 1, 2, 3, 4, 5, 6, 7, "
        "8]. Got [9] besides."
    )

    with pytest.raises(ValueError, match=exactly(message)):
        ensemble().partial_fit(*digits, classes=range(9))
    assert not Watched.trained


def test_warm_start_with_fewer_members(digits):
    X, y = digits
    clf = ensemble(warm_start=True, n_estimators=3).fit(X, y)
    before = clf.predict_proba(X)
    message = (
        f"The 'n_estimators' parameter of {OWNER} must be at least 3, the number of "
        "fitted members, when warm_start=True. Got 2 instead."
    )

    with pytest.raises(ValueError, match=exactly(message)):
        clf.set_params(n_estimators=2).fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), before)


def test_refit_that_is_refused_leaves_the_earlier_fit(digits):
    X, y = digits
    clf = ensemble().fit(X, y)
    before = clf.predict_proba(X)

    with pytest.raises(ValueError, match="must hold at least 2 classes"):
        clf.fit(X[:, :5], np.zeros(len(y)))

    np.testing.assert_array_equal(clf.predict_proba(X), before)
    assert clf.n_features_in_ == 64


# -- a fitted ensemble -----------------------------------------------------------------


@pytest.fixture(scope="module")
def _fitted(_digits):
    X, _, y, _ = _digits
    return ensemble(n_estimators=3, random_state=0).fit(X, y)


@pytest.fixture
def clf(_fitted):
    return _fitted


@pytest.mark.parametrize(
    "call",
    [
        lambda clf, X, y: clf.predict(X),
        lambda clf, X, y: clf.predict_proba(X),
        lambda clf, X, y: clf.predict_log_proba(X),
        lambda clf, X, y: clf.member_proba(X),
        lambda clf, X, y: clf.score(X, y),
        lambda clf, X, y: clf.score_members(X, y),
        lambda clf, X, y: clf.drop_members([0]),
        lambda clf, X, y: clf.save("never.safetensors"),
    ],
    ids="predict proba log_proba member_proba score members drop save".split(),
)
def test_unfitted(call, digits):
    message = (
        f"This {OWNER} instance is not fitted yet. Call 'fit' with appropriate "
        "arguments before using this estimator."
    )

    with pytest.raises(NotFittedError, match=exactly(message)):
        call(ensemble(), *digits)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "member_proba"])
def test_other_number_of_features_at_predict(method, clf, digits):
    message = f"X has 5 features, but {OWNER} is expecting 64 features as input."

    with pytest.raises(ValueError, match=exactly(message)):
        getattr(clf, method)(digits[0][:, :5])


def test_other_shape_of_rows_at_predict(digits):
    X, y = digits
    clf = ensemble(mlp_classifier((4,), max_epochs=1)).fit(X.reshape(-1, 8, 8), y)
    message = (
        f"X has rows of shape (8, 4), but {OWNER} is expecting rows of shape (8, 8)."
    )

    with pytest.raises(ValueError, match=exactly(message)):
        clf.predict(X.reshape(-1, 8, 8)[:, :, :4])


def test_NaN_at_predict(clf, digits):
    X, _ = digits
    X[0, 0] = np.nan

    with pytest.raises(ValueError, match=r"^Input X contains NaN\."):
        clf.predict(X)


def test_other_length_of_y_at_score_members(clf, digits):
    X, y = digits
    message = "Found input variables with inconsistent numbers of samples: [400, 399]"

    with pytest.raises(ValueError, match=exactly(message)):
        clf.score_members(X, y[1:])


INDICES = "hold indices of the 3 members, 0 to 2"
KIND = "be a 1-D sequence of member indices or a boolean mask"
MASK = "have one entry for each of the 3 members when it is a mask"


@pytest.mark.parametrize(
    ("members", "rule", "got"),
    [
        ([99], INDICES, "[99]"),
        ([0, 3, -4], INDICES, "[3, -4]"),
        ([0.5], KIND, "[0.5]"),
        ([1.0], KIND, "[1.0]"),
        (["a"], KIND, "['a']"),
        ([[0]], KIND, "[[0]]"),
        (1, KIND, "1"),
        ([True, False], MASK, "2"),
    ],
)
def test_unknown_members(members, rule, got, clf, digits):
    message = f"The 'members' parameter of {OWNER} must {rule}. Got {got} instead."

    with pytest.raises(ValueError, match=exactly(message)):
        clf.drop_members(members)
    with pytest.raises(ValueError, match=exactly(message)):
        clf.predict_proba(digits[0], members=members)


@pytest.mark.parametrize("members", [[0, 1, 2], [True] * 3, range(3), [0, -1, 1]])
def test_dropping_all_members(members, clf):
    message = (
        f"The 'members' parameter of {OWNER} must leave at least one of the 3 members. "
        "Got all of them instead."
    )

    with pytest.raises(ValueError, match=exactly(message)):
        clf.drop_members(members)


@pytest.mark.parametrize("members", [[], [False] * 3, np.array([], dtype=int)])
def test_predicting_with_no_member(members, clf, digits):
    message = (
        f"The 'members' parameter of {OWNER} must hold at least one member. Got none "
        "instead."
    )

    with pytest.raises(ValueError, match=exactly(message)):
        clf.predict_proba(digits[0], members=members)


@pytest.mark.parametrize(("members", "n_weakest"), [(None, None), ([1], 1)])
def test_dropping_neither_or_both(members, n_weakest, clf):
    message = (
        "Exactly one of the 'members' and 'n_weakest' parameters of drop_members must "
        f"be given. Got members={members} and n_weakest={n_weakest} instead."
    )

    with pytest.raises(ValueError, match=exactly(message)):
        clf.drop_members(members, n_weakest=n_weakest)


@pytest.mark.parametrize("n_weakest", [-1, 3, 1.5, "1"])
def test_n_weakest(n_weakest, clf, digits):
    X, y = digits
    message = (
        "The 'n_weakest' parameter of drop_members must be an int in the range [0, 2]. "
        f"Got {n_weakest!r} instead."
    )

    with pytest.raises(ValueError, match=exactly(message)):
        clf.drop_members(n_weakest=n_weakest, X=X, y=y)


def test_n_weakest_without_data(clf):
    message = (
        "The 'X' and 'y' parameters of drop_members must be given with 'n_weakest'. "
        "Got None instead."
    )

    with pytest.raises(ValueError, match=exactly(message)):
        clf.drop_members(n_weakest=1)


# -- while training --------------------------------------------------------------------


def diverging(**params):
    net = mlp_classifier(
        (8,), activation="identity", optimizer=torch.optim.SGD, lr=1e6, max_epochs=10
    )
    return ensemble(net, random_state=0, **params)


@pytest.mark.parametrize("lam", [0, 0.5, 1])
def test_loss_that_becomes_NaN(lam, digits):
    message = (
        f"The training loss became nan in epoch 1 (lr=1000000.0, lam={float(lam)}). "
        "Lower the member's 'lr', or scale X (StandardScaler), and numbers in y, or "
        "clip gradients."
    )
    clf = diverging(lam=lam)

    with pytest.raises(DivergenceError, match=exactly(message)):
        clf.fit(*digits)

    assert [name for name in vars(clf) if name.endswith("_")] == []


def test_loss_that_becomes_NaN_later_leaves_the_earlier_fit(digits):
    X, y = digits
    clf = diverging(warm_start=True).set_params(estimator__lr=0.1)
    clf.fit(X, y)
    before, n_epochs = clf.predict_proba(X), len(clf.history_)

    with pytest.raises(DivergenceError, match="in epoch 11 "):
        clf.set_params(estimator__lr=1e6).fit(X, y)

    np.testing.assert_array_equal(clf.predict_proba(X), before)
    assert len(clf.history_) == n_epochs


class CtrlC(Callback):
    """Somebody presses Ctrl-C."""

    def __init__(self, epoch, when):
        self.epoch, self.when = epoch, when

    def press(self, net, when):
        if when == self.when and len(net.history) == self.epoch:
            # A program that was started in the background may ignore the signal.
            before = signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                signal.raise_signal(signal.SIGINT)
            finally:
                signal.signal(signal.SIGINT, before)

    def on_epoch_begin(self, net, **kwargs):
        self.press(net, "on_epoch_begin")

    def on_batch_end(self, net, **kwargs):
        self.press(net, "on_batch_end")

    def on_epoch_end(self, net, **kwargs):
        self.press(net, "on_epoch_end")


def interrupted(epoch, when, **params):
    callback = CtrlC(epoch, when)
    net = mlp_classifier((8,), max_epochs=5, callbacks=[callback])
    return ensemble(net, random_state=0, **params)


def test_ctrl_c_leaves_what_was_learned(digits):
    X, y = digits

    stopped = interrupted(3, "on_epoch_begin").fit(X, y)

    # A callback that is not skorch's own rules out fused steps, which round otherwise.
    net = mlp_classifier((8,), max_epochs=2, optimizer__fused=False)
    two = ensemble(net, random_state=0).fit(X, y)
    np.testing.assert_array_equal(stopped.predict_proba(X), two.predict_proba(X))
    np.testing.assert_array_equal(stopped.member_scores_, two.member_scores_)
    for one, other in zip(stopped.estimators_, two.estimators_, strict=True):
        np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


@pytest.mark.core
@pytest.mark.quick(4)
@pytest.mark.parametrize("epoch", [1, 3])
@pytest.mark.parametrize("when", ["on_epoch_begin", "on_batch_end", "on_epoch_end"])
@pytest.mark.parametrize("bootstrap", [False, True])
def test_ctrl_c_leaves_a_usable_estimator(epoch, when, bootstrap, digits, tmp_path):
    X, y = digits

    clf = interrupted(epoch, when, bootstrap=bootstrap).fit(X, y)

    expected = clf.predict_proba(X)
    np.testing.assert_allclose(expected.sum(1), 1, rtol=1e-5)
    for again in (
        pickle.loads(pickle.dumps(clf)),
        clf.drop_members([]),
    ):
        np.testing.assert_array_equal(again.predict_proba(X), expected)
    clf.partial_fit(X, y)
    assert not np.array_equal(clf.predict_proba(X), expected)


# -- files -----------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path, clf):
    path = tmp_path / "ensemble.safetensors"
    clf.save(path)
    return path


@pytest.mark.parametrize(
    "content",
    [
        lambda whole, clf: b"",
        lambda whole, clf: whole[:7],
        lambda whole, clf: whole[:100],
        lambda whole, clf: whole[:-1],
        lambda whole, clf: whole + b"more",
        lambda whole, clf: pickle.dumps(clf.get_params()),
        lambda whole, clf: b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(100),
        lambda whole, clf: b"PK\x03\x04" + bytes(100),
        lambda whole, clf: json.dumps({"lam": 0.5}).encode(),
        lambda whole, clf: struct.pack("<Q", 2) + b"{}",
        lambda whole, clf: struct.pack("<Q", 9) + b"not json!",
    ],
    ids=(
        "empty header-cut state-cut truncated longer pickle png zip json safetensors "
        "no-json"
    ).split(),
)
def test_file_that_save_has_not_written(content, path, clf):
    path.write_bytes(content(path.read_bytes(), clf))

    with pytest.raises(ValueError, match="was not written by save") as caught:
        JointEnsembleClassifier.load(path, estimator=member())
    assert str(caught.value).startswith(repr(str(path)))


def test_safetensors_of_something_else(path):
    save_file({"weight": torch.zeros(2)}, path)

    message = f"{str(path)!r} was not written by save()."
    with pytest.raises(ValueError, match=exactly(message)):
        JointEnsembleClassifier.load(path)


def test_file_that_is_not_there(tmp_path):
    path = tmp_path / "nothing"

    with pytest.raises(FileNotFoundError, match=re.escape(str(path))):
        JointEnsembleClassifier.load(path)


def test_file_of_an_own_module_without_the_prototype(path):
    message = (
        f"The 'estimator' parameter of {OWNER}.load must be the prototype that was "
        f"fitted, which {str(path)!r} cannot hold: load(path, estimator=net). Got None "
        "instead."
    )

    with pytest.raises(ValueError, match=exactly(message)):
        JointEnsembleClassifier.load(path)


def test_file_with_another_prototype(path):
    message = (
        f"{str(path)!r} does not hold a {OWNER} that fits this prototype: "
        "'0.linear.bias' must be torch.float32 of shape (1,). Got 'torch.float32 of "
        "shape (10,)' instead."
    )

    with pytest.raises(ValueError, match=exactly(message)):
        JointEnsembleClassifier.load(path, estimator=member(OneLogit))


def test_file_with_a_prototype_that_is_none(path):
    message = (
        f"The 'estimator' parameter of {OWNER} must be None or an instance of skorch's "
        "NeuralNetClassifier or NeuralNetBinaryClassifier. Got an instance of "
        "LogisticRegression instead."
    )

    with pytest.raises(TypeError, match=exactly(message)):
        JointEnsembleClassifier.load(path, estimator=LogisticRegression())
