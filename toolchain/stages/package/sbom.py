"""The bill of materials: CycloneDX, the model as a machine-learning component, its tools."""

from __future__ import annotations

import json
import uuid
from typing import Any

from toolchain.catalog.licences import licences
from toolchain.package.manifest import Entry
from toolchain.stages.package.accepted import Accepted
from toolchain.stages.package.request import PackageRequest

ARCHITECTURE = "BackgroundMattingV2, MobileNetV2 backbone"
FAMILY = "convolutional neural network"
FILE_ROLES = ("onnx", "ir")


def sbom(request: PackageRequest, build: Accepted, files: list[Entry]) -> bytes:
    """CycloneDX 1.6 as JSON, the same bytes for the same `files` and records.

    Its serial number is drawn from its content and it has no time, so that it can be made again.
    """
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import ComponentType
    from cyclonedx.output.json import JsonV1Dot6

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
    content["metadata"]["component"]["modelCard"] = _model_card(request, build)
    del content["serialNumber"]
    named = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(content, sort_keys=True))
    content["serialNumber"] = named.urn
    return (json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()


def _component(name: str, version: str | None, kind: Any, ref: str) -> Any:
    from cyclonedx.model.component import Component

    return Component(name=name, version=version, type=kind, bom_ref=ref)


def _license(component: Any, build: Accepted) -> None:
    from cyclonedx.model.license import DisjunctiveLicense

    count = 2 if build.facts["weights"] == "bundled" else 1  # these are the toolchain's own
    component.licenses = [DisjunctiveLicense(id=licence.spdx) for licence in licences()[:count]]


def _file(entry: Entry) -> Any:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import ComponentType

    made = _component(entry.path, None, ComponentType.FILE, f"file:{entry.path}")
    made.hashes = [
        HashType(alg=HashAlgorithm.SHA_256, content=entry.sha256),
        HashType(alg=HashAlgorithm.SHA_384, content=entry.sha384),
    ]
    return made


def _source(build: Accepted) -> Any:
    """The checkpoint, which is not in the bundle."""
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import ComponentType

    facts = build.facts
    made = _component(facts["checkpoint"], None, ComponentType.DATA, "checkpoint")
    made.description = facts["weights_are"]
    made.hashes = [HashType(alg=HashAlgorithm.SHA_384, content=facts["checkpoint_sha384"])]
    return made


def _tool(name: str, version: str) -> Any:
    from cyclonedx.model.component import ComponentType
    from packageurl import PackageURL

    made = _component(name, version, ComponentType.LIBRARY, f"tool:{name}")
    made.purl = PackageURL("pypi", name=name, version=version)
    return made


def _tools(build: Accepted) -> dict[str, str]:
    own = {"background-matting-toolchain": build.facts["toolchain"]}
    return {**own, **build.validation["tools"]}


def _model_card(request: PackageRequest, build: Accepted) -> dict[str, Any]:
    """What the library has no form for yet; the schema does."""
    from toolchain.stages.package.card import LIMITS, USE, accuracy_rows, data_of

    ports = next(rows for path, rows in build.ports.items() if path.endswith(".xml"))

    def told(direction: str) -> list[dict[str, str]]:
        return [{"format": " ".join(_port(row))} for row in ports if row["direction"] == direction]

    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": request.model.task_type,
            "architectureFamily": FAMILY,
            "modelArchitecture": ARCHITECTURE,
            "inputs": told("input"),
            "outputs": told("output"),
        },
        "quantitativeAnalysis": {
            "performanceMetrics": [
                {
                    "type": name,
                    "value": repr(float(value)),
                    "slice": f"{row['precision']}, {data_of(build)}",
                }
                for row in accuracy_rows(build)
                for name, value in row["figures"].items()
                if value is not None
            ]
        },
        "considerations": {"useCases": [USE], "technicalLimitations": list(LIMITS)},
    }


def _port(row: dict[str, Any]) -> list[str]:
    shape = "x".join(map(str, row["shape"]))
    told = (f"{row['name']}:", row["type"], shape, row["layout"], row["colours"], row["range"])
    return [text for text in told if text]
