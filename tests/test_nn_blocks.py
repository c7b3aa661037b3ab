"""Blocks of members on inputs of their own: as if each block ran alone."""

import contextlib
import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sklearn_jointens.nn import vectorize_members
from sklearn_jointens.nn._copying import named_tensors

N_BLOCKS, N_IN_BLOCK, GROUP = 3, 4, 2
N_MEMBERS, N_GROUPS = N_BLOCKS * N_IN_BLOCK, N_BLOCKS * N_IN_BLOCK // GROUP
EQUAL, UNEQUAL = (6, 6, 6), (5, 7, 1)


class Member(nn.Module):
    """Runs `function` with the layers it is given."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x):
        return self.function(self, x)


def linear(n_in=4, n_out=4, **options):
    return nn.Linear(n_in, n_out, **options)


def batch_mean_first(self, x):
    return self.a((x - x.mean(0)) / (1 + x.var(0, correction=0)))


def adds_raw_input(self, x):
    return self.b(torch.relu(self.a(x)) + x)


def adds_in_place(self, x):
    h = self.a(x)
    h += x
    return self.b(h)


def adds_raw_images(self, x):
    return self.b(self.a(x) * x)


def joins_raw_input(self, x):
    return self.b(torch.cat([self.a(x), x], 1))


def counts_rows(self, x):
    return self.a(x) / x.size(0)


def counts_hidden_rows(self, x):
    h = self.a(x)
    return h * h.size(0) + h.shape[0]


def reshapes_by_rows(self, x):
    h = self.a(x)
    return self.b(h.view(x.size(0), -1)) + self.b(h.reshape(h.shape[0], -1))


def reshapes_by_width(self, x):
    return self.b(self.a(x).view(-1, x.size(1), 2).flatten(1))


def places(self, x):
    place = torch.arange(x.size(1), device=x.device).unsqueeze(0)
    return self.b((self.a(x) + self.p(place)).flatten(1))


def scales_cut(self, x):
    left, right = self.a(x).chunk(2, 1)
    return self.b(torch.cat([left * torch.sigmoid(right), x], 1))


def several_outputs(self, x):
    h = torch.relu(self.a(x))
    return {"h": h, "both": (self.b(h), x), "total": x.sum(), "mean": x.mean(0)}


def unit_rows(self, x):
    h = self.a(x)
    return self.b(h / (h * h).sum(1, keepdim=True).sqrt())


def only_shared(self, x):
    return x * 2


def no_layer_takes_it_shared(self, x):
    return self.b(self.n(x))


def functional_dropout(self, x):
    return self.b(F.dropout(torch.relu(self.a(x)), 0.5, self.training))


def dropped_and_added(self, x):
    dropped = self.d(x)
    return self.b(self.d(torch.relu(dropped)) + self.d(self.a(x)))


def drops_by_its_old_name(self, x):
    h = self.a(x)
    self.d(h)
    return self.b(h)


def drops_normalized(self, x):
    return self.b(self.d(torch.relu(self.n(x))))


def drop_twice(self, x):
    return self.b(self.d(torch.relu(self.d(self.a(x)))))


def tokens(*n_rows):
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(7, (n, 5), generator=generator) for n in n_rows]


def inputs(shape, n_rows):
    if shape == "tokens":
        return tokens(*n_rows)
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(n, *shape, generator=generator).double() for n in n_rows]


def sequential(*layers):
    return lambda: nn.Sequential(*(layer() for layer in layers))


def of(kind, *args, **kwargs):
    return lambda: kind(*args, **kwargs)


def member(function, **layers):
    return lambda: Member(function, **{name: make() for name, make in layers.items()})


relu, flatten = of(nn.ReLU), of(nn.Flatten)
conv = of(nn.Conv2d, 2, 3, 3, padding=1)
a, b = of(linear), of(linear, 4, 3)

# Networks whose rows do not meet, by name, with the shape of a row.
NETWORKS = {
    "mlp": ((4,), sequential(a, relu, b)),
    "no bias": ((4,), sequential(of(linear, bias=False), relu, b)),
    "one linear layer": ((4,), a),
    "linear over tokens": ((5, 4), sequential(a, relu, flatten, of(linear, 20, 3))),
    "shared steps first": ((2, 2), sequential(flatten, of(nn.Tanh), a, relu, b)),
    "layer norm": ((4,), sequential(a, of(nn.LayerNorm, 4), relu, b)),
    "layer norm first": (
        (4,),
        member(no_layer_takes_it_shared, n=of(nn.LayerNorm, 4), b=b),
    ),
    "prelu": ((4,), sequential(a, of(nn.PReLU), b)),
    "softmax": ((4,), sequential(a, relu, b, of(nn.Softmax, 1))),
    "convolution": (
        (2, 4, 4),
        sequential(conv, relu, of(nn.MaxPool2d, 2), flatten, of(linear, 12, 3)),
    ),
    "two convolutions": (
        (2, 4, 4),
        sequential(conv, of(nn.GroupNorm, 3, 3), of(nn.Conv2d, 3, 2, 3), flatten),
    ),
    "convolution of groups": ((2, 4, 4), of(nn.Conv2d, 2, 4, 3, groups=2)),
    "convolution of series": ((2, 5), of(nn.Conv1d, 2, 3, 3, padding_mode="circular")),
    "transposed convolution": ((2, 3, 3), of(nn.ConvTranspose2d, 2, 3, 3, stride=2)),
    "instance norm": ((2, 4, 4), sequential(conv, of(nn.InstanceNorm2d, 3))),
    "embedding": (
        "tokens",
        sequential(of(nn.Embedding, 7, 4, padding_idx=0), flatten, of(linear, 20, 3)),
    ),
    "places": (
        "tokens",
        member(
            places, a=of(nn.Embedding, 7, 4), p=of(nn.Embedding, 5, 4), b=of(linear, 20)
        ),
    ),
    "batch mean first": ((4,), member(batch_mean_first, a=a)),
    "adds raw input": ((4,), member(adds_raw_input, a=a, b=b)),
    "adds in place": ((4,), member(adds_in_place, a=a, b=b)),
    "multiplies raw images": (
        (2, 4, 4),
        member(adds_raw_images, a=of(nn.Conv2d, 2, 2, 1), b=of(nn.Conv2d, 2, 3, 3)),
    ),
    "joins raw input": ((4,), member(joins_raw_input, a=a, b=of(linear, 8))),
    "counts rows": ((4,), member(counts_rows, a=a)),
    "counts hidden rows": ((4,), member(counts_hidden_rows, a=a)),
    "reshapes by rows": (
        (2, 2),
        member(reshapes_by_rows, a=of(linear, 2, 3), b=of(linear, 6)),
    ),
    "reshapes by width": (
        (4,),
        member(reshapes_by_width, a=of(linear, 4, 8), b=of(linear, 8)),
    ),
    "scales cut": ((4,), member(scales_cut, a=a, b=of(linear, 6))),
    "rows divided by their size": (
        (4,),
        member(unit_rows, a=of(linear, bias=False), b=b),
    ),
    "several outputs": ((4,), member(several_outputs, a=a, b=b)),
    "no weights": ((4,), member(only_shared)),
}

MIXING = {
    "batch norm": ((4,), sequential(a, of(nn.BatchNorm1d, 4), relu, b)),
    "batch norm first": (
        (4,),
        member(no_layer_takes_it_shared, n=of(nn.BatchNorm1d, 4), b=b),
    ),
    "batch norm of images": ((2, 4, 4), sequential(conv, of(nn.BatchNorm2d, 3), relu)),
    "batch norm without statistics": (
        (4,),
        sequential(a, of(nn.BatchNorm1d, 4, track_running_stats=False), b),
    ),
    "instance norm with statistics": (
        (2, 4, 4),
        sequential(conv, of(nn.InstanceNorm2d, 3, track_running_stats=True)),
    ),
}

dropout = of(nn.Dropout, 0.5)
DRAWING = {
    "dropout": ((4,), sequential(a, relu, dropout, b)),
    "dropout in place": ((4,), sequential(a, of(nn.Dropout, 0.5, inplace=True), b)),
    "dropout in place, old name": (
        (4,),
        member(drops_by_its_old_name, a=a, d=of(nn.Dropout, 0.5, inplace=True), b=b),
    ),
    "dropout first": ((4,), sequential(dropout, a, relu, dropout, b)),
    "dropout first, of images": ((2, 4, 4), sequential(dropout, conv, dropout)),
    "dropout of normalized input": (
        (5, 4),
        member(drops_normalized, n=of(nn.LayerNorm, 4), d=dropout, b=b),
    ),
    "dropout twice": ((4,), member(drop_twice, a=a, d=dropout, b=b)),
    "dropout twice, over tokens": ((5, 4), member(drop_twice, a=a, d=dropout, b=b)),
    "dropout twice, of images": (
        (2, 4, 4),
        member(drop_twice, a=conv, d=dropout, b=of(nn.Conv2d, 3, 2, 3)),
    ),
    "dropout of channels": (
        (2, 4, 4),
        sequential(of(nn.Dropout2d), conv, of(nn.Dropout2d), of(nn.Conv2d, 3, 2, 3)),
    ),
    "functional dropout": ((4,), member(functional_dropout, a=a, b=b)),
    "alpha dropout": ((4,), sequential(a, of(nn.AlphaDropout, 0.5), b)),
    "random slopes": ((4,), sequential(a, of(nn.RReLU), b)),
    "dropped and added": ((4,), member(dropped_and_added, a=a, d=dropout, b=b)),
    "embedding": (
        "tokens",
        sequential(of(nn.Embedding, 7, 4), dropout, flatten, of(linear, 20, 3)),
    ),
}


def vectorize(network, n_members=N_MEMBERS):
    torch.manual_seed(0)
    shape, make = network
    example = inputs(shape, (4,))[0]
    modules = [make() for _ in range(n_members)]
    if example.is_floating_point():
        example = example.float()
    return vectorize_members(modules, "structural", example).double()


def part_of(tree, path=""):
    """Tensors of nested outputs, by name."""
    if isinstance(tree, torch.Tensor):
        return {path: tree}
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    parts = [part_of(item, f"{path}.{name}") for name, item in pairs]
    return {name: tensor for part in parts for name, tensor in part.items()}


def cut(output, members, n_rows, n_all):
    """Some members' own rows; an axis of another length is not the batch."""
    output = output[members]
    return (
        output[:, :n_rows] if output.dim() > 1 and output.size(1) == n_all else output
    )


