"""Use of an exported model on ONNX Runtime, without PyTorch."""
