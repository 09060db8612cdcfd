"""Export: write the network of a checkpoint as an ONNX file of fixed shapes."""
