"""Random networks: every way of vectorizing gives what the plain members give.

A network is drawn layer by layer, each fitting the shape that the layers before it
give. What is compared is a plain loop over deep copies of the members.
"""

import copy
import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from sklearn_jointens.nn import TabularEncoding, split_members, vectorize_members
from sklearn_jointens.nn._copying import named_tensors
from sklearn_jointens.nn.structural import _tables

METHODS = ("structural", "vmap", "loop")
INPUTS = ("rows", "tokens", "series", "images", "volumes")
N_TOKENS = 7
N_CLASSES = 3
# Large, because normalizing small variances magnifies rounding errors.
EPS = 0.1

pytestmark = [
    # vmap says so of layers that it runs one member at a time, and of PReLU on the
    # input that members share.
    pytest.mark.filterwarnings("ignore:There is a performance drop"),
    pytest.mark.filterwarnings("ignore:An output with one or more elements"),
]
every_method = pytest.mark.parametrize("method", METHODS)
every_input = pytest.mark.parametrize("kind", INPUTS)
n_members = st.integers(1, 5)
n_rows = st.integers(2, 7)


def examples(number):
    return settings(max_examples=number, deadline=None, derandomize=True)


class Residual(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return x + self.inner(x)


class Concatenation(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return torch.cat([self.inner(x), x], dim=1)


class Mean(nn.Module):
    """Mean over axes of the features, given as plain numbers so that it is traced."""

    def __init__(self, axes):
        super().__init__()
        self.axes = axes

    def forward(self, x):
        return x.mean(self.axes)


# -- layers that keep the shape of a row ---------------------------------------------


def activation(draw, shape, kind):
    return kind(0.1, 0.2) if kind is nn.Threshold else kind()


def prelu(draw, shape, kind):
    return kind(draw(st.sampled_from([1, shape[0]])))


def random_layer(draw, shape, kind):
    return kind() if kind is nn.RReLU else kind(draw(st.sampled_from([0.0, 0.5])))


def softmax(draw, shape, kind):
    return kind(draw(st.sampled_from([1, -1])))


def layer_norm(draw, shape, kind):
    n_axes = draw(st.integers(1, len(shape)))
    return kind(shape[-n_axes:], EPS, elementwise_affine=draw(st.booleans()))


def group_norm(draw, shape, kind):
    return kind(draw(divisors(shape[0])), shape[0], EPS)


def norm(draw, shape, kind):
    if "Instance" in kind.__name__ and math.prod(shape[1:]) == 1:
        return nn.Identity()
    affine, track = draw(st.booleans()), draw(st.booleans())
    return kind(shape[0], EPS, affine=affine, track_running_stats=track)


def nested(draw, shape, kind=nn.Sequential):
    n_layers = draw(st.integers(0, 2))
    return kind(*(layer_of(draw, shape, KEEPING) for _ in range(n_layers)))


def residual(draw, shape, kind):
    kinds = fitting(CONVOLUTIONS, shape) or [nn.Linear]
    make = linear if kinds == [nn.Linear] else convolution
    first = make(draw, shape, draw(st.sampled_from(kinds)), same=True)
    return kind(nn.Sequential(first, nested(draw, shape)))


# -- layers that change it -----------------------------------------------------------


def divisors(number):
    return st.sampled_from([n for n in range(1, number + 1) if number % n == 0])


def linear(draw, shape, kind, same=False):
    width = shape[-1] if same else draw(st.integers(1, 5))
    return kind(shape[-1], width, bias=draw(st.booleans()))


def convolution(draw, shape, kind, same=False):
    channels, smallest = shape[0], min(shape[1:])
    groups = draw(divisors(channels))
    width = channels if same else groups * draw(st.integers(1, 3))
    options = {"groups": groups, "bias": draw(st.booleans())}
    if same:
        size = draw(st.sampled_from([1, 3]))
        options |= {"padding": "same", "dilation": draw(st.integers(1, 2))}
    else:
        size = draw(st.integers(1, min(3, smallest)))
        padding = draw(st.integers(0, size // 2))
        options |= {"padding": padding, "stride": draw(st.integers(1, 2))}
    if smallest > 4:
        modes = ["zeros", "reflect", "replicate", "circular"]
        options["padding_mode"] = draw(st.sampled_from(modes))
    return kind(channels, width, size, **options)


def transposed(draw, shape, kind):
    groups = draw(divisors(shape[0]))
    width, size = groups * draw(st.integers(1, 2)), draw(st.integers(1, 3))
    stride = draw(st.integers(1, 2))
    extra = draw(st.integers(0, stride - 1))
    return kind(shape[0], width, size, stride, output_padding=extra, groups=groups)


def concatenation(draw, shape, kind):
    return kind(residual(draw, shape, Residual).inner)


def pooling(draw, shape, kind):
    size = draw(st.integers(1, min(3, *shape[1:], 3)))
    if "Adaptive" in kind.__name__:
        return kind(size)
    stride, ceil_mode = draw(st.integers(1, 2)), draw(st.booleans())
    if "LP" in kind.__name__:
        # The gradient of other norms is not finite where all inputs are 0.
        return kind(1, size, stride, ceil_mode)
    return kind(size, stride, draw(st.integers(0, size // 2)), ceil_mode=ceil_mode)


def padding(draw, shape, kind):
    width = min(1, *(size - 1 for size in shape[1:]))
    return kind(width, 0.5) if "Constant" in kind.__name__ else kind(width)


def scaling(draw, shape, kind):
    if kind is nn.Upsample:
        modes = ["nearest", {2: "linear", 3: "bilinear", 4: "trilinear"}[len(shape)]]
        return kind(scale_factor=2, mode=draw(st.sampled_from(modes)))
    return kind(scale_factor=2)


def shuffle(draw, shape, kind):
    fits = shape[0] % 4 == 0
    if kind is nn.PixelUnshuffle:
        fits = all(size % 2 == 0 for size in shape[1:])
    return kind(2) if fits else nn.Identity()


def glu(draw, shape, kind):
    return kind(1) if shape[0] % 2 == 0 else nn.Identity()


def flatten(draw, shape, kind):
    return kind(draw(st.sampled_from([1, -2])) if len(shape) > 1 else 1)


def unflatten(draw, shape, kind):
    first = draw(divisors(shape[0]))
    return kind(1, (first, shape[0] // first)) if len(shape) < 4 else nn.Identity()


def each_rank(*names):
    """The torch layers of these names for one, two and three axes."""
    return [getattr(nn, f"{name}{n}d") for name in names for n in (1, 2, 3)]


CONVOLUTIONS = each_rank("Conv")
KEEPING = {
    # From the tables, so that none is left out.
    activation: sorted(_tables.ELEMENTWISE_LAYERS, key=lambda kind: kind.__name__),
    prelu: [nn.PReLU],
    random_layer: [nn.AlphaDropout, nn.Dropout, nn.RReLU, *each_rank("Dropout")],
    softmax: [nn.Softmax, nn.LogSoftmax],
    layer_norm: [nn.LayerNorm],
    group_norm: [nn.GroupNorm],
    norm: [*each_rank("BatchNorm"), nn.InstanceNorm1d, nn.InstanceNorm2d],
    nested: [nn.Sequential],
    residual: [Residual],
}
CHANGING = {
    linear: [nn.Linear],
    convolution: CONVOLUTIONS,
    transposed: each_rank("ConvTranspose"),
    concatenation: [Concatenation],
    pooling: each_rank(
        "AdaptiveAvgPool", "AdaptiveMaxPool", "AvgPool", "LPPool", "MaxPool"
    ),
    padding: each_rank(
        "CircularPad", "ConstantPad", "ReflectionPad", "ReplicationPad", "ZeroPad"
    ),
    scaling: [nn.Upsample, nn.UpsamplingBilinear2d, nn.UpsamplingNearest2d],
    shuffle: [nn.PixelShuffle, nn.PixelUnshuffle],
    glu: [nn.GLU],
    flatten: [nn.Flatten],
    unflatten: [nn.Unflatten],
}
# How many axes a layer takes after the channels, where its name does not tell.
AXES = {
    nn.BatchNorm1d: (0, 1),
    nn.PixelShuffle: (2,),
    nn.PixelUnshuffle: (2,),
    nn.Upsample: (1, 2, 3),
}


def fitting(kinds, shape):
    """Those of the layers that take inputs of as many axes."""

    def axes(kind):
        in_name = re.search(r"(\d)d$", kind.__name__)
        return AXES.get(kind, (int(in_name[1]),) if in_name else range(4))

    return [kind for kind in kinds if len(shape) - 1 in axes(kind)]


def layer_of(draw, shape, makers):
    makers = {make: fitting(kinds, shape) for make, kinds in makers.items()}
    make = draw(st.sampled_from([make for make, kinds in makers.items() if kinds]))
    return make(draw, shape, draw(st.sampled_from(makers[make])))


# -- networks ------------------------------------------------------------------------


@st.composite
def networks(draw, kind):
    """A network for inputs of a kind, and the shape of one row of them."""
    size = st.integers(3, 7)
    shape = {
        "rows": (draw(st.integers(1, 6)),),
        "tokens": (draw(st.integers(1, 4)),),
        "series": (draw(st.integers(1, 3)), draw(size)),
        "images": (draw(st.integers(1, 3)), draw(size), draw(size)),
        "volumes": (draw(st.integers(1, 2)), 3, draw(st.integers(1, 3)), 2),
    }[kind]
    layers, hidden = [], shape
    if kind == "tokens":
        padding = draw(st.sampled_from([None, 0]))
        width = draw(st.integers(1, 4))
        layers.append(nn.Embedding(N_TOKENS, width, padding_idx=padding))
        hidden = (*shape, width)
    for _ in range(draw(st.integers(1, 5))):
        layers.append(
            layer_of(draw, hidden, draw(st.sampled_from([KEEPING, CHANGING])))
        )
        # The layer itself says what shape it returns.
        hidden = tuple(layers[-1](torch.zeros(2, *hidden)).shape[1:])
    if len(hidden) > 1:
        axes = tuple(range(2, 1 + len(hidden)))
        layers.append(draw(st.sampled_from([nn.Flatten(), Mean(axes)])))
        hidden = tuple(layers[-1](torch.zeros(2, *hidden)).shape[1:])
    return nn.Sequential(*layers, nn.Linear(*hidden, N_CLASSES)), shape


def networks_for(method, kind):
    """Networks that a method can run: all, but for layers that vmap has no rule for."""

    def has_rules(drawn):
        network, _ = drawn
        return not any(isinstance(layer, nn.RReLU) for layer in network.modules())

    return networks(kind).filter(has_rules) if method == "vmap" else networks(kind)


def make_members(network, number, dtype, training=True):
    """Members with weights and running statistics of their own."""
    modules = [copy.deepcopy(network).to(dtype) for _ in range(number)]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for module in modules:
            module.train(training)
            for layer in module.modules():
                if hasattr(layer, "reset_parameters"):
                    layer.reset_parameters()
                if type(layer) in _tables.RANDOM_LAYERS and getattr(layer, "p", 1) > 0:
                    layer.eval()
            for tensor in named_tensors(module).values():
                if tensor.is_floating_point():
                    # Norms all begin with 1 and 0.
                    tensor.data += 0.1 * torch.randn_like(tensor)
    return modules


def make_data(kind, shape, rows, dtype):
    generator = torch.Generator().manual_seed(1)
    if kind == "tokens":
        return torch.randint(N_TOKENS, (rows, *shape), generator=generator)
    return torch.randn(rows, *shape, generator=generator, dtype=dtype)


def plain_loop(modules, x):
    return torch.stack([module(x) for module in modules])


def assert_close(found, expected, tolerance, what):
    """Compare with a tolerance relative to the largest number, or to 1."""
    assert found.dtype == expected.dtype, what
    found, expected = found.detach(), expected.detach()
    scale = expected.abs().max().clamp(min=1).item()
    torch.testing.assert_close(
        found, expected, rtol=0, atol=tolerance * scale, msg=lambda m: f"{what}: {m}"
    )


def parameters_of(modules):
    return [parameter for module in modules for parameter in module.parameters()]


# -- what holds for all of them ------------------------------------------------------


def test_every_layer_with_a_vectorized_form_is_drawn():
    tables = (
        _tables.VECTORIZED_LAYERS,
        _tables.ELEMENTWISE_LAYERS,
        _tables.RANDOM_LAYERS,
        _tables.CHANNELWISE_LAYERS,
        _tables.FUNCTION_LAYERS,
    )
    drawn = {nn.Embedding, TabularEncoding}.union(*KEEPING.values(), *CHANGING.values())
    assert set().union(*tables) - drawn == set()


@pytest.mark.quick(1)
@every_input
@every_method
@examples(20)
@given(st.data(), n_members, n_rows, st.booleans())
def test_outputs_gradients_and_buffers_equal_a_plain_loop(
    kind, method, data, n_members, n_rows, training
):
    network, shape = data.draw(networks_for(method, kind))
    modules = make_members(network, n_members, torch.float64, training)
    plain = copy.deepcopy(modules)
    vectorized = vectorize_members(modules, method)
    inputs, outputs = [], []
    for run, parameters in (
        (vectorized, list(vectorized.parameters())),
        (lambda x: plain_loop(plain, x), parameters_of(plain)),
    ):
        x = make_data(kind, shape, n_rows, torch.float64)
        x.requires_grad_(x.is_floating_point())
        inputs.append(x)
        outputs.append(run(x))
        weights = torch.linspace(-1, 1, outputs[-1].numel()).view(outputs[-1].shape)
        (outputs[-1] * weights).sum().backward()
        # After a step of length 1 the weights tell the gradients.
        torch.optim.SGD(parameters, lr=1.0).step()
    assert vectorized.method == method
    assert_close(*outputs, 1e-9, "outputs")
    if kind != "tokens":
        assert_close(inputs[0].grad, inputs[1].grad, 1e-9, "gradient of x")
    for index, module in enumerate(plain):
        found = vectorized.member_tensors(index)
        assert found.keys() == named_tensors(module).keys()
        for name, expected in named_tensors(module).items():
            assert_close(found[name], expected, 1e-9, f"{name} of member {index}")


@pytest.mark.quick(1)
@every_input
@every_method
@examples(10)
@given(st.data(), n_members, n_rows)
def test_training_in_single_precision_leads_to_the_same_members(
    kind, method, data, n_members, n_rows
):
    network, shape = data.draw(networks_for(method, kind))
    x = make_data(kind, shape, n_rows, torch.float32)
    y = torch.arange(n_rows) % N_CLASSES
    modules = make_members(network, n_members, torch.float32)
    vectorized = vectorize_members(modules, method)
    plain = copy.deepcopy(modules)
    probabilities = [
        run(x).softmax(-1) for run in (vectorized, lambda x: plain_loop(plain, x))
    ]
    assert_close(*probabilities, 1e-6, "probabilities")
    for run, parameters in (
        (vectorized, list(vectorized.parameters())),
        (lambda x: plain_loop(plain, x), parameters_of(plain)),
    ):
        optimizer = torch.optim.SGD(parameters, lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            losses = F.cross_entropy(
                run(x).flatten(0, 1), y.repeat(n_members), reduction="sum"
            )
            (losses / n_rows).backward()
            optimizer.step()
    normalized = any(
        isinstance(layer, nn.modules.batchnorm._BatchNorm)
        for layer in network.modules()
    )
    expected = plain_loop([module.eval() for module in plain], x)
    assert_close(vectorized.eval()(x), expected, 1e-4 if normalized else 1e-5, "logits")


@pytest.mark.quick(1)
@every_input
@pytest.mark.parametrize("method", [*METHODS, "auto"])
@examples(10)
@given(st.data(), n_members, n_rows, st.sampled_from([torch.float32, torch.float64]))
def test_members_are_checked_and_come_back_bit_for_bit(
    kind, method, data, n_members, n_rows, dtype
):
    network, shape = data.draw(networks_for(method, kind))
    modules = make_members(network, n_members, dtype)
    x = make_data(kind, shape, n_rows, dtype)
    vectorized = vectorize_members(modules, method, example=x)
    for module, member in zip(modules, split_members(vectorized), strict=True):
        expected, found = module.state_dict(), member.state_dict()
        assert list(found) == list(expected)
        for name, tensor in expected.items():
            assert torch.equal(found[name], tensor)
            assert found[name].stride() == tensor.stride()
        assert repr(member) == repr(module)


@pytest.mark.quick(1)
@every_input
@every_method
@examples(10)
@given(st.data(), n_rows, st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_selected_members_are_those_members_in_that_order(
    kind, method, data, n_rows, indices
):
    network, shape = data.draw(networks_for(method, kind))
    modules = make_members(network, 5, torch.float64, training=False)
    x = make_data(kind, shape, n_rows, torch.float64)
    vectorized = vectorize_members(modules, method)
    expected = vectorized(x)[indices]
    assert_close(vectorized.select(indices)(x), expected, 1e-9, "selected")
    chosen = vectorize_members([modules[index] for index in indices], method)
    assert_close(chosen(x), expected, 1e-9, "vectorized in this order")


@every_method
def test_batch_norm_gives_the_right_gradient_in_any_memory(method):
    """Of one image, torch's gradient was wrong where the result's had other strides."""
    layers = [nn.Linear(1, 1), nn.BatchNorm1d(2), nn.GroupNorm(1, 2), nn.Flatten()]
    modules = make_members(nn.Sequential(*layers), 2, torch.float64)
    plain = copy.deepcopy(modules)
    x = make_data("series", (2, 1), 3, torch.float64)
    weights = torch.linspace(-1, 1, 12, dtype=torch.float64).view(2, 3, 2)
    vectorized = vectorize_members(modules, method)
    (vectorized(x) * weights).sum().backward()
    (plain_loop(plain, x) * weights).sum().backward()
    found = sum(p.grad.sum() for p in vectorized.parameters())
    expected = sum(p.grad.sum() for p in parameters_of(plain))
    assert_close(found, expected, 1e-9, "sum of all gradients")
