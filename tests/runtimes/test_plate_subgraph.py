"""The subgraph of the clean plate."""

from __future__ import annotations

import numpy as np
import openvino

from toolchain.runtimes.openvino_api import operators
from toolchain.runtimes.plate_subgraph import split_plate_subgraph


def test_a_graph_that_reads_plate_and_frame_together_is_not_split() -> None:
    """No node depends on the plate alone."""
    src, bgr = (operators.parameter([1, 4, 4, 3], np.uint8, name) for name in ("src", "bgr"))
    for port, name in ((src, "src"), (bgr, "bgr")):
        port.output(0).set_names({name})
    assert split_plate_subgraph(openvino.Model([operators.subtract(src, bgr)], [src, bgr])) is None
