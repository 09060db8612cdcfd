"""Readers of model.yml and composite-model.yml."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from toolchain.catalog.fields import (
    LARGEST,
    join_or,
    read_choice,
    read_integer,
    read_list,
    read_mapping,
    read_nonempty,
    read_number,
    read_text,
    read_texts,
)
from toolchain.catalog.files import FileNames, read_file, read_postprocessing
from toolchain.catalog.names import find_name_fault
from toolchain.catalog.records import (
    CompositeModel,
    Framework,
    InputInfo,
    Limit,
    Limits,
    Model,
    ModelFile,
    Tolerance,
)
from toolchain.catalog.yaml_nodes import Node, describe, one_line, quote, read_yaml
from toolchain.definitions.metrics import FIGURE_KEYS
from toolchain.definitions.variants import CONVERTED, CONVERTED_FORMS, HINTS, KNOWN, Variant

FRAMEWORKS: tuple[Framework, ...] = ("dldt", "onnx", "pytorch", "tf")
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
    "quantized",  # only information; one published model.yml has it
    "name",
    "bundled",
    "alternatives",
    "cross_check",
    "tolerances",
)


def read_model(
    path: Path,
    *,
    name: str | None = None,
    subdirectory: str | None = None,
    composite: str | None = None,
    lenient: bool = False,
) -> Model:
    """Read one model.yml.

    Args:
        path: The file.
        name: Name of the model; by default the file's key `name`, else the name of its folder.
        subdirectory: Folder of its results, by default "public/<name>".
        composite: Name of the composite model of which it is a stage.
        lenient: Whether to accept all that Open Model Zoo accepts, for the models of others:
            unknown keys, sizes that are not fixed, any `model_info`, and what `read_yaml` lists.

    Raises:
        CatalogError: `path:line:column: what is wrong; expected ...`, one line.
    """
    root = read_yaml(path, lenient=lenient)
    found = read_mapping(root, "the model", (*REQUIRED, "files", *OPTIONAL), (*REQUIRED, "files"))
    called = _name(root, found, name)
    taken = FileNames()
    file_nodes = read_list(found["files"], "files")
    files = tuple(read_file(node, "a file", taken) for node in file_nodes)
    cross_check = tuple(
        read_file(node, "a file of cross_check", taken)
        for node in (
            read_list(found["cross_check"], "cross_check") if "cross_check" in found else ()
        )
    )
    alternatives = _alternatives(found["alternatives"], taken) if "alternatives" in found else ()
    bundled = read_file(found["bundled"], "bundled", taken) if "bundled" in found else None
    framework = read_choice(found["framework"], "framework", FRAMEWORKS)
    to_onnx, optimizer = _arguments(root, found, framework)
    if optimizer is not None:
        precisions = frozenset(CONVERTED)
    else:
        precisions = _precisions(called, file_nodes, files)
    return Model(
        name=called,
        subdirectory=subdirectory or f"public/{called}",
        config_path=path,
        description=read_text(found["description"], "description"),
        task_type=read_choice(found["task_type"], "task_type", TASK_TYPES),
        framework=framework,
        license_url=read_text(found["license"], "license"),
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
        alternatives=alternatives,
        tolerances=_tolerances(found["tolerances"]) if "tolerances" in found else (),
        composite_model_name=composite,
    )


def read_composite(path: Path, subdirectory: str, *, lenient: bool = False) -> CompositeModel:
    """Read one composite-model.yml and the model.yml of each stage in the folders next to it.

    Args:
        path: The file.
        subdirectory: Folder of its results.
        lenient: As in `read_model`.

    Raises:
        CatalogError: One of the files is invalid.
    """
    root = read_yaml(path, lenient=lenient)
    known = (*REQUIRED, "stages_order")
    found = read_mapping(root, "the composite model", known, known)
    called = _name(root, {}, None)
    order = read_list(found["stages_order"], "stages_order")
    names = read_texts(found["stages_order"], "stages_order")
    if not names:
        raise found["stages_order"].error(
            "stages_order is empty", "the names of the stages' folders"
        )
    for number_of, (node, stage) in enumerate(zip(order, names, strict=True)):
        if find_name_fault(stage) or not stage.startswith(f"{called}-"):
            raise node.error(f"stage {quote(stage)} is not of this model", f"a name {called}-...")
        if stage in names[:number_of]:
            raise node.error(f"duplicate stage {quote(stage)}", "each stage once")
        if not (path.parent / stage / "model.yml").is_file():
            raise node.error(
                f"stage {quote(stage)} has no model.yml", f"{stage}/model.yml in the same folder"
            )
    return CompositeModel(
        name=called,
        subdirectory=subdirectory,
        config_path=path,
        description=read_text(found["description"], "description"),
        task_type=read_choice(found["task_type"], "task_type", TASK_TYPES),
        framework=read_choice(found["framework"], "framework", FRAMEWORKS),
        license_url=read_text(found["license"], "license"),
        stages=tuple(
            read_model(
                path.parent / stage / "model.yml",
                name=stage,
                subdirectory=f"{subdirectory}/{stage}",
                composite=called,
                lenient=lenient,
            )
            for stage in names
        ),
    )


def _alternatives(node: Node, taken: FileNames) -> tuple[ModelFile, ...]:
    files = []
    for item in read_list(node, "alternatives"):
        file = read_file(item, "a file of alternatives", taken)
        if file.digest is None:
            raise item.error(f"{quote(file.name)} has no checksum", "a published digest")
        files.append(file)
    return tuple(files)


def _name(root: Node, found: Mapping[str, Node], given: str | None) -> str:
    expected = "a name of letters, digits and . _ -"
    if "name" in found:
        written = read_text(found["name"], "name")
        if fault := find_name_fault(written):
            raise found["name"].error(one_line(f"name {quote(written)} {fault}"), expected)
        if given is None:
            return written
    # Not Path.absolute: the folder of "../model.yml" has a name of its own.
    called = Path(os.path.abspath(root.path)).parent.name if given is None else given  # noqa: PTH100
    if fault := find_name_fault(called):
        whose = "the folder" if given is None else "the given name"
        raise root.error(
            one_line(f"{whose} {quote(called)} {fault}"), f"{expected}, or the key name"
        )
    return called


def _arguments(
    root: Node, found: Mapping[str, Node], framework: Framework
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """Read both lists of arguments, as the framework needs and allows them."""
    to_onnx, optimizer = (
        read_texts(found[key], key) if key in found else None
        for key in ("conversion_to_onnx_args", "model_optimizer_args")
    )
    if framework == "pytorch" and not to_onnx:
        place = found.get("conversion_to_onnx_args", root)
        raise place.error("a pytorch model has no conversion_to_onnx_args", "a list of arguments")
    if framework != "pytorch" and to_onnx:
        wrong = f"conversion_to_onnx_args do not apply to framework {framework}"
        raise found["conversion_to_onnx_args"].error(wrong, "them only for pytorch")
    if framework != "dldt" and optimizer is None:
        wrong = f"a model of framework {framework} has no model_optimizer_args"
        raise root.error(wrong, "a list of arguments, which may be empty")
    return to_onnx or None, optimizer


def _precisions(called: str, nodes: list[Node], files: tuple[ModelFile, ...]) -> frozenset[str]:
    """Read the precisions of a published IR from file names such as FP16/<name>.xml."""
    seen: dict[str, set[str]] = {}
    places: dict[str, Node] = {}
    for node, file in zip(nodes, files, strict=True):
        folder, slash, rest = file.name.partition("/")
        if not slash or "/" in rest or not folder.startswith("FP"):
            continue
        place = node.value["name"][1]
        if folder not in KNOWN:
            raise place.error(f"unknown precision {quote(folder)}", join_or(KNOWN))
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
    for item in read_list(node, "input_info"):
        found = read_mapping(item, "an input", ("name", "shape", "layout"), ("name",))
        name = read_nonempty(found["name"], "name")
        if any(name == earlier.name for earlier in inputs):
            raise found["name"].error(f"duplicate input {quote(name)}", "each input once")
        shape = read_list(found["shape"], "shape") if "shape" in found else []
        inputs.append(
            InputInfo(
                name=name,
                shape=tuple(_size(size) for size in shape),
                layout=read_text(found["layout"], "layout") if "layout" in found else "",
            )
        )
    return tuple(inputs)


def _size(node: Node) -> object:
    if node.lenient and node.kind not in ("mapping", "list"):
        return node.value
    return read_integer(node, "an item of shape", least=1)


def _model_info(node: Node) -> tuple[tuple[str, object], ...]:
    if node.kind != "mapping":
        if node.lenient:
            return ()
        raise node.error(f"model_info is {describe(node)}", "a mapping")
    return tuple((key, _plain(value, key)) for key, (_, value) in node.value.items())


def _plain(node: Node, what: str) -> object:
    """Read text, a number or a boolean, or a tuple of values of one of these kinds."""
    if node.lenient:
        return _read_any(node)
    if node.kind != "list":
        return _scalar(node, what)
    kinds = {item.kind for item in node.value}
    if kinds == {"integer", "number"}:
        return tuple(read_number(item, f"an item of {what}") for item in node.value)
    if len(kinds) > 1:
        raise node.error(f"{quote(what)} mixes {join_or(sorted(kinds))}", "items of one kind")
    return tuple(_scalar(item, f"an item of {what}") for item in node.value)


def _read_any(node: Node) -> object:
    """Read what an IR can record; any other value is read as the text of its JSON."""
    items = node.value if node.kind == "list" else [node]
    kinds = {item.kind for item in items}
    if kinds <= {"integer", "number"} and all(abs(item.value) <= LARGEST for item in items):
        values = [float(item.value) if "number" in kinds else item.value for item in items]
    elif kinds in ({"text"}, {"boolean"}):
        values = [item.value for item in items]
    else:
        return json.dumps(_tree(node))
    return tuple(values) if node.kind == "list" else values[0]


def _tree(node: Node) -> object:
    if node.kind == "mapping":
        return {key: _tree(value) for key, (_, value) in node.value.items()}
    return [_tree(item) for item in node.value] if node.kind == "list" else node.value


def _scalar(node: Node, what: str) -> object:
    if node.kind == "integer":
        return read_integer(node, one_line(what))
    if node.kind == "number":
        return read_number(node, one_line(what))
    if node.kind not in ("text", "boolean"):
        raise node.error(
            one_line(f"{what} is {describe(node)}"), "text, a number, a boolean or a list"
        )
    return node.value


def _tolerances(node: Node) -> tuple[Tolerance, ...]:
    read: list[Tolerance] = []
    for item in read_list(node, "tolerances"):
        required = ("form", "hint", "reason")
        found = read_mapping(item, "a tolerance", (*required, *FIGURE_KEYS), required)
        form = read_choice(found["form"], "form", CONVERTED_FORMS)
        hint = read_choice(found["hint"], "hint", HINTS)
        variant = Variant(form, hint)
        if any(variant == earlier.variant for earlier in read):
            raise item.error(f"duplicate limits of {variant}", "each form and hint once")
        limits = {key: _limit(found[key], key) for key in FIGURE_KEYS if key in found}
        if not limits:
            raise item.error(f"the tolerance of {variant} limits nothing", join_or(FIGURE_KEYS))
        reason = read_nonempty(found["reason"], "reason").strip()
        read.append(Tolerance(variant, Limits(limits, reason)))
    return tuple(read)


def _limit(node: Node, key: str) -> Limit:
    """A number, or a mapping of `absolute` and `relative`."""
    if node.kind != "mapping":
        return Limit(absolute=read_number(node, key))
    found = read_mapping(node, f"the limit {key}", ("absolute", "relative"), ())
    if not found:
        raise node.error(f"the limit {key} is empty", "absolute, relative or both")
    return Limit(**{name: read_number(value, f"{name} of {key}") for name, value in found.items()})
