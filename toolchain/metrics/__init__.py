"""Differences between outputs, the matting metrics, verdicts; numpy only."""
