"""What all members make of one input: a single product with a tall matrix.

torch follows each member's product by itself, x times a stack of matrices. Runtimes
multiply with them one by one, which is slow where members are many and small.
"""

from typing import Any

from onnxscript import ir
from onnxscript.rewriter import RewriteRule, rewrite


def with_tall_products(model: ir.Model) -> ir.Model:
    """The same model, with one product in place of one for each member."""
    rule = RewriteRule(_products, _tall_product, _is_shared)
    return rewrite(model, pattern_rewrite_rules=[rule])


def _products(op: Any, x: ir.Value, weight: ir.Value) -> Any:
    return op.MatMul(x, op.Transpose(weight, perm=[0, 2, 1]))


def _is_shared(context: Any, x: ir.Value, weight: ir.Value, **_: Any) -> bool:
    """Whether x is (n_samples, n_inputs) and not each member's own."""
    shapes = (x.shape, weight.shape)
    return [None if shape is None else len(shape) for shape in shapes] == [2, 3]


def _tall_product(op: Any, x: ir.Value, weight: ir.Value, **_: Any) -> Any:
    _, n_outputs, n_inputs = weight.shape
    tall = op.Reshape(weight, op.Constant(value_ints=[-1, n_inputs]))
    flat = op.Gemm(x, tall, transB=1)
    of_members = op.Reshape(flat, op.Constant(value_ints=[0, -1, n_outputs]))
    return op.Transpose(of_members, perm=[1, 0, 2])
