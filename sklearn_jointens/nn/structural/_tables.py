"""What the structural conversion knows of torch: tables of layers and functions.

They are complete as they are: members of anything else run by vmap or in turn.
"""

import operator
from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.nn import functional as F

from sklearn_jointens.nn.layers._basic import (
    VectorizedEmbedding,
    VectorizedLayer,
    VectorizedLinear,
    VectorizedPReLU,
)
from sklearn_jointens.nn.layers._convolution import VectorizedConv
from sklearn_jointens.nn.layers._encoding import (
    TabularEncoding,
    VectorizedTabularEncoding,
)
from sklearn_jointens.nn.layers._normalization import (
    VectorizedBatchNorm,
    VectorizedGroupNorm,
    VectorizedInstanceNorm,
    VectorizedLayerNorm,
)
from sklearn_jointens.nn.structural import _operations

VECTORIZED_LAYERS: Mapping[type[nn.Module], type[VectorizedLayer]] = {
    nn.Embedding: VectorizedEmbedding,
    nn.GroupNorm: VectorizedGroupNorm,
    nn.LayerNorm: VectorizedLayerNorm,
    nn.Linear: VectorizedLinear,
    nn.PReLU: VectorizedPReLU,
    TabularEncoding: VectorizedTabularEncoding,
    **{
        getattr(nn, f"{kind}{n}d"): VectorizedConv
        for kind in ("Conv", "ConvTranspose")
        for n in (1, 2, 3)
    },
    **{getattr(nn, f"BatchNorm{n}d"): VectorizedBatchNorm for n in (1, 2, 3)},
    **{getattr(nn, f"InstanceNorm{n}d"): VectorizedInstanceNorm for n in (1, 2)},
}

# Layers without weights that do to each number what they do in a member.
ELEMENTWISE_LAYERS = frozenset(
    (
        *(nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish),
        *(nn.Hardtanh, nn.Identity, nn.LeakyReLU, nn.LogSigmoid, nn.Mish, nn.ReLU),
        *(nn.ReLU6, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Softshrink),
        *(nn.Softsign, nn.Tanh, nn.Tanhshrink, nn.Threshold),
    )
)

# Layers that draw a random number for each number, or for each channel.
RANDOM_LAYERS = frozenset(
    (
        *(nn.AlphaDropout, nn.Dropout, nn.RReLU),
        *(nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
    )
)

# Layers without weights that treat channels apart, or that keep a member's channels
# next to each other, and how many axes they take after the channels (None: some).
CHANNELWISE_LAYERS: Mapping[type[nn.Module], int | None] = {
    **{
        getattr(nn, f"{kind}{n}d"): n
        for kind in (
            "AdaptiveAvgPool AdaptiveMaxPool AvgPool LPPool MaxPool CircularPad "
            "ConstantPad ReflectionPad ReplicationPad ZeroPad Dropout"
        ).split()
        for n in (1, 2, 3)
        if hasattr(nn, f"{kind}{n}d")
    },
    **dict.fromkeys((nn.PixelShuffle, nn.PixelUnshuffle), 2),
    **dict.fromkeys((nn.UpsamplingBilinear2d, nn.UpsamplingNearest2d), 2),
    nn.Upsample: None,
}

# Layers without weights that are a function, and the attributes it takes, in order.
FUNCTION_LAYERS: Mapping[type[nn.Module], tuple[Callable, tuple[str, ...]]] = {
    nn.Flatten: (_operations.flatten, ("start_dim", "end_dim")),
    nn.GLU: (_operations.glu, ("dim",)),
    nn.LogSoftmax: (_operations.log_softmax, ("dim",)),
    nn.Softmax: (_operations.softmax, ("dim",)),
    nn.Unflatten: (_operations.unflatten, ("dim", "unflattened_size")),
}

# Functions and methods, by name.
ELEMENTWISE = frozenset(
    # activations
    "celu elu gelu hardshrink hardsigmoid hardswish hardtanh leaky_relu logsigmoid "
    "mish relu relu6 selu sigmoid silu softplus softshrink softsign tanh tanhshrink "
    "threshold "
    # arithmetic
    "abs add addcmul clamp clip cos div erf exp expm1 iadd imul isub itruediv lerp "
    "log log1p logical_and logical_not logical_or maximum minimum mul multiply "
    "nan_to_num neg negative pow reciprocal rsqrt sign sin sqrt square sub subtract "
    "true_divide truediv where eq ge gt le lt ne".split()
)
CASTS = frozenset(
    "bfloat16 clone contiguous detach double float half to type type_as".split()
)
IN_PLACE = frozenset(("iadd", "imul", "isub", "itruediv"))

# Names of functions that treat channels apart, as the layers above.
CHANNELWISE: Mapping[str, int | None] = {
    **{
        f"{kind}{n}d": n
        for kind in (
            "adaptive_avg_pool adaptive_max_pool avg_pool lp_pool max_pool dropout"
        ).split()
        for n in (1, 2, 3)
    },
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), 2),
    "interpolate": None,
}

