"""A graph of ONNX that is written node by node: constants, operators, and the finished model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17  # the first with LayerNormalization
_IR_VERSION = 8  # version of the file format, which ONNX Runtime reads from 1.13 on
_LIKE_LAST = np.iinfo(np.int64).max  # end of a slice that goes to the end of its axis


class Graph:
    """A graph under construction. A value is the name of a tensor; methods return the values that they make."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def input(
        self, name: str, dtype: type[np.generic], axes: Sequence[str | int], default: np.ndarray | None = None
    ) -> str:
        """Add an input; text names an axis of any size. An input with a default may be left out of a call."""
        self._inputs.append(helper.make_tensor_value_info(name, _type(dtype), axes))
        if default is not None:
            self._initializers.append(numpy_helper.from_array(default.astype(dtype), name))
        return name

    def output(self, value: str, name: str, dtype: type[np.generic], axes: Sequence[str | int]) -> None:
        """Make a value an output of the graph under the name `name`."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, _type(dtype), axes))

    def constant(self, array: Any, dtype: type[np.generic] | None = None) -> str:
        """Return a constant tensor; equal constants are stored once."""
        array = np.ascontiguousarray(array, dtype)
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = f"constant_{len(self._constants)}"
            self._initializers.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def integers(self, *numbers: int) -> str:
        """Return a constant list of whole numbers, as shapes and axes need it."""
        return self.constant(numbers, np.int64)

    def number(self, value: float) -> str:
        """Return a constant float32 scalar."""
        return self.constant(value, np.float32)

    def op(self, kind: str, *values: str, name: str | None = None, outputs: int = 1, **attributes: Any) -> Any:
        """Add an operator; return its output, or a tuple if it has several `outputs`. "" leaves an input out."""
        index = len(self._nodes)
        made = [f"{name or kind.lower()}_{index}" + (f"_{number}" if outputs > 1 else "") for number in range(outputs)]
        node = helper.make_node(kind, list(values), made, name=f"{name or kind}_{index}", **attributes)
        self._nodes.append(node)
        return made[0] if outputs == 1 else tuple(made)

    def size(self, value: str, axis: int) -> str:
        """Return the size of an axis as a list of one number."""
        return self.op("Shape", value, start=axis, end=axis + 1)

    def slice(self, value: str, axis: int, first: str | None = None, end: str | None = None) -> str:
        """Return a part of an axis; `first` and `end` are lists of one number."""
        first, end = first or self.integers(0), end or self.integers(_LIKE_LAST)
        return self.op("Slice", value, first, end, self.integers(axis))

    def mask(self, lengths: str, size: str) -> str:
        """Return a float mask `(B, size)` that is 1 up to `lengths (B,)` and 0 beyond; `size` is a list of one."""
        scalar = self.op("Squeeze", size)
        places = self.op("Range", self.constant(0, np.int64), scalar, self.constant(1, np.int64))
        real = self.op("Less", places, self.op("Unsqueeze", lengths, self.integers(1)))
        return self.op("Cast", real, to=TensorProto.FLOAT)

    def floats(self, value: str) -> str:
        """Convert numbers to float32."""
        return self.op("Cast", value, to=TensorProto.FLOAT)

    def doubles(self, value: str) -> str:
        """Convert numbers to float64, in which the sum of a long recording keeps its digits."""
        return self.op("Cast", value, to=TensorProto.DOUBLE)

    def int32(self, value: str) -> str:
        """Convert whole numbers to int32."""
        return self.op("Cast", value, to=TensorProto.INT32)

    def ceil_divided(self, value: str, factor: int) -> str:
        """Divide whole numbers of 0 or more by `factor`, rounded up."""
        if factor == 1:
            return value
        return self.op("Div", self.op("Add", value, self.integers(factor - 1)), self.integers(factor))

    def model(self, metadata: dict[str, str]) -> onnx.ModelProto:
        """Return the finished model with its metadata, after a check of all nodes, types and shapes."""
        graph = helper.make_graph(self._nodes, "asr", self._inputs, self._outputs, self._initializers)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION, producer_name="asr"
        )
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model


def _type(dtype: type[np.generic]) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
