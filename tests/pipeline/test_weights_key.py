"""One of several sets of weights in a checkpoint is chosen by `--weights-key`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.support.checkpoint_forms import with_prefix
from tests.support.weights import plausible_state
from toolchain.catalog.reader import read_model
from toolchain.checkpoints.load import load_state_dict
from toolchain.cli.main import main
from toolchain.errors import CheckpointError, UsageError
from toolchain.pipeline.build import build
from toolchain.pipeline.request import BuildRequest
from toolchain.pipeline.weights import choose_weights

KEY = "decoder.conv1.weight"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights and another set of them in one file."""
    path = tmp_path_factory.mktemp("both") / "both.ckpt"
    first, second = plausible_state(1), plausible_state(2)
    mixed = {**with_prefix("model.", first), **with_prefix("ema_model.", second)}
    torch.save({"state_dict": mixed, "epoch": 3}, path)
    return path


def request_for(config: Path, both: Path, output: Path, key: str) -> BuildRequest:
    """The download of the chosen weights."""
    model = read_model(config)
    weights = choose_weights(model, str(both), output, None, key)
    return BuildRequest(model, weights, output, stages=("download",))


def test_the_chosen_weights_are_what_a_build_uses(
    small_config: Path, both: Path, tmp_path: Path
) -> None:
    """They are written once; another key chooses others; without one it is an error."""
    request = request_for(small_config, both, tmp_path, "state_dict.ema_model")
    assert build(request).outcomes[0].ran
    assert load_state_dict(request.checkpoint)[KEY].equal(plausible_state(2)[KEY])
    assert not build(request).outcomes[0].ran
    other = request_for(small_config, both, tmp_path, "state_dict.model")
    assert build(other).outcomes[0].ran
    assert load_state_dict(other.checkpoint)[KEY].equal(plausible_state(1)[KEY])
    with pytest.raises(CheckpointError, match="holds 2 sets of weights"):
        build(request_for(small_config, both, tmp_path, ""))


def test_a_damaged_choice_is_made_again(small_config: Path, both: Path, tmp_path: Path) -> None:
    """The file of the chosen weights is verified like any other result."""
    request = request_for(small_config, both, tmp_path, "state_dict.model")
    build(request)
    good = request.checkpoint.read_bytes()
    request.checkpoint.write_bytes(good[:-1] + b"x")
    build(request)
    assert request.checkpoint.read_bytes() == good


def test_a_key_needs_a_file(small_config: Path, tmp_path: Path) -> None:
    """Published and bundled weights are one set."""
    for asked in ("upstream", "bundled", "auto"):
        with pytest.raises(UsageError, match="--weights-key"):
            choose_weights(read_model(small_config), asked, tmp_path, None, "ema")


def test_info_shows_what_a_file_holds(
    both: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As text and as JSON; the exit code says whether it can be used."""
    assert main(["info", "--weights", str(checkpoint)]) == 0
    text = capsys.readouterr().out
    assert "format: torch" in text
    assert "usable: found at the top level" in text
    assert main(["info", "--weights", str(both)]) == 1
    text = capsys.readouterr().out
    assert "weights state_dict.ema_model (prefix ema_model.): fits, 382 keys" in text
    assert "not usable" in text
    assert "--weights-key state_dict.model" in text
    arguments = ["info", "--json", "--weights", str(both), "--weights-key", "state_dict.model"]
    assert main(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["usable"]
    assert len(told["mappings"]) == 2
    (tmp_path / "page").write_text("<html></html>")
    assert main(["info", "--weights", str(tmp_path / "page")]) == 1
    assert "a web page" in capsys.readouterr().out
