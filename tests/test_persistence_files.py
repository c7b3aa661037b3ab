"""A saved file that is damaged, or that somebody has changed, is refused."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from skorch import NeuralNetClassifier
from torch import nn

from examples.benchmarks._peak import AVAILABLE, peak_megabytes
from sklearn_jointens import (
    JointEnsembleClassifier,
    mlp_classifier,
    tabular_classifier,
)
from sklearn_jointens._persistence import _plain
from sklearn_jointens._persistence._container import VERSION, checksum, read, write

needs_linux = pytest.mark.skipif(not AVAILABLE, reason="reads what Linux keeps")

WEIGHT = "0.hidden.0.weight"
HIDDEN = ("prototype", "params", "module__hidden_layer_sizes")


def ensemble(member=None):
    member = mlp_classifier((8,), max_epochs=2) if member is None else member
    return JointEnsembleClassifier(member, n_estimators=3, random_state=0)


@pytest.fixture(scope="module")
def clf(_digits):
    X, _, y, _ = _digits
    return ensemble().fit(X, y)


@pytest.fixture
def path(clf, tmp_path):
    path = tmp_path / "ensemble.safetensors"
    clf.save(path)
    return path


def rewrite(path, change):
    """Change a file as somebody would who knows how the checksum is made."""
    state, tensors, _ = read(str(path))
    change(state, tensors)
    write(str(path), json.dumps(state), tensors)


def refused(path, **kwargs):
    """The sentence that the file is refused with."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        JointEnsembleClassifier.load(path, **kwargs)
    message = str(caught.value)
    start = f"{str(path)!r} does not hold a JointEnsembleClassifier that fits this "
    assert message.startswith(start + "prototype: ")
    assert message.endswith(".")
    assert "\n" not in message
    return message


def change(*keys, to):
    def apply(state, tensors):
        for key in keys[:-1]:
            state = state[key]
        state[keys[-1]] = to

    return apply


def remove(*keys):
    def apply(state, tensors):
        for key in keys[:-1]:
            state = state[key]
        del state[keys[-1]]

    return apply


def change_tensor(name, to):
    def apply(state, tensors):
        tensors[name] = to

    return apply


def remove_tensor(name):
    def apply(state, tensors):
        del tensors[name]

    return apply


# -- damage ----------------------------------------------------------------------------


def test_an_unchanged_file_is_taken(path, clf, digits_test):
    rewrite(path, lambda state, tensors: None)

    again = JointEnsembleClassifier.load(path)

    proba = clf.predict_proba(digits_test[0])
    np.testing.assert_array_equal(again.predict_proba(digits_test[0]), proba)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.999])
def test_a_flipped_bit_is_found(share, path):
    """One flip in four loaded with other numbers."""
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 1
    path.write_bytes(content)

    with pytest.raises(ValueError, match=r"damaged|not written by save") as caught:
        JointEnsembleClassifier.load(path)
    assert str(caught.value).startswith(repr(str(path)))


def test_damaged_weights_are_told(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    with pytest.raises(ValueError, match="damaged") as caught:
        JointEnsembleClassifier.load(path)

    assert str(caught.value) == (
        f"{str(path)!r} is damaged: its checksum is not that of its data."
    )


def test_tensors_that_have_changed_places_are_found():
    tensors = {"0.a": torch.tensor([1.0, 2.0]), "0.b": torch.tensor([3.0, 4.0])}
    swapped = {"0.a": tensors["0.b"], "0.b": tensors["0.a"]}
    reshaped = {**tensors, "0.a": tensors["0.a"][None]}
    as_ints = {**tensors, "0.a": tensors["0.a"].view(torch.int32)}

    others = [("t", swapped), ("t", reshaped), ("t", as_ints), ("s", tensors)]

    assert len({checksum(*one) for one in [("t", tensors), *others]}) == 5


def test_an_unknown_version_is_refused(path):
    with safe_open(path, framework="pt") as file:
        metadata = {**file.metadata(), "version": "999"}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, path, metadata)

    with pytest.raises(ValueError, match="is of version '999'") as caught:
        JointEnsembleClassifier.load(path)

    assert str(caught.value) == (
        f"{str(path)!r} is of version '999'; this sklearn_jointens reads version "
        f"{VERSION}."
    )


@pytest.mark.parametrize("text", ["3", "[]", '"text"', "null", "{", "9" * 5000])
def test_a_state_that_is_none_is_refused(text, path):
    write(str(path), text, read(str(path))[1])

    with pytest.raises(ValueError, match="was not written by save") as caught:
        JointEnsembleClassifier.load(path)
    assert str(caught.value).startswith(repr(str(path)))


def test_a_state_that_is_nested_too_deeply_is_refused(path):
    """It raised RecursionError."""
    write(str(path), "[" * 100_000 + "]" * 100_000, read(str(path))[1])

    with pytest.raises(ValueError, match="was not written by save"):
        JointEnsembleClassifier.load(path)


