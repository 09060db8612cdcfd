"""Records as other stages write them, made from a real validation.json."""

from __future__ import annotations

import copy
from typing import Any

from toolchain.catalog.builtin import read_published_accuracy
from toolchain.definitions.metrics import METRIC_KEYS
from toolchain.definitions.schemas import EVALUATION

Json = dict[str, Any]


def failed(validation: Json) -> Json:
    """The same record with one failed run that was explained, and errors of every stage."""
    record = copy.deepcopy(validation)
    record["verdict"] = "fail"
    own = {"pha": {"max": 7.5e-6, "rms": 1e-7}, "fgr": {"max": 2.5e-6, "rms": 1e-7}}
    record["reference"]["own_error"] = own
    for run in record["runs"]:
        run["stages"] = stages(run["hint"])
        run["limits"]["would_pass"] = {"pha_max_abs": 1.25e-3}
    run = record["runs"][1]
    run["verdict"] = "fail"
    run["failures"] = ["pha_max_abs is 0.00125, the limit is 2e-05 <script>alert(1)</script>"]
    run["figures"]["pha_max_abs"] = 1.25e-3
    run["explanations"] = [
        {
            "hypothesis": "swapped channels",
            "found": "with RGB for BGR the outputs agree to 1e-6",
            "figure": "pha_max_abs",
            "before": 1.25e-3,
            "after": 9.5e-7,
            "convinces": True,
        },
        {
            "hypothesis": "missing /255",
            "found": "ruled out without a run",
            "figure": "pha_max_abs",
            "before": 1.25e-3,
            "after": None,
            "convinces": False,
        },
    ]
    return record


def stages(hint: str) -> list[Json]:
    """Errors of every stage; the refiner's are not finite at the default precision."""
    figures = {"max_abs": 2.5e-6, "mean_abs": 1e-7, "rmse": 3e-7, "psnr": 130.0, "finite": True}
    broken = {"max_abs": None, "mean_abs": None, "rmse": None, "psnr": None, "finite": False}
    return [
        {
            "name": name,
            "tensors": [
                {"name": f"{name}_out", **(broken if (name, hint) == LOST else figures)},
            ],
        }
        for name in ("downsample", "base", "selection", "refiner", "merge")
    ]


LOST = ("refiner", "default")


def evaluation(validation: Json) -> Json:
    """An evaluation of the same weights; a mean is the place of its metric plus that of its row."""

    def figures(mean: float) -> Json:
        return {"mean": mean, "low": mean * 0.9, "high": mean * 1.1}

    rows = (("original", "f32", "f32"), ("FP32", "f32", "f32"), ("FP16", "default", "bf16"))
    return {
        "schema": EVALUATION,
        "model": validation["model"],
        "facts": validation["facts"],
        "dataset": {
            "kind": "generated",
            "name": "the built-in set",
            "clips": 1,
            "frames": 16,
            "size": [320, 192],
            "skipped": [],
        },
        "models": [
            {
                "form": form,
                "hint": hint,
                "executed": executed,
                "frames": 16,
                "total": {key: figures(row + place) for place, key in enumerate(METRIC_KEYS)},
                "clips": {"0": {"frames": 16, **dict.fromkeys(METRIC_KEYS, 1.0)}},
            }
            for row, (form, hint, executed) in enumerate(rows)
        ],
        "scales": {"alpha_sad": "sum over all pixels, /1000"},
        "interval": "95 % of 1000 bootstrap samples over the clips",
        "published": read_published_accuracy().as_record(),
    }


def latency() -> Json:
    """Results of a benchmark."""
    row = {"model": "FP16", "device": "CPU", "hint": "default", "precision": "bf16"}
    return {"schema": 1, "rows": [{**row, "median_ms": 84.25, "p90_ms": 91.5, "fps": 11.9}]}


def reported_run(**changes: object) -> Json:
    """One run of validation.json as the report reads it, with changes."""
    found = {
        "form": "FP32",
        "hint": "f32",
        "executed": "f32",
        "verdict": "pass",
        "failures": [],
        "figures": {"pha_max_abs": 5e-6, "different_patches": 0.0},
        "limits": {
            "bounds": {"pha_max_abs": 2e-5, "different_patches": 0.001},
            "reason": "rounding\n only",
        },
        "metrics": {"alpha_mad": 8.25},
    }
    return {**found, **changes}