def add_up(outputs):
    """A number that every output has another part in."""
    total = 0
    for output in outputs:
        if output.requires_grad:
            generator = torch.Generator().manual_seed(0)
            weights = torch.randn(output.shape, generator=generator).double()
            total = total + (output * weights).sum()
    return total


def backward(total):
    if isinstance(total, torch.Tensor):
        total.backward()


def state_of(module):
    """Values and gradients of parameters and buffers."""
    tensors = named_tensors(module.members)
    gradients = {f"{n} gradient": t.grad for n, t in tensors.items()}
    return {**tensors, **{n: g for n, g in gradients.items() if g is not None}}


def assert_close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-11)


def slices(n_parts):
    size = N_MEMBERS // n_parts
    return [slice(i * size, (i + 1) * size) for i in range(n_parts)]


def assert_as_alone(vectorized, xs, run, n_parts=N_BLOCKS, run_alone=None):
    """Outputs, gradients and buffers of each part are those of its members alone."""
    together = copy.deepcopy(vectorized)
    outputs = part_of(run(together))
    longest = max(len(x) for x in xs)
    for output in outputs.values():
        assert len(output) == N_MEMBERS
        assert torch.isfinite(output).all()
    total = 0
    alone = []
    for i, members in enumerate(slices(n_parts)):
        x = xs[i * len(xs) // n_parts]
        rows = {n: cut(t, members, len(x), longest) for n, t in outputs.items()}
        total = total + add_up(rows.values())
        single = vectorized.select(range(N_MEMBERS)[members])
        expected = part_of(single(x) if run_alone is None else run_alone(single, i, x))
        assert rows.keys() == expected.keys()
        for name, tensor in expected.items():
            assert_close(rows[name], tensor)
        backward(add_up(expected.values()))
        alone.append(state_of(single))
    backward(total)
    state = state_of(together)
    for members, expected in zip(slices(n_parts), alone, strict=True):
        assert state.keys() == expected.keys()
        for name, tensor in expected.items():
            assert_close(state[name][members], tensor)


@pytest.mark.quick(7)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("n_rows", [EQUAL, UNEQUAL])
@pytest.mark.parametrize("name", NETWORKS)
def test_each_block_is_as_alone(name, n_rows, training):
    xs = inputs(NETWORKS[name][0], n_rows)
    vectorized = vectorize(NETWORKS[name]).train(training)
    assert not vectorized.mixes_rows
    assert_as_alone(vectorized, xs, lambda module: module.forward_blocks(xs))


@pytest.mark.quick(8)
@pytest.mark.parametrize("name", [*NETWORKS, *MIXING])
def test_blocks_can_come_as_one_tensor(name):
    shape, _ = network = {**NETWORKS, **MIXING}[name]
    xs = torch.stack(inputs(shape, EQUAL))
    vectorized = vectorize(network)
    assert_as_alone(vectorized, xs, lambda module: module.forward_blocks(xs))


@pytest.mark.quick(10)
@pytest.mark.parametrize("name", [*NETWORKS, *MIXING])
def test_one_block_is_the_plain_forward(name):
    shape, _ = network = {**NETWORKS, **MIXING}[name]
    (x,) = inputs(shape, (6,))
    vectorized = vectorize(network)
    plain = copy.deepcopy(vectorized)
    for given in ([x], x.unsqueeze(0)):
        outputs, expected = part_of(vectorized.forward_blocks(given)), part_of(plain(x))
        for key, tensor in expected.items():
            assert torch.equal(outputs[key], tensor)


@pytest.mark.quick(6)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", MIXING)
def test_each_block_is_normalized_alone(name, training):
    xs = inputs(MIXING[name][0], EQUAL)
    vectorized = vectorize(MIXING[name]).train(training)
    assert vectorized.mixes_rows
    assert_as_alone(vectorized, xs, lambda module: module.forward_blocks(xs))


@pytest.mark.parametrize("name", MIXING)
def test_unequal_rows_are_refused_where_members_normalize_over_them(name):
    vectorized = vectorize(MIXING[name])
    with pytest.raises(ValueError, match="equally many rows where members normalize"):
        vectorized.forward_blocks(inputs(MIXING[name][0], UNEQUAL))


def test_unequal_rows_are_normalized_by_running_statistics():
    xs = inputs((4,), UNEQUAL)
    vectorized = vectorize(MIXING["batch norm"])
    vectorized(inputs((4,), (6,))[0])  # so that the statistics are not the first ones
    vectorized.eval()
    assert_as_alone(vectorized, xs, lambda module: module.forward_blocks(xs))


# Random numbers


class Streams:
    """A stream of random numbers for each group, which goes on from use to use."""

    def __init__(self):
        self.states = [
            torch.Generator().manual_seed(group).get_state()
            for group in range(N_GROUPS)
        ]

    @contextlib.contextmanager
    def __call__(self, group):
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self.states[group])
            yield
            self.states[group] = torch.get_rng_state()


