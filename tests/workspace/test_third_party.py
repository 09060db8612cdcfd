"""Third-party libraries: output and telemetry suppressed."""

from __future__ import annotations

import logging
import sys
import warnings

import pytest

from toolchain.workspace.third_party import TELEMETRY, suppress_output, without_telemetry


def test_output_is_suppressed_and_restored(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Prints, warnings and log messages below ERROR; afterwards they work again."""
    with suppress_output():
        print("out")
        print("err", file=sys.stderr)
        warnings.warn("advice", stacklevel=1)
        logging.getLogger("some.library").warning("progress")
        logging.getLogger("some.library").error("failed")
    assert capsys.readouterr() == ("", "")
    assert [record.message for record in caplog.records] == ["failed"]
    print("again")
    assert capsys.readouterr().out == "again\n"


def test_telemetry_cannot_be_imported_in_the_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that the host program has imported is there again afterwards."""
    own = object()
    monkeypatch.setitem(sys.modules, TELEMETRY, own)
    with without_telemetry(), pytest.raises(ImportError):
        __import__(TELEMETRY)
    assert sys.modules[TELEMETRY] is own
