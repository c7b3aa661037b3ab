"""Members for tables run as one module: as each of them alone."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_jointens.nn import (
    TabularMLP,
    split_members,
    tabular_encoding,
    vectorize_members,
)
from sklearn_jointens.nn._copying import named_tensors

METHODS = ["structural", "vmap", "loop"]
N_MEMBERS, N_CLASSES = 4, 3


def table(seed=0, n=30):
    """Numbers, some of them missing, and four categories."""
    random = np.random.RandomState(seed)
    X = np.concatenate([random.randn(n, 2), random.randint(4, size=(n, 1))], axis=1)
    X[::5, 0] = np.nan
    X[:4, 2] = np.arange(4)
    return X


def rows(seed=1, n=9):
    """Rows that the encoding was not learned from; one has an unknown category."""
    X = torch.from_numpy(table(seed, n))
    X[3, 2] = -1
    X[4] = torch.nan
    return X


def members(n=N_MEMBERS, seed=0, encoding=None, **params):
    torch.manual_seed(seed)
    if encoding is None:
        encoding = encoding_of(seed)
    settings = {"hidden_layer_sizes": (6, 5), "dtype": torch.float64}
    return [TabularMLP(encoding, N_CLASSES, **{**settings, **params}) for _ in range(n)]


def encoding_of(seed=0):
    categorical = [False, False, True]
    return tabular_encoding(table(seed), categorical, n_bins=4, dtype=torch.float64)


def each_alone(modules, x):
    return torch.stack([module(x) for module in modules])


def assert_close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def loss_of(outputs):
    """A number that every output has another part in."""
    weight = torch.arange(1.0, 1 + outputs.numel(), dtype=outputs.dtype)
    return (outputs * weight.sin().view(outputs.shape)).sum()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shares", [True, False], ids=["shared", "copied"])
def test_every_way_gives_what_members_give_alone(method, shares):
    modules = members() if shares else copy.deepcopy(members())
    if not shares:
        modules = [copy.deepcopy(module) for module in modules]
    vectorized = vectorize_members(modules, method=method, example=rows())

    outputs, expected = vectorized(rows()), each_alone(modules, rows())
    assert_close(outputs, expected)

    loss_of(outputs).backward()
    loss_of(expected).backward()
    for j, module in enumerate(modules):
        for name, parameter in module.named_parameters():
            if method == "loop":
                found = dict(vectorized.members[j].named_parameters())[name].grad
            else:
                found = dict(vectorized.members.named_parameters())[name].grad[j]
            assert_close(found, parameter.grad)


def test_members_for_tables_are_vectorized_by_structure():
    vectorized = vectorize_members(members(dropout=0.2), example=rows())

    assert vectorized.method == "structural"
    assert vectorized.max_error < 1e-12


@pytest.mark.parametrize("method", METHODS)
def test_float32_members_take_rows_in_float64(method):
    """Rows far from zero: they differ in digits that float32 does not have."""
    X = torch.from_numpy(np.nan_to_num(table()))
    far = X + torch.tensor([1e9, -1e9, 0.0])
    far[:, :2] = (X[:, :2] * 16).round() / 16 + torch.tensor([1e9, -1e9])
    near = far - torch.tensor([1e9, -1e9, 0.0])
    outputs = []
    for x in (near, far):
        encoding = tabular_encoding(x.numpy(), dtype=torch.float32)
        modules = members(encoding=encoding, dtype=torch.float32)
        outputs.append(vectorize_members(modules, method=method)(x))

    assert outputs[0].dtype == torch.float32
    assert torch.equal(*outputs)


@pytest.mark.parametrize("n_rows", [(5, 5), (9, 4), (1, 6)])
@pytest.mark.parametrize("training", [True, False])
def test_blocks_with_another_encoding_each_are_as_each_alone(n_rows, training):
    alone = [vectorize_members(members(2, seed), "structural") for seed in (0, 7)]
    inputs = [rows(n=9)[:n] for n in n_rows]
    together = alone[0].select([0, 1, 0, 1])
    with torch.no_grad():
        for name, tensor in named_tensors(together.members).items():
            tensor[2:] = named_tensors(alone[1].members)[name]
    together.train(training)

    outputs = together.forward_blocks(inputs)
    expected = [module(x) for module, x in zip(alone, inputs, strict=True)]

    assert not torch.equal(encoding_of(0)(rows()), encoding_of(7)(rows()))
    for i, (n, block) in enumerate(zip(n_rows, expected, strict=True)):
        assert_close(outputs[2 * i : 2 * i + 2, :n], block)

    sum(
        loss_of(outputs[2 * i : 2 * i + 2, :n]) for i, n in enumerate(n_rows)
    ).backward()
    sum(loss_of(block) for block in expected).backward()
    for name, parameter in together.members.named_parameters():
        own = [dict(one.members.named_parameters())[name].grad for one in alone]
        assert_close(parameter.grad, torch.cat(own))


def test_blocks_of_one_encoding_are_as_all_members_on_each_input():
    whole = vectorize_members(members(), "structural")
    inputs = [rows(seed, n) for seed, n in ((1, 9), (2, 6))]

    outputs = whole.forward_blocks(inputs)

    assert_close(outputs[:2, :9], whole(inputs[0])[:2])
    assert_close(outputs[2:, :6], whole(inputs[1])[2:])


def test_members_of_differing_encodings_take_another_way():
    modules = members(2, seed=0) + members(2, seed=7)
    vectorized = vectorize_members(modules, example=rows())

    assert vectorized.method == "vmap"
    assert (
        "no vectorized form of TabularEncoding that differs among members "
        "('encoding')" in vectorized.reason
    )
    assert_close(vectorized(rows()), each_alone(modules, rows()))
    with pytest.raises(ValueError, match="differs among members"):
        vectorize_members(modules, method="structural")


@pytest.mark.parametrize("method", METHODS)
def test_selected_members_give_what_they_gave(method):
    vectorized = vectorize_members(members(), method=method, example=rows())

    selected = vectorized.select([3, 0, 3])

    assert selected.method == method
    assert_close(selected(rows()), vectorized(rows())[[3, 0, 3]])


@pytest.mark.parametrize("method", METHODS)
def test_weights_taken_over_are_those_of_the_whole(method):
    whole = vectorize_members(members(), method=method, example=rows())
    part = vectorize_members(members(2, seed=5), method=method, example=rows())

    part.take_over(whole, torch.tensor([2, 1]))

    assert_close(part(rows()), whole(rows())[[2, 1]])


@pytest.mark.parametrize("method", METHODS)
def test_a_member_is_a_plain_module_again(method):
    modules = members()
    vectorized = vectorize_members(modules, method=method, example=rows())

    for j, module in enumerate(modules):
        member = vectorized.member(j)
        assert type(member) is TabularMLP
        assert torch.equal(member(rows()), module(rows()))
        assert repr(member) == repr(module)


@pytest.mark.parametrize("method", METHODS)
def test_split_members_hold_weights_and_encoding(method):
    modules, others = members(seed=0), members(seed=7)
    vectorized = vectorize_members(modules, method=method, example=rows())

    for split in (split_members(vectorized), split_members(vectorized, into=others)):
        assert torch.equal(each_alone(split, rows()), each_alone(modules, rows()))


@pytest.mark.parametrize("method", METHODS)
def test_copies_and_pickles_are_the_same(method):
    vectorized = vectorize_members(members(), method=method, example=rows())

    for found in (pickle.loads(pickle.dumps(vectorized)), copy.deepcopy(vectorized)):
        assert torch.equal(found(rows()), vectorized(rows()))
        found(rows()).sum().backward()


def test_weights_of_a_member_go_through_a_state_dict():
    first, other = members(1, seed=0)[0], members(1, seed=7)[0]

    other.load_state_dict(first.state_dict())

    assert torch.equal(other(rows()), first(rows()))


@pytest.mark.parametrize("method", METHODS)
def test_rows_of_more_axes_are_flattened(method):
    X = torch.randn(7, 3, 2, 2, generator=torch.Generator().manual_seed(0)).double()
    encoding = tabular_encoding(X.flatten(1).numpy(), dtype=torch.float64)
    modules = members(encoding=encoding)
    vectorized = vectorize_members(modules, method=method, example=X)

    assert_close(vectorized(X), each_alone(modules, X.flatten(1)))
    if method == "structural":
        blocks = vectorized.forward_blocks([X[:4], X[2:]])
        assert_close(blocks[2:, :5], vectorized(X[2:])[2:])


def test_an_encoding_alone_is_a_module_of_all_members():
    encodings = [encoding_of() for _ in range(3)]
    vectorized = vectorize_members(encodings, "structural", example=rows())

    assert_close(vectorized(rows()), encodings[0](rows()).expand(3, -1, -1))


def test_an_encoding_that_is_no_encoding():
    layer = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="must be a TabularEncoding"):
        TabularMLP(layer, n_outputs=2)
