"""Evaluate: the metrics of every variant of the model against ground truth."""
