"""Exported files (ONNX) read without any library of ONNX: their metadata, and whether they hold only what we write.

An ONNX file is a message of Protocol Buffers: fields one after the other, each a number, a wire type and a value.
https://protobuf.dev/programming-guides/encoding, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3
"""

import math
from collections.abc import Iterator
from pathlib import Path

# The numbers of fields, by message.
_MODEL_GRAPH, _MODEL_FUNCTIONS, _MODEL_PROPERTIES = 7, 25, 14
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_FIELDS = {1, 2, 3, 4, 7, 8, 9, 13, 20}  # name, numbers, texts, type; never a tensor or another graph
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_RAW = 1, 2, 9
_TENSOR_FIELDS = {_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_RAW, 8, 12}  # 8 is the name; 13 would be another file
_ITEM_BYTES = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8}  # bytes of float32, uint8, int8, int32 and int64
_OPERATORS = frozenset(
    (
        *("Add", "Cast", "Concat", "Conv", "Div", "DynamicQuantizeLSTM", "DynamicQuantizeLinear", "Expand"),
        *("GRU", "Gather", "Identity", "LSTM", "LayerNormalization", "Less", "Log", "LogSoftmax"),
        *("MatMul", "MatMulInteger", "Max", "Min", "Mod", "Mul", "Pad", "RNN"),
        *("Range", "ReduceMean", "ReduceSum", "Relu", "Reshape", "Shape", "Slice", "Split"),
        *("Sqrt", "Squeeze", "Sub", "Transpose", "Unsqueeze"),
    )
)
_MOST_NODES = 10_000
_MOST_PROPERTIES = 100


def read_properties(path: Path) -> dict[str, str]:
    """Return the metadata of an exported file. Raises ValueError for a damaged file, OSError if it cannot be read."""
    found: dict[str, str] = {}
    for number, value in _fields(memoryview(path.read_bytes())):
        if number == _MODEL_PROPERTIES and isinstance(value, memoryview):
            entry = {field: text for field, text in _fields(value) if isinstance(text, memoryview)}
            found[bytes(entry.get(1, b"")).decode()] = bytes(entry.get(2, b"")).decode()
            if len(found) > _MOST_PROPERTIES:
                raise ValueError("it has too many properties")
    return found


def with_property(content: bytes, key: str, value: str) -> bytes:
    """Return an exported file with another value of a property that it has, and all else byte for byte.

    Raises ValueError for a damaged file.
    """
    parts, message, place = [], memoryview(content), 0
    while place < len(message):
        start = place
        tag, place = _varint(message, place)
        if tag & 7 == 0:
            _, place = _varint(message, place)
        else:
            length, place = _varint(message, place) if tag & 7 == 2 else ({1: 8, 5: 4}.get(tag & 7, -1), place)
            if not 0 <= length <= len(message) - place:
                raise ValueError("a part is longer than the file")
            place += length
        field = bytes(message[start:place])
        if tag >> 3 == _MODEL_PROPERTIES:
            ((_, entry),) = _fields(memoryview(field))
            found = {number: bytes(_message(text)) for number, text in _fields(_message(entry))}
            if found.get(1) == key.encode():
                field = _part(_MODEL_PROPERTIES, _part(1, key.encode()) + _part(2, value.encode()))
        parts.append(field)
    return b"".join(parts)


def _part(number: int, value: bytes) -> bytes:
    """Return the field of a message with a number, of wire type 2."""
    return bytes(_encoded(number << 3 | 2)) + bytes(_encoded(len(value))) + value


def _encoded(number: int) -> Iterator[int]:
    """Yield the bytes of a number, 7 bits a byte: the inverse of `_varint`."""
    while number > 127:
        yield number & 127 | 128
        number >>= 7
    yield number


def require_own_graph(content: bytes) -> None:
    """Raise ValueError unless a file holds only operators and tensors that `asr export` writes.

    So ONNX Runtime reads no other file, runs no loop, and takes no more memory for constants than the file has bytes.
    """
    graphs = 0
    for number, value in _fields(memoryview(content)):
        if number == _MODEL_FUNCTIONS:
            raise ValueError("it defines functions")
        if number == _MODEL_GRAPH:
            graphs += 1
            _check_graph(_message(value))
    if graphs != 1:
        raise ValueError("it holds no graph")


def _check_graph(graph: memoryview) -> None:
    nodes = 0
    for number, value in _fields(graph):
        if number == _GRAPH_NODE:
            nodes += 1
            _check_node(_message(value))
        elif number == _GRAPH_INITIALIZER:
            _check_tensor(_message(value))
        elif number == _GRAPH_SPARSE:
            raise ValueError("it holds a sparse tensor")
    if not 0 < nodes <= _MOST_NODES:
        raise ValueError(f"it has {nodes} operators")


def _check_node(node: memoryview) -> None:
    for number, value in _fields(node):
        if number == _NODE_OPERATOR:
            name = bytes(_message(value)).decode("ascii", "backslashreplace")
            if name not in _OPERATORS:
                raise ValueError(f"it has the operator {name:.40}, which asr does not export")
        elif number == _NODE_DOMAIN and bytes(_message(value)) not in (b"", b"ai.onnx", b"com.microsoft"):
            raise ValueError("it has operators of another program")
        elif number == _NODE_ATTRIBUTE and {field for field, _ in _fields(_message(value))} - _ATTRIBUTE_FIELDS:
            raise ValueError("an operator holds a tensor or a graph")


def _check_tensor(tensor: memoryview) -> None:
    dims, kind, size = [], 0, 0
    for number, value in _fields(tensor):
        if number not in _TENSOR_FIELDS:
            raise ValueError("a tensor is stored in another way or in another file")
        if number == _TENSOR_DIMS:
            dims += [value] if isinstance(value, int) else _varints(value)
        elif number == _TENSOR_TYPE and isinstance(value, int):
            kind = value
        elif number == _TENSOR_RAW:
            size = len(_message(value))
    if kind not in _ITEM_BYTES or math.prod(dims) * _ITEM_BYTES[kind] != size:
        raise ValueError("a tensor has another size than its shape")


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number stands where a part should be")
    return value


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the number and value of each field of a message. Raises ValueError if it is damaged."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == 0:
            value, place = _varint(message, place)
            yield tag >> 3, value
            continue
        length, place = _varint(message, place) if kind == 2 else ({1: 8, 5: 4}.get(kind, -1), place)
        if not 0 <= length <= len(message) - place:
            raise ValueError("a part is longer than the file")
        yield tag >> 3, message[place : place + length]
        place += length


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """Return the number that begins at `place`, 7 bits a byte, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            break
        byte = message[place]
        value |= (byte & 127) << shift
        place += 1
        if byte < 128:
            return value, place
    raise ValueError("a number has no end")


def _varints(message: memoryview) -> list[int]:
    found, place = [], 0
    while place < len(message):
        value, place = _varint(message, place)
        found.append(value)
    return found
