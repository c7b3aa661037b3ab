"""`MemberFiltersDisplay`: the first layers of members, as images on one scale."""

import matplotlib as mpl
import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_jointens import JointEnsembleClassifier, mlp_classifier, tabular_classifier
from sklearn_jointens.inspection import MemberFiltersDisplay

mpl.use("Agg")

import matplotlib.pyplot as plt


class Seeing(nn.Module):
    """A convolution, its batch norm, and a linear layer; images have 5 x 6 pixels."""

    def __init__(self, n_channels):
        super().__init__()
        self.seen = nn.Conv2d(n_channels, 4, (2, 3))
        self.norm = nn.BatchNorm2d(4)
        self.said = nn.Linear(4 * 4 * 4, 2)

    def forward(self, X):
        return self.said(self.norm(self.seen(X)).relu().flatten(1))


def fitted(member, X, n_estimators=3):
    y = np.arange(len(X)) % 2
    ensemble = JointEnsembleClassifier(member, n_estimators, random_state=0)
    return ensemble.fit(X.astype(np.float32), y)


@pytest.fixture(scope="module")
def linear():
    X = np.random.RandomState(0).normal(size=(40, 12))
    return fitted(mlp_classifier((5,), max_epochs=1), X)


def convolutional(n_channels):
    X = np.random.RandomState(0).normal(size=(20, n_channels, 5, 6))
    member = NeuralNetClassifier(
        Seeing,
        module__n_channels=n_channels,
        criterion=nn.CrossEntropyLoss,
        max_epochs=1,
        train_split=None,
        verbose=0,
    )
    return fitted(member, X)


def tile(display, member, place, height, width):
    """What is drawn at some place of a member's row."""
    top, left = member * (height + 1), place * (width + 1)
    return np.asarray(display.image_.get_array())[
        top : top + height, left : left + width
    ]


def test_filters_of_linear_members_are_images_of_their_rows(linear):
    display = MemberFiltersDisplay.from_estimator(linear, image_shape=(3, 4))

    assert display.filters.shape == (3, 5, 1, 3, 4)
    for j, net in enumerate(linear.estimators_):
        weights = net.module_.hidden[0].weight.detach().numpy()
        for k in range(5):
            np.testing.assert_allclose(
                tile(display, j, k, 3, 4), weights[k].reshape(3, 4), rtol=1e-6
            )
    labels = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert labels == ["0", "1", "2"]


def test_filters_of_a_convolution_are_its_kernels():
    ensemble = convolutional(1)

    display = MemberFiltersDisplay.from_estimator(ensemble)

    for j, net in enumerate(ensemble.estimators_):
        kernels = net.module_.seen.weight.detach().numpy()
        for k in range(4):
            np.testing.assert_allclose(tile(display, j, k, 2, 3), kernels[k, 0])


def test_channels_are_images_of_their_own_unless_they_are_colours():
    two = MemberFiltersDisplay.from_estimator(convolutional(2))
    ensemble = convolutional(3)
    three = MemberFiltersDisplay.from_estimator(ensemble).plot(limit=0.5)

    assert two.filters.shape == (3, 4, 2, 2, 3)
    for k in range(4):
        for channel in range(2):
            np.testing.assert_array_equal(
                tile(two, 1, 2 * k + channel, 2, 3), two.filters[1, k, channel]
            )
    kernels = ensemble.estimators_[1].module_.seen.weight.detach().numpy()
    np.testing.assert_allclose(
        tile(three, 1, 2, 2, 3),
        np.moveaxis(kernels[2] + 0.5, 0, -1).clip(0, 1),
        rtol=1e-6,
    )
    assert three.colorbar_ is None


def test_a_member_that_has_not_moved_is_grey_beside_one_that_has():
    filters = np.random.RandomState(0).normal(size=(2, 6, 1, 5, 5))
    filters[0] *= 0.01

    image = MemberFiltersDisplay(filters=filters).plot().image_

    shades = image.cmap(image.norm(filters))[..., 0]
    assert np.abs(shades[0] - 0.5).max() < 0.05
    assert np.abs(shades[1] - 0.5).max() == pytest.approx(0.5, abs=0.01)
    assert -image.norm.vmin == image.norm.vmax


def test_limit_sets_the_scale_for_several_displays():
    filters = np.ones((1, 1, 1, 2, 2))

    display = MemberFiltersDisplay(filters=filters).plot(limit=4.0)

    assert display.image_.get_clim() == (-4, 4)


def test_weights_that_are_all_zero_can_be_drawn():
    display = MemberFiltersDisplay(filters=np.zeros((2, 2, 1, 2, 2))).plot()

    display.figure_.canvas.draw()
    assert display.image_.get_clim() == (-1, 1)


def test_members_and_filters_can_be_chosen(linear):
    display = MemberFiltersDisplay.from_estimator(
        linear, image_shape=(3, 4), members=[2, 0], n_filters=2
    )

    assert display.filters.shape[:2] == (2, 2)
    labels = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert labels == ["0", "2"]
    weights = linear.estimators_[2].module_.hidden[0].weight.detach().numpy()
    np.testing.assert_allclose(tile(display, 1, 1, 3, 4), weights[1].reshape(3, 4))


