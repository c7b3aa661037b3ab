"""Convolutional members: each layer, whole networks, and the choice of a way."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sklearn_jointens.nn import ConvNet, DenseNetBC, split_members, vectorize_members
from sklearn_jointens.nn._copying import named_tensors
from sklearn_jointens.nn.layers._layout import from_images, to_images
from sklearn_jointens.nn.structural._tables import (
    CHANNELWISE,
    CHANNELWISE_LAYERS,
    FUNCTION_NAMES,
    VECTORIZED_LAYERS,
)

N_MEMBERS, N_ROWS = 3, 5
METHODS = ("structural", "vmap", "loop")
SIZES = {1: (9,), 2: (6, 7), 3: (5, 4, 6)}


def randomized(make):
    """Layers of which no two parameters or buffers are equal."""
    layers = [make().double() for _ in range(N_MEMBERS)]
    for layer in layers:
        for tensor in named_tensors(layer).values():
            if tensor.is_floating_point():
                tensor.data.uniform_(0.1, 1.0)
    return layers


def hidden_and_rows(shape, innermost):
    """A hidden tensor (M, *shape, B) in either memory, and each member's rows."""
    rows = torch.randn(N_MEMBERS, N_ROWS, *shape, dtype=torch.float64)
    if innermost:
        hidden = rows.movedim(1, -1).contiguous()
    else:
        hidden = from_images(rows.transpose(0, 1).flatten(1, 2), N_MEMBERS)
    return hidden.requires_grad_(), rows.requires_grad_()


def vectorized_of(layers):
    return VECTORIZED_LAYERS[type(layers[0])](layers)


