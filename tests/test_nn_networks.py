"""The member networks."""

import pickle
import re

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier
from torch import fx, nn

from sklearn_jointens import JointEnsembleClassifier
from sklearn_jointens.nn import MLP, ConvNet, DenseNetBC, vectorize_members
from sklearn_jointens.nn._copying import named_tensors


def small_convnet(**parameters):
    sizes = {"in_channels": 2, "n_outputs": 3, "widths": 4, "strides": 1}
    return ConvNet(**(sizes | parameters))


def small_densenet(**parameters):
    sizes = {"depth": 16, "growth_rate": 2, "in_channels": 2, "n_outputs": 3}
    return DenseNetBC(**(sizes | parameters))


def count_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


# -- MLP -----------------------------------------------------------------------------


@pytest.mark.quick(6)
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


# -- ConvNet -------------------------------------------------------------------------


def test_convnet_is_the_plain_sequence_of_layers():
    torch.manual_seed(0)
    network = ConvNet(2, 3, widths=(4, np.int64(5)), strides=(1, 2))
    torch.manual_seed(0)
    layers = [
        *(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3, stride=2), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)),
    ]
    x = torch.randn(4, 2, 9, 8)
    torch.testing.assert_close(network(x), nn.Sequential(*layers)(x))


def test_convnet_has_the_convolutions_of_the_paper():
    features = ConvNet(in_channels=3, n_outputs=10).features
    layers = [layer for layer in features if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in layers] == [32, 64, 64, 128, 128]
    assert [layer.stride[0] for layer in layers] == [1, 2, 1, 2, 1]
    assert {(*layer.kernel_size, *layer.padding) for layer in layers} == {(3, 3, 0, 0)}


def test_convnet_takes_images_down_to_the_documented_size():
    network = ConvNet(in_channels=1, n_outputs=2)
    assert network.features(torch.zeros(1, 1, 21, 21)).shape == (1, 128, 1, 1)
    with pytest.raises(RuntimeError, match="Kernel size"):
        network(torch.zeros(1, 1, 20, 20))


# -- DenseNetBC ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "growth_rate", "n_members", "published"),
    [(100, 12, 4, 3.2), (82, 8, 8, 2.1), (64, 6, 16, 1.7)],
)
def test_ensembles_of_densenets_have_the_size_that_the_paper_gives(
    depth, growth_rate, n_members, published
):
    """Table 1 of Webb et al., in millions: CIFAR-100."""
    member = DenseNetBC(depth, growth_rate, in_channels=3, n_outputs=100)
    assert round(n_members * count_parameters(member) / 1e6, 1) == published


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("depth", "growth_rate", "published"),
    [(100, 12, 0.8), (250, 24, 15.3), (190, 40, 25.6)],
)
def test_densenets_have_the_size_that_their_paper_gives(depth, growth_rate, published):
    """Table 2 of Huang et al., in millions: CIFAR-10."""
    with torch.device("meta"):
        network = DenseNetBC(depth, growth_rate, in_channels=3, n_outputs=10)
    assert round(count_parameters(network) / 1e6, 1) == published


