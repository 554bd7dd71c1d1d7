"""The gates of an LSTM and their gradients, 16 units at a time, for code that numba compiles.

Without this file, the compiler uses vectors of half the width, and separate instructions to multiply and to add. Stored
numbers are float32, or bfloat16 in uint16; computation is in float32. The gates are in PyTorch's order: input, forget,
cell, output.

Private functions of numba and llvmlite used here, seen with numba 0.68 and llvmlite 0.50:

- `numba.core.cgutils.get_or_insert_function` declares an LLVM intrinsic in a module.
- `context.make_array(kind)(context, builder, value).data` is the address of an array's data in compiled code.
- `context.get_dummy_value()` is the value of a function that returns nothing.
- `ir.Type._to_string` is overridden by `BFloat`, because llvmlite has no bfloat16 type.
- `Type.as_pointer` and `builder.bitcast` build typed pointers, which llvmlite 0.50 still accepts beside opaque ones.

If one of them changes, the first training step on a CPU raises numba's TypingError or LoweringError, or an
AttributeError. `training.kernels=torch` uses none of this code.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils

from asr.nn.kernels import LANES
from asr.nn.kernels.processor import HAS_BF16

intrinsic: Any = extending.intrinsic  # numba's type annotations omit the arguments of the created function
_TANH_ABOVE = (  # numerator of a rational approximation with an error of 1e-7, from Eigen's ptanh (MPL 2.0)
    -2.76076847742355e-16,
    2.00018790482477e-13,
    -8.60467152213735e-11,
    5.12229709037114e-08,
    1.48572235717979e-05,
    6.37261928875436e-04,
    4.89352455891786e-03,
)
_TANH_BELOW = (  # denominator
    1.19825839466702e-06,
    1.18534705686654e-04,
    2.26843463243900e-03,
    4.89352518554385e-03,
)
_TANH_END = 7.9  # from here on, tanh is 1 in float32


class BFloat(ir.Type):
    """LLVM's bfloat16 type, which llvmlite does not have."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BFloat)

    def __hash__(self) -> int:
        return hash(BFloat)