def assert_equal_layers(layer, layers, outputs, expected):
    """Outputs, gradients of parameters, and buffers."""
    weights = torch.randn_like(expected)
    (outputs.movedim(-1, 1) * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(outputs.movedim(-1, 1), expected)
    for name, tensor in named_tensors(layer).items():
        is_parameter = isinstance(tensor, nn.Parameter)
        found = tensor.grad if is_parameter else tensor
        states = [named_tensors(one)[name] for one in layers]
        states = [one.grad if is_parameter else one for one in states]
        torch.testing.assert_close(found, torch.stack(states), msg=name)


CONVOLUTION_OPTIONS = [
    {},
    {"bias": False},
    {"stride": 2, "padding": 1},
    {"padding": 2, "dilation": 2},
    {"groups": 2, "padding": 1},
    {"groups": 4},
    {"padding": "same", "dilation": 2},
    {"padding": "valid"},
    {"padding": 1, "padding_mode": "reflect"},
    {"padding": 1, "padding_mode": "replicate", "stride": 2},
    {"padding": "same", "padding_mode": "circular"},
]
TRANSPOSED_OPTIONS = [
    {},
    {"bias": False},
    {"stride": 2, "padding": 1, "output_padding": 1},
    {"groups": 2, "dilation": 2},
]
CONVOLUTIONS = [
    (f"{kind}{n}d", n, options)
    for kind, all_options in (
        ("Conv", CONVOLUTION_OPTIONS),
        ("ConvTranspose", TRANSPOSED_OPTIONS),
    )
    for n in SIZES
    for options in all_options
]


@pytest.mark.quick(45)
@pytest.mark.parametrize("memory", ["innermost", "outermost", "shared"])
@pytest.mark.parametrize(("kind", "n", "options"), CONVOLUTIONS, ids=str)
def test_convolution_equals_its_layers(kind, n, options, memory):
    layers = randomized(lambda: getattr(nn, kind)(4, 8, 3, **options))
    layer = vectorized_of(layers)
    if memory == "shared":
        x = torch.randn(N_ROWS, 4, *SIZES[n], dtype=torch.float64)
        expected = torch.stack([one(x) for one in layers])
        assert_equal_layers(layer, layers, layer.forward_shared(x), expected)
        return
    hidden, rows = hidden_and_rows((4, *SIZES[n]), memory == "innermost")
    expected = torch.stack([one(x) for one, x in zip(layers, rows, strict=True)])
    assert_equal_layers(layer, layers, layer(hidden), expected)
    torch.testing.assert_close(hidden.grad, rows.grad.movedim(1, -1))


TRACKED = {"momentum": 0.3, "track_running_stats": True}
NORMS = [
    (kind, n, (4,), options)
    for kind, n in [("BatchNorm1d", 1), ("BatchNorm2d", 2), ("BatchNorm3d", 3)]
    for options in ({}, {"affine": False}, {"track_running_stats": False})
]
NORMS += [
    (f"InstanceNorm{n}d", n, (4,), options)
    for n in (1, 2)
    for options in ({}, {"affine": True, **TRACKED}, {"affine": False, **TRACKED})
]
NORMS += [
    ("GroupNorm", n, (2, 4), options)
    for n in (1, 2, 3)
    for options in ({}, {"affine": False}, {"eps": 0.1})
]
NORMS += [("PReLU", n, (n_slopes,), {}) for n in (1, 2) for n_slopes in (1, 4)]


@pytest.mark.quick(40)
@pytest.mark.parametrize("innermost", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("kind", "n", "sizes", "options"), NORMS, ids=str)
def test_norm_or_prelu_equals_its_layers(kind, n, sizes, options, training, innermost):
    layers = randomized(lambda: getattr(nn, kind)(*sizes, **options).train(training))
    layer = vectorized_of(layers)
    assert layer.training == training
    for _ in range(2):
        hidden, rows = hidden_and_rows((4, *SIZES[n]), innermost)
        expected = torch.stack([one(x) for one, x in zip(layers, rows, strict=True)])
        outputs = layer(hidden)
    assert_equal_layers(layer, layers, outputs, expected)
    torch.testing.assert_close(hidden.grad, rows.grad.movedim(1, -1))


def arguments_of(name, n):
    """What a layer or function that treats channels apart is given after its input."""
    name = name.lower().replace("_", "")
    if "shuffle" in name:
        return (2,)
    if name.startswith("adaptive"):
        return (2,)
    if "lp" in name:
        return (2.0, 2)
    if "constantpad" in name:
        return (1, 0.5)
    if "pad" in name:
        return ((1, 2) * n,)
    if "upsampl" in name or "interpolate" in name:
        return (None, 2)
    return () if "dropout" in name else (2,)


class Between(nn.Module):
    """A layer or function between two convolutions, the second on what it gives."""

    def __init__(self, middle, n):
        super().__init__()
        self.middle = middle
        convolution = getattr(nn, f"Conv{n}d")
        n_channels = middle(torch.zeros(1, 4, *(4,) * n)).size(1)
        self.first = convolution(3, 4, 3, padding=1)
        self.second = convolution(n_channels, 2, 1)

    def forward(self, x):
        return self.second(self.middle(self.first(x))).flatten(1)


def check_between(make, n):
    torch.manual_seed(0)
    modules = [Between(make(), n).double() for _ in range(N_MEMBERS)]
    x = torch.randn(N_ROWS, 3, *(4,) * n, dtype=torch.float64)
    vectorized = vectorize_members(modules, "structural", example=x).eval()
    assert vectorized.max_error < 1e-9
    expected = torch.stack([module.eval()(x) for module in modules])
    torch.testing.assert_close(vectorized(x), expected)


@pytest.mark.quick(10)
@pytest.mark.parametrize(
    ("kind", "n"), CHANNELWISE_LAYERS.items(), ids=lambda value: str(value)
)
def test_layer_that_treats_channels_apart_equals_those_of_the_members(kind, n):
    n = n or 2
    check_between(lambda: kind(*arguments_of(kind.__name__, n)), n)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_upsampling_equals_that_of_the_members(mode):
    check_between(lambda: nn.Upsample(scale_factor=2, mode=mode), 2)


class Calls(nn.Module):
    """A function as a layer without a state."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


FUNCTIONS = [
    (function, name, CHANNELWISE[name])
    for function, name in FUNCTION_NAMES.items()
    if name in CHANNELWISE
]


@pytest.mark.quick(8)
@pytest.mark.parametrize(
    ("function", "name", "n"),
    FUNCTIONS,
    # One function has one name in several modules of torch.
    ids=[f"{name}-{i}" for i, (_, name, _) in enumerate(FUNCTIONS)],
)
def test_function_that_treats_channels_apart_equals_that_of_the_members(
    function, name, n
):
    n = n or 2
    given = arguments_of(name, n)
    options = {"training": False} if "dropout" in name else {}
    check_between(lambda: Calls(lambda x: function(x, *given, **options)), n)


def test_every_function_that_treats_channels_apart_is_known_by_its_name():
    assert {name for _, name, _ in FUNCTIONS} == {
        name for name in CHANNELWISE if hasattr(F, name)
    }


@pytest.mark.quick(7)
@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.pad(x, (1, 2)),
        lambda x: F.pad(x, (1, 2, 0, 1), value=0.5),
        lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1)),
        lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"),
        lambda x: F.max_pool2d(x, x.shape[2:]),
        lambda x: F.avg_pool2d(x, kernel_size=x.size(3)),
        lambda x: F.interpolate(x, size=x.shape[2:], mode="bilinear"),
        lambda x: x * x.mean((2, 3)).sigmoid().view(x.size(0), -1, 1, 1).expand_as(x),
        lambda x: torch.cat([x, F.relu(x), x.mean((2, 3), keepdim=True) + x], 1),
        lambda x: torch.stack([x, 2 * x], 2).flatten(1, 2),
        lambda x: x.permute(0, 3, 1, 2).permute(0, 2, -1, 1) + x.transpose(2, 3),
        lambda x: torch.permute(x, (0, 1, 3, 2)),
        lambda x: x.chunk(2, dim=1)[0] * x[:, 2:],
        lambda x: x.flatten(2).softmax(-1).view(x.size(0), 4, 4, 4),
    ],
)
def test_what_networks_do_with_images_equals_the_members(function):
    class Sized(nn.Module):
        def forward(self, x):
            return function(x)

    check_between(Sized, 2)


@pytest.mark.parametrize(
    ("middle", "reason"),
    [
        (nn.ChannelShuffle(2), "no vectorized form of ChannelShuffle"),
        (nn.LocalResponseNorm(2), "no vectorized form of LocalResponseNorm"),
        (nn.CrossMapLRN2d(2), "no vectorized form of CrossMapLRN2d"),
        (nn.Unfold(2), "no vectorized form of Unfold"),
        (nn.Dropout2d(inplace=True), r"Dropout2d \('1'\) in place"),
        (Calls(lambda x: F.local_response_norm(x, 2)), "no vectorized form of"),
        (Calls(lambda x: torch.max_pool2d(input=x, kernel_size=2)), "no vectorized"),
        (Calls(lambda x: F.max_pool2d(x, 2, return_indices=True)[0]), "no vectorized"),
        (Calls(lambda x: F.pad(x, (0,) * 6 + (1, 0))[:5]), "pads 4 axes"),
        (Calls(lambda x: x.permute(1, 0, 2, 3).permute(1, 0, 2, 3)), "moves the batch"),
    ],
)
def test_what_mixes_channels_or_is_unknown_is_refused_by_name(middle, reason):
    network = nn.Sequential(nn.Conv2d(3, 4, 1), middle, nn.Flatten())
    x = torch.randn(N_ROWS, 3, 4, 4)
    with pytest.raises(ValueError, match=reason):
        vectorize_members([network] * 2, "structural", example=x)


def test_pooling_of_indices_is_refused_by_name():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.MaxPool2d(2, return_indices=True))
    with pytest.raises(ValueError, match=r"MaxPool2d \('1'\) with return_indices"):
        vectorize_members([network] * 2, "structural")


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Conv1d(4, 2, 3),
        lambda: nn.ConvTranspose1d(4, 2, 3),
        lambda: nn.InstanceNorm1d(4),
        *(lambda: nn.MaxPool1d(2), nn.Dropout1d, lambda: nn.PReLU(3)),
    ],
)
def test_rows_without_channels_are_not_taken_for_one_image(make):
    class Unbatched(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.second = make()

        def forward(self, x):
            return self.second(self.first(x))

    modules = [Unbatched() for _ in range(2)]
    with pytest.raises(ValueError, match="expects"):
        vectorize_members(modules, "structural")(torch.randn(4, 4))


def test_random_pooling_is_never_shared():
    network = nn.Sequential(nn.FractionalMaxPool2d(2, output_size=2), nn.Flatten())
    with pytest.raises(ValueError, match="FractionalMaxPool2d"):
        vectorize_members([network] * 2, "structural")


class Block(nn.Module):
    """Two convolutions with a shortcut."""

    def __init__(self, channels):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, groups=2)

    def forward(self, x):
        return F.relu(x + self.second(F.relu(self.norm(self.first(x)))))


def residual():
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.PReLU(4), Block(4)),
        *(nn.MaxPool2d(2), nn.InstanceNorm2d(4), nn.Dropout2d(0.0), Block(4)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 3)),
    )


def wide_flatten():
    return nn.Sequential(
        *(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(inplace=True)),
        *(nn.Flatten(), nn.LayerNorm(36), nn.Linear(36, 8), nn.Unflatten(1, (2, 2, 2))),
        *(nn.ConvTranspose2d(2, 3, 2), nn.Flatten(), nn.Linear(27, 3)),
    )


def convnet():
    return ConvNet(3, 3, (4, 6), (1, 2))


def densenet():
    return DenseNetBC(10, 2, in_channels=3, n_outputs=3)


NETWORKS = [residual, wide_flatten, convnet, densenet]


def make(network, dtype=torch.float64, n_members=N_MEMBERS):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        modules = [network().to(dtype) for _ in range(n_members)]
        for module in modules:
            for tensor in named_tensors(module).values():
                if tensor.is_floating_point():
                    tensor.data += 0.1 * torch.rand_like(tensor)
    return modules


def images(dtype=torch.float64, n_rows=9, size=8):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n_rows, 3, size, size, generator=generator).to(dtype)


@pytest.mark.quick(2)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("method", [*METHODS, "channels_last"])
def test_networks_equal_the_members(network, dtype, training, method, monkeypatch):
    modules, x = make(network, dtype), images(dtype)
    if method == "channels_last":
        vectorized = in_channels_last(modules, monkeypatch)
    else:
        vectorized = vectorize_members(modules, method, example=x)
    vectorized.train(training)
    given, own = x.clone().requires_grad_(), x.clone().requires_grad_()
    outputs = vectorized(given)
    weights = torch.randn_like(outputs)
    (outputs * weights).sum().backward()
    tolerance = 1e-9 if dtype == torch.float64 else 1e-4
    for m, module in enumerate(modules):
        output = module.train(training)(own)
        (output * weights[m]).sum().backward()
        close = {"atol": tolerance, "rtol": tolerance}
        torch.testing.assert_close(outputs[m], output, **close)
        for name, tensor in named_tensors(module).items():
            if vectorized.method == "loop":
                found = named_tensors(vectorized.members[m])[name]
            else:
                found = named_tensors(vectorized.members)[name]
            if isinstance(tensor, nn.Parameter):
                found, tensor = found.grad, tensor.grad
            found = found if vectorized.method == "loop" else found[m]
            torch.testing.assert_close(found, tensor, **close, msg=name)
    torch.testing.assert_close(given.grad, own.grad, **close)


def in_channels_last(modules, monkeypatch):
    """What is chosen where members are too large for one grouped convolution."""
    monkeypatch.setattr("sklearn_jointens.nn._cost._CONVOLUTION_LIMIT", 0)
    dtype = next(modules[0].parameters()).dtype
    vectorized = vectorize_members(modules, example=images(dtype))
    assert vectorized.reason.startswith("loop in channels_last: ")
    assert vectorized.max_error is not None
    return vectorized


def is_in_channels_last(vectorized):
    weights = [t for t in vectorized.parameters() if t.dim() == 4]
    return all(t.is_contiguous(memory_format=torch.channels_last) for t in weights)


@pytest.mark.quick(2)
@pytest.mark.parametrize("method", [*METHODS, "channels_last"])
@pytest.mark.parametrize("network", NETWORKS)
def test_copies_and_parts_are_the_same_members(network, method, monkeypatch):
    modules, x = make(network), images()
    if method == "channels_last":
        vectorized = in_channels_last(modules, monkeypatch)
    else:
        vectorized = vectorize_members(modules, method)
    vectorized.eval()
    outputs = vectorized(x)
    selected = vectorized.select([2, 0])
    torch.testing.assert_close(selected(x), outputs[[2, 0]])
    for copied in (copy.deepcopy(vectorized), pickle.loads(pickle.dumps(vectorized))):
        assert torch.equal(copied(x), outputs)
        if method == "channels_last":
            assert is_in_channels_last(copied)
            assert is_in_channels_last(selected)
    into = make(network)
    for members in (split_members(vectorized), split_members(vectorized, into)):
        for module, member, output in zip(modules, members, outputs, strict=True):
            torch.testing.assert_close(member.eval()(x), output)
            for name, tensor in named_tensors(member).items():
                assert torch.equal(tensor, named_tensors(module)[name])
                assert tensor.is_contiguous(), name


@pytest.mark.quick(1)
@pytest.mark.parametrize("method", [*METHODS, "channels_last"])
def test_training_leads_to_the_same_members(method, monkeypatch):
    modules, x = make(residual, torch.float32), images(torch.float32, 16)
    y = torch.arange(16) % 3
    if method == "channels_last":
        vectorized = in_channels_last(modules, monkeypatch)
    else:
        vectorized = vectorize_members(modules, method)
    optimizer = torch.optim.SGD(vectorized.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        sum(F.cross_entropy(logits, y) for logits in vectorized(x)).backward()
        optimizer.step()
    for module in modules:
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(module(x), y).backward()
            optimizer.step()
    expected = torch.stack([module.eval()(x) for module in modules])
    torch.testing.assert_close(vectorized.eval()(x), expected, atol=1e-4, rtol=0)


def memories(vectorized, x):
    """Whether each hidden tensor on its way is a view of all members' images."""
    seen = []

    def look(_, args, output):
        if output.dim() > 3:
            seen.append(to_images(output).data_ptr() == output.data_ptr())

    for layer in vectorized.members.modules():
        if not list(layer.children()):
            layer.register_forward_hook(look)
    vectorized(x)
    return seen


@pytest.mark.parametrize("network", [residual, convnet, densenet])
def test_images_stay_where_convolutions_want_them(network):
    vectorized = vectorize_members(make(network), "structural")
    seen = memories(vectorized, images())
    assert len(seen) >= 2
    assert all(seen)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("functional", [True, False])
def test_members_drop_whole_channels_of_their_own(method, functional):
    class Dropping(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 50, 1)
            self.drop = nn.Dropout2d(0.5)

        def forward(self, x):
            x = self.first(x)
            return F.dropout2d(x, 0.5, self.training) if functional else self.drop(x)

    modules = make(Dropping, n_members=1) * 4
    dropped = vectorize_members(modules, method)(images()).eq(0)
    assert torch.equal(dropped.all((-1, -2)), dropped.any((-1, -2)))
    share = dropped.all((-1, -2)).double().mean((1, 2))
    assert ((share - 0.5).abs() < 0.1).all()
    agreement = (dropped[0] == dropped[1:]).double().mean((1, 2, 3, 4))
    assert ((agreement - 0.5).abs() < 0.1).all()


def test_small_convolutions_are_grouped_and_large_ones_looped():
    small = vectorize_members(make(convnet), example=images())
    assert small.reason == "structural: every layer has a vectorized form"
    x = images(size=32)
    large = vectorize_members(make(lambda: ConvNet(3, 3)), example=x)
    assert large.reason == (
        "loop in channels_last: fastest on a CPU for convolutions of 13 million "
        "multiplications a row"
    )
    assert is_in_channels_last(large)


def test_without_an_example_convolutions_are_looped_on_a_cpu():
    vectorized = vectorize_members(make(convnet))
    assert vectorized.reason == (
        "loop: how much convolutions cost on a CPU is not known without an example"
    )


def test_members_that_need_plain_memory_keep_it(monkeypatch):
    class Viewing(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 4, 3)
            self.second = nn.Linear(144, 3)

        def forward(self, x):
            x = self.first(x)
            return self.second(x.view(x.size(0), -1))

    monkeypatch.setattr("sklearn_jointens.nn._cost._CONVOLUTION_LIMIT", 0)
    modules, x = make(Viewing), images()
    vectorized = vectorize_members(modules, example=x)
    assert vectorized.reason.startswith("loop: ")
    assert "channels_last refused: it fails with RuntimeError: view" in (
        vectorized.reason
    )
    expected = torch.stack([module(x) for module in modules])
    assert torch.equal(vectorized(x), expected)


@pytest.mark.gpu
@pytest.mark.parametrize("network", NETWORKS)
def test_convolutions_are_grouped_on_cuda(network):
    modules = [module.cuda() for module in make(network)]
    x = images().cuda()
    vectorized = vectorize_members(modules, example=x)
    assert vectorized.reason == "structural: every layer has a vectorized form"
    expected = torch.stack([module(x) for module in modules])
    torch.testing.assert_close(vectorized(x), expected)
