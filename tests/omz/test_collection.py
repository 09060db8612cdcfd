"""Collections of models, and the choice of models by pattern."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolchain.catalog.records import CompositeModel
from toolchain.errors import CatalogError, ToolchainError
from toolchain.omz.collection import read_collection, select_models

HEAD = "description: d\ntask_type: detection\nframework: onnx\nlicense: MIT\n"
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
    assert caught.value.lines() == [f'No matching models: "{pattern}"']
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("where", "text", "message"),
    [
        ("public/c/model.yml", "a: [", "c/model.yml:1:5: invalid YAML"),
        ("intel/b/model.yml", MODEL, "duplicate model b"),
        ("public/pair/model.yml", MODEL, "model.yml in the same folder"),
        ("public/pair/x/y/model.yml", MODEL, "too deep"),
        ("model.yml", MODEL, "is in the top folder"),
        ("public/d/composite-model.yml", HEAD + "stages_order: []", "5:15: stages_order is empty"),
        ("public/d/composite-model.yml", HEAD + "stages_order: [d-1]", "5:16: stage"),
        ("public/d/composite-model.yml", HEAD + "stages_order: [e]", "5:16: stage"),
        ("public/d/composite-model.yml", HEAD, "1:1: the composite model has no stages_order"),
        ("public/pair/pair-1/model.yml", MODEL + "x: 1\n", "pair-1/model.yml:7:1: unknown key"),
    ],
)
def test_an_invalid_file_anywhere_is_an_error(
    tree: Path, where: str, text: str, message: str
) -> None:
    """The error shows which file of the collection is invalid."""
    put(tree, where, text)
    with pytest.raises(CatalogError) as caught:
        read_collection(tree)
    (line,) = caught.value.lines()
    assert message in line.replace("\\", "/")


def test_a_root_without_models_is_an_error(tmp_path: Path) -> None:
    """An empty or missing folder is not an empty collection."""
    for root in (tmp_path, tmp_path / "missing"):
        with pytest.raises(CatalogError, match=r"no model\.yml found"):
            read_collection(root)
