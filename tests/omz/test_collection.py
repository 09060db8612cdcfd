"""Trees of models, and the choice among them."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolchain.catalog.builtin import DATA, builtin_config, data_file
from toolchain.catalog.records import CompositeModel
from toolchain.errors import CatalogError, ToolchainError, UsageError
from toolchain.omz.collection import load, select

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


def test_one_place_is_read(tree: Path) -> None:
    """Nothing gives the built-in model, a config its model, a root the whole tree by name."""
    assert [model.config_path for model in load()] == [builtin_config()]
    assert [model.name for model in load(tree / "public" / "b" / "model.yml")] == ["b"]
    models = load(None, tree)
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
    with pytest.raises(UsageError):
        load(builtin_config(), tree)


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
def test_patterns_choose_in_their_order(tree: Path, patterns: list[str], names: list[str]) -> None:
    """Matches keep the order of the patterns, none twice; stages match when their whole doesn't."""
    assert [model.name for model in select(load(None, tree), patterns)] == names


@pytest.mark.parametrize("pattern", ["B", "", "c*"])
def test_a_pattern_without_a_match_is_an_error(tree: Path, pattern: str) -> None:
    """Case counts, and a pattern that matches nothing is named."""
    with pytest.raises(ToolchainError) as caught:
        select(load(None, tree), ["a", pattern])
    assert caught.value.lines() == [f'No matching models: "{pattern}"']
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("where", "text", "said"),
    [
        ("public/c/model.yml", "a: [", "c/model.yml:1:5: not YAML"),
        ("intel/b/model.yml", MODEL, "a second model b"),
        ("public/pair/model.yml", MODEL, "lies beside it"),
        ("public/pair/x/y/model.yml", MODEL, "too deep"),
        ("model.yml", MODEL, "lies at the top"),
        ("public/d/composite-model.yml", HEAD + "stages_order: []", "5:15: stages_order is empty"),
        ("public/d/composite-model.yml", HEAD + "stages_order: [d-1]", "5:16: stage"),
        ("public/d/composite-model.yml", HEAD + "stages_order: [e]", "5:16: stage"),
        ("public/d/composite-model.yml", HEAD, "1:1: the composite model has no stages_order"),
        ("public/pair/pair-1/model.yml", MODEL + "x: 1\n", "pair-1/model.yml:7:1: unknown key"),
    ],
)
def test_a_mistake_anywhere_in_the_tree_is_named(
    tree: Path, where: str, text: str, said: str
) -> None:
    """One bad file in a collection is an error that says which."""
    put(tree, where, text)
    with pytest.raises(CatalogError) as caught:
        load(None, tree)
    (line,) = caught.value.lines()
    assert said in line.replace("\\", "/")


def test_a_root_without_models_is_an_error(tmp_path: Path) -> None:
    """An empty or missing folder is said, not an empty result."""
    for root in (tmp_path, tmp_path / "missing"):
        with pytest.raises(CatalogError, match=r"holds no model\.yml"):
            load(None, root)


def test_package_data_stays_in_its_folder() -> None:
    """A path that would leave the package's data is refused."""
    assert data_file("a/b.bin") == DATA / "a" / "b.bin"
    for path in ("../reader.py", "/etc/passwd", "", "a/../../b"):
        with pytest.raises(CatalogError):
            data_file(path)
