"""The weights of this network, from every form in which people save them."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from tests.support.checkpoint_forms import FORMS, State, save_script, with_prefix
from tests.support.weights import plausible_state
from toolchain.checkpoints.load import describe, load_checkpoint, load_state_dict
from toolchain.errors import CheckpointError, UnsafeCheckpointError
from toolchain.network.matting import MattingNetwork

SEED = 5


@pytest.fixture(scope="module")
def state() -> State:
    """The weights that every form holds."""
    return plausible_state(SEED)


def message_of(path: Path) -> str:
    """The message for a file that is refused."""
    with pytest.raises(CheckpointError) as caught:
        load_state_dict(path)
    assert "\n" not in caught.value.message
    assert caught.value.message.isprintable()
    assert caught.value.hint
    assert caught.value.kept
    return caught.value.message


def saved(value: object, path: Path) -> Path:
    """A file of torch.save."""
    torch.save(value, path)
    return path


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_weights_and_says_where(
    name: str, state: State, tmp_path: Path
) -> None:
    """All entries, in the published order, as float32; the place and what was changed is told."""
    path, form = tmp_path / "checkpoint", FORMS[name]
    form.write(state, path)
    checkpoint = load_checkpoint(path)
    assert list(checkpoint.state) == list(MattingNetwork().state_dict())
    for key, value in checkpoint.state.items():
        assert value.is_contiguous()
        if value.dim():
            assert value.dtype == torch.float32
            difference = (value - state[key]).abs().max()
            assert difference <= form.tolerance * state[key].abs().max(), key
        else:
            assert value.dtype == torch.int64
    assert form.where in checkpoint.found


def test_missing_unexpected_and_misshapen_keys_are_listed_by_name(
    state: State, tmp_path: Path
) -> None:
    """Every kind of fault of the keys is in one message."""
    wrong = dict(state)
    del wrong["refiner.conv4.bias"]
    wrong["refiner.conv9.bias"] = torch.zeros(4)
    wrong["decoder.conv1.weight"] = torch.zeros(1, 2, 3, 3)
    wrong["decoder.bn1.weight"] = torch.zeros(128, dtype=torch.int32)
    message = message_of(saved(wrong, tmp_path / "wrong.pth"))
    assert "1 missing: refiner.conv4.bias" in message
    assert "1 unexpected: refiner.conv9.bias" in message
    assert "decoder.conv1.weight (expected 128x288x3x3, found 1x2x3x3)" in message
    assert "decoder.bn1.weight (expected a float type, found int32)" in message


NOT_DENSE = {
    "a sparse tensor": lambda value: value.to_sparse(),
    "a tensor without data (meta)": lambda value: value.to("meta"),
    "a quantized tensor": lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
    "None instead of a tensor": lambda _: None,
    "a value instead of a tensor": lambda _: "weights",
}


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", NOT_DENSE)
def test_what_is_no_dense_tensor_is_named_with_its_key(
    kind: str, state: State, tmp_path: Path
) -> None:
    """Sparse, meta and quantized tensors, and what is no tensor at all."""
    key = "decoder.conv1.weight"
    message = message_of(saved({**state, key: NOT_DENSE[kind](state[key])}, tmp_path / "x.pth"))
    assert f"1 misshapen: {key} ({kind})" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_values_that_are_not_finite_are_refused(value: float, state: State, tmp_path: Path) -> None:
    """NaN, infinite values, and those that are infinite as float32."""
    broken = dict(state)
    broken["aspp.project.0.weight"] = state["aspp.project.0.weight"].double()
    broken["aspp.project.0.weight"][3, 4] = value
    message = message_of(saved(broken, tmp_path / "broken.pth"))
    assert "NaN" in message
    assert "aspp.project.0.weight" in message


def test_a_negative_variance_is_refused(state: State, tmp_path: Path) -> None:
    """Its square root does not exist."""
    key = "decoder.bn1.running_var"
    assert key in message_of(saved({**state, key: -state[key]}, tmp_path / "x.pth"))


# Which of several


@pytest.fixture
def with_ema(state: State, tmp_path: Path) -> Path:
    """Weights and their moving average in one state dict, as Lightning saves them."""
    averaged = {key: value * 2 if value.dim() else value for key, value in state.items()}
    both = {**with_prefix("model.", state), **with_prefix("ema_model.", averaged)}
    return saved({"state_dict": both, "epoch": 1}, tmp_path / "both.ckpt")


def test_two_that_fit_are_an_error_that_names_both(with_ema: Path) -> None:
    """The message names them, the hint the option."""
    with pytest.raises(CheckpointError) as caught:
        load_state_dict(with_ema)
    assert "state_dict.model, state_dict.ema_model" in caught.value.message
    assert "--weights-key state_dict.model" in caught.value.hint


def test_a_key_chooses_one_of_two(with_ema: Path, state: State) -> None:
    """By the name from the message, or its end."""
    name = "aspp.project.0.weight"
    assert torch.equal(load_state_dict(with_ema, "state_dict.model")[name], state[name])
    for key in ("state_dict.ema_model", "ema_model", "ema_model."):
        assert torch.equal(load_state_dict(with_ema, key)[name], 2 * state[name])


def test_a_key_that_names_nothing_is_an_error(with_ema: Path) -> None:
    """It lists what there is."""
    with pytest.raises(
        CheckpointError, match=r"--weights-key.*\"optimizer\".*state_dict.ema_model"
    ):
        load_state_dict(with_ema, "optimizer")


def test_a_key_that_names_other_weights_says_what_is_wrong(state: State, tmp_path: Path) -> None:
    """A mapping that was asked for by name is compared, not passed over."""
    half = {key: value for key, value in state.items() if key < "refiner"}
    path = saved({"whole": state, "half": half}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"\"half\".*missing: refiner"):
        load_state_dict(path, "half")


# What it is instead

NAMES = ("conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer3.5.conv1.weight")


@pytest.mark.parametrize(("depth", "last"), [(50, 5), (101, 22)])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_resnet_backbone_is_named(
    prefix: str, depth: int, last: int, state: State, tmp_path: Path
) -> None:
    """A BackgroundMattingV2 checkpoint with another backbone is told from its layers."""
    other = {key: value for key, value in state.items() if not key.startswith("backbone.")}
    for name in (*NAMES, f"layer3.{last}.conv1.weight"):
        other[f"backbone.{name}"] = torch.zeros(4, 4)
    path = saved({"state_dict": with_prefix(prefix, other)}, tmp_path / "resnet.pth")
    assert f"ResNet{depth} backbone" in message_of(path)


def test_the_base_network_alone_is_named(state: State, tmp_path: Path) -> None:
    """MattingBase, the first stage of the training, has no refiner."""
    base = {key: value for key, value in state.items() if not key.startswith("refiner.")}
    message = message_of(saved(with_prefix("module.", base), tmp_path / "base.pth"))
    assert "MattingBase" in message
    assert "the refiner is missing" in message


def test_another_network_is_named_by_its_tensors(tmp_path: Path) -> None:
    """Nothing of it has a name of this network."""
    path = saved(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)).state_dict(), tmp_path / "x.pth")
    assert "holds another network: 4 tensors" in message_of(path)
    assert "0.weight" in message_of(path)


def test_a_relative_of_this_network_is_another_network(state: State, tmp_path: Path) -> None:
    """Few of the keys fit."""
    few = dict(list(state.items())[:50])
    message = message_of(saved(few, tmp_path / "x.pth"))
    assert "holds another network: 50 of 382 keys and shapes fit" in message


@pytest.mark.parametrize("value", [3, "weights", [1, 2], {"epoch": 3}, None])
def test_a_file_without_tensors_says_so(value: object, tmp_path: Path) -> None:
    """Nothing in it is a tensor."""
    assert "holds no tensors" in message_of(saved(value, tmp_path / "x.pth"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_frozen_script_says_that_its_names_are_gone(tmp_path: Path) -> None:
    """Freezing turns weights into constants without names."""
    path, network = tmp_path / "frozen.pt", nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    script = torch.jit.trace(network, torch.zeros(1, 3, 8, 8))  # type: ignore[no-untyped-call]
    torch.jit.save(torch.jit.freeze(script), path)  # type: ignore[no-untyped-call]
    assert "frozen TorchScript" in message_of(path)


# Code


class Bomb:
    """Unpickling this makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"pickle_protocol": 4}, {"_use_new_zipfile_serialization": False}]
)
def test_code_in_a_pickle_is_named_and_never_run(
    options: dict[str, object], beside: bool, state: State, tmp_path: Path
) -> None:
    """Alone or beside good weights."""
    mark, path = tmp_path / "ran", tmp_path / "bomb.pth"
    torch.save({**(state if beside else {}), "a": Bomb(mark)}, path, **options)  # type: ignore[arg-type]
    with pytest.raises(UnsafeCheckpointError, match=r"run code \(\w+\.mkdir\)") as caught:
        load_state_dict(path)
    assert caught.value.kept == "Nothing in it was run."
    assert not mark.exists()


