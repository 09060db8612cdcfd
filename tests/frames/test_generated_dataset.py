"""Generated composites as a dataset."""

from __future__ import annotations

import numpy as np

from toolchain.frames.generated import composite
from toolchain.frames.generated_dataset import make_generated


def test_frames_are_composites_at_the_size_of_the_model() -> None:
    """Each item gives the composite of its seed."""
    dataset = make_generated(3, 2026)
    assert [item.name for item in dataset.items] == [f"composite-{2026 + n}" for n in range(3)]
    sample = dataset.items[1].read().decode((64, 48))
    assert np.array_equal(sample.src, composite(2027, 64, 48).src)
    assert sample.src.shape == (48, 64, 3)
    assert sample.alpha.dtype == np.float32
