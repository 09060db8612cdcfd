"""Checkpoint files: held strictly against the network, never unpickled with code."""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from tests.support.weights import plausible_state
from toolchain.errors import CheckpointError, UnsafeCheckpointError
from toolchain.network.checkpoint import detect_format, load_state_dict
from toolchain.network.matting_refine import MattingNetwork
from toolchain.stages.checkpoint import CheckpointRequest, check

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    return plausible_state(5)


def scripted(state: State, path: Path) -> None:
    network = MattingNetwork()
    network.load_state_dict(state)

    class Holder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, child in network.named_children():
                self.add_module(name, child)

        def forward(self, x: Tensor) -> Tensor:
            return x

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(Holder().eval(), torch.zeros(1)), path)  # type: ignore[no-untyped-call]


WRITERS: dict[str, Callable[[State, Path], None]] = {
    "zip": torch.save,
    "legacy": lambda s, p: torch.save(s, p, _use_new_zipfile_serialization=False),
    "half": lambda s, p: torch.save({k: v.half() if v.dim() else v for k, v in s.items()}, p),
    "ordered": lambda s, p: torch.save(OrderedDict(s), p),
    "wrapped": lambda s, p: torch.save({"state_dict": s, "epoch": 3}, p),
    "shuffled": lambda s, p: torch.save(dict(reversed(s.items())), p),
    "safetensors": safetensors.torch.save_file,
}


@pytest.mark.parametrize("form", WRITERS)
def test_every_form_gives_the_same_state_dict(form: str, state: State, tmp_path: Path) -> None:
    """All ways of writing the tensors are read, in the published order, as float32."""
    path = tmp_path / "checkpoint"
    WRITERS[form](state, path)
    read = load_state_dict(path)
    assert list(read) == list(MattingNetwork().state_dict())
    for key, value in read.items():
        expected = state[key].half().float() if form == "half" and value.dim() else state[key]
        assert torch.equal(value, expected), key
        assert value.dtype == (torch.float32 if value.is_floating_point() else torch.int64)


def test_torchscript_is_read(state: State, tmp_path: Path) -> None:
    """A TorchScript archive of the network gives its weights."""
    path = tmp_path / "scripted.pth"
    scripted(state, path)
    assert detect_format(path) == "torchscript"
    read = load_state_dict(path)
    assert all(torch.equal(read[key], state[key]) for key in state)


def test_missing_unexpected_and_misshapen_keys_are_listed_by_name(
    state: State, tmp_path: Path
) -> None:
    """Every kind of fault of the keys stands in one complaint."""
    wrong = dict(state)
    del wrong["refiner.conv4.bias"]
    wrong["refiner.conv9.bias"] = torch.zeros(4)
    wrong["decoder.conv1.weight"] = torch.zeros(1, 2, 3, 3)
    path = tmp_path / "wrong.pth"
    torch.save(wrong, path)
    with pytest.raises(CheckpointError) as caught:
        load_state_dict(path)
    message = caught.value.message
    assert "1 missing: refiner.conv4.bias" in message
    assert "1 unexpected: refiner.conv9.bias" in message
    assert "decoder.conv1.weight (expected 128x288x3x3, found 1x2x3x3)" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_refused(value: float, state: State, tmp_path: Path) -> None:
    """NaN and infinite weights are refused with the key's name."""
    broken = dict(state)
    broken["aspp.project.0.weight"] = state["aspp.project.0.weight"].clone()
    broken["aspp.project.0.weight"][3, 4] = value
    path = tmp_path / "broken.pth"
    torch.save(broken, path)
    with pytest.raises(CheckpointError, match=r"NaN.*aspp\.project\.0\.weight"):
        load_state_dict(path)


class Bomb:
    """Unpickling this makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("form", ["zip", "legacy", "plain pickle"])
def test_a_pickle_that_would_run_code_is_refused_and_named(form: str, tmp_path: Path) -> None:
    """The code in it is named, and never run."""
    mark, path = tmp_path / "ran", tmp_path / "bomb.pth"
    if form == "plain pickle":
        path.write_bytes(pickle.dumps({"a": Bomb(mark)}))
    else:
        torch.save({"a": Bomb(mark)}, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(UnsafeCheckpointError, match="mkdir"):
        load_state_dict(path)
    assert not mark.exists()


@pytest.mark.parametrize("protocol", [2, 4])
def test_only_what_is_no_tensor_is_named(protocol: int, state: State, tmp_path: Path) -> None:
    """Storages and the like, which any checkpoint has, are not called code."""
    mark, path = tmp_path / "ran", tmp_path / "bomb.pth"
    torch.save({**state, "a": Bomb(mark)}, path, pickle_protocol=protocol)
    with pytest.raises(UnsafeCheckpointError, match=r"run code \(\w+\.mkdir\)"):
        load_state_dict(path)
    assert not mark.exists()


def test_code_in_the_dress_of_torchscript_is_refused_and_named(tmp_path: Path) -> None:
    """Files that make an archive look like TorchScript's change nothing about its pickle."""
    mark, path = tmp_path / "ran", tmp_path / "bomb.pth"
    torch.save({"a": Bomb(mark)}, path)
    with zipfile.ZipFile(path, "a") as archive:
        root = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{root}/constants.pkl", pickle.dumps((), 2))
        archive.writestr(f"{root}/code/__torch__.py", "")
    assert detect_format(path) == "torchscript"
    with pytest.raises(UnsafeCheckpointError, match=r"run code \(\w+\.mkdir\)"):
        load_state_dict(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"\x80\x02", b"<!DOCTYPE html><html>", bytes(range(256)) * 40]
)
def test_damaged_files_are_one_sentence(content: bytes, tmp_path: Path) -> None:
    """What is no checkpoint at all is said to be none."""
    path = tmp_path / "damaged.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load_state_dict(path)
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_truncated_files_are_refused(form: str, state: State, tmp_path: Path) -> None:
    """A file cut anywhere is never taken for a whole one."""
    whole, path = tmp_path / "whole", tmp_path / "cut"
    WRITERS[form](state, whole)
    data = whole.read_bytes()
    for share in (0.001, 0.3, 0.9, 0.999):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(CheckpointError):
            load_state_dict(path)


def test_dataparallels_prefix_is_explained(state: State, tmp_path: Path) -> None:
    """Keys that all begin with `module.` bring the advice that mends them."""
    path = tmp_path / "parallel.pth"
    torch.save({f"module.{key}": value for key, value in state.items()}, path)
    with pytest.raises(CheckpointError) as caught:
        load_state_dict(path)
    assert "module.state_dict()" in caught.value.hint


def test_the_stage_tells_format_entries_and_digest(state: State, tmp_path: Path) -> None:
    """The checkpoint stage's result describes the file."""
    path = tmp_path / "good.safetensors"
    safetensors.torch.save_file(state, path)
    result = check(CheckpointRequest(path))
    assert (result.format, result.entries) == ("safetensors", 382)
    assert len(result.sha384) == 96
