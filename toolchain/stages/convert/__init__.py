"""Convert: write an ONNX file as an IR that takes camera frames."""
