"""Export of a trained model to one ONNX file, which needs no PyTorch."""
