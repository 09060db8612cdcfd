"""The process in which the sample of a package runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolchain.definitions.ports import FOREGROUND, INPUTS
from toolchain.runtimes.sample import compare_images, infer_images, load_image
from toolchain.workspace.limited_process import answer


def run_all(work: dict[str, Any]) -> list[dict[str, Any]]:
    """Run the sample through every IR; returns the fields of one `SampleRun` per output."""
    folder, sample = Path(work["folder"]), work["sample"]
    src, bgr = (load_image(folder / sample["inputs"][port], "RGB") for port in INPUTS)
    runs = []
    for row in sample["expected"]:
        found = infer_images(folder / row["ir"], src, bgr, work["device"])
        for output, path in row["outputs"].items():
            mode = "RGB" if output == FOREGROUND else "L"
            compared = compare_images(found[output], load_image(folder / path, mode))
            runs.append(
                {
                    "precision": row["precision"],
                    "output": output,
                    "different": compared.different,
                    "allowed": row["different"],
                    "mean": compared.mean,
                }
            )
    return runs


if __name__ == "__main__":
    answer(run_all)
