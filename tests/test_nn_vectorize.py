"""All ways of vectorizing give what the plain members give."""

import copy
import pickle
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from sklearn_jointens.nn import MLP, split_members, vectorize_members
from sklearn_jointens.nn._copying import named_tensors
from sklearn_jointens.nn._vectorize import revectorize

METHODS = ("structural", "vmap", "loop")


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.second = nn.Linear(18, 3)

    def forward(self, x):
        h = F.relu(self.first(x)) + x
        h = torch.cat([h, 2.0 * x, h.tanh() * h - 1], dim=-1)
        return self.second(h.view(h.size(0), -1))


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.second = nn.Linear(8, 1)

    def forward(self, x):
        x = (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + 1)
        h = F.softplus(F.leaky_relu(self.first(x), 0.1)).float().sqrt()
        h = h.to(x.dtype)
        gate = torch.sigmoid(-h) / (1 + h.abs())
        return self.second(F.layer_norm(x, (6,)).sum(1, keepdim=True) * gate).squeeze(
            -1
        )


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(11, 4, padding_idx=0)
        self.mix = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.out = nn.Linear(12, 3)

    def forward(self, x):
        tokens = (x.abs() * 5).long()[:, :3] % 11
        h = self.table(tokens)
        h = self.norm(h + F.silu(self.mix(h)))
        return F.log_softmax(self.out(torch.flatten(h, 1)), dim=1)


class FunctionalDropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        self.p = p
        self.first = nn.Linear(6, 40)
        self.second = nn.Linear(40, 3)

    def forward(self, x):
        h = F.dropout(self.first(x), self.p, training=self.training)
        return self.second(h)


class TwoOutputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 4)
        self.second = nn.Linear(4, 3)

    def forward(self, x):
        features = self.first(x)
        return self.second(features), features


class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 3)

    def forward(self, x):
        h = self.first(x)
        return h if h.sum() > 0 else 2 * h


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(2, 4, batch_first=True)
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        return self.out(self.rnn(x.view(-1, 3, 2))[0][:, -1])


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.second = nn.Linear(6, 6)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.first(x))


def nested():
    inner = nn.Sequential(nn.Linear(6, 5, bias=False), nn.LayerNorm(5), nn.GELU())
    return nn.Sequential(
        nn.Sequential(inner, nn.ELU()), nn.Linear(5, 3), nn.Softmax(-1)
    )


def batch_norm():
    return nn.Sequential(
        *(nn.BatchNorm1d(6), nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(inplace=True)),
        *(nn.Linear(5, 4), nn.BatchNorm1d(4, affine=False), nn.Linear(4, 3)),
        nn.BatchNorm1d(3, track_running_stats=False),
    )


def three_axes():
    return nn.Sequential(
        *(nn.Unflatten(1, (3, 2)), nn.Linear(2, 4), nn.Tanh(), nn.LayerNorm((3, 4))),
        *(nn.Linear(4, 6), nn.BatchNorm1d(3), nn.GLU(), nn.Flatten(), nn.Linear(9, 3)),
    )


def mlp():
    return MLP(6, 3, (5, 4), "tanh")


def alone():
    return nn.Linear(6, 3)


NETWORKS = [
    *(Residual, Functional, Tokens, TwoOutputs, nested, batch_norm, three_axes, mlp),
    alone,
]