def test_code_in_the_dress_of_torchscript_is_named(tmp_path: Path) -> None:
    """Files that make an archive look like TorchScript's change nothing."""
    mark, path = tmp_path / "ran", tmp_path / "bomb.pth"
    torch.save({"a": Bomb(mark)}, path)
    with zipfile.ZipFile(path, "a") as archive:
        root = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{root}/constants.pkl", b"\x80\x02).")
        archive.writestr(f"{root}/code/__torch__.py", "")
    with pytest.raises(UnsafeCheckpointError, match=r"run code \(\w+\.mkdir\)"):
        load_state_dict(path)
    assert not mark.exists()


class WritesWhenLoaded(nn.Module):
    """Its `__setstate__` would overwrite a file."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.register_buffer("bytes", torch.zeros(1, dtype=torch.uint8))

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, bool]:
        """State of the archive."""
        return self.weight, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, bool]) -> None:
        """What torch.jit.load would run."""
        self.weight = state[0]
        self.training = state[1]
        target = torch.from_file("victim.txt", shared=True, size=4, dtype=torch.uint8)
        target.copy_(torch.zeros(4, dtype=torch.uint8))
        self.bytes = target

    def forward(self, x: Tensor) -> Tensor:
        """Nothing is computed."""
        return x


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="torch.jit.script needs Python below 3.14")
def test_the_code_of_a_torchscript_archive_is_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its `__setstate__` would overwrite a file."""
    monkeypatch.chdir(tmp_path)
    path, victim = tmp_path / "x.pt", tmp_path / "victim.txt"
    victim.write_text("precious")
    torch.jit.script(WritesWhenLoaded()).save(path)  # type: ignore[no-untyped-call]
    assert victim.read_text() == "precious"
    assert "holds another network" in message_of(path)
    assert victim.read_text() == "precious"
    torch.jit.load(path)  # type: ignore[no-untyped-call]
    assert victim.read_text() != "precious"  # so that the test tests something