def test_of_many_members_those_with_the_largest_weights_are_drawn():
    X = np.random.RandomState(0).normal(size=(20, 4))
    ensemble = fitted(mlp_classifier((2,), max_epochs=1), X, n_estimators=20)
    with torch.no_grad():
        ensemble.estimators_[17].module_.hidden[0].weight.mul_(100)
    for weak in (3, 8, 12, 19):
        with torch.no_grad():
            ensemble.estimators_[weak].module_.hidden[0].weight.mul_(1e-3)

    display = MemberFiltersDisplay.from_estimator(ensemble, image_shape=(2, 2))

    assert display.members.tolist() == sorted(set(range(20)) - {3, 8, 12, 19})


def test_a_later_layer_can_be_named(linear):
    display = MemberFiltersDisplay.from_estimator(
        linear, layer="output", image_shape=(1, 5)
    )

    weights = linear.estimators_[0].module_.output.weight.detach().numpy()
    np.testing.assert_array_equal(display.filters[0, :, 0, 0], weights)


def test_axes_are_those_given(linear):
    _, ax = plt.subplots()

    display = MemberFiltersDisplay.from_estimator(linear, image_shape=(3, 4), ax=ax)

    assert display.ax_ is ax
    assert display.colorbar_.ax in ax.figure.axes


# -- errors --------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [None, (4, 4), (12,), (3, 2, 4)])
def test_rows_have_to_be_images_of_the_shape_that_is_told(linear, shape):
    with pytest.raises(
        ValueError, match=r"'image_shape' .* with 12 values, .*'hidden.0'"
    ):
        MemberFiltersDisplay.from_estimator(linear, image_shape=shape)


def test_a_tabular_member_looks_at_no_images():
    X = np.random.RandomState(0).normal(size=(60, 4))
    ensemble = fitted(tabular_classifier(hidden_layer_sizes=(3,), max_epochs=1), X)

    with pytest.raises(TypeError, match=r"'layer' .* 'encoding', a TabularEncoding"):
        MemberFiltersDisplay.from_estimator(ensemble, image_shape=(2, 2))


def test_an_unknown_layer_is_refused_with_those_there_are(linear):
    with pytest.raises(ValueError, match=r"\['hidden\.0', 'output'\]\. Got 'first'"):
        MemberFiltersDisplay.from_estimator(linear, layer="first")


def test_an_unknown_member_is_refused(linear):
    with pytest.raises(ValueError, match="'members' parameter"):
        MemberFiltersDisplay.from_estimator(linear, image_shape=(3, 4), members=[3])


@pytest.mark.parametrize(
    ("name", "value"),
    [("filters", np.ones((2, 3, 5, 5))), ("members", ["one"])],
)
def test_arrays_that_do_not_fit_are_named(name, value):
    arrays = {"filters": np.ones((2, 3, 1, 5, 5)), name: value}

    message = f"The '{name}' parameter of MemberFiltersDisplay must"
    with pytest.raises(ValueError, match=message):
        MemberFiltersDisplay(**arrays).plot()
    assert not plt.get_fignums()


def test_axes_have_to_be_axes():
    display = MemberFiltersDisplay(filters=np.ones((1, 1, 1, 2, 2)))

    with pytest.raises(ValueError, match=r"'ax' parameter of MemberFiltersDisplay\.pl"):
        display.plot(ax=[1])


@pytest.mark.parametrize(
    ("name", "value"),
    [("members", 2), ("members", [9]), ("members", []), ("n_filters", 0)],
)
def test_what_is_to_be_drawn_is_checked_by_whoever_draws(linear, name, value):
    message = rf"'{name}' parameter of MemberFiltersDisplay\.from_estimator must"
    with pytest.raises(ValueError, match=message):
        MemberFiltersDisplay.from_estimator(linear, image_shape=(3, 4), **{name: value})


@pytest.mark.parametrize("limit", [0.0, -1.0])
def test_the_largest_weight_is_above_zero(limit):
    display = MemberFiltersDisplay(filters=np.ones((1, 1, 1, 2, 2)))

    message = r"'limit' parameter of MemberFiltersDisplay\.plot must"
    with pytest.raises(ValueError, match=message):
        display.plot(limit=limit)


def test_a_named_layer_is_named_in_the_picture(linear):
    first = MemberFiltersDisplay.from_estimator(linear, image_shape=(3, 4))
    output = MemberFiltersDisplay.from_estimator(
        linear, layer="output", image_shape=(1, 5)
    )

    assert first.ax_.get_xlabel() == "Filters of the first layer"
    assert output.ax_.get_xlabel() == "Filters of layer 'output'"


@pytest.mark.parametrize("n_channels", [1, 3])
def test_what_is_between_filters_is_the_colour_of_no_weight(n_channels):
    filters = np.ones((1, 2, n_channels, 2, 2))

    image = MemberFiltersDisplay(filters=filters).plot().image_

    between = image.to_rgba(image.get_array())[0, 2, :3]
    assert len(set(between)) > 1