def make(network, n_members=3, dtype=torch.float64, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        modules = [network().to(dtype) for _ in range(n_members)]
        for module in modules:
            for tensor in named_tensors(module).values():
                if tensor.is_floating_point():
                    # Fresh norms and their buffers are all alike: 1 and 0.
                    tensor.data += 0.1 * torch.rand_like(tensor)
    return modules


def data(dtype=torch.float64, n_rows=10):
    return torch.randn(n_rows, 6, generator=torch.Generator().manual_seed(1)).to(dtype)


def first(outputs):
    return outputs[0] if isinstance(outputs, tuple) else outputs


def states(module):
    """Gradients of parameters and values of buffers, of one plain module."""
    return {
        name: t.grad if isinstance(t, nn.Parameter) else t
        for name, t in named_tensors(module).items()
    }


def vectorized_states(vectorized):
    """The same of each member of a vectorized module."""
    if vectorized.method == "loop":
        return [states(member) for member in vectorized.members]
    stacked = states(vectorized.members)
    return [
        {name: None if t is None else t[m] for name, t in stacked.items()}
        for m in range(vectorized.n_members)
    ]


def assert_equal_members(vectorized, modules, x, tolerance):
    """Outputs, gradients and buffers equal those of plain copies of the modules."""
    modules = copy.deepcopy(modules)
    for module in modules:
        module.train(vectorized.training)
    outputs = first(vectorized(x))
    weights = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(2))
    (outputs * weights.to(outputs)).sum().backward()
    for m, module in enumerate(modules):
        output = first(module(x))
        (output * weights[m].to(output)).sum().backward()
        torch.testing.assert_close(outputs[m], output, atol=tolerance, rtol=tolerance)
        found = vectorized_states(vectorized)[m]
        assert found.keys() == states(module).keys()
        for name, expected in states(module).items():
            torch.testing.assert_close(
                found[name], expected, atol=tolerance, rtol=tolerance, msg=name
            )


@pytest.mark.quick(15)
@pytest.mark.core
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("training", [True, False])
def test_outputs_gradients_and_buffers_equal_the_members(network, method, training):
    modules = make(network)
    vectorized = vectorize_members(modules, method).train(training)
    # One of them computes in float32 for a while.
    tolerance = 1e-5 if network is Functional else 1e-10
    assert_equal_members(vectorized, modules, data(), tolerance)


@pytest.mark.quick(5)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_known_networks_become_structural_and_keep_their_dtype(network, dtype):
    modules = make(network, dtype=dtype)
    vectorized = vectorize_members(modules, example=data(dtype))
    assert vectorized.reason == "structural: every layer has a vectorized form"
    assert vectorized.max_error < 1e-4
    assert_equal_members(vectorized, modules, data(dtype), 1e-4)
    assert first(vectorized(data(dtype))).dtype == dtype


