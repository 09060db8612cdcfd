"""model.yml and composite-model.yml into records."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields as fields_of
from pathlib import Path

from toolchain.catalog.fields import (
    choice,
    entries,
    filled,
    items,
    listed,
    number,
    text,
    texts,
    whole,
)
from toolchain.catalog.files import FileNames, read_file, read_postprocessing
from toolchain.catalog.names import fault_of_model_name
from toolchain.catalog.positions import Node, article, one_line, read_yaml, shown
from toolchain.catalog.records import (
    CompositeModel,
    Framework,
    InputInfo,
    Limits,
    Model,
    ModelFile,
    Tolerance,
)
from toolchain.definitions.variants import HINTS

FRAMEWORKS: tuple[Framework, ...] = ("dldt", "onnx", "pytorch", "tf")
PRECISIONS = ("FP16", "FP16-INT1", "FP16-INT8", "FP32", "FP32-INT1", "FP32-INT8")
TASK_TYPES = (
    "action_recognition",
    "background_matting",
    "classification",
    "colorization",
    "detection",
    "face_recognition",
    "feature_extraction",
    "head_pose_estimation",
    "human_pose_estimation",
    "image_inpainting",
    "image_processing",
    "image_translation",
    "instance_segmentation",
    "machine_translation",
    "monocular_depth_estimation",
    "named_entity_recognition",
    "noise_suppression",
    "object_attributes",
    "optical_character_recognition",
    "place_recognition",
    "question_answering",
    "salient_object_detection",
    "semantic_segmentation",
    "sound_classification",
    "speech_recognition",
    "style_transfer",
    "text_prediction",
    "text_to_speech",
    "time_series",
    "token_recognition",
)
REQUIRED = ("description", "task_type", "framework", "license")
OPTIONAL = (
    "postprocessing",
    "input_info",
    "conversion_to_onnx_args",
    "model_optimizer_args",
    "model_info",
    "quantized",  # stands in one published model.yml; information only
    "name",
    "bundled",
    "cross_check",
    "tolerances",
)
FORMS = ("ONNX", "FP32", "FP16", "FP16-INT8")
LIMITS = tuple(field.name for field in fields_of(Limits) if field.name != "reason")


def read_model(
    path: Path,
    *,
    name: str | None = None,
    subdirectory: str | None = None,
    composite: str | None = None,
) -> Model:
    """Read one model.yml.

    The model is called `name`, else what the file's top-level `name` says, else as its folder.
    `subdirectory`: where its results go, by default "public/<name>".  `composite`: the name of
    the composite model of which this is a stage.
    Raises CatalogError, in one line `path:line:column: what was wrong; expected ...`.
    """
    root = read_yaml(path)
    found = entries(root, "the model", (*REQUIRED, "files", *OPTIONAL), (*REQUIRED, "files"))
    called = _name(root, found, name)
    taken = FileNames()
    file_nodes = items(found["files"], "files")
    files = tuple(read_file(node, "a file", taken) for node in file_nodes)
    cross_check = tuple(
        read_file(node, "a file of cross_check", taken)
        for node in (items(found["cross_check"], "cross_check") if "cross_check" in found else ())
    )
    bundled = read_file(found["bundled"], "bundled", taken) if "bundled" in found else None
    framework = choice(found["framework"], "framework", FRAMEWORKS)
    to_onnx, optimizer = _arguments(root, found, framework)
    if optimizer is not None:
        precisions = frozenset({"FP16", "FP32"})
    else:
        precisions = _precisions(called, file_nodes, files)
    return Model(
        name=called,
        subdirectory=subdirectory or f"public/{called}",
        config_path=path,
        description=text(found["description"], "description"),
        task_type=choice(found["task_type"], "task_type", TASK_TYPES),
        framework=framework,
        license_url=text(found["license"], "license"),
        files=files,
        postprocessing=(
            read_postprocessing(found["postprocessing"]) if "postprocessing" in found else ()
        ),
        input_info=_input_info(found["input_info"]) if "input_info" in found else (),
        conversion_to_onnx_args=to_onnx,
        model_optimizer_args=optimizer,
        model_info=_model_info(found["model_info"]) if "model_info" in found else (),
        precisions=precisions,
        bundled=bundled,
        cross_check=cross_check,
        tolerances=_tolerances(found["tolerances"]) if "tolerances" in found else (),
        composite_model_name=composite,
    )


def read_composite(path: Path, subdirectory: str) -> CompositeModel:
    """Read one composite-model.yml and the model.yml of each stage, in the folders beside it.

    Raises CatalogError for a mistake in any of them.
    """
    root = read_yaml(path)
    known = (*REQUIRED, "stages_order")
    found = entries(root, "the composite model", known, known)
    called = _name(root, {}, None)
    order = items(found["stages_order"], "stages_order")
    names = texts(found["stages_order"], "stages_order")
    if not names:
        raise found["stages_order"].error(
            "stages_order is empty", "the names of the stages' folders"
        )
    for number_of, (node, stage) in enumerate(zip(order, names, strict=True)):
        if fault_of_model_name(stage) or not stage.startswith(f"{called}-"):
            raise node.error(f"stage {shown(stage)} is not of this model", f"a name {called}-...")
        if stage in names[:number_of]:
            raise node.error(f"stage {shown(stage)} stands here again", "each stage once")
        if not (path.parent / stage / "model.yml").is_file():
            raise node.error(
                f"stage {shown(stage)} has no model.yml", f"{stage}/model.yml beside it"
            )
    return CompositeModel(
        name=called,
        subdirectory=subdirectory,
        config_path=path,
        description=text(found["description"], "description"),
        task_type=choice(found["task_type"], "task_type", TASK_TYPES),
        framework=choice(found["framework"], "framework", FRAMEWORKS),
        license_url=text(found["license"], "license"),
        stages=tuple(
            read_model(
                path.parent / stage / "model.yml",
                name=stage,
                subdirectory=f"{subdirectory}/{stage}",
                composite=called,
            )
            for stage in names
        ),
    )


def _name(root: Node, found: Mapping[str, Node], given: str | None) -> str:
    expected = "a name of letters, digits and . _ -"
    if "name" in found:
        written = text(found["name"], "name")
        if fault := fault_of_model_name(written):
            raise found["name"].error(one_line(f"name {shown(written)} {fault}"), expected)
        if given is None:
            return written
    # Not Path.absolute: the folder of "../model.yml" has a name of its own.
    called = Path(os.path.abspath(root.path)).parent.name if given is None else given  # noqa: PTH100
    if fault := fault_of_model_name(called):
        whose = "the folder" if given is None else "the given name"
        raise root.error(
            one_line(f"{whose} {shown(called)} {fault}"), f"{expected}, or the key name"
        )
    return called


def _arguments(
    root: Node, found: Mapping[str, Node], framework: Framework
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """The two lists of arguments, as far as the framework needs and allows them."""
    to_onnx, optimizer = (
        texts(found[key], key) if key in found else None
        for key in ("conversion_to_onnx_args", "model_optimizer_args")
    )
    if framework == "pytorch" and not to_onnx:
        place = found.get("conversion_to_onnx_args", root)
        raise place.error("a pytorch model has no conversion_to_onnx_args", "a list of arguments")
    if framework != "pytorch" and to_onnx:
        wrong = f"conversion_to_onnx_args do not apply to framework {framework}"
        raise found["conversion_to_onnx_args"].error(wrong, "them for pytorch only")
    if framework != "dldt" and optimizer is None:
        wrong = f"a model of framework {framework} has no model_optimizer_args"
        raise root.error(wrong, "a list of arguments, which may be empty")
    return to_onnx or None, optimizer


def _precisions(called: str, nodes: list[Node], files: tuple[ModelFile, ...]) -> frozenset[str]:
    """Those of a ready IR, from file names such as FP16/<name>.xml."""
    seen: dict[str, set[str]] = {}
    places: dict[str, Node] = {}
    for node, file in zip(nodes, files, strict=True):
        folder, slash, rest = file.name.partition("/")
        if not slash or "/" in rest or not folder.startswith("FP"):
            continue
        place = node.value["name"][1]
        if folder not in PRECISIONS:
            raise place.error(f"unknown precision {shown(folder)}", listed(PRECISIONS))
        seen.setdefault(folder, set()).add(rest)
        places.setdefault(folder, place)
    for folder, names in seen.items():
        for ending in ("xml", "bin"):
            if f"{called}.{ending}" not in names:
                wrong = f"precision {folder} has no {ending} file"
                raise places[folder].error(wrong, f'a file "{folder}/{called}.{ending}"')
    return frozenset(seen)


def _input_info(node: Node) -> tuple[InputInfo, ...]:
    inputs: list[InputInfo] = []
    for item in items(node, "input_info"):
        found = entries(item, "an input", ("name", "shape", "layout"), ("name",))
        name = filled(found["name"], "name")
        if any(name == earlier.name for earlier in inputs):
            raise found["name"].error(f"input {shown(name)} stands here again", "each input once")
        shape = items(found["shape"], "shape") if "shape" in found else []
        inputs.append(
            InputInfo(
                name=name,
                shape=tuple(whole(size, "an item of shape", least=1) for size in shape),
                layout=text(found["layout"], "layout") if "layout" in found else "",
            )
        )
    return tuple(inputs)


def _model_info(node: Node) -> tuple[tuple[str, object], ...]:
    if node.kind != "mapping":
        raise node.error(f"model_info is {article(node)}", "a mapping")
    return tuple((key, _plain(value, key)) for key, (_, value) in node.value.items())


def _plain(node: Node, what: str) -> object:
    """Text, a number or a boolean, or a tuple of values of one of these kinds."""
    if node.kind != "list":
        return _scalar(node, what)
    kinds = {item.kind for item in node.value}
    if kinds == {"integer", "number"}:
        return tuple(number(item, f"an item of {what}") for item in node.value)
    if len(kinds) > 1:
        raise node.error(f"{shown(what)} mixes {listed(sorted(kinds))}", "items of one kind")
    return tuple(_scalar(item, f"an item of {what}") for item in node.value)


def _scalar(node: Node, what: str) -> object:
    if node.kind == "integer":
        return whole(node, one_line(what))
    if node.kind == "number":
        return number(node, one_line(what))
    if node.kind not in ("text", "boolean"):
        raise node.error(
            one_line(f"{what} is {article(node)}"), "text, a number, a boolean or a list"
        )
    return node.value


def _tolerances(node: Node) -> tuple[Tolerance, ...]:
    read: list[Tolerance] = []
    for item in items(node, "tolerances"):
        required = ("form", "hint", "reason")
        found = entries(item, "a tolerance", (*required, *LIMITS), required)
        form = choice(found["form"], "form", FORMS)
        hint = choice(found["hint"], "hint", HINTS)
        if any((form, hint) == (earlier.form, earlier.hint) for earlier in read):
            raise item.error(
                f"limits of {form} at {hint} stand here again", "each form and hint once"
            )
        limits = {key: number(found[key], key) for key in LIMITS if key in found}
        if not limits:
            raise item.error(f"the tolerance of {form} at {hint} limits nothing", listed(LIMITS))
        reason = filled(found["reason"], "reason").strip()
        read.append(Tolerance(form, hint, Limits(**limits, reason=reason)))
    return tuple(read)