def test_text_of_a_file_reaches_a_message_printable_and_short(state: State, tmp_path: Path) -> None:
    """Keys and class names with escapes, line breaks and ten million letters."""
    hostile = {
        "\x1b]0;owned\x07\x1b[2J\nError: all is well": torch.zeros(1),
        "\u202egnp.exe": torch.zeros(1),
        "A" * 1000: torch.zeros(1),
        "B" * 10_000_000: torch.zeros(1),
    }
    path = saved({**state, **hostile}, tmp_path / "x.pth")
    found = load_checkpoint(path).found
    assert found.isprintable()
    assert len(found) < 1000
    broken = {key: value for key, value in hostile.items() if len(key) < 2000}
    wrong = {**state, **{f"refiner.{key}": value for key, value in broken.items()}}
    message = message_of(saved(wrong, path))
    assert "3 unexpected" in message
    assert len(message) < 1000


def test_a_name_of_code_reaches_a_message_printable(tmp_path: Path) -> None:
    """Also where the name is that of a function."""
    path = tmp_path / "x.pth"
    path.write_bytes(b"\x80\x04\x8c\x0bos.\x1b[31mred\x8c\x06system\x93)R.")
    with pytest.raises(UnsafeCheckpointError) as caught:
        load_state_dict(path)
    assert caught.value.message.isprintable()


# Descriptions


def test_a_description_tells_what_a_file_holds(with_ema: Path) -> None:
    """Format, every mapping with its types, and why it is not usable without a key."""
    told = describe(with_ema)
    assert (told.format, told.usable) == ("torch", False)
    assert "--weights-key" in told.hint
    assert [mapping["name"] for mapping in told.mappings] == [
        "state_dict.model",
        "state_dict.ema_model",
    ]
    assert all(mapping["fits"] and mapping["keys_that_fit"] == 382 for mapping in told.mappings)
    assert told.mappings[0]["dtypes"] == {"float32": 319, "int64": 63}
    chosen = describe(with_ema, "state_dict.model")
    assert chosen.usable
    assert 'found under "state_dict", prefix "model."' in chosen.found


def test_a_description_of_what_is_no_checkpoint_is_its_fault(tmp_path: Path) -> None:
    """It does not raise."""
    path = tmp_path / "page.pth"
    path.write_text("<!DOCTYPE html><html></html>")
    told = describe(path)
    assert not told.usable
    assert "a web page" in told.fault
    assert told.bytes == 28
    assert "cannot be read" in describe(tmp_path / "nothing").fault


def test_metadata_of_safetensors_is_kept(state: State, tmp_path: Path) -> None:
    """The texts beside the tensors."""
    path = tmp_path / "x.safetensors"
    safetensors.torch.save_file(state, path, {"about": "a test"})
    assert load_checkpoint(path).metadata == {"about": "a test"}


def test_a_script_of_a_module_is_told_as_torchscript(state: State, tmp_path: Path) -> None:
    """The format is in the result."""
    save_script(state, tmp_path / "x.pt")
    assert load_checkpoint(tmp_path / "x.pt").format == "torchscript"