@pytest.mark.quick(2)
@pytest.mark.parametrize("n_rows", [EQUAL, UNEQUAL])
@pytest.mark.parametrize("name", DRAWING)
def test_with_replay_each_group_draws_what_it_draws_alone(name, n_rows):
    xs = inputs(DRAWING[name][0], n_rows)
    vectorized = vectorize(DRAWING[name])
    assert vectorized.draws
    streams, others = Streams(), Streams()
    for _ in range(2):  # the second time the streams have gone on

        def alone(single, group, x):
            with others(group):
                return single(x)

        assert_as_alone(
            vectorized,
            xs,
            lambda module: module.forward_blocks(xs, N_GROUPS, streams),
            N_GROUPS,
            alone,
        )
    for state, other in zip(streams.states, others.states, strict=True):
        assert torch.equal(state, other)


@pytest.mark.quick(8)
@pytest.mark.parametrize("n_rows", [EQUAL, UNEQUAL])
@pytest.mark.parametrize("name", DRAWING)
def test_with_replay_layers_that_draw_are_given_memory_as_alone(name, n_rows):
    """In which order numbers are drawn may depend on it."""
    xs = inputs(DRAWING[name][0], n_rows)
    vectorized = vectorize(DRAWING[name])

    def given_to_layers(module, *args):
        given = []
        for layer in module.modules():
            if isinstance(layer, (nn.modules.dropout._DropoutNd, nn.RReLU)):
                layer.register_forward_pre_hook(lambda _, args: given.append(args[0]))
        module.forward_blocks(*args) if len(args) > 1 else module(*args)
        strides = [zip(x.shape, x.stride(), strict=True) for x in given]
        shapes = [x.shape for x in given]
        # Along an axis of length 1 there is nothing to step over.
        return shapes, [[step for n, step in axes if n > 1] for axes in strides]

    streams = Streams()
    found = given_to_layers(copy.deepcopy(vectorized), xs, N_GROUPS, streams)
    for group, members in enumerate(slices(N_GROUPS)):
        single = vectorized.select(range(N_MEMBERS)[members])
        alone = given_to_layers(single, xs[group * N_BLOCKS // N_GROUPS])
        assert tuple(part[group::N_GROUPS] for part in found) == alone


@pytest.mark.quick(6)
@pytest.mark.parametrize("name", DRAWING)
def test_nothing_is_drawn_in_evaluation_mode(name):
    xs = inputs(DRAWING[name][0], UNEQUAL)
    vectorized = vectorize(DRAWING[name]).eval()
    before = torch.get_rng_state()

    def refuse(group):
        raise AssertionError("draws")

    assert_as_alone(
        vectorized, xs, lambda module: module.forward_blocks(xs, N_GROUPS, refuse)
    )
    assert torch.equal(torch.get_rng_state(), before)


def test_without_replay_members_draw_for_themselves():
    vectorized = vectorize(DRAWING["dropout first"])
    same = vectorized.select([0] * N_MEMBERS)
    outputs = same.forward_blocks(torch.ones(N_BLOCKS, 5, 4).double())
    assert len({tuple(output.flatten().tolist()) for output in outputs}) == N_MEMBERS


@pytest.mark.quick(9)
@pytest.mark.parametrize("name", [*NETWORKS, *MIXING])
def test_draws_is_false_where_no_layer_draws(name):
    assert not vectorize({**NETWORKS, **MIXING}[name]).draws


def test_dropout_that_is_off_does_not_draw():
    def off(self, x):
        return self.b(F.dropout(self.a(x), 0.5, training=False))

    assert not vectorize(((4,), member(off, a=a, b=b))).draws


# What else holds


@pytest.mark.quick(10)
@pytest.mark.parametrize("name", [*NETWORKS, *MIXING])
def test_forward_blocks_leaves_inputs_and_plain_forward_as_they_were(name):
    shape, _ = network = {**NETWORKS, **MIXING}[name]
    xs = inputs(shape, EQUAL)
    before = copy.deepcopy(xs)
    vectorized = vectorize(network).eval()
    expected = part_of(vectorized(xs[0]))
    vectorized.forward_blocks(xs)
    for key, tensor in part_of(vectorized(xs[0])).items():
        assert torch.equal(tensor, expected[key])
    for x, old in zip(xs, before, strict=True):
        assert torch.equal(x, old)


def test_blocks_of_linear_layers_are_not_copied():
    """The input comes to the product as it is, only transposed."""
    layer = vectorize(((4,), a)).members
    xs = torch.randn(N_BLOCKS, 6, 4, requires_grad=True).double()
    node = layer.forward_each(xs).grad_fn
    while node.name() != "BaddbmmBackward0":
        node = node.next_functions[0][0]
    factor = node._saved_batch2
    assert factor.data_ptr() == xs.data_ptr()
    assert torch.equal(factor, xs.transpose(1, 2))


@pytest.mark.quick(12)
@pytest.mark.parametrize("name", [*NETWORKS, *MIXING, *DRAWING])
def test_the_number_of_members_may_change_in_place(name):
    """Nothing but the tensors and `n_members` knows of it."""
    shape, _ = network = {**DRAWING, **NETWORKS, **MIXING}[name]
    kept = [0, 1, 4, 5, 10, 11]
    vectorized = vectorize(network).eval()
    expected = vectorized.select(kept)
    for tensor in named_tensors(vectorized.members).values():
        tensor.data = tensor.data[kept]
    vectorized.n_members = len(kept)
    xs = inputs(shape, EQUAL)
    for run in (lambda m: m(xs[0]), lambda m: m.forward_blocks(xs)):
        outputs, wanted = part_of(run(vectorized)), part_of(run(expected))
        for key, tensor in wanted.items():
            assert torch.equal(outputs[key], tensor)


def test_copies_and_pickles_run_in_blocks_with_their_own_weights():
    vectorized = vectorize(NETWORKS["convolution"])
    xs = inputs((2, 4, 4), UNEQUAL)
    expected = vectorized.forward_blocks(xs)
    copies = [copy.deepcopy(vectorized), pickle.loads(pickle.dumps(vectorized))]
    with torch.no_grad():
        for parameter in vectorized.parameters():
            parameter.zero_()
    for copied in copies:
        assert torch.equal(copied.forward_blocks(xs), expected)


@pytest.mark.parametrize("method", ["vmap", "loop"])
def test_other_ways_of_vectorizing_have_no_blocks(method):
    vectorized = vectorize_members([linear(), linear()], method)
    assert not vectorized.takes_blocks
    assert not hasattr(vectorized, "forward_blocks")


@pytest.mark.parametrize("n_rows", [(), (3,) * 5, (3, 0, 3)])
def test_blocks_must_divide_the_members_and_have_rows(n_rows):
    with pytest.raises(ValueError, match="'inputs' parameter of forward_blocks must"):
        vectorize(NETWORKS["mlp"]).forward_blocks(inputs((4,), n_rows))


@pytest.mark.parametrize("n_groups", [None, 0, 2, 5, 24])
def test_groups_must_divide_the_members_and_be_divided_into_blocks(n_groups):
    with pytest.raises(ValueError, match="'n_groups' parameter of forward_blocks must"):
        vectorize(DRAWING["dropout"]).forward_blocks(
            inputs((4,), EQUAL), n_groups, Streams()
        )