@pytest.mark.parametrize("depth", [10, 40])
def test_depth_counts_the_layers_with_weights_on_the_longest_way(depth):
    layers = [
        module
        for module in small_densenet(depth=depth).modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    assert len(layers) == depth


def test_each_layer_of_a_dense_block_sees_all_channels_before_it():
    block = small_densenet(depth=22, growth_rate=3).features[1].double()
    seen = [torch.randn(4, 6, 5, 5, dtype=torch.float64)]
    expected = seen[0]
    for layer in block:
        seen.append(layer.layers(torch.cat(seen, dim=1)))
        expected = torch.cat(seen, dim=1)
    assert [channels.size(1) for channels in seen] == [6, 3, 3, 3]
    torch.testing.assert_close(block(seen[0]), expected)


def test_transitions_halve_the_image_and_keep_a_share_of_the_channels():
    x = torch.randn(2, 2, 32, 32)
    # 4 channels, then 2 layers of 2 in each of the blocks.
    for reduction, channels in [(0.5, 8), (1.0, 16), (0.25, 5)]:
        features = small_densenet(reduction=reduction).features(x)
        assert features.shape == (2, channels, 8, 8)


def test_densenet_begins_he_normal_without_biases_and_with_plain_norms():
    torch.manual_seed(0)
    layers = list(small_densenet(growth_rate=6).modules())
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    weights = torch.cat(
        [
            layer.weight.detach().flatten() * (layer.weight[0].numel() / 2) ** 0.5
            for layer in convolutions
        ]
    )
    assert stats.kstest(weights.numpy(), "norm").pvalue > 0.01
    assert all(layer.bias is None for layer in convolutions)
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            assert (layer.weight == 1).all()
            assert (layer.bias == 0).all()


# -- all of them ---------------------------------------------------------------------


@pytest.mark.parametrize("network", [small_convnet, small_densenet])
def test_image_networks_have_the_dtype_they_are_given(network):
    module = network(dtype=torch.float64)
    floats = [t for t in named_tensors(module).values() if t.is_floating_point()]
    assert {tensor.dtype for tensor in floats} == {torch.float64}
    assert module(torch.randn(2, 2, 8, 8).double()).dtype == torch.float64


@pytest.mark.parametrize("network", [small_convnet, small_densenet])
@pytest.mark.parametrize("training", [True, False])
def test_image_networks_can_be_traced(network, training):
    module, x = network().train(training), torch.randn(5, 2, 9, 8)
    torch.testing.assert_close(fx.symbolic_trace(module)(x), module(x))


@pytest.mark.quick(2)
@pytest.mark.parametrize("network", [small_convnet, small_densenet])
@pytest.mark.parametrize("training", [True, False])
def test_image_networks_are_structural(network, training):
    x = torch.randn(5, 2, 9, 8)
    modules = [network().train(training) for _ in range(3)]
    vectorized = vectorize_members(modules, "structural", example=x)
    torch.testing.assert_close(vectorized(x), torch.stack([m(x) for m in modules]))


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "member",
    [
        {"module": MLP, "module__hidden_layer_sizes": 5},
        {"module": ConvNet, "module__widths": (4, 5), "module__strides": (1, 2)},
        {"module": DenseNetBC, "module__depth": 10, "module__growth_rate": 2},
    ],
    ids=lambda member: member["module"].__name__,
)
def test_every_network_is_a_member_on_images(member):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 2, 8, 8)).astype(np.float32)
    y = np.arange(30) % 3
    net = NeuralNetClassifier(
        **member,
        criterion=nn.CrossEntropyLoss,
        max_epochs=1,
        batch_size=10,
        train_split=None,
        verbose=0,
    )
    clf = JointEnsembleClassifier(net, n_estimators=3, random_state=0).fit(X, y)
    proba = clf.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    logits = np.mean([np.log(m.predict_proba(X)) for m in clf.estimators_], axis=0)
    np.testing.assert_allclose(
        proba, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), rtol=1e-4
    )
    loaded = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(loaded.predict_proba(X), proba)
    search = GridSearchCV(clf, {"lam": [0.0, 1.0]}, cv=2, error_score="raise")
    assert search.fit(X, y).best_params_["lam"] in (0.0, 1.0)
    assert search.predict_proba(X).shape == (30, 3)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"n_features_in": 0},
            "The 'n_features_in' parameter of MLP must be an int of at least 1. Got 0 "
            "instead.",
        ),
        (
            {"n_outputs": True},
            "The 'n_outputs' parameter of MLP must be an int of at least 1. Got True "
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
        MLP(**({"n_features_in": 6, "n_outputs": 3} | parameters))


@pytest.mark.parametrize(
    ("network", "parameters", "message"),
    [
        (
            small_convnet,
            {"in_channels": 0},
            "The 'in_channels' parameter of ConvNet must be an int of at least 1. "
            "Got 0 instead.",
        ),
        (
            small_convnet,
            {"widths": (4, 2.5)},
            "The 'widths' parameter of ConvNet must be an int of at least 1 or a "
            "sequence of such. Got (4, 2.5) instead.",
        ),
        (
            small_convnet,
            {"widths": (4, 5), "strides": "12"},
            "The 'strides' parameter of ConvNet must be an int of at least 1 or a "
            "sequence of such. Got '12' instead.",
        ),
        (
            small_convnet,
            {"widths": (4, 5), "strides": (1, 2, 1)},
            "The 'strides' parameter of ConvNet must be as many as 'widths', 2. "
            "Got (1, 2, 1) instead.",
        ),
        (
            small_densenet,
            {"growth_rate": 1.5},
            "The 'growth_rate' parameter of DenseNetBC must be an int of at least 1. "
            "Got 1.5 instead.",
        ),
        (
            small_densenet,
            {"n_outputs": None},
            "The 'n_outputs' parameter of DenseNetBC must be an int of at least 1. "
            "Got None instead.",
        ),
        *(
            (
                small_densenet,
                {"depth": depth},
                "The 'depth' parameter of DenseNetBC must be an int of at least 10 "
                f"such that depth - 4 is a multiple of 6. Got {depth!r} instead.",
            )
            for depth in (4, 12, 16.0, -2)
        ),
        *(
            (
                small_densenet,
                {"reduction": reduction},
                "The 'reduction' parameter of DenseNetBC must be a float in the range "
                f"(0.0, 1.0]. Got {reduction!r} instead.",
            )
            for reduction in (0.0, 1.5, True)
        ),
    ],
)
def test_errors_of_image_networks_do_so_too(network, parameters, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        network(**parameters)


def test_rows_in_place_of_images_are_refused_by_their_shape():
    net = NeuralNetClassifier(ConvNet, criterion=nn.CrossEntropyLoss, verbose=0)
    X, y = np.zeros((6, 64), dtype="float32"), np.arange(6) % 2
    with pytest.raises(ValueError, match=r"'X' parameter .* Got shape \(6, 64\)"):
        JointEnsembleClassifier(net, 2).fit(X, y)
