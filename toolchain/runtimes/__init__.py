"""PyTorch, ONNX Runtime and OpenVINO behind one `infer(src, bgr)`.

Colour order, layout and value range are each runtime's own affair and change at its edge only:
frames go in as uint8 RGB, H x W x 3; alpha and foreground come out as float32, RGB, 0..1.
"""
