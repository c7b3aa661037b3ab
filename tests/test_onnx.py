"""An ensemble's ONNX graph says what the ensemble says, of whichever members are on."""

import functools
import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
import skops.io
import torch
from kinds import KINDS
from kinds import rows as rows_of_kinds
from onnx_tools import Shipped, described, operators_in, random_masks, session_of
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from torch import nn

from sklearn_jointens import (
    JointEnsembleClassifier,
    JointEnsembleRegressor,
    tabular_regressor,
)

N_MEMBERS = 5
KIND = {kind.name: kind for kind in KINDS}


class Images(nn.Sequential):
    """Convolutions, the second of which has groups when members are one."""

    def __init__(self):
        super().__init__(
            *(nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)),
            *(nn.ReLU(), nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(3, 3)),
        )


class Normalized(nn.Sequential):
    """A logit from batch norm, whose channels are all members' when these are one."""

    def __init__(self):
        super().__init__(
            *(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh()),
            *(nn.Dropout(0.5), nn.Linear(6, 1)),
        )


class Tied(nn.Module):
    """A weight of two layers, with which members are not stacked; and two outputs."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.last = nn.Linear(4, 3)

    def forward(self, x):
        h = torch.relu(self.second(torch.relu(self.first(x))))
        return self.last(h), h


def of_classes(module, kind, y, n_members=N_MEMBERS, **params):
    settings = {"max_epochs": 2, "train_split": None, "verbose": 0, **params}
    member = kind(module, **settings)
    clf = JointEnsembleClassifier(member, n_estimators=n_members, random_state=0)
    return clf.fit(rows_of_kinds().astype(np.float32), y)


def of_three_classes(module, n_members=N_MEMBERS):
    return of_classes(
        module,
        NeuralNetClassifier,
        KIND["classes"].y,
        n_members,
        criterion=nn.CrossEntropyLoss,
    )


def of_kind(name):
    ensemble = KIND[name].ensemble(n_estimators=N_MEMBERS)
    return ensemble.fit(rows_of_kinds().astype(np.float32), KIND[name].y)


def of_two_classes():
    y = KIND["one logit"].y
    return of_classes(Normalized, NeuralNetBinaryClassifier, y, threshold=0.4)


def of_counts():
    member = tabular_regressor((5,), max_epochs=2, criterion=nn.PoissonNLLLoss)
    reg = JointEnsembleRegressor(member, n_estimators=N_MEMBERS, random_state=0)
    return reg.fit(rows_of_kinds().astype(np.float32), 1000 * KIND["counts"].y)


# By name: what makes an ensemble, what its graph says, and how often it branches.
ENSEMBLES = {
    "classes": (
        lambda: of_kind("classes"),
        {"label": ("string", []), "probabilities": ("float", [3])},
        1,
    ),
    "two classes": (
        of_two_classes,
        {"label": ("string", []), "probabilities": ("float", [2])},
        1,
    ),
    "labels": (
        lambda: of_kind("labels"),
        {"label": ("int64", [2]), "probabilities": ("float", [2])},
        1,
    ),
    "counts": (of_counts, {"variable": ("double", [1])}, 1),
    "variances": (
        lambda: of_kind("several variances"),
        {"variable": ("float", [2]), "std": ("float", [2])},
        1,
    ),
    "images": (
        lambda: of_three_classes(Images),
        {"label": ("string", []), "probabilities": ("float", [3])},
        N_MEMBERS,
    ),
    "tied": (
        lambda: of_three_classes(Tied, n_members=2),
        {"label": ("string", []), "probabilities": ("float", [3])},
        2,
    ),
}


@pytest.fixture(scope="module")
def ship(tmp_path_factory):
    """Makes an ensemble and its graph, once."""

    @functools.cache
    def ship(name):
        make, _, _ = ENSEMBLES[name]
        X = rows_of_kinds().astype(np.float32)
        return Shipped.of(make(), X, tmp_path_factory.mktemp("onnx"))

    return ship


QUICK = ("classes", "variances")


@pytest.fixture(
    params=[
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in ENSEMBLES
    ]
)
def name(request):
    return request.param


@pytest.fixture
def shipped(name, ship):
    return ship(name)


def test_graph_says_what_the_ensemble_says_of_any_members(shipped):
    for mask in random_masks(shipped.n_members):
        shipped.assert_same(mask)


@pytest.mark.quick(3)
@pytest.mark.parametrize("n_rows", [1, 7, 1000])
def test_batches_of_any_size_are_taken(shipped, n_rows):
    shipped.assert_same(np.ones(shipped.n_members, dtype=bool), n_rows)
    shipped.assert_same(np.arange(shipped.n_members) % 3 == 0, n_rows)


def test_no_member_gives_no_answer(shipped):
    said = shipped.says(np.zeros(shipped.n_members, dtype=bool))

    expected = shipped.expected(np.ones(shipped.n_members, dtype=bool))
    for name, values in said.items():
        assert values.shape == expected[name].shape
        if name == "label":
            first = shipped.ensemble.classes_[0] if values.ndim == 1 else 0
            assert (values == first).all()
        else:
            assert np.isnan(values).all()


def test_inputs_and_outputs_are_named_and_typed(name, shipped):
    _, outputs, _ = ENSEMBLES[name]

    assert described(shipped.session.get_inputs()) == {
        "X": ("tensor(float)", [4]),
        "members": ("tensor(bool)", []),
    }
    assert described(shipped.session.get_outputs()) == {
        name: (f"tensor({kind})", sizes) for name, (kind, sizes) in outputs.items()
    }


def test_members_trained_as_one_are_one_batch_and_others_a_branch_each(name, shipped):
    _, _, n_branches = ENSEMBLES[name]

    operators = list(operators_in(shipped.graph))

    assert operators.count("If") == n_branches


def test_members_that_are_off_are_not_computed(shipped):
    """Their weights are spoilt, and nobody notices."""
    model, mask = onnx.load(shipped.path), np.arange(shipped.n_members) != 1
    expected = shipped.says(mask)
    n_spoilt = 0
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor).copy()
        if values.dtype.kind != "f":
            continue
        if tensor.name.startswith("members/") and len(values) == shipped.n_members:
            values[1] = np.nan
        elif tensor.name.startswith("member_1/"):
            values[...] = np.nan
        else:
            continue
        n_spoilt += 1
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))

    said = Shipped(*shipped[:3], session_of(model)).says(mask)

    assert n_spoilt > 1
    for name, values in expected.items():
        np.testing.assert_array_equal(said[name], values)


def test_a_model_holds_operators_of_onnx_alone(shipped):
    model = onnx.load(shipped.path)

    onnx.checker.check_model(model, full_check=True)
    assert {opset.domain for opset in model.opset_import} == {""}
    assert not model.functions


def test_a_file_says_nothing_of_the_machine_that_wrote_it(shipped):
    """torch notes the path and the line of Python that each operator comes from."""
    written = Path(shipped.path).read_bytes()

    assert b".py" not in written
    assert b"stack_trace" not in written
    assert not [node for node in shipped.graph.node if node.metadata_props]


@pytest.mark.slow
def test_what_members_share_is_kept_once(ship):
    """The encoding of a table, but not the weights."""
    shipped = ship("counts")
    encoding = shipped.ensemble.estimators_[0].module_.encoding

    kept = {tensor.name: list(tensor.dims) for tensor in shipped.graph.initializer}

    assert kept["members/encoding.center"] == list(encoding.center.shape)
    assert kept["members/linear.weight"][0] == N_MEMBERS


@pytest.mark.slow
def test_an_ensemble_that_was_kept_writes_the_same_file(ship, tmp_path):
    """By pickle, by skops and by its own file, which hold nothing of ONNX."""
    shipped = ship("classes")
    kept = pickle.loads(pickle.dumps(shipped.ensemble))
    by_skops = skops.io.dumps(kept)
    types = skops.io.get_untrusted_types(data=by_skops)
    kept = skops.io.loads(by_skops, trusted=types)
    kept.save(tmp_path / "ensemble")
    kept = JointEnsembleClassifier.load(tmp_path / "ensemble", kept.estimator)

    kept.to_onnx(tmp_path / "ensemble.onnx")

    written = (tmp_path / "ensemble.onnx").read_bytes()
    assert written == Path(shipped.path).read_bytes()
    assert not [name for name in types if "onnx" in name]
    assert vars(kept).keys() == vars(shipped.ensemble).keys()
