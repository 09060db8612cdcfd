"""Every refine mode of the table is known to the catalog, the network and the report."""

from __future__ import annotations

from dataclasses import asdict, fields

import pytest
import torch

from toolchain.catalog.arguments import ExportSettings, with_overrides
from toolchain.definitions.refinement import REFINE_MODES, Refinement, summarize_refinement
from toolchain.network.refiner import Selection

SETTINGS = ExportSettings(1280, 720)


@pytest.mark.parametrize("mode", REFINE_MODES, ids=lambda mode: mode.key)
def test_a_mode_can_be_exported_with_the_setting_it_uses(mode: Refinement) -> None:
    """Its setting is one of the export settings, and is accepted only with this mode."""
    assert with_overrides(SETTINGS, refine_mode=mode.key).mode == mode.key
    if mode.setting:
        assert mode.setting in {field.name for field in fields(ExportSettings)}
        value = {f"refine_{mode.setting}": getattr(SETTINGS, mode.setting)}
        with_overrides(SETTINGS, refine_mode=mode.key, **value)


def test_the_network_selects_differently_in_each_mode() -> None:
    """A mode that `Selection` does not implement would select what another one does."""
    err = torch.tensor([0.0, 0.2, 0.3, 0.4]).reshape(1, 1, 2, 2)
    selected = {
        mode.key: Selection(mode.key, pixels=16, threshold=0.1).choose(err).flatten().tolist()
        for mode in REFINE_MODES
    }
    assert len(set(map(tuple, selected.values()))) == len(REFINE_MODES)


@pytest.mark.parametrize("mode", REFINE_MODES, ids=lambda mode: mode.key)
def test_a_mode_is_described_with_its_setting(mode: Refinement) -> None:
    """The summary contains the value of the setting that it uses."""
    settings = asdict(with_overrides(SETTINGS, refine_mode=mode.key))
    summary = summarize_refinement(settings)
    assert "{" not in summary
    assert not mode.setting or str(settings[mode.setting]) in summary


def test_an_unknown_mode_is_named() -> None:
    """Records of a later version still have a report."""
    assert summarize_refinement({"mode": "other"}) == "other"
