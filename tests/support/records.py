"""Records as other stages write them, made from a real validation.json."""

from __future__ import annotations

import copy
from typing import Any

Json = dict[str, Any]


def failed(validation: Json) -> Json:
    """The same with one run that failed, explained, and measured stage by stage."""
    told = copy.deepcopy(validation)
    told["verdict"] = "fail"
    own = {"pha": {"max": 7.5e-6, "rms": 1e-7}, "fgr": {"max": 2.5e-6, "rms": 1e-7}}
    told["reference"]["own_error"] = own
    for run in told["runs"]:
        run["stages"] = stages(run["hint"])
        run["limits"]["would_pass"] = {"pha_max_abs": 1.25e-3}
    run = told["runs"][1]
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
    return told


def stages(hint: str) -> list[Json]:
    """Figures of every stage; the refiner's are not finite at the default precision."""
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
    """An evaluation of the same weights."""

    def figures(mean: float) -> Json:
        return {"mean": mean, "low": mean * 0.9, "high": mean * 1.1}

    names = ("alpha_mad", "alpha_mse", "alpha_grad", "foreground_mse", "alpha_sad")
    return {
        "schema": 2,
        "model": validation["model"],
        "facts": validation["facts"],
        "dataset": {"kind": "generated", "name": "the built-in set", "clips": 4, "frames": 16},
        "models": [
            {
                "form": model,
                "hint": hint,
                "executed": executed,
                "frames": 16,
                "total": {name: figures(base + place) for place, name in enumerate(names)},
            }
            for base, (model, hint, executed) in enumerate(
                (("original", "f32", "f32"), ("FP32", "f32", "f32"), ("FP16", "default", "bf16"))
            )
        ],
        "scales": {"alpha_sad": "sum over all pixels, /1000"},
        "interval": "95 % of 1000 bootstrap samples over the clips",
    }


def latency() -> Json:
    """What a benchmark might have found."""
    row = {"model": "FP16", "device": "CPU", "hint": "default", "precision": "bf16"}
    return {"schema": 1, "rows": [{**row, "median_ms": 84.25, "p90_ms": 91.5, "fps": 11.9}]}
