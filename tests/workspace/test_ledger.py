"""Records by which a stage is skipped."""

from __future__ import annotations

import pytest

from toolchain.workspace import ledger as ledger_module
from toolchain.workspace.ledger import Ledger, code_digest, compute_key


@pytest.fixture
def made(tmp_path):
    """A ledger with one record of one output."""
    (tmp_path / "out").write_bytes(b"made")
    ledger = Ledger(tmp_path)
    ledger.enter("stage", "key", [tmp_path / "out"], {"answer": 42})
    return ledger


def test_a_record_is_valid_for_its_key_and_stage(made) -> None:
    """Another key or stage has no result."""
    assert made.current("stage", "key") == {"answer": 42}
    assert made.current("stage", "other") is None
    assert made.current("other", "key") is None


def test_a_changed_or_missing_output_invalidates_the_record(made) -> None:
    """The stage runs again."""
    (made.folder / "out").write_bytes(b"changed")
    assert made.current("stage", "key") is None
    (made.folder / "out").unlink()
    assert made.current("stage", "key") is None


def test_a_record_can_be_removed(made) -> None:
    """Removing it twice is not an error."""
    made.forget("stage")
    made.forget("stage")
    assert made.current("stage", "key") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"key": "key", "outputs": 1}'])
def test_a_damaged_record_is_ignored(made, text) -> None:
    """The stage runs again."""
    (made.folder / ledger_module.FOLDER / "stage.json").write_text(text)
    assert made.current("stage", "key") is None


def test_the_key_depends_on_inputs_parameters_tools_and_code(tmp_path, monkeypatch) -> None:
    """It depends on contents, not on paths or on the order of parameters and tools."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"x")
    two.write_bytes(b"x")
    key = compute_key({"in": one}, {"a": 1, "b": 2}, ("numpy", "torch"))
    assert key == compute_key({"in": two}, {"b": 2, "a": 1}, ("torch", "numpy"))
    assert key != compute_key({"in": one}, {"a": 1, "b": 3}, ("numpy", "torch"))
    assert key != compute_key({"in": one}, {"a": 1, "b": 2}, ("numpy",))
    two.write_bytes(b"y")
    assert key != compute_key({"in": two}, {"a": 1, "b": 2}, ("numpy", "torch"))
    monkeypatch.setattr(ledger_module, "code_digest", lambda: "other")
    assert key != compute_key({"in": one}, {"a": 1, "b": 2}, ("numpy", "torch"))
    assert len(code_digest()) == 64
