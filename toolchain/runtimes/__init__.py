"""PyTorch, ONNX Runtime and OpenVINO behind one `infer(src, bgr)`.

Each runtime converts colour order, layout and value range itself: frames are uint8 RGB, H x W x 3;
alpha and foreground are float32, RGB, 0..1.
"""