# Names of functions that draw for each number or channel, unless `training` is False.
RANDOM_UNLESS_OFF = frozenset(
    "alpha_dropout dropout dropout1d dropout2d dropout3d rrelu".split()
)
RANDOM = frozenset(
    "bernoulli empty_like exponential feature_alpha_dropout feature_dropout "
    "fractional_max_pool2d fractional_max_pool3d gumbel_softmax multinomial normal "
    "poisson rand rand_like randint randint_like randn randn_like random "
    "scaled_dot_product_attention uniform".split()
)

FEATUREWISE: Mapping[str, Callable] = {
    "amax": _operations.amax,
    "cat": _operations.cat,
    "chunk": _operations.chunk,
    "concat": _operations.cat,
    "expand_as": _operations.expand_as,
    "flatten": _operations.flatten,
    "getitem": _operations.getitem,
    "glu": _operations.glu,
    "log_softmax": _operations.log_softmax,
    "mean": _operations.mean,
    "pad": _operations.pad,
    "permute": _operations.permute,
    "reshape": _operations.reshape,
    "softmax": _operations.softmax,
    "squeeze": _operations.squeeze,
    "stack": _operations.stack,
    "sum": _operations.sum_features,
    "transpose": _operations.transpose,
    "unflatten": _operations.unflatten,
    "unsqueeze": _operations.unsqueeze,
    "view": _operations.reshape,
}
# Of several tensors, each of which must be a stacked one.
JOINS = frozenset(("cat", "concat", "expand_as", "stack"))

# What a stacked tensor is asked for that is the same for all members.
QUESTIONS: Mapping[str, Callable] = {
    "dim": _operations.n_axes,
    "getattr": _operations.attribute,
    "ndimension": _operations.n_axes,
    "size": _operations.size,
}
ATTRIBUTES = frozenset(("device", "dtype", "ndim", "shape"))

_RETURNS_INDICES = (torch, "adaptive_max_pool1d")
_OPERATORS = (
    "abs add eq ge getitem gt iadd imul isub itruediv le lt mul ne neg pow sub truediv"
).split()

# Torch exposes one function under several modules, so a function is looked up itself
# and not by its __name__, which need not be the name it is called by.
FUNCTION_NAMES: Mapping[Callable, str] = {
    getattr: "getattr",
    **{getattr(operator, name): name for name in _OPERATORS},
    **{
        getattr(namespace, name): name
        for name in sorted(
            {*ELEMENTWISE, *CHANNELWISE, *RANDOM_UNLESS_OFF, *RANDOM, *FEATUREWISE}
            - {"concat", "getitem"}
        )
        for namespace in (F, torch)
        # Unlike that of torch.nn.functional, torch's own returns indices too.
        if hasattr(namespace, name) and (namespace, name) != _RETURNS_INDICES
    },
    torch.concat: "cat",
}


def is_layer(module: nn.Module) -> bool:
    """Whether a module is run as a whole: torch's own, and those of the tables."""
    if type(module) in VECTORIZED_LAYERS:
        return True
    containers = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
    own = type(module).__module__.startswith("torch.nn")
    return own and not isinstance(module, containers)