class Emitter:
    """Emitter of LLVM code for vectors of 16 float32 numbers, in the order of its calls."""

    def __init__(self, context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> None:
        self.builder = builder
        self.kinds = signature.args
        self.arrays = [
            context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
            for kind, value in zip(signature.args, arguments, strict=True)
        ]

    def vector(self, kind: ir.Type) -> ir.VectorType:
        return ir.VectorType(kind, LANES)

    def number(self, value: float) -> ir.Constant:
        return ir.Constant(self.vector(ir.FloatType()), [float(np.float32(value))] * LANES)

    def place(self, array: int, index: Any, kind: ir.Type) -> Any:
        return self.builder.bitcast(self.builder.gep(self.arrays[array], [index]), self.vector(kind).as_pointer())

    def load(self, array: int, index: Any) -> Any:
        builder = self.builder
        if self.kinds[array].dtype == types.float32:
            return builder.load(self.place(array, index, ir.FloatType()), align=4)
        bits = builder.zext(
            builder.load(self.place(array, index, ir.IntType(16)), align=2), self.vector(ir.IntType(32))
        )
        shifted = builder.shl(bits, ir.Constant(bits.type, [16] * LANES))
        return builder.bitcast(shifted, self.vector(ir.FloatType()))

    def store(self, numbers: Any, array: int, index: Any) -> None:
        """Store a vector; a bfloat16 array gets the nearest numbers, and of two nearest the even one."""
        if self.kinds[array].dtype == types.float32:
            self.builder.store(numbers, self.place(array, index, ir.FloatType()), align=4)
        else:
            numbers = round_to_bfloat16(self.builder, numbers)
            self.builder.store(numbers, self.place(array, index, ir.IntType(16)), align=2)

    def add(self, a: Any, b: Any) -> Any:
        return self.builder.fadd(a, b)

    def subtract(self, a: Any, b: Any) -> Any:
        return self.builder.fsub(a, b)

    def multiply(self, *factors: Any) -> Any:
        product, *rest = factors
        for factor in rest:
            product = self.builder.fmul(product, factor)
        return product

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """Compute `a * b + c` with one rounding."""
        kind = ir.FunctionType(a.type, [a.type] * 3)
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.fma.v{LANES}f32")
        return self.builder.call(function, [a, b, c])

    def polynomial(self, x: Any, coefficients: tuple[float, ...]) -> Any:
        total = self.number(coefficients[0])
        for coefficient in coefficients[1:]:
            total = self.multiply_add(total, x, self.number(coefficient))
        return total

    def tanh(self, x: Any) -> Any:
        for order, end in ((">", _TANH_END), ("<", -_TANH_END)):  # ordered comparisons keep NaN
            beyond = self.builder.fcmp_ordered(order, x, self.number(end))
            x = self.builder.select(beyond, self.number(end), x)
        square = self.multiply(x, x)
        above = self.multiply(x, self.polynomial(square, _TANH_ABOVE))
        return self.builder.fdiv(above, self.polynomial(square, _TANH_BELOW))

    def sigmoid(self, x: Any) -> Any:
        half = self.number(0.5)
        return self.multiply_add(half, self.tanh(self.multiply(half, x)), half)


def round_to_bfloat16(builder: ir.IRBuilder, number: Any) -> Any:
    """Round a float32 number or vector to the bits of bfloat16."""
    is_vector = isinstance(number.type, ir.VectorType)

    def like(kind: ir.Type) -> ir.Type:
        return ir.VectorType(kind, number.type.count) if is_vector else kind

    def constant(value: int) -> ir.Constant:
        kind = like(ir.IntType(32))
        return ir.Constant(kind, [value] * number.type.count if is_vector else value)

    if HAS_BF16:
        return builder.bitcast(builder.fptrunc(number, like(BFloat())), like(ir.IntType(16)))
    bits = builder.bitcast(number, like(ir.IntType(32)))
    odd = builder.and_(builder.lshr(bits, constant(16)), constant(1))
    rounded = builder.add(builder.add(bits, constant(0x7FFF)), odd)
    return builder.trunc(builder.lshr(rounded, constant(16)), like(ir.IntType(16)))


@intrinsic
def gates_at(
    typing: Any, k: Any, size: Any, x: Any, recurrent: Any, bias: Any, cell: Any, cells: Any, hidden: Any, h: Any
) -> Any:
    """Compute the gates of units `k` to `k + 15` of `size` units, in one frame.

    `x (G * H)` are the products of the inputs; the gates overwrite them. `recurrent (G * H)` are the products of the
    previous outputs. `cell (H)` is the previous memory; the new memory overwrites it and is copied to `cells (H)`. The
    outputs are written to `hidden (H)` and `h (H)`.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        emit = Emitter(context, builder, signature, arguments)
        k, size, *_ = emit.arrays
        _, _, x, recurrent, bias, cell, cells, hidden, h = range(9)
        at = [builder.add(k, builder.mul(size, ir.Constant(k.type, gate))) for gate in range(4)]
        sums = [
            emit.add(emit.load(recurrent, place), emit.add(emit.load(bias, place), emit.load(x, place))) for place in at
        ]
        i, f, g, o = emit.sigmoid(sums[0]), emit.sigmoid(sums[1]), emit.tanh(sums[2]), emit.sigmoid(sums[3])
        for gate, place in zip((i, f, g, o), at, strict=True):
            emit.store(gate, x, place)
        c = emit.multiply_add(f, emit.load(cell, k), emit.multiply(i, g))
        y = emit.multiply(o, emit.tanh(c))
        for numbers, array in ((c, cell), (c, cells), (y, hidden), (y, h)):
            emit.store(numbers, array, k)
        return context.get_dummy_value()

    index = types.int64
    return types.void(index, index, x, recurrent, bias, cell, cells, hidden, h), generate


@intrinsic
def gradients_at(
    typing: Any,
    k: Any,
    size: Any,
    gates: Any,
    c: Any,
    before: Any,
    from_above: Any,
    h: Any,
    cell: Any,
    bias: Any,
    a: Any,
) -> Any:
    """Compute the gradients of the gates of units `k` to `k + 15` of `size` units, in one frame.

    The gradients overwrite `gates (G * H)`, are added to `bias (G * H)` and are written to `a (G * H)`. `c (H)` is the
    memory of this frame, `before (H)` the memory of the previous frame. `from_above (H)` and `h (H)` are the gradients
    of the outputs, from the layer above and from the next frame. `cell (H)` is the gradient of the memory; the gradient
    of the previous memory overwrites it.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        emit = Emitter(context, builder, signature, arguments)
        k, size, *_ = emit.arrays
        _, _, gates, c, before, from_above, h, cell, bias, a = range(10)
        at = [builder.add(k, builder.mul(size, ir.Constant(k.type, gate))) for gate in range(4)]
        i, f, g, o = (emit.load(gates, place) for place in at)
        one, multiply = emit.number(1.0), emit.multiply

        def slope(gate: Any) -> Any:
            return multiply(gate, emit.subtract(one, gate))

        y = emit.tanh(emit.load(c, k))
        dh = emit.add(emit.load(h, k), emit.load(from_above, k))
        dc = emit.multiply_add(multiply(dh, o), emit.subtract(one, multiply(y, y)), emit.load(cell, k))
        gradients = (
            multiply(dc, g, slope(i)),
            multiply(dc, emit.load(before, k), slope(f)),
            multiply(dc, i, emit.subtract(one, multiply(g, g))),
            multiply(dh, y, slope(o)),
        )
        emit.store(multiply(dc, f), cell, k)
        for gradient, place in zip(gradients, at, strict=True):
            emit.store(emit.add(emit.load(bias, place), gradient), bias, place)
            emit.store(gradient, gates, place)
            emit.store(gradient, a, place)
        return context.get_dummy_value()

    index = types.int64
    return types.void(index, index, gates, c, before, from_above, h, cell, bias, a), generate