# -- intent ----------------------------------------------------------------------------

CHANGES = {
    "unknown part": change("prototype", "params", "module", to={"part": "os"}),
    "part elsewhere": change("prototype", "params", "module", to={"part": "Adam"}),
    "part of a criterion": change("prototype", "params", "lr", to={"part": "Adam"}),
    "text for a part": change("prototype", "params", "module", to="os.system"),
    "unknown setting": change("prototype", "params", "modul", to=3),
    "setting of nothing": change("prototype", "params", "__class__", to=3),
    "unknown kind": change("prototype", "params", "lr", to={"kind": ["os", {}]}),
    "unknown class": change("prototype", "class", to="os"),
    "lr that is none": change("prototype", "params", "lr", to=[0.1]),
    "no memory": change("prototype", "params", "device", to="meta"),
    "nor for the ensemble": change("params", "device", to="meta"),
    "unknown entry": change("code", to="import os"),
    "missing entry": remove("targets"),
    "missing history": remove("history"),
    "missing parameter": remove("params", "lam"),
    "unknown parameter": change("params", "lamb", to=0.5),
    "parameter out of range": change("params", "lam", to=7),
    "parameter of another type": change("params", "lam", to="high"),
    "unknown kind of value": change("params", "lam", to={"code": [1]}),
    "list that is none": change("params", "lam", to={"list": 3}),
    "key that is none": change("params", "lam", to={"dict": [[{"list": []}, 1]]}),
    "other classes": change("targets", "classes", "values", to=[0, 1]),
    "one class": change("targets", "classes", "values", to=[0]),
    "no class": change("targets", "classes", "values", to=[]),
    "classes twice": change(
        "targets", "classes", "values", to=[0, 1, 2, 3, 4, 5, 6, 7, 8, 8]
    ),
    "nested classes": change(
        "targets", "classes", "values", to=[[j] for j in range(10)]
    ),
    "huge class": change("targets", "classes", "values", to=[*range(9), 10**30]),
    "classes of other text": change(
        "targets", "classes", "values", to=list("abcdefghij")
    ),
    "classes that are no labels": change("targets", "classes", "dtype", to="nonsense"),
    "wide classes": change("targets", "classes", "dtype", to="<U300000000"),
    "classes of objects": change("targets", "classes", "dtype", to="O"),
    "classes without a kind": change("targets", "classes", "dtype", to="V8"),
    "structured classes": change("targets", "classes", "dtype", to="i8,f8"),
    "code for classes": change("targets", "classes", "dtype", to="('i8')"),
    "other rows": change("row_shape", to=[63]),
    "negative rows": change("row_shape", to=[-1]),
    "rows that are none": change("row_shape", to=[True]),
    "rows of nothing": change("row_shape", to=[]),
    "features": change("n_features_in", to=10**30),
    "names of other features": change("feature_names_in", to=["a"]),
    "dtype": change("dtype", to="nonsense"),
    "dtype that is none": change("dtype", to={}),
    "too few scores": change("member_scores", to=[0.5]),
    "scores that are none": change("member_scores", to=None),
    "huge scores": change("member_scores", to=[10**400] * 3),
    "too few draws": change("draws", to=[[1], 1, [0], 1]),
    "huge draws": change("draws", to=[[10**30] * 3, 1, [0, 1, 2], 3]),
    "more draws than memory": change("draws", to=[[1, 2, 3], 1, [0, 1, 2], 10**12]),
    "places that were never drawn": change("draws", to=[[1, 2, 3], 1, [0, 1, 9], 3]),
    "draws that are none": change("draws", to=3),
    "unknown vectorization": change("vectorization", to=["magic", "", None, {}]),
    "short vectorization": change("vectorization", to=["loop"]),
    "unknown option": change("vectorization", to=["loop", "", None, {"os": True}]),
    "history that is none": change("history", to=[3]),
    "table for no table": change("table", to={"settled": {}, "columns": None}),
    "changed attributes": change("members", to=[{"changed": {"forward": 1}}] * 3),
    "more members": change("members", to=[{}] * 4),
    "missing tensor": remove_tensor(WEIGHT),
    "tensor of another shape": change_tensor(WEIGHT, torch.zeros(8, 63)),
    "tensor of another dtype": change_tensor(WEIGHT, torch.zeros(8, 64).double()),
    "empty tensor": change_tensor(WEIGHT, torch.zeros(2**40, 0)),
    "unknown tensor": change_tensor("0.hidden.9.weight", torch.zeros(2)),
    "tensor of no member": change_tensor("more", torch.zeros(2)),
    "tensor of nobody": change_tensor("more.0", torch.zeros(2)),
    "tensor of another member": change_tensor("7.out.bias", torch.zeros(2)),
}


@pytest.mark.quick(29)
@pytest.mark.core
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_file_is_refused(change, path):
    rewrite(path, change)

    refused(path)