@pytest.mark.quick(7)
@pytest.mark.parametrize("n_members", [1, 2, 10])
@pytest.mark.parametrize("n_rows", [2, 3, 10])
@pytest.mark.parametrize("method", ["structural", "vmap"])
def test_any_number_of_members_and_rows_works(n_members, n_rows, method):
    modules = make(batch_norm, n_members)
    vectorized = vectorize_members(modules, method)
    assert_equal_members(vectorized, modules, data(n_rows=n_rows), 1e-8)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("network", "tolerance"), [(mlp, 1e-5), (nested, 1e-5), (batch_norm, 1e-4)]
)
def test_training_leads_to_the_same_members(network, tolerance, method):
    modules, x = make(network, dtype=torch.float32), data(torch.float32, 32)
    y = torch.arange(32) % 3
    vectorized = vectorize_members(modules, method)
    optimizer = torch.optim.SGD(vectorized.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        logits = vectorized(x)
        F.cross_entropy(logits.flatten(0, 1), y.repeat(3), reduction="sum").div(
            32
        ).backward()
        optimizer.step()
    for module in modules:
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            F.cross_entropy(module(x), y).backward()
            optimizer.step()
    expected = torch.stack([module.eval()(x) for module in modules])
    found = vectorized.eval()(x)
    if network is batch_norm:
        found, expected = found.softmax(-1), expected.softmax(-1)
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


def test_outputs_are_a_view_with_the_batch_innermost():
    outputs = vectorize_members(make(mlp))(data())
    assert outputs.shape == (3, 10, 3)
    assert outputs.transpose(1, 2).is_contiguous()


@pytest.mark.parametrize("method", ["structural", "vmap"])
def test_functional_dropout_follows_the_mode(method):
    modules = make(FunctionalDropout)
    vectorized = vectorize_members(modules, method, example=data())
    assert vectorized.training
    assert not torch.equal(vectorized(data()), vectorized(data()))
    vectorized.eval()
    assert_equal_members(vectorized, modules, data(), 1e-10)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("where", ["input", "hidden", "functional"])
def test_members_draw_independent_dropout_masks(method, where):
    network = {
        "input": lambda: nn.Sequential(nn.Dropout(), nn.Linear(6, 3)),
        "hidden": lambda: nn.Sequential(
            nn.Linear(6, 40), nn.Dropout(), nn.Linear(40, 3)
        ),
        "functional": FunctionalDropout,
    }[where]
    modules = make(network, 1) * 4
    outputs = vectorize_members(modules, method)(data())
    for m in range(1, 4):
        # A few of the rows may lose the same inputs by chance.
        assert torch.isclose(outputs[0], outputs[m]).float().mean() < 0.5


@pytest.mark.parametrize("method", METHODS)
def test_layers_keep_their_own_mode(method):
    modules = make(batch_norm)
    for module in modules:
        module[2].eval()
    vectorized = vectorize_members(modules, method)
    expected = torch.stack([module(data()) for module in copy.deepcopy(modules)])
    torch.testing.assert_close(vectorized(data()), expected)
    member = split_members(vectorized)[1]
    assert [layer.training for layer in member] == [
        layer.training for layer in modules[1]
    ]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("network", [Tokens, batch_norm, mlp])
def test_split_gives_back_the_same_bits(network, method):
    modules = make(network)
    vectorized = vectorize_members(modules, method)
    fresh = split_members(vectorized)
    into = make(network, seed=5)
    assert split_members(vectorized, into) == into
    for members in (fresh, into):
        for module, member in zip(modules, members, strict=True):
            assert type(member) is type(module)
            expected, found = module.state_dict(), member.state_dict()
            assert list(found) == list(expected)
            assert all(torch.equal(found[name], expected[name]) for name in expected)
    for m, member in enumerate(fresh):
        torch.testing.assert_close(member.eval()(data()), vectorized.eval()(data())[m])
        for name, tensor in named_tensors(member).items():
            assert isinstance(tensor, nn.Parameter) == (
                name in dict(modules[m].named_parameters())
            )


@pytest.mark.parametrize("method", METHODS)
def test_split_members_share_no_memory_with_the_vectorized_module(method):
    vectorized = vectorize_members(make(batch_norm), method)
    before = vectorized.eval()(data())
    for member in split_members(vectorized):
        for tensor in named_tensors(member).values():
            tensor.data.zero_()
    assert torch.equal(vectorized(data()), before)


@pytest.mark.parametrize("method", METHODS)
def test_select_is_the_same_members_with_weights_of_their_own(method):
    vectorized = vectorize_members(make(batch_norm, 5), method).eval()
    outputs = vectorized(data())
    selected = vectorized.select([3, 0, 3, -1])
    assert (selected.method, selected.n_members) == (method, 4)
    torch.testing.assert_close(selected(data()), outputs[[3, 0, 3, 4]])
    again = selected.select([2])
    torch.testing.assert_close(again(data()), outputs[[3]])
    for tensor in named_tensors(selected).values():
        tensor.data.zero_()
    assert torch.equal(vectorized(data()), outputs)
    assert len(split_members(selected)) == 4


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("network", [batch_norm, Functional, Residual])
def test_copies_pickles_and_state_dicts_are_equal_and_separate(method, network):
    vectorized = vectorize_members(make(network), method).eval()
    outputs = vectorized(data())
    loaded = vectorize_members(make(network, seed=7), method).eval()
    loaded.load_state_dict(vectorized.state_dict())
    copies = [
        copy.deepcopy(vectorized),
        pickle.loads(pickle.dumps(vectorized)),
        loaded,
    ]
    for copied in copies:
        assert torch.equal(copied(data()), outputs)
        for tensor in named_tensors(copied).values():
            tensor.data.zero_()
        assert not torch.equal(copied(data()), outputs)
    assert torch.equal(vectorized(data()), outputs)


@pytest.mark.parametrize("method", METHODS)
def test_casting_casts_the_members(method):
    vectorized = vectorize_members(make(batch_norm, dtype=torch.float32), method)
    vectorized.eval().to(torch.float64)
    assert vectorized(data()).dtype == torch.float64
    members = split_members(vectorized)
    assert members[0].eval()(data()).dtype == torch.float64


@pytest.mark.parametrize("method", METHODS)
def test_parameters_are_named_as_in_the_member(method):
    modules = make(mlp)
    vectorized = vectorize_members(modules, method)
    names = [name for name, _ in modules[0].named_parameters()]
    found = [name for name, _ in vectorized.named_parameters()]
    assert found == names * (3 if method == "loop" else 1)
    if method != "loop":
        assert list(vectorized.state_dict()) == [f"members.{name}" for name in names]


@pytest.mark.parametrize("method", METHODS)
def test_frozen_parameters_stay_frozen(method):
    modules = make(mlp)
    for module in modules:
        module.output.bias.requires_grad_(False)
    vectorized = vectorize_members(modules, method, example=data())
    frozen = [n for n, p in vectorized.named_parameters() if not p.requires_grad]
    assert set(frozen) == {"output.bias"}
    assert not split_members(vectorized)[2].output.bias.requires_grad


@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_nothing_outside_changes(method):
    modules = make(batch_norm)
    for module in modules:
        module(data()).sum().backward()
    before = copy.deepcopy(modules)
    gradients = [[p.grad.clone() for p in module.parameters()] for module in modules]
    state = torch.get_rng_state()
    vectorized = vectorize_members(modules, method, example=data())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in vectorized.parameters())
    vectorized(data()).sum().backward()
    for tensor in named_tensors(vectorized).values():
        tensor.data.zero_()
    for module, old, grads in zip(modules, before, gradients, strict=True):
        assert module.training
        for name, tensor in named_tensors(module).items():
            assert torch.equal(tensor, named_tensors(old)[name])
        for parameter, grad in zip(module.parameters(), grads, strict=True):
            assert torch.equal(parameter.grad, grad)


