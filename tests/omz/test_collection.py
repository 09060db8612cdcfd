"""Collections of models, and the choice of models by pattern."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import openvino
import pytest

from toolchain.catalog.reader import read_model
from toolchain.catalog.records import CompositeModel, Model
from toolchain.errors import CatalogError, ToolchainError
from toolchain.omz.collection import UnreadableModel, read_collection, read_patterns, select_models

HEAD = "description: d\ntask_type: detection\nframework: onnx\nlicense: MIT\n"
FILE = "- {{name: {!r}, size: 1, checksum: " + "0" * 96 + ", source: https://a.example/f}}\n"
MODEL = HEAD + "files: []\nmodel_optimizer_args: []\n"


def put(root: Path, where: str, text: str = MODEL) -> None:
    path = root / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    put(tmp_path, "public/b/model.yml")
    put(tmp_path, "intel/a/model.yml")
    put(tmp_path, "public/pair/composite-model.yml", HEAD + "stages_order: [pair-2, pair-1]\n")
    put(tmp_path, "public/pair/pair-1/model.yml")
    put(tmp_path, "public/pair/pair-2/model.yml")
    return tmp_path


def test_all_models_below_a_root_are_read(tree: Path) -> None:
    """Models and composite models by name; the stages are part of their composite model."""
    models = read_collection(tree)
    assert [(m.name, m.subdirectory) for m in models] == [
        ("a", "intel/a"),
        ("b", "public/b"),
        ("pair", "public/pair"),
    ]
    pair = models[2]
    assert isinstance(pair, CompositeModel)
    assert [(s.name, s.subdirectory, s.composite_model_name) for s in pair.stages] == [
        ("pair-2", "public/pair/pair-2", "pair"),
        ("pair-1", "public/pair/pair-1", "pair"),
    ]
    assert pair.precisions == {"FP16", "FP32"}


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["b", "a"], ["b", "a"]),
        (["*"], ["a", "b", "pair"]),
        (["[ab]", "b", "*"], ["a", "b", "pair"]),
        (["pair-*"], ["pair-2", "pair-1"]),
        (["pair*"], ["pair"]),
    ],
)
def test_models_have_the_order_of_the_patterns(
    tree: Path, patterns: list[str], names: list[str]
) -> None:
    """No model twice; stages match where their composite model does not."""
    assert [model.name for model in select_models(read_collection(tree), patterns)] == names


@pytest.mark.parametrize("pattern", ["B", "", "c*"])
def test_a_pattern_without_a_match_is_an_error(tree: Path, pattern: str) -> None:
    """Upper and lower case differ, and the error shows the pattern."""
    with pytest.raises(ToolchainError) as caught:
        select_models(read_collection(tree), ["a", pattern])
    first, hint = caught.value.lines()
    assert first == f'No matching models: "{pattern}"'
    assert hint.startswith("3 models are known; --print_all lists them.")
    assert "OMZ_MODELS_ROOT" in hint
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("where", "text", "name", "message"),
    [
        ("public/c/model.yml", "a: [", "c", "c/model.yml:1:5: invalid YAML"),
        ("public/c/model.yml", MODEL.replace("detection", "no task"), "c", "task_type"),
        ("public/pair/model.yml", MODEL, "pair", "model.yml in the same folder"),
        ("public/pair/x/y/model.yml", MODEL, "pair", "too deep"),
        ("public/d/composite-model.yml", HEAD + "stages_order: []", "d", "stages_order is empty"),
        ("public/d/composite-model.yml", HEAD + "stages_order: [d-1]", "d", "5:16: stage"),
        ("public/d/composite-model.yml", HEAD + "stages_order: [e]", "d", "5:16: stage"),
        ("public/d/composite-model.yml", HEAD, "d", "1:1: the composite model has no stages_order"),
        (
            "public/pair/pair-1/model.yml",
            "x: 1\n",
            "pair",
            "pair-1/model.yml:1:1: the model has no",
        ),
    ],
)
def test_a_model_that_cannot_be_read_fails_alone(
    tree: Path, where: str, text: str, name: str, message: str
) -> None:
    """Its error shows the file and the place; the others are read."""
    put(tree, where, text)
    entries = {entry.name: entry for entry in read_collection(tree)}
    unreadable = entries[name]
    assert isinstance(unreadable, UnreadableModel)
    assert message in unreadable.error.message.replace("\\", "/")
    others = [entry for entry in entries.values() if entry is not unreadable]
    assert len(others) >= 2
    assert not any(isinstance(entry, UnreadableModel) for entry in others)


def test_a_model_in_the_top_folder_is_an_error(tree: Path) -> None:
    """It has no name."""
    put(tree, "model.yml")
    with pytest.raises(CatalogError, match="is in the top folder"):
        read_collection(tree)


def test_of_two_models_with_one_name_both_are_read(tree: Path) -> None:
    """They have folders of their own; a pattern selects the last."""
    put(tree, "intel/b/model.yml")
    models = read_collection(tree)
    assert [m.subdirectory for m in models if m.name == "b"] == ["intel/b", "public/b"]
    assert [m.subdirectory for m in select_models(models, ["b"])] == ["public/b"]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + "unknown: 1\nfiles_of_mine: {a: [1]}\n",
        lambda text: text + "description: again\n",
        lambda text: text + "1: a\nyes: b\n",
        lambda text: (
            "defaults: &d {task_type: detection}\n<<: *d\n"
            + text.replace("task_type: detection\n", "")
        ),
        lambda text: text + "input_info:\n- {name: x, shape: [-1, 0, '?', 1..3]}\n",
        lambda text: text + "input_info:\n- {name: x, shape: [1, 3, H, 2.5], extra: 1}\n",
        lambda text: text + "model_info: {a: {b: [1, null]}, c: null, d: -1.5, e: [1, x]}\n",
        lambda text: text + "model_info: text\n",
        lambda text: text.replace("files: []", "files:\n" + FILE.format("a:b.bin")),
        lambda text: text.replace("files: []", "files:\n" + FILE.format("./a//b.bin")),
        lambda text: text.replace(
            "files: []", "files:\n" + FILE.format("A.bin") + FILE.format("a.bin")
        ),
        lambda text: text.replace(
            "files: []", "files:\n" + FILE.format("a").replace("https:", "ftp:")
        ),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse more names")
def test_what_open_model_zoo_accepts_is_read(tmp_path: Path, change: Callable[[str], str]) -> None:
    """In a collection; a model.yml of this project's own is read strictly."""
    put(tmp_path, "public/c/model.yml", change(MODEL))
    (model,) = read_collection(tmp_path)
    assert not isinstance(model, UnreadableModel), model.error.message
    assert model.task_type == "detection"
    with pytest.raises(CatalogError):
        read_model(tmp_path / "public" / "c" / "model.yml")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *(("[1, 2.5]", (1.0, 2.5)), ("[-1, 2]", (-1, 2)), ("-0.5", -0.5), ("[a, b]", ("a", "b"))),
        *(("[null, null]", "[null, null]"), ("[1, a]", '[1, "a"]'), ("[yes, no]", (True, False))),
        *(("99999999999999999999", "99999999999999999999"), ("null", "null"), ("[]", ())),
        *((".inf", "Infinity"), ("{a: [1]}", '{"a": [1]}'), ("2001-01-01", '"2001-01-01"')),
    ],
)
def test_any_model_info_can_be_recorded_in_an_ir(
    tmp_path: Path, written: str, value: object
) -> None:
    """Numbers stay numbers; what an IR cannot record is text."""
    put(tmp_path, "public/c/model.yml", MODEL + f"model_info: {{x: {written}}}\n")
    (model,) = read_collection(tmp_path)
    assert isinstance(model, Model)
    assert model.model_info == (("x", value),)
    empty = openvino.Model([], [], "empty")
    found = model.model_info[0][1]
    empty.set_rt_info(list(found) if isinstance(found, tuple) else found, ["model_info", "x"])


