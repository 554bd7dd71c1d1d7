"""Damage to inputs, drawn at random: bytes, pieces on which grammars turn, the values in model and exported files."""

import json
import math
import random
import struct
from typing import Any

# Pieces on which the grammar of a reader turns.
PIECES = [
    *(b'"', b"'", b"\n", b"\r", b"\0", b"\t", b",", b"|", b"<", b">", b"&", b"[", b"]", b"{", b"}", b":", b"-", b"="),
    *(b"-1", b"1e999", b"NaN", b"9" * 400, b"9" * 5000, b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3", b"\\ud800", b"..", b"/"),
    *(b"null", b"true", b"x" * 300, b"\xe2\x80\xa8", b"<a>" * 50, b"[" * 300, b"{" * 300, b"x," * 200, b"\x1b[2J"),
    *(b"*v", b"&v ", b"!!python/object:os.system ", b"<!DOCTYPE a [", b"%", b"\\data\\", b"0x10", b"1_0", b"-0"),
    *(b"a" * 140_000, b" " * 2000),
]
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 3, 7, 255, 10**6, 20_000, 2**31 - 1, 2**31, 2**63, 10**400, 0.5, -0.0, 1e-300),
    *(1e308, float("inf"), float("nan"), "", "x", "\n", "\0", "\ud800", "x" * 1000, [], {}, [[]], [0] * 100, {"": {}}),
    *("lstm", "gru", "attention", "joint", "words", "characters", "mfcc", "spectrogram", "turkic", "classification"),
]
TYPES = ["F32", "F64", "F16", "BF16", "I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64", "BOOL", "F8_E4M3", "x", 7]
NUMBERS = [0, 1, -1, 2, 3, 5, 100, 2**31 - 1, -(2**31), 2**30, 0x7FC00000, 0x7F800000, 0x7F7FFFFF]


def damaged_text(content: bytes, draw: random.Random) -> bytes:
    """Cut out, double, overwrite or insert pieces of a text."""
    for _ in range(draw.randint(1, 5)):
        start = draw.randint(0, len(content))
        end = min(len(content), start + draw.choice([0, 0, 1, 2, 8, 40, 400]))
        other = draw.randint(0, len(content))
        filling = draw.choice(
            [draw.choice(PIECES), b"", content[start:end] * 2, draw.randbytes(draw.randint(1, 6)), content[other:][:60]]
        )
        content = content[:start] + filling + content[end:]
    return content


def damaged_model(content: bytes, draw: random.Random) -> bytes:
    """Damage a model file: its bytes, or its header, its description or its numbers, each otherwise sound."""
    how = draw.randrange(6)
    if how == 0:
        return damaged_text(content, draw)
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), bytearray(content[8 + length :])
    names = [name for name in header if name != "__metadata__"]
    for _ in range(draw.randint(1, 3)):
        tensor = header[draw.choice(names)]
        offsets = tensor.get("data_offsets")
        start, end = offsets if isinstance(offsets, list) and len(offsets) == 2 else (0, 0)  # damaged before
        if how == 1:
            description = json.loads(header["__metadata__"]["asr"])
            _change(description, draw)
            header["__metadata__"]["asr"] = json.dumps(description)
        elif how == 2:
            tensor["dtype"] = draw.choice(TYPES)
        elif how == 3 and type(end) is int and start + 4 <= end <= len(data):
            place = start + 4 * draw.randrange((end - start) // 4)
            number = draw.choice([*NUMBERS, draw.randrange(40)])
            data[place : place + 4] = struct.pack("<I", number & 0xFFFFFFFF)
        elif how == 4:
            _change(header, draw)
            if not isinstance(header.get("__metadata__"), dict) or any(not isinstance(header[n], dict) for n in header):
                break
            names = [name for name in header if name != "__metadata__"] or ["__metadata__"]
        else:
            one, other = draw.choice(names), draw.choice(names)
            header[one], header[other] = header[other], header[one]
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + bytes(data)


def damaged_export(content: bytes, draw: random.Random) -> bytes:
    """Damage an exported file: its bytes, or its description, operators, shapes or numbers, each otherwise sound."""
    import onnx

    how = draw.randrange(7)
    if how == 0:
        return damaged_text(content, draw)
    model = onnx.load_from_string(content)
    graph = model.graph
    for _ in range(draw.randint(1, 3)):
        if how == 1:
            entry = draw.choice(model.metadata_props)
            if entry.key == "asr":
                description = json.loads(entry.value)
                _change(description, draw)
                entry.value = json.dumps(description)
            else:
                entry.value = damaged_text(entry.value.encode(), draw).decode("latin-1")
        elif how == 2:
            _change_node(draw.choice(graph.node), graph, draw)
        elif how == 3:
            tensor = draw.choice(graph.initializer)
            size = len(tensor.raw_data) // 4
            if size:
                place = 4 * draw.randrange(size)
                number = draw.choice([*NUMBERS, draw.randrange(40)]) & 0xFFFFFFFF
                tensor.raw_data = tensor.raw_data[:place] + struct.pack("<I", number) + tensor.raw_data[place + 4 :]
        elif how == 4:
            tensor = draw.choice(graph.initializer)
            shape = list(tensor.dims)
            draw.shuffle(shape)
            del tensor.dims[:]
            tensor.dims.extend(draw.choice([shape, [*shape, 1], [math.prod(shape)], [0, *shape], [2**40, *shape]]))
            tensor.data_type = draw.choice([tensor.data_type, draw.randrange(20)])
        elif how == 5:
            value = draw.choice([*graph.input, *graph.output])
            axes = value.type.tensor_type.shape.dim
            if axes and draw.random() < 0.7:
                axes[draw.randrange(len(axes))].dim_value = draw.choice([0, 1, 2, 7, 2**31, 2**62])
            else:
                value.name = draw.choice([value.name + "x", "audio", "lengths", "log_probs", "frames"])
        elif len(graph.node) > 2:
            one, other = draw.randrange(len(graph.node)), draw.randrange(len(graph.node))
            if draw.random() < 0.5:
                del graph.node[one]
            else:
                graph.node[one].CopyFrom(graph.node[other])
    return bytes(model.SerializeToString())


def _change_node(node: Any, graph: Any, draw: random.Random) -> None:
    """Give an operator another name, input or number."""
    how = draw.randrange(3)
    if how == 0:
        node.op_type = draw.choice([other.op_type for other in graph.node])
    elif how == 1 and node.input:
        names = [name for other in graph.node for name in (*other.input, *other.output)]
        node.input[draw.randrange(len(node.input))] = draw.choice([*names, "", "nothing"])
    elif node.attribute:
        attribute = draw.choice(node.attribute)
        number = draw.choice([0, 1, -1, 2, 3, 100, 2**31 - 1, -(2**31), 2**62])
        attribute.i = number
        for index in range(len(attribute.ints)):
            if draw.random() < 0.5:
                attribute.ints[index] = number


def _change(tree: Any, draw: random.Random) -> None:
    """Replace, remove or add one value somewhere in a tree of JSON."""
    while True:
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        if not keys:
            return
        key = draw.choice(keys)
        if isinstance(tree[key], dict | list) and tree[key] and draw.random() < 0.8:
            tree = tree[key]
            continue
        how = draw.randrange(4)
        if how == 0:
            del tree[key]
        elif how == 1 and isinstance(tree, dict):
            tree[draw.choice(["x", "layers", "units", "lm", "task"])] = draw.choice(VALUES)
        else:
            tree[key] = draw.choice(VALUES)
        return
