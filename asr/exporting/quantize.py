"""Dynamic quantisation of an exported model: weights of recurrent and output layers as 8-bit integers."""

import tempfile
from pathlib import Path

import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from asr.errors import ConfigError

_LAYERS = ("recurrent", "output")  # names of nodes that begin so; features and subsampling stay in float32


def quantize(content: bytes) -> bytes:
    """Return an exported model whose LSTM and output layers compute with 8-bit weights, a scale for each row.

    Features stay in float32, because their quantisation changes log-probabilities ten times as much. Weights use 7 of
    the 8 bits: processors without VNNI add products in 16 bits, which would overflow. Raises ConfigError for a model
    of other cells, for which ONNX Runtime has no such layers.
    """
    model = onnx.load_from_string(content)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    chosen = [node for node in model.graph.node if node.name.startswith(_LAYERS)]
    if others := {node.op_type for node in chosen} - {"LSTM", "MatMul"}:
        raise ConfigError(f"--int8: ONNX Runtime quantises LSTM layers only, and this model has {others.pop()} layers")
    helper.set_model_props(model, {**properties, "onnx.quant.pre_process": "onnxruntime.quant"})  # else it warns
    with tempfile.TemporaryDirectory(prefix="asr-") as folder:
        path = Path(folder) / "int8.onnx"
        quantize_dynamic(
            model,
            path,
            nodes_to_quantize=[node.name for node in chosen],
            op_types_to_quantize=["LSTM", "MatMul"],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )
        quantized = onnx.load(path)
    for tensor in quantized.graph.initializer:  # all in one way, which `asr.onnx_file` compares with their shapes
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    helper.set_model_props(quantized, properties)
    return quantized.SerializeToString(deterministic=True)
