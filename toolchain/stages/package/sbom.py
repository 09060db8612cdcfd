"""The software bill of materials (CycloneDX): the model, its source and its tools."""

from __future__ import annotations

import json
import uuid
from typing import Any

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from toolchain.catalog.builtin import find_licences
from toolchain.definitions.architecture import find_architecture
from toolchain.package.manifest import Entry
from toolchain.stages.package.accepted import AcceptedBuild
from toolchain.stages.package.card import LIMITS, USE, describe_data, list_accuracy
from toolchain.stages.package.ports import PortsByModel
from toolchain.stages.package.request import PackageRequest

FILE_ROLES = ("onnx", "ir")


def build_sbom(
    request: PackageRequest, build: AcceptedBuild, ports: PortsByModel, files: list[Entry]
) -> bytes:
    """Build the SBOM, CycloneDX 1.6 as JSON.

    It is reproducible: the serial number is derived from its content, and it contains no time.

    Args:
        request: What to package.
        build: Records of the build.
        ports: Inputs and outputs of each model.
        files: Files of the package; models are listed as components.

    Returns:
        Content of the file.
    """
    model = _component(
        request.layout.name, request.version, ComponentType.MACHINE_LEARNING_MODEL, "model"
    )
    model.description = " ".join(request.model.description.split())
    _license(model, build)
    model.components = [_file(entry) for entry in files if entry.role in FILE_ROLES]
    bom = Bom(serial_number=uuid.UUID(int=0))
    bom.metadata.component = model
    tools = [_tool(name, version) for name, version in _tools(build).items()]
    bom.metadata.tools.components.update(tools)
    source = _source(build)
    bom.components.add(source)
    bom.register_dependency(model, [source])
    content = json.loads(JsonV1Dot6(bom).output_as_string())
    del content["metadata"]["timestamp"]
    content["metadata"]["component"]["modelCard"] = _model_card(request, build, ports)
    del content["serialNumber"]
    named = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(content, sort_keys=True))
    content["serialNumber"] = named.urn
    return (json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()


def _component(name: str, version: str | None, kind: ComponentType, ref: str) -> Component:
    return Component(name=name, version=version, type=kind, bom_ref=ref)


def _license(component: Component, build: AcceptedBuild) -> None:
    count = 2 if build.facts["weights"] == "bundled" else 1  # the bundled weights have both
    component.licenses = [
        DisjunctiveLicense(id=licence.spdx) for licence in find_licences()[:count]
    ]


def _file(entry: Entry) -> Component:
    component = _component(entry.path, None, ComponentType.FILE, f"file:{entry.path}")
    component.hashes = [
        HashType(alg=HashAlgorithm.SHA_256, content=entry.sha256),
        HashType(alg=HashAlgorithm.SHA_384, content=entry.sha384),
    ]
    return component


def _source(build: AcceptedBuild) -> Component:
    """Describe the checkpoint, which is not in the package."""
    facts = build.facts
    component = _component(facts["checkpoint"], None, ComponentType.DATA, "checkpoint")
    component.description = facts["weights_are"]
    component.hashes = [HashType(alg=HashAlgorithm.SHA_384, content=facts["checkpoint_sha384"])]
    return component


def _tool(name: str, version: str) -> Component:
    component = _component(name, version, ComponentType.LIBRARY, f"tool:{name}")
    component.purl = PackageURL("pypi", name=name, version=version)
    return component


def _tools(build: AcceptedBuild) -> dict[str, str]:
    own = {"background-matting-toolchain": build.facts["toolchain"]}
    return {**own, **build.validation["tools"]}


def _model_card(
    request: PackageRequest, build: AcceptedBuild, ports: PortsByModel
) -> dict[str, Any]:
    """Build the model card, which the schema has but the library does not support yet."""
    rows = next(rows for path, rows in ports.items() if path.endswith(".xml"))
    architecture = find_architecture(request.model.name)

    def list_formats(direction: str) -> list[dict[str, str]]:
        return [
            {"format": " ".join(_describe_port(row))}
            for row in rows
            if row["direction"] == direction
        ]

    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": request.model.task_type,
            "architectureFamily": architecture.family,
            "modelArchitecture": architecture.title,
            "inputs": list_formats("input"),
            "outputs": list_formats("output"),
        },
        "quantitativeAnalysis": {
            "performanceMetrics": [
                {
                    "type": name,
                    "value": repr(float(value)),
                    "slice": f"{row['precision']}, {describe_data(build)}",
                }
                for row in list_accuracy(build)
                for name, value in row["figures"].items()
                if value is not None
            ]
        },
        "considerations": {"useCases": [USE], "technicalLimitations": list(LIMITS)},
    }


def _describe_port(row: dict[str, Any]) -> list[str]:
    shape = "x".join(map(str, row["shape"]))
    words = (f"{row['name']}:", row["type"], shape, row["layout"], row["colours"], row["range"])
    return [text for text in words if text]
