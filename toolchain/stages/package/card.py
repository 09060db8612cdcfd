"""The model card in the format of the Hugging Face Hub; figures come from the records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from toolchain.catalog.builtin import find_licences, read_published_accuracy
from toolchain.definitions.variants import PREFERRED
from toolchain.network.profile import Profile, profile
from toolchain.report import record_tables, run_tables
from toolchain.report.markdown import escape, render_table
from toolchain.report.table import Table
from toolchain.report.text import DEMONSTRATION
from toolchain.stages.package.accepted import AcceptedBuild
from toolchain.stages.package.contents import LICENCE_NAMES
from toolchain.stages.package.ports import PortRows, PortsByModel
from toolchain.stages.package.request import PackageRequest

HUB_TASK = "image-segmentation"  # the nearest of the Hub's tasks
TAGS = ("background-matting", "alpha-matting", "openvino", "onnx", "video")
USE = (
    "Cut a person out of a frame, given a clean plate: an image of the same scene, taken by the "
    "same camera without the person. Made for video calls, recordings and compositing."
)
NOT_FOR = (
    "frames without a plate, or with one of another scene; moving cameras; identifying people: "
    "the model does not distinguish persons."
)
LIMITS = (
    "The camera, its exposure and white balance have to stay as they were for the plate.",
    "What differs from the plate counts as foreground: moved furniture, and strong shadows.",
    "Clothes of the same colour as the background cause holes.",
    "Frames are of the fixed size above; others have to be resized, and mattes back again.",
)


def render_card(request: PackageRequest, build: AcceptedBuild, ports: PortsByModel) -> str:
    """Render README.md: front matter for the Hub, then Markdown."""
    return "\n".join((*_front_matter(request, build), "", *_body(request, build, ports))) + "\n"


def count_operations(build: AcceptedBuild) -> Profile:
    """Count parameters and FLOPs of the network at the exported size."""
    settings = build.validation["settings"]
    names = ("width", "height", "backbone_scale", "mode", "sample_pixels")
    return profile(**{name: settings[name] for name in names})


def list_accuracy(build: AcceptedBuild) -> list[dict[str, Any]]:
    """List the mean metrics of each IR at f32, from the evaluation or else the validation.

    Returns:
        One row per IR: its "precision", and "figures" by metric.
    """
    if build.evaluation is not None:
        return [
            {
                "precision": entry["form"],
                "figures": {name: cell["mean"] for name, cell in entry["total"].items()},
            }
            for entry in build.evaluation["models"]
            if entry["form"] in build.precisions and entry["hint"] == "f32"
        ]
    return [
        {"precision": run["form"], "figures": dict(run["metrics"])}
        for run in build.validation["runs"]
        if run["form"] in build.precisions and run["hint"] == "f32" and run["metrics"]
    ]


def describe_data(build: AcceptedBuild) -> str:
    """Describe the data that the accuracy was measured on."""
    if build.evaluation is not None:
        data = build.evaluation["dataset"]
        return f"{data['name']}, {data['frames']} frames"
    return f"generated composites, {len(build.validation['frames'])} frames"


def _front_matter(request: PackageRequest, build: AcceptedBuild) -> Iterator[str]:
    own = [licence.spdx.lower() for licence in find_licences()]
    bundled = build.facts["weights"] == "bundled"
    content: dict[str, Any] = {
        "license": own if bundled else own[0],
        "license_link": LICENCE_NAMES[0],
        "library_name": "openvino",
        "pipeline_tag": HUB_TASK,
        "tags": list(TAGS),
    }
    metrics = [
        {"type": name, "value": value, "name": f"{name} ({row['precision']})"}
        for row in list_accuracy(build)
        for name, value in row["figures"].items()
        if value is not None
    ]
    if metrics:
        content["model-index"] = [
            {
                "name": request.layout.name,
                "results": [
                    {
                        "task": {"type": HUB_TASK, "name": "background matting"},
                        "dataset": {"type": "background-matting", "name": describe_data(build)},
                        "metrics": metrics,
                    }
                ],
            }
        ]
    yield "---"
    yield yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000).rstrip("\n")
    yield "---"


def _body(request: PackageRequest, build: AcceptedBuild, ports: PortsByModel) -> Iterator[str]:
    name, facts = request.layout.name, build.facts
    yield from (f"# {escape(name)} {escape(request.version)}", "")
    yield from (escape(re.sub("[<>]", "", request.model.description)), "")
    if facts["weights"] == "bundled":
        yield from (f"> **Demonstration weights.** {escape(DEMONSTRATION)}", "")
    yield from ("## Use", "", USE, "", f"Not for: {NOT_FOR}", "")
    yield from _snippet(request, build, ports)
    yield from ("## Inputs and outputs", "")
    for title, path in _models(ports):
        yield from (f"### {title}", "", *_ports(ports[path]), "")
    yield "Reversing the input channels reverses no output: `fgr` stays as in the table."
    yield from ("", "## Size and work", "", *_complexity(build), "")
    yield from _section(
        record_tables.accuracy_table(build.validation, build.evaluation, read_published_accuracy())
    )
    yield from _section(run_tables.agreement_table(build.validation))
    yield from ("## Limits", "", *(f"- {limit}" for limit in LIMITS), "")
    yield from ("## Licence", "")
    for file, licence in zip(LICENCE_NAMES, find_licences(), strict=True):
        yield f"- {licence.spdx}, of {licence.covers}: `{file}`"
    yield from ("", "## Provenance", "")
    yield from (f"- {escape(key)}: {escape(text)}" for key, text in request.provenance)
    yield f"- Checkpoint: {escape(facts['checkpoint'])}, sha384 `{facts['checkpoint_sha384']}`"
    yield f"- Exported for: {escape(record_tables.describe_settings(build.validation))}"
    yield from ("", *render_table(record_tables.versions_table(build.validation)), "")
    yield (
        "`manifest.json` has size, sha256 and sha384 of every file, `sbom.cdx.json` the bill of "
        "materials, `report.html` the validation with images. `matting verify --run` checks all "
        "of it and runs the sample."
    )


def _section(table: Table) -> Iterator[str]:
    yield from (f"## {escape(table.title)}", "", *render_table(table), "")


def _models(ports: PortsByModel) -> Iterator[tuple[str, str]]:
    """Yield title and file: the original, and one for all IRs with the same inputs and outputs."""
    irs = [path for path in ports if path.endswith(".xml")]
    (original,) = (path for path in ports if path not in irs)
    yield f"Original model, and `{original}`", original
    groups: dict[str, list[str]] = {}
    for path in irs:
        groups.setdefault(repr(ports[path]), []).append(path)
    for paths in groups.values():
        yield "Converted model: " + ", ".join(f"`{path}`" for path in paths), paths[0]


def _ports(rows: PortRows) -> Iterator[str]:
    yield "| Name | | Shape | Type | Layout | Colour order | Values | What |"
    yield "|" + " --- |" * 8
    for row in rows:
        shape = " x ".join(map(str, row["shape"]))
        colours = row["colours"] or "\u2013"
        cells = (shape, row["type"], row["layout"], colours, row["range"], row["meaning"])
        yield f"| `{row['name']}` | {row['direction']} | {' | '.join(cells)} |"


def _complexity(build: AcceptedBuild) -> Iterator[str]:
    found = count_operations(build)
    most = "" if build.validation["settings"]["mode"] != "thresholding" else " at most"
    yield "| | |"
    yield "| --- | --- |"
    yield f"| GFlops{most} | {found.flops / 1e9:.3f} |"
    yield f"| of these the base network | {found.base_flops / 1e9:.3f} |"
    yield f"| MParams | {found.parameters / 1e6:.3f} |"
    yield ""
    yield (
        f"GFlops: {found.counted}. MParams: every trained value of the network once; "
        "statistics of normalization are not counted."
    )


def _snippet(request: PackageRequest, build: AcceptedBuild, ports: PortsByModel) -> Iterator[str]:
    """Yield code that runs the IR of the preferred precision on the sample."""
    precision = next((p for p in PREFERRED if p in build.precisions), build.precisions[0])
    xml = f"{precision}/{request.layout.name}.xml"
    port = ports[xml][0]
    colours = "[..., ::-1]" if port["colours"] == "BGR" else ""
    scaled = " / 255" if port["range"] == "0..1" else ""
    kind = "np.uint8" if port["type"] == "u8" else "np.float32"
    planes = "" if port["layout"] == "NHWC" else ".transpose(0, 3, 1, 2)"
    yield from (
        "In Python, in the package's folder (on the Hub the IR is called `openvino_model.xml`):",
        "",
        "```python",
        "import numpy as np",
        "import openvino",
        "from PIL import Image",
        "",
        "",
        f"def tensor(path):  # {port['colours']}, {port['range']}, {port['layout']}",
        '    rgb = np.asarray(Image.open(path).convert("RGB"))',
        f"    return np.ascontiguousarray(rgb[None]{colours}{planes}{scaled}, dtype={kind})",
        "",
        "",
        f'model = openvino.compile_model("{xml}", "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})',
        'result = model({"src": tensor("sample/src.png"), "bgr": tensor("sample/bgr.png")})',
        'alpha = Image.fromarray((result["pha"][0, 0] * 255).round().astype(np.uint8))',
        f'alpha.save("alpha.png")  # as sample/{precision}/pha.png',
        "```",
        "",
    )
