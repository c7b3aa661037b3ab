"""An ensemble at the end of a pipeline that skl2onnx converts.

skl2onnx asks an estimator that it does not know for a parser, which declares outputs, a
shape calculator and a converter. The estimator's options have to be registered all the
same: the parser, which is asked for first, does so.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import GraphProto, TensorProto, helper, numpy_helper
from skl2onnx import update_registered_converter
from skl2onnx.common import data_types
from skl2onnx.common.data_types import DictionaryType, SequenceType

from sklearn_jointens._onnx._answers import (
    PROBABILITIES,
    answers_to,
    plain_classes,
)
from sklearn_jointens._onnx._graph import MASK, ML_DOMAIN
from sklearn_jointens._onnx._model import OPSET, model_of
from sklearn_jointens._onnx._refusals import check_exportable
from sklearn_jointens._onnx._rows import categories_of, rows_of
from sklearn_jointens.training._targets import ClassTargets

_TENSORS = {
    np.dtype(bool): data_types.BooleanTensorType,
    np.dtype(np.float32): data_types.FloatTensorType,
    np.dtype(np.float64): data_types.DoubleTensorType,
    np.dtype(np.int64): data_types.Int64TensorType,
    np.dtype(object): data_types.StringTensorType,
}
_ZIPPED = ("output_label", "output_probability")
_DEFAULTS = {"zipmap": True, "members": False}


def parser(estimator: Any, ensemble: Any) -> Callable[..., Any]:
    """What declares the outputs of an estimator.

    Parameters
    ----------
    estimator : object
        Is the ensemble, or has chosen it.
    ensemble : fitted ensemble
    """
    update_registered_converter(
        type(estimator),
        f"SklearnJointens{type(estimator).__name__}",
        estimator.onnx_shape_calculator(),
        estimator.onnx_converter(),
        options="passthrough",
    )

    def declare(scope: Any, inputs: Any) -> list[Any]:
        zips = _options(scope, estimator, ensemble)["zipmap"]
        answers = answers_to(ensemble.net_, rows_of(ensemble).array[:1])
        types = {
            name: _TENSORS[values.dtype]([None, *values.shape[1:]])
            for name, values in answers.items()
        }
        if zips:
            label, _ = types.values()
            dicts = DictionaryType(label, data_types.FloatTensorType())
            types = dict(zip(_ZIPPED, (label, SequenceType(dicts)), strict=True))
        return [scope.declare_local_variable(*output) for output in types.items()]

    return declare


def converter(estimator: Any, ensemble: Any) -> Callable[..., None]:
    """What adds an ensemble's graph to that of a pipeline.

    Parameters
    ----------
    estimator : object
        Is the ensemble, or has chosen it.
    ensemble : fitted ensemble
    """

    def convert(scope: Any, operator: Any, container: Any) -> None:
        opset = container.target_opset_onnx
        _check_given(estimator, ensemble, opset, len(operator.inputs))
        check_exportable(ensemble)
        options = _options(scope, estimator, ensemble)
        array = rows_of(ensemble).array
        inputs = [
            helper.make_tensor_value_info(
                f"/input_{i}",
                data_types.guess_proto_type(variable.type),
                variable.type.shape or [None, *array.shape[1:]],
            )
            for i, variable in enumerate(operator.inputs)
        ]
        model = model_of(
            ensemble,
            array,
            inputs,
            opset,
            mask_follows_rows=True,
        )
        prefix = scope.get_unique_variable_name(f"{type(ensemble).__name__}/")
        for value, given in zip(inputs, operator.inputs, strict=True):
            # skl2onnx may rename its own variables, and does not look into branches.
            container.add_node("Identity", given.full_name, prefix + value.name)
        names = {
            value.name: output.full_name
            for value, output in zip(model.graph.output, operator.outputs, strict=True)
        }
        if options["zipmap"]:
            zipped = names.pop(PROBABILITIES)
            _add_zip(container, ensemble, prefix + PROBABILITIES, zipped)
        names[MASK] = _add_mask(scope, container, ensemble, options["members"])
        _rename(model.graph, lambda name: names.get(name, name and prefix + name))
        container.nodes.extend(model.graph.node)
        container.initializers.extend(model.graph.initializer)
        versions = ((one.domain, one.version) for one in model.opset_import)
        container.node_domain_version_pair_sets.update(versions)

    return convert


def _options(scope: Any, estimator: Any, ensemble: Any) -> dict[str, bool]:
    """What skl2onnx is told of this estimator, checked."""
    name = type(estimator).__name__
    options = scope.get_options(estimator, dict(_DEFAULTS))
    for option, value in options.items():
        if option not in _DEFAULTS or value not in (True, False):
            raise ValueError(
                f"The options of {name} in skl2onnx must be among {list(_DEFAULTS)}, "
                f"each True or False. Got {option}={value!r} instead."
            )
    targets = ensemble.net_.targets_
    if not isinstance(targets, ClassTargets):
        return {**options, "zipmap": False}
    dtype = plain_classes(targets.classes).dtype
    if options["zipmap"] and dtype not in (np.int64, object):
        raise ValueError(
            f"The 'zipmap' option of {name} in skl2onnx must be False for classes that "
            f"are neither text nor integers. Got {dtype} classes and True instead."
        )
    return options


def _check_given(estimator: Any, ensemble: Any, opset: int, n_inputs: int) -> None:
    name = type(estimator).__name__
    if opset < OPSET:
        raise ValueError(
            f"The 'target_opset' parameter of skl2onnx must be at least {OPSET} for "
            f"{name}, whose members torch writes in that version of ONNX's operators. "
            f"Got {opset} instead."
        )
    n_columns = ensemble.n_features_in_
    if categories_of(ensemble) and n_inputs != n_columns:
        raise ValueError(
            f"The inputs of {name} in skl2onnx must be the {n_columns} columns of X, "
            "one by one, because it was fitted on a frame with categories. "
            f"Got {n_inputs} instead; to_onnx has them by name."
        )


def _add_mask(scope: Any, container: Any, ensemble: Any, is_input: bool) -> str:
    """Name of which members are on: an input of the pipeline's graph, or all."""
    everybody = np.ones(len(ensemble.estimators_), dtype=bool)
    if is_input:
        kind = data_types.BooleanTensorType(list(everybody.shape))
        return scope.declare_local_input(MASK, kind).full_name
    name = scope.get_unique_variable_name(MASK)
    container.initializers.append(numpy_helper.from_array(everybody, name))
    return name


def _add_zip(container: Any, ensemble: Any, probabilities: str, zipped: str) -> None:
    """Make a dict of each row's probabilities."""
    classes = plain_classes(ensemble.classes_).tolist()
    are_text = isinstance(classes[0], str)
    kind = "classlabels_strings" if are_text else "classlabels_int64s"
    single = f"{probabilities}/float"  # which is all that the operator takes
    container.add_node("Cast", probabilities, single, to=TensorProto.FLOAT)
    container.add_node("ZipMap", single, zipped, op_domain=ML_DOMAIN, **{kind: classes})


def _rename(graph: GraphProto, new_name: Callable[[str], str]) -> None:
    """Rename all values of a graph, and of the graphs within it."""
    for node in graph.node:
        node.input[:] = [new_name(name) for name in node.input]
        node.output[:] = [new_name(name) for name in node.output]
        for attribute in node.attribute:
            _rename(attribute.g, new_name)
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = new_name(value.name)