def test_lstm_is_looped_and_the_reason_names_it():
    vectorized = vectorize_members(make(Recurrent), example=data())
    assert vectorized.method == "loop"
    assert vectorized.reason.startswith(
        "loop: structural refused: no vectorized form of LSTM ('rnn'); vmap refused: "
    )
    assert_equal_members(vectorized, make(Recurrent), data(), 1e-12)


class OwnScale(nn.Module):
    """Uses a weight outside of a layer, which no vectorized layer holds."""

    def __init__(self, width=4):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.first = nn.Linear(6, width)
        self.second = nn.Linear(width, 3)

    def forward(self, x):
        return self.second(self.scale * self.first(x))


def test_unknown_operations_go_to_vmap_where_it_can_be_checked():
    refused = "structural refused: its forward uses the tensor 'scale' directly"
    modules = make(OwnScale)
    vectorized = vectorize_members(modules, example=data())
    assert vectorized.reason == f"vmap: {refused}"
    assert vectorized.max_error < 1e-9
    assert vectorize_members(modules).reason == (
        f"loop: {refused}; vmap not tried without an example"
    )


def test_large_members_are_looped_rather_than_run_by_vmap_on_a_cpu():
    vectorized = vectorize_members(make(lambda: OwnScale(10_000)), example=data())
    assert vectorized.reason == (
        "loop: structural refused: its forward uses the tensor 'scale' directly; "
        "faster than vmap on a CPU for 0.09 million multiplications a row"
    )


def test_tied_weights_are_looped_and_stay_tied():
    vectorized = vectorize_members(make(Tied), example=data())
    assert vectorized.reason == "loop: 'second.weight' is tied to 'first.weight'"
    assert_equal_members(vectorized, make(Tied), data(), 1e-12)
    for member in (split_members(vectorized)[0], vectorized.select([1]).members[0]):
        assert member.second.weight is member.first.weight


def test_a_branch_on_data_is_looped():
    vectorized = vectorize_members(make(Branch), example=data())
    assert vectorized.method == "loop"
    assert "cannot be traced" in vectorized.reason
    assert "vmap refused: it fails" in vectorized.reason


def test_members_with_different_settings_are_looped():
    modules = [FunctionalDropout(p) for p in (0.1, 0.5)]
    assert vectorize_members(modules).reason == "loop: members differ in 'p'"


