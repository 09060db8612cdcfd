"""Pure numpy: differences between outputs, the matting metrics, verdicts."""