def test_the_sentence_says_what_is_wrong(path):
    rewrite(path, change("draws", to=[[1], 1, [0], 1]))

    assert refused(path).endswith(
        ": 'draws' must be of the 3 members that there are tensors of. Got [1] instead."
    )


def test_a_huge_value_makes_no_huge_sentence(path):
    rewrite(path, change("params", "lam", to="x" * 10**6))

    assert len(refused(path)) < 1000


# -- sizes -----------------------------------------------------------------------------

HUGE = {
    "hidden layers": change(*HIDDEN, to={"tuple": [50_000, 50_000]}),
    "huge layer": change(*HIDDEN, to=2**40),
    "many layers": change(*HIDDEN, to={"tuple": [1] * 300_000}),
    "rows": lambda state, tensors: state.update(row_shape=[10**9], n_features_in=10**9),
    "images": change("row_shape", to=[64, 2**28]),
    "wide labels": change("targets", "classes", "dtype", to="<U300000000"),
    "one wide label": lambda state, tensors: state["targets"].update(
        classes={
            "dtype": "<U100000",
            "values": [*map(str, range(10_000, 20_000)), "a" * 100_000],
        }
    ),
}


@pytest.mark.quick(1)
@needs_linux
@pytest.mark.parametrize("change", HUGE.values(), ids=HUGE)
def test_no_size_is_taken_on_trust(change, path):
    """A file of a few kB made tensors of 9.8 GB."""
    rewrite(path, change)

    assert peak_megabytes(lambda: refused(path)) < 50


class Told(nn.Module):
    """Makes memory of its own for the rows that it is told of."""

    def __init__(self, n_features_in, n_classes):
        super().__init__()
        self.seen = np.zeros(n_features_in)
        self.out = nn.Linear(4, n_classes)

    def forward(self, x):
        return self.out(x[:, :4])


def test_a_size_that_no_tensor_proves_is_bounded_by_the_file(digits, tmp_path):
    net = NeuralNetClassifier(
        Told, criterion=nn.CrossEntropyLoss, train_split=None, max_epochs=1, verbose=0
    )
    path = tmp_path / "ensemble"
    ensemble(net).fit(*digits).save(path)
    huge = 10**11
    rewrite(path, lambda state, _: state.update(row_shape=[huge], n_features_in=huge))

    message = refused(path, estimator=net)

    assert "'row_shape' must be sizes of at most" in message
    assert message.endswith("Got 100000000000 instead.")


def test_what_could_not_be_loaded_is_not_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(_plain, "_MOST_LABEL_BYTES", 100)
    y = np.array(["a" * 30, "b", "c"])
    clf = ensemble().fit(np.eye(3, dtype=np.float32), y)

    with pytest.raises(ValueError, match="save") as caught:
        clf.save(tmp_path / "ensemble")

    assert str(caught.value) == (
        "save() keeps what load() can check: 'classes' must be labels that need at "
        "most 100 bytes as an array. Got 360 instead; use pickle or joblib."
    )
    assert list(tmp_path.iterdir()) == []


# -- tables ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table():
    rows = pd.DataFrame({"a": [1.0, np.nan, 3.0, 4.0] * 10, "b": list("xyxz") * 10})
    member = tabular_classifier((4,), max_epochs=1)
    return ensemble(member).fit(rows, np.array([0, 1, 0, 1] * 10))


def set_column(number, to):
    def apply(state, tensors):
        state["table"]["columns"]["dict"][number][1] = to

    return apply


def of_all(name, to):
    def apply(state, tensors):
        for j in range(3):
            tensors[f"{j}.encoding.{name}"] = to.clone()

    return apply


TABLES = {
    "another encoding": change_tensor("1.encoding.center", torch.ones(1).double()),
    "centres without scales": of_all("center", torch.zeros(7).double()),
    "column that is not there": of_all("number_columns", torch.tensor([9])),
    "negative column": of_all("category_columns", torch.tensor([-1, 1, 1])),
    "columns of floats": of_all("number_columns", torch.zeros(1)),
    "axes": of_all("missing_columns", torch.zeros(1, 1, dtype=torch.int64)),
    "no encoding": remove_tensor("2.encoding.scale"),
    "no table": change("table", to=None),
    "table that is none": change("table", to={"settled": 3, "columns": None}),
    "setting that is none": change("table", "settled", "lr", to="os"),
    "unknown setting": change("table", "settled", "callbacks", to=3),
    "other names": set_column(0, to={"list": ["a", "c"]}),
    "names that are none": set_column(0, to={"list": [1, 2]}),
    "more categories": set_column(1, to={"list": [True, True]}),
    "categories that are none": set_column(2, to={"list": [{"list": []}]}),
}


@pytest.mark.quick(6)
@pytest.mark.parametrize("change", TABLES.values(), ids=TABLES)
def test_a_changed_file_of_a_table_is_refused(change, table, tmp_path):
    path = tmp_path / "table"
    table.save(path)
    rewrite(path, change)

    refused(path)
