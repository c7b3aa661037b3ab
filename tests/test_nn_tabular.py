"""How rows of a table become features, by hand and as the encoding has it."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sklearn_jointens.nn import TabularMLP, tabular_encoding
from sklearn_jointens.nn._copying import named_tensors

CATEGORY = [False, True]


def table(n=40, seed=0):
    """Two columns: sixteenths, some of them missing, and four categories."""
    random = np.random.RandomState(seed)
    numbers = random.randint(-64, 64, size=n) / 16
    numbers[::7] = np.nan
    return np.stack([numbers, random.randint(4, size=n)], axis=1)


def numbers_only(n=33, seed=0):
    """A column of different sixteenths, in no order."""
    return np.random.RandomState(seed).permutation(n)[:, None] / 16


def features(encoding, X):
    return encoding(torch.from_numpy(np.asarray(X, dtype=np.float64))).numpy()


def learned(X, categorical=None, sample_weight=None, **options):
    settings = {"dtype": torch.float64, **options}
    return tabular_encoding(X, categorical, sample_weight, **settings)


def edges_of(encoding):
    """Edges of the bins of the only number, in scaled numbers."""
    starts, slopes = encoding.bin_starts.numpy(), encoding.bin_slopes.numpy()
    return np.append(starts, starts[-1:] + 1 / slopes[-1:])


def assert_same_buffers(first, second):
    second = dict(second.named_buffers())
    for name, buffer in first.named_buffers():
        assert torch.equal(buffer, second[name]), name


# -- numbers ---------------------------------------------------------------------------


def test_numbers_are_centred_scaled_and_smoothly_clipped():
    X = np.array([[1.0], [2.0], [3.0], [4.0], [50.0]])

    z = (X - 3) / (4 - 2)
    assert_allclose(features(learned(X, n_bins=0), X), z / np.sqrt(1 + (z / 3) ** 2))


def test_numbers_of_one_frequent_value_are_divided_by_half_their_range():
    X = np.array([[0.0]] * 9 + [[8.0]])

    z = X / 4
    assert_allclose(features(learned(X, n_bins=0), X), z / np.sqrt(1 + (z / 3) ** 2))


def piecewise_linear(x, edges):
    """Eq. 1 of Gorishniy et al. (2022), for x from the first to the last edge."""
    encoded = np.empty((len(x), len(edges) - 1))
    n_bins = encoded.shape[1]
    for i, value in enumerate(x):
        for t in range(1, n_bins + 1):
            if value < edges[t - 1] and t > 1:
                encoded[i, t - 1] = 0
            elif value >= edges[t] and t < n_bins:
                encoded[i, t - 1] = 1
            else:
                width = edges[t] - edges[t - 1]
                encoded[i, t - 1] = (value - edges[t - 1]) / width
    return encoded


@pytest.mark.parametrize("n_bins", [2, 5, 16])
def test_bins_are_the_piecewise_linear_encoding(n_bins):
    X = numbers_only()
    at = np.linspace(0, 1, n_bins + 1)
    edges = np.quantile(X[:, 0], at, method="inverted_cdf")

    assert_allclose(
        features(learned(X, n_bins=n_bins), X)[:, 1:],
        piecewise_linear(X[:, 0], edges),
        atol=1e-12,
    )


def test_bins_say_no_more_of_numbers_beyond_the_known_ones():
    X = numbers_only()
    encoding = learned(X, n_bins=4)

    far = features(encoding, [[X.min() - 100], [X.min()], [X.max()], [X.max() + 100]])

    assert_array_equal(far[:, 1:], np.repeat([[0.0], [0], [1], [1]], 4, axis=1))


@pytest.mark.parametrize("shape", ["least", "between", "largest"])
def test_a_frequent_value_takes_one_bin_only(shape):
    others = np.arange(1, 101) - {"least": 0, "between": 50.5, "largest": 101}[shape]
    X = np.append(np.zeros(900), others)[:, None]

    encoding = learned(X, n_bins=8)
    edges = edges_of(encoding) / encoding.scale.item() + encoding.center.item()

    of_others, _ = np.histogram(others, edges)
    assert len(of_others) >= 7
    assert of_others.max() <= 100 / 7 + 2


def test_a_single_bin_is_none():
    assert learned(numbers_only(), n_bins=1).out_features == 1


@pytest.mark.parametrize("shift", [1e9, -(2.0**40)])
def test_small_differences_far_from_zero_are_kept(shift):
    X = numbers_only()

    assert_array_equal(features(learned(X + shift), X + shift), features(learned(X), X))


def test_units_and_origins_do_not_matter():
    X = np.concatenate([numbers_only(seed=1), numbers_only(seed=2)], axis=1)
    X[3, 1] = np.nan
    rescaled = X * [2.0**7, 2.0**-5] + [12345, -7]

    assert_array_equal(features(learned(rescaled), rescaled), features(learned(X), X))


@pytest.mark.parametrize("huge", [1e300, -1e300, 1.7e308, -1.7e308])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_outliers_are_finite_and_leave_the_others_apart(huge, dtype):
    X = numbers_only()
    X[0], usual = huge, X[1:]
    encoding = tabular_encoding(X, n_bins=4, dtype=dtype)

    found = features(encoding, X)

    assert np.isfinite(found).all()
    assert np.abs(found).max() <= 3 * (1 + 1e-6)
    assert len(np.unique(features(encoding, usual)[:, 0])) == len(usual)


@pytest.mark.parametrize("n_values", [2, 21])
def test_numbers_as_large_as_there_are(n_values):
    X = np.linspace(-1, 1, n_values)[:, None] * 1.7e308

    found = features(learned(X, n_bins=4), X)

    assert np.isfinite(found).all()
    assert len(np.unique(found[:, 0])) == n_values


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_as_small_as_there_are(dtype):
    X = np.arange(9, dtype=dtype)[:, None] * np.finfo(dtype).smallest_subnormal

    found = tabular_encoding(X, n_bins=4)(torch.from_numpy(X))

    assert found.isfinite().all()


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint8, bool, np.float16])
def test_integers_and_booleans_are_numbers(dtype):
    X = np.arange(8)[:, None].astype(dtype)

    assert_array_equal(features(learned(X), X), features(learned(X * 1.0), X))


# -- columns that say nothing, and what is missing -------------------------------------


def test_constant_columns_are_left_out():
    X = numbers_only()
    constant = np.full_like(X, 7)

    with_them = np.concatenate([constant, X, constant, constant * np.nan], axis=1)

    categorical = [False, False, True, False]
    assert_array_equal(
        features(learned(with_them, categorical), with_them), features(learned(X), X)
    )


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
@pytest.mark.parametrize("categorical", [None, [True, True, True]])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_a_table_that_says_nothing_gives_a_module_that_runs(value, categorical, kind):
    X = np.full((5, 3), value)
    network = TabularMLP(tabular_encoding(kind(X), categorical), n_outputs=2)

    logits = network(torch.from_numpy(X))

    assert logits.shape == (5, 2)
    assert torch.equal(logits, logits[:1].expand(5, 2))
    assert logits.isfinite().all()


def test_missing_values_give_zeros_and_a_flag():
    X = table()
    X[5, 1] = np.nan
    encoding = learned(X, CATEGORY, n_bins=4)

    found = features(encoding, [[np.nan, np.nan], [np.nan, 1], [0.5, np.nan]])

    n_numbers = 1 + len(encoding.bin_starts)
    numbers, categories, missing = np.split(found, [n_numbers, n_numbers + 4], axis=1)
    assert_array_equal(numbers[:2], 0)
    assert_array_equal(categories, [[0] * 4, [0, 1, 0, 0], [0] * 4])
    assert_array_equal(missing, [[1, 1], [1, 0], [0, 1]])


def test_values_missing_for_the_first_time_are_zeros_without_a_flag():
    X = np.concatenate([numbers_only(), table(33)[:, 1:]], axis=1)
    encoding = learned(X, CATEGORY)

    assert len(encoding.missing_columns) == 0
    assert_array_equal(features(encoding, [[np.nan, np.nan]]), 0)


def test_whether_a_constant_is_missing_is_a_feature():
    X = np.array([[7.0, 2], [np.nan, np.nan], [7, 2]])

    assert_array_equal(
        features(learned(X, CATEGORY), X), [[1, 0, 0], [0, 1, 1], [1, 0, 0]]
    )


def test_each_category_is_a_feature_and_unknown_ones_are_none():
    codes = np.array([[3.0], [0], [3], [5]])

    found = features(learned(codes, [True]), [[0], [3], [5], [1], [-1], [4.5]])

    assert_array_equal(found, np.concatenate([np.eye(3), np.zeros((3, 3))]))


# -- weights ---------------------------------------------------------------------------


@pytest.mark.parametrize("n_bins", [0, 3, 16])
def test_weights_are_repeated_rows(n_bins):
    X, weight = table(60), np.random.RandomState(1).randint(1, 5, size=60)

    assert_same_buffers(
        learned(X, CATEGORY, weight, n_bins=n_bins),
        learned(np.repeat(X, weight, axis=0), CATEGORY, n_bins=n_bins),
    )


def test_scale_of_weights_does_not_matter():
    X, weight = table(60), np.random.RandomState(1).randint(1, 5, size=60)

    assert_same_buffers(
        learned(X, CATEGORY, weight), learned(X, CATEGORY, weight * 0.1)
    )


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_rows_of_weight_zero_are_not_looked_at(kind):
    X = np.abs(np.nan_to_num(table()))
    others = np.array([[1e200, 77], [np.nan, np.nan], [-1e200, -5]])
    weight = np.append(np.zeros(3), np.ones(len(X)))
    categorical = CATEGORY if kind is np.asarray else None

    assert_same_buffers(
        learned(kind(np.concatenate([others, X])), categorical, weight),
        learned(kind(X), categorical),
    )


# -- sparse matrices -------------------------------------------------------------------


class StaysSparse(sparse.csr_array):
    def toarray(self, *args, **kwargs):
        raise AssertionError("made dense")

    todense = __array__ = toarray


def test_sparse_columns_are_divided_by_their_largest_absolute_value():
    X = np.array([[0, 0.5, 0, -8], [2, 0, 0, 4], [1, -0.25, 0, 0]])
    encoding = learned(StaysSparse(X))

    z = X[:, [0, 1, 3]] / [2, 0.5, 8]
    assert_allclose(features(encoding, X), z / np.sqrt(1 + (z / 3) ** 2))


def test_missing_values_of_a_sparse_matrix_give_zeros_and_a_flag():
    X = np.array([[0, np.nan], [4, -2], [np.nan, 0]])

    found = features(learned(StaysSparse(X)), X)

    assert_allclose(found[:, 2:], np.isnan(X))
    assert_array_equal(found[np.isnan(X).any(axis=1), [1, 0]], 0)


@pytest.mark.parametrize(
    "kind", [sparse.csr_array, sparse.csc_matrix, sparse.coo_array]
)
def test_kinds_of_sparse_matrices_are_alike(kind):
    X = np.array([[0, 0.5], [2, 0], [1, -0.25]])

    assert_same_buffers(learned(kind(X)), learned(sparse.csr_matrix(X)))


# -- what cannot be --------------------------------------------------------------------


@pytest.mark.parametrize("n_bins", [-1, 2.0, "auto", None, True])
def test_n_bins_is_a_count(n_bins):
    message = (
        "The 'n_bins' parameter of tabular_encoding must be an int of at least 0. "
        f"Got {n_bins!r} instead."
    )
    with pytest.raises(ValueError, match="n_bins") as caught:
        tabular_encoding(table(), n_bins=n_bins)
    assert str(caught.value) == message


def test_encoding_in_half_precision_has_no_empty_bin():
    X = 1 + np.arange(64)[:, None] / 2**20
    X[0] = 500

    encoding = tabular_encoding(X, n_bins=16, dtype=torch.float16)

    assert torch.isfinite(encoding.bin_slopes).all()
    assert np.isfinite(features(encoding, X)).all()


def test_encoding_has_buffers_and_nothing_to_train():
    encoding = tabular_encoding(table(), CATEGORY)

    assert not list(encoding.parameters())
    assert set(named_tensors(encoding)) == set(encoding.state_dict())
    assert encoding.out_features == features(encoding, table()).shape[1]