def test_a_block_without_gradients_is_not_traced():
    class NoGrad(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(6, 4)
            self.second = nn.Linear(4, 3)

        def forward(self, x):
            with torch.no_grad():
                h = self.first(x)
            return self.second(h)

    vectorized = vectorize_members(make(NoGrad), example=data())
    assert vectorized.method == "vmap"
    assert "switches gradients or autocast" in vectorized.reason


@pytest.mark.parametrize(
    "change",
    [
        lambda module: module.register_forward_hook(lambda *_: None),
        lambda module: nn.utils.parametrizations.weight_norm(module),
        lambda module: setattr(module, "forward", lambda x: x),
    ],
)
def test_layers_that_were_tampered_with_are_not_structural(change):
    modules = make(mlp)
    for module in modules:
        change(module.output)
    with pytest.raises(ValueError, match=r"'output'"):
        vectorize_members(modules, "structural")


@pytest.mark.parametrize(
    "operation",
    [
        lambda h: h.mean(),
        lambda h: h.mean(0, keepdim=True) + h,
        lambda h: h - h.mean(dim=0),
        lambda h: F.softmax(h, dim=0),
        lambda h: torch.cat([h, h]),
        lambda h: h @ h.t(),
        lambda h: h + torch.randn_like(h),
        lambda h: h[0],
        lambda h: h.cumsum(1),
        lambda h: h.squeeze(),
        lambda h: h.sum(1) + h,
    ],
)
def test_operations_across_rows_or_unknown_are_never_structural(operation):
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(6, 3)

        def forward(self, x):
            return operation(self.first(x))

    with pytest.raises(ValueError, match="must be one that can run these modules"):
        vectorize_members(make(Network), "structural", example=data(n_rows=3))


def test_shared_randomness_is_not_structural():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(6, 3)

        def forward(self, x):
            return self.first(x + torch.randn_like(x))

    vectorized = vectorize_members(make(Noisy, 1) * 2, example=data())
    assert vectorized.method == "vmap"
    assert vectorized.max_error is None
    assert not torch.isclose(*vectorized(data())).any()


def test_the_same_input_gives_the_same_bits():
    one, two = (vectorize_members(make(batch_norm), example=data()) for _ in range(2))
    assert torch.equal(one(data()), two(data()))


def test_no_example_means_no_check_and_the_reason_says_so():
    vectorized = vectorize_members(make(mlp))
    assert vectorized.max_error is None
    assert vectorized.reason == (
        "structural: every layer has a vectorized form (not checked: no example given)"
    )


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_few_rows_suffice_for_the_check(rows):
    vectorized = vectorize_members(make(batch_norm), example=data(n_rows=rows))
    assert vectorized.method == "structural"
    assert vectorized.max_error is not None


def message(call):
    with pytest.raises(ValueError, match="parameter of") as caught:
        call()
    return str(caught.value)


@pytest.mark.core
def test_errors_name_the_parameter_the_rule_and_the_value():
    modules = make(mlp)
    assert message(lambda: vectorize_members(modules, "fast")) == (
        "The 'method' parameter of vectorize_members must be one of ('auto', "
        "'structural', 'vmap', 'loop'). Got 'fast' instead."
    )
    assert message(lambda: vectorize_members(modules, example=[])) == (
        "The 'example' parameter of vectorize_members must be a tensor of at least one "
        "row or None. Got [] instead."
    )
    assert message(lambda: vectorize_members([])) == (
        "The 'modules' parameter of vectorize_members must be at least one torch "
        "module. Got [] instead."
    )
    assert message(lambda: vectorize_members([MLP(6, 3), MLP(6, 4)])) == (
        "The 'modules' parameter of vectorize_members must be modules of one "
        "architecture. Got 'output.weight' = (4, 64) torch.float32 cpu in module 1 and "
        "(3, 64) torch.float32 cpu in module 0 instead."
    )
    assert message(lambda: vectorize_members([nn.Tanh(), nn.ReLU()])) == (
        "The 'modules' parameter of vectorize_members must be modules of one "
        "architecture. Got 'the class' = ReLU in module 1 and Tanh in module 0 instead."
    )
    assert message(lambda: vectorize_members([nn.LazyLinear(3)])) == (
        "The 'modules' parameter of vectorize_members must be modules whose lazy "
        "layers have seen data. Got 'weight' without a shape instead."
    )
    assert message(lambda: vectorize_members(make(Recurrent), "structural")) == (
        "The 'method' parameter of vectorize_members must be one that can run these "
        "modules. Got 'structural' instead: no vectorized form of LSTM ('rnn')."
    )
    vectorized = vectorize_members(modules)
    assert message(lambda: split_members(vectorized, modules[:2])) == (
        "The 'into' parameter of split_members must be 3 modules, one a member. Got 2 "
        "instead."
    )
    assert message(lambda: vectorized.select([0, 3])) == (
        "The 'indices' parameter of select must be at least one member index in the "
        "range [-3, 3). Got [0, 3] instead."
    )
    assert "members' tensors" in message(
        lambda: split_members(vectorized, [nn.Linear(2, 2)] * 3)
    )


@st.composite
def small_networks(draw):
    """Stacks of random layers, as a factory of members."""
    layers, width = [], 6
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["linear", "norm", "batch_norm", "activation"]))
        if kind == "linear":
            out = draw(st.integers(1, 5))
            layers.append((nn.Linear, (width, out, draw(st.booleans()))))
            width = out
        elif kind == "norm":
            layers.append((nn.LayerNorm, (width,)))
        elif kind == "batch_norm":
            layers.append((nn.BatchNorm1d, (width, 1e-2)))
        else:
            activations = [nn.Tanh, nn.SiLU, nn.Softplus, nn.GELU, nn.Sigmoid]
            layers.append((draw(st.sampled_from(activations)), ()))
    layers.append((nn.Linear, (width, 3)))
    return lambda: nn.Sequential(*(layer(*options) for layer, options in layers))