def test_utf_16_is_read(tmp_path: Path) -> None:
    """With a byte order mark."""
    put(tmp_path, "public/c/model.yml")
    path = tmp_path / "public" / "c" / "model.yml"
    path.write_bytes(path.read_text("utf-8").encode("utf-16"))
    (model,) = read_collection(tmp_path)
    assert model.name == "c"


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b"])
def test_a_file_outside_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    """However leniently a collection is read."""
    put(tmp_path, "public/c/model.yml", MODEL.replace("files: []", "files:\n" + FILE.format(name)))
    assert isinstance(read_collection(tmp_path)[0], UnreadableModel)


def test_a_root_without_models_is_an_error(tmp_path: Path) -> None:
    """An empty or missing folder is not an empty collection."""
    for root in (tmp_path, tmp_path / "missing"):
        with pytest.raises(CatalogError, match=r"no model\.yml found"):
            read_collection(root)


def test_a_long_pattern_is_refused_at_once(tree: Path) -> None:
    """Matching many brackets would take hours."""
    with pytest.raises(ToolchainError, match="a pattern of 60,000 characters"):
        select_models(read_collection(tree), ["[" * 60_000])


def test_a_list_is_a_plain_file_of_a_limited_size(tmp_path: Path) -> None:
    """A device or a file of many megabytes is an error."""
    (tmp_path / "large").write_bytes(b"#" * (2 << 20))
    for path, message in ((tmp_path / "large", "too long"), (Path(os.devnull), "not a plain file")):
        with pytest.raises(CatalogError, match=message):
            read_patterns(path)
