"""Which IR a path means."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolchain.api.model_files import find_model, find_models
from toolchain.errors import PackageFormatError, UsageError


def write_ir(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.bin").touch()
    (folder / f"{name}.xml").touch()
    return folder / f"{name}.xml"


def test_every_kind_of_path_leads_to_its_ir(tmp_path: Path) -> None:
    """The folder of a build, of a model or of a precision and the IR itself are all accepted."""
    model = tmp_path / "public" / "m"
    fp32, fp16, int8 = (write_ir(model / name, "m") for name in ("FP32", "FP16", "FP16-INT8"))
    for path in (tmp_path, model, model / "FP16", fp16):
        assert (find_model(path).xml, find_model(path).precision) == (fp16, "FP16")
    assert find_model(tmp_path, "FP32").xml == fp32
    assert find_model(model / "FP16-INT8").xml == int8
    assert [found.precision for found in find_models(tmp_path)] == ["FP16", "FP32", "FP16-INT8"]


def test_other_precisions_rank_after_the_preferred_ones(tmp_path: Path) -> None:
    """A folder such as FP32-INT8 is reported as this precision and is not chosen before FP16."""
    for name in ("Debug", "FP32-INT8", "FP16-INT8", "FP16-INT1", "FP16"):
        write_ir(tmp_path / name, "m")
    assert find_model(tmp_path).precision == "FP16"
    assert [found.precision for found in find_models(tmp_path)] == [
        "FP16",
        "FP16-INT8",
        "FP16-INT1",
        "FP32-INT8",
        "",
    ]
    assert find_model(tmp_path, "FP32-INT8").xml == tmp_path / "FP32-INT8" / "m.xml"


def test_a_folder_of_any_name_is_accepted_if_it_is_the_only_one(tmp_path: Path) -> None:
    """An IR in a folder that is not named as a precision has no precision, and can be used."""
    xml = write_ir(tmp_path / "model" / "Debug", "m")
    for path in (tmp_path / "model", xml.parent, xml):
        assert (find_model(path).xml, find_model(path).precision) == (xml, "")


def test_a_package_is_a_model(packaged: Path) -> None:
    """The archive itself is accepted; its precisions are those that were packaged."""
    found = find_models(packaged)
    assert [model.precision for model in found] == ["FP16", "FP32"]
    assert find_model(packaged, "FP32").xml == found[1].xml
    assert found[0].xml.with_suffix(".bin").is_file()


def test_a_path_without_a_model_is_an_error(tmp_path: Path) -> None:
    """A missing path, an empty folder, several models, and half an IR are reported with a hint."""
    with pytest.raises(UsageError, match="none: not found"):
        find_model(tmp_path / "none")
    with pytest.raises(UsageError, match="contains no IR"):
        find_model(tmp_path)
    one = write_ir(tmp_path / "public" / "a" / "FP16", "a")
    with pytest.raises(UsageError, match="FP32 not found; it contains FP16") as caught:
        find_model(tmp_path, "FP32")
    assert "--precisions FP32" in caught.value.hint
    with pytest.raises(UsageError, match="INT4 not found") as caught:
        find_model(tmp_path, "INT4")
    assert "--precisions" not in caught.value.hint
    write_ir(tmp_path / "public" / "b" / "FP16", "b")
    with pytest.raises(UsageError, match="several models: a, b") as caught:
        find_model(tmp_path)
    assert str(one.parent.parent) in caught.value.hint
    one.with_suffix(".bin").unlink()
    with pytest.raises(UsageError, match=r"a\.bin: not found"):
        find_model(one)
    (tmp_path / "model.tar.gz").touch()
    with pytest.raises(PackageFormatError, match=r"model\.tar\.gz"):
        find_model(tmp_path / "model.tar.gz")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"notes\.txt: not a model"):
        find_model(tmp_path / "notes.txt")
