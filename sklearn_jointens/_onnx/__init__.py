"""`to_onnx`: a fitted ensemble as one ONNX graph, whose members can be switched off.

What members compute, and what is said of it, is followed by torch's own exporter and
comes back as functions of rows and weights. The graph around them is put together here:
the preprocessing of a table, which members are on, and the labels.

This room is opened when it is asked for; it needs the packages of the extra ``onnx``.
"""

from sklearn_jointens._onnx._write import to_onnx

__all__ = ["to_onnx"]
