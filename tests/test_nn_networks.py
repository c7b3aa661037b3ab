"""The member networks."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_jointens.nn import MLP, vectorize_members


@pytest.mark.parametrize(
    "activation", ["relu", "tanh", "gelu", "silu", "identity", "logistic"]
)
@pytest.mark.parametrize("hidden_layer_sizes", [(), 5, (5,), [4, np.int64(3)]])
def test_mlp_is_structural_for_every_activation_and_depth(
    activation, hidden_layer_sizes
):
    x = torch.randn(4, 6)
    modules = [MLP(6, 3, hidden_layer_sizes, activation) for _ in range(2)]
    vectorized = vectorize_members(modules, example=x)
    assert vectorized.method == "structural"
    torch.testing.assert_close(vectorized(x), torch.stack([m(x) for m in modules]))


def test_mlp_is_the_plain_sequence_of_layers():
    torch.manual_seed(0)
    mlp = MLP(6, 3, (5, 4), "tanh")
    torch.manual_seed(0)
    layers = [nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)]
    x = torch.randn(4, 6)
    assert torch.equal(mlp(x), nn.Sequential(*layers)(x))


def test_mlp_flattens_its_input():
    mlp, x = MLP(6, 3), torch.randn(4, 1, 2, 3)
    assert torch.equal(mlp(x), mlp(x.flatten(1)))
    vectorized = vectorize_members([mlp], example=x)
    assert vectorized.method == "structural"
    torch.testing.assert_close(vectorized(x)[0], mlp(x))


def test_mlp_drops_hidden_units_in_training_only():
    mlp, x = MLP(6, 3, dropout=0.5), torch.randn(4, 6)
    assert not torch.equal(mlp(x), mlp(x))
    mlp.eval()
    assert torch.equal(mlp(x), mlp(x))
    assert not any(isinstance(layer, nn.Dropout) for layer in MLP(6, 3).modules())


def test_mlp_has_the_dtype_it_is_given():
    assert MLP(6, 3, dtype=torch.float64)(torch.randn(4, 6).double()).dtype == (
        torch.float64
    )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"n_features_in": 0},
            "The 'n_features_in' parameter of MLP must be an int of at least 1. Got 0 "
            "instead.",
        ),
        (
            {"n_classes": True},
            "The 'n_classes' parameter of MLP must be an int of at least 1. Got True "
            "instead.",
        ),
        (
            {"hidden_layer_sizes": (5, 0)},
            "The 'hidden_layer_sizes' parameter of MLP must be an int of at least 1 or "
            "a sequence of such. Got (5, 0) instead.",
        ),
        (
            {"hidden_layer_sizes": 2.5},
            "The 'hidden_layer_sizes' parameter of MLP must be an int of at least 1 or "
            "a sequence of such. Got 2.5 instead.",
        ),
        (
            {"activation": "step"},
            "The 'activation' parameter of MLP must be one of ('relu', 'tanh', 'gelu', "
            "'silu', 'identity', 'logistic'). Got 'step' instead.",
        ),
        (
            {"dropout": 1.0},
            "The 'dropout' parameter of MLP must be a float in the range [0.0, 1.0). "
            "Got 1.0 instead.",
        ),
    ],
)
def test_errors_name_the_parameter_the_rule_and_the_value(parameters, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        MLP(**({"n_features_in": 6, "n_classes": 3} | parameters))
