"""Sources of frames: generated composites with ground truth, image pairs and datasets on disk."""
