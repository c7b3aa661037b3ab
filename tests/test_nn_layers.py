"""Each vectorized layer equals its torch layers, in its own layout."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sklearn_jointens.nn import (
    VectorizedBatchNorm,
    VectorizedEmbedding,
    VectorizedLayerNorm,
    VectorizedLinear,
    vectorize_members,
)
from sklearn_jointens.nn.structural._tables import ELEMENTWISE, ELEMENTWISE_LAYERS

N_MEMBERS, N_ROWS = 3, 5


def randomized(make):
    layers = [make().double() for _ in range(N_MEMBERS)]
    for layer in layers:
        for parameter in layer.parameters():
            parameter.data.normal_()
    return layers


def hidden_and_rows(*features):
    """A hidden tensor (M, *features, B), and each member's rows (B, *features)."""
    rows = torch.randn(N_MEMBERS, N_ROWS, *features, dtype=torch.float64)
    return rows.movedim(1, -1).clone().requires_grad_(), rows.requires_grad_()


def assert_same_gradients(layer, layers, outputs, expected):
    weights = torch.randn_like(expected)
    (outputs.movedim(-1, 1) * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(outputs.movedim(-1, 1), expected)
    for name, parameter in layer.named_parameters():
        gradients = [dict(one.named_parameters())[name].grad for one in layers]
        torch.testing.assert_close(parameter.grad, torch.stack(gradients), msg=name)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("middle", [(), (2,), (2, 7)])
def test_linear_equals_its_layers(bias, middle):
    layers = randomized(lambda: nn.Linear(4, 6, bias=bias))
    layer = VectorizedLinear(layers)
    hidden, rows = hidden_and_rows(*middle, 4)
    expected = torch.stack([one(x) for one, x in zip(layers, rows, strict=True)])
    assert_same_gradients(layer, layers, layer(hidden), expected)
    torch.testing.assert_close(hidden.grad, rows.grad.movedim(1, -1))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("middle", [(), (2,), (2, 7)])
def test_linear_on_a_shared_input_equals_its_layers(bias, middle):
    layers = randomized(lambda: nn.Linear(4, 6, bias=bias))
    layer = VectorizedLinear(layers)
    x = torch.randn(N_ROWS, *middle, 4, dtype=torch.float64)
    expected = torch.stack([one(x) for one in layers])
    assert_same_gradients(layer, layers, layer.forward_shared(x), expected)


@pytest.mark.parametrize("shape", [(4,), (2, 4), (3, 2, 4)])
@pytest.mark.parametrize(
    "options", [{}, {"elementwise_affine": False}, {"bias": False}, {"eps": 0.1}]
)
def test_layer_norm_equals_its_layers(shape, options):
    layers = randomized(lambda: nn.LayerNorm(shape[-2:], **options))
    layer = VectorizedLayerNorm(layers)
    hidden, rows = hidden_and_rows(*shape)
    expected = torch.stack([one(x) for one, x in zip(layers, rows, strict=True)])
    assert_same_gradients(layer, layers, layer(hidden), expected)
    torch.testing.assert_close(hidden.grad, rows.grad.movedim(1, -1))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("length", [(), (2,)])
@pytest.mark.parametrize(
    "options", [{}, {"affine": False}, {"track_running_stats": False}]
)
def test_batch_norm_equals_its_layers(training, length, options):
    layers = randomized(lambda: nn.BatchNorm1d(4, momentum=0.3, **options))
    layer = VectorizedBatchNorm(layers).train(training)
    for one in layers:
        one.train(training)
    for _ in range(2):
        hidden, rows = hidden_and_rows(4, *length)
        expected = torch.stack([one(x) for one, x in zip(layers, rows, strict=True)])
        outputs = layer(hidden)
    assert_same_gradients(layer, layers, outputs, expected)
    for name, buffer in layer.named_buffers():
        buffers = [dict(one.named_buffers())[name] for one in layers]
        torch.testing.assert_close(buffer, torch.stack(buffers), msg=name)


@pytest.mark.parametrize("padding_idx", [None, 2])
@pytest.mark.parametrize("middle", [(), (2,), (2, 3)])
def test_embedding_equals_its_layers(padding_idx, middle):
    layers = randomized(lambda: nn.Embedding(5, 4, padding_idx))
    layer = VectorizedEmbedding(layers)
    indices = torch.randint(5, (N_ROWS, *middle))
    expected = torch.stack([one(indices) for one in layers])
    assert_same_gradients(layer, layers, layer.forward_shared(indices), expected)
    if padding_idx is not None:
        assert not layer.weight.grad[:, padding_idx].any()


@pytest.mark.parametrize("index", [5, -1])
def test_embedding_refuses_indices_that_do_not_exist(index):
    layer = VectorizedEmbedding(randomized(lambda: nn.Embedding(5, 4)))
    with pytest.raises((IndexError, RuntimeError), match="out of"):
        layer.forward_shared(torch.tensor([0, index]))


@pytest.mark.parametrize(
    ("make", "refused"),
    [
        (lambda: nn.Embedding(5, 4, max_norm=1.0), "Embedding with max_norm"),
        (lambda: nn.Embedding(5, 4, sparse=True), "Embedding with sparse"),
        (lambda: nn.BatchNorm1d(4, momentum=None), "BatchNorm1d with momentum=None"),
    ],
)
def test_options_without_a_vectorized_form_are_refused_by_name(make, refused):
    with pytest.raises(ValueError, match=f"no vectorized form of {refused} \\('0'\\)"):
        vectorize_members([nn.Sequential(make())], "structural")


def test_a_subclass_of_a_known_layer_is_not_taken_for_it():
    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    modules = [nn.Sequential(Doubled(4, 3)) for _ in range(2)]
    x = torch.randn(N_ROWS, 4)
    vectorized = vectorize_members(modules, example=x)
    assert vectorized.method == "vmap"
    torch.testing.assert_close(vectorized(x), torch.stack([m(x) for m in modules]))


@pytest.mark.quick(12)
@pytest.mark.parametrize("kind", sorted(ELEMENTWISE_LAYERS, key=lambda k: k.__name__))
def test_activation_layers_equal_those_of_the_members(kind):
    options = (0.1, 0.2) if kind is nn.Threshold else ()
    layers = (nn.Linear(4, 6), kind(*options), nn.Linear(6, 3))
    modules = [nn.Sequential(*layers) for _ in range(2)]
    x = torch.randn(N_ROWS, 4)
    vectorized = vectorize_members(modules, "structural", example=x)
    assert vectorized.max_error < 1e-9


ARGUMENTS = {"threshold": (0.5, 0.2), "clamp": (0.2, 0.5), "clip": (0.2, 0.5)}
BINARY = frozenset(
    "add div eq ge gt le lt logical_and logical_or maximum minimum mul multiply ne pow "
    "sub subtract true_divide".split()
)
CASES = [
    (namespace, name)
    for name in sorted(ELEMENTWISE - {"addcmul", "lerp", "where"})
    for namespace in (F, torch, torch.Tensor)
    if callable(getattr(namespace, name, None))
]


@pytest.mark.quick(12)
@pytest.mark.parametrize(("namespace", "name"), CASES)
def test_functions_equal_those_of_the_members(namespace, name):
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(4, 6)
            self.second = nn.Linear(6, 3)

        def forward(self, x):
            h = self.first(x).abs() + 0.1
            arguments = (x[:, :1],) if name in BINARY else ARGUMENTS.get(name, ())
            if namespace is torch.Tensor:
                h = getattr(h, name)(*arguments)
            else:
                h = getattr(namespace, name)(h, *arguments)
            return self.second(h.to(x.dtype))

    x = torch.randn(N_ROWS, 4, dtype=torch.float64)
    modules = [Network().double() for _ in range(2)]
    vectorized = vectorize_members(modules, "structural", example=x)
    assert vectorized.max_error < 1e-9


def test_functions_of_several_tensors_broadcast_as_in_the_members():
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(4, 6)
            self.second = nn.Linear(6, 1)

        def forward(self, x):
            h = self.first(x)
            g = self.second(h)
            h = torch.where(x[:, :1] > 0, h, g)
            h = torch.add(h, x.mean(0)[:1], alpha=2) - x.sum()
            h = torch.addcmul(h, h, g, value=0.5)
            left, right = h.chunk(2, dim=1)[0], torch.chunk(h, 2, dim=-1)[1]
            parts = torch.stack([left, right, h[:, 1:4]], 2).unsqueeze(1)
            parts = parts.transpose(2, 3).squeeze(1).amax(dim=-1) + h[..., :3]
            return parts.reshape(-1, 3).unflatten(1, (3, 1)).sum(dim=(1, 2))

    x = torch.randn(N_ROWS, 4)
    modules = [Network() for _ in range(2)]
    vectorized = vectorize_members(modules, "structural", example=x)
    torch.testing.assert_close(vectorized(x), torch.stack([m(x) for m in modules]))