@settings(max_examples=15, deadline=None)
@given(small_networks(), st.integers(1, 4), st.integers(2, 6), st.booleans())
def test_random_networks_are_structural_and_equal_the_members(
    network, n_members, n_rows, training
):
    modules = make(network, n_members)
    vectorized = vectorize_members(modules, "structural").train(training)
    assert_equal_members(vectorized, modules, data(n_rows=n_rows), 1e-6)


class DrawsInPython(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x):
        return self.linear(x) * random.random()


class DrawsWithTorch(DrawsInPython):
    def forward(self, x):
        return self.linear(x) * torch.rand(()).item()


class Counts(DrawsInPython):
    n_calls = 0

    def forward(self, x):
        self.n_calls += 1
        return self.linear(x) / self.n_calls


@pytest.mark.parametrize("member", [DrawsInPython, DrawsWithTorch, Counts])
@pytest.mark.parametrize("example", [None, torch.zeros(5, 4)], ids=["bare", "example"])
def test_what_a_forward_draws_or_counts_in_python_is_not_frozen(member, example):
    """A trace kept the first number as a constant of all later passes."""
    modules = [member() for _ in range(3)]
    with pytest.raises(ValueError, match=r"draws random numbers|changes the module"):
        vectorize_members(modules, "structural", example)
    vectorized = vectorize_members(modules, example=example)
    x = torch.ones(2, 4)
    assert not torch.equal(vectorized(x), vectorized(x))


def test_members_that_draw_in_python_draw_each_for_itself():
    """vmap runs the forward once, with one number for all members."""
    vectorized = vectorize_members([DrawsInPython()] * 3, example=torch.ones(5, 4))
    assert vectorized.method == "loop"
    outputs = vectorized(torch.ones(2, 4))
    assert not torch.allclose(outputs[0], outputs[1])


@pytest.mark.parametrize("method", METHODS)
def test_members_are_run_again_in_the_way_they_were_run(method):
    vectorized = vectorize_members(make(mlp), method, example=data())
    again = revectorize(split_members(vectorized), vectorized.vectorization)
    assert type(again) is type(vectorized)
    assert again.vectorization == vectorized.vectorization
    assert torch.equal(again(data()), vectorized(data()))


def test_what_cannot_be_stacked_is_not_run_again_as_if_it_were():
    way = vectorize_members(make(mlp), "vmap").vectorization
    with pytest.raises(ValueError, match=r"'second.weight' is tied"):
        revectorize(make(Tied), way)


@pytest.mark.parametrize("method", METHODS)
def test_width_of_a_row_is_the_number_of_outputs_of_all_weights(method):
    layers = nn.Linear(4, 5, bias=False), nn.ReLU(), nn.Linear(5, 3, bias=False)
    vectorized = vectorize_members([nn.Sequential(*layers)] * 6, method)
    assert vectorized.row_width == 6 * (5 + 3)


@pytest.mark.parametrize("method", METHODS)
def test_only_where_rows_are_known_to_stay_apart_do_they_not_mix(method):
    vectorized = vectorize_members(make(mlp), method)
    assert vectorized.mixes_rows == (method != "structural")
