"""The table of regimes agrees with the project file, with the code and with itself."""

from __future__ import annotations

import pytest

from ssldata.project.sweeps_section import Sweeps, SweepsOfModel
from ssldata.project.training_section import HOMOLOGOUS, REGIMES, Plus, Training
from sslmodels.runs.regime_table import LEADING, REGIME_TABLE, WITH_TEACHER, swept_regimes
from sslmodels.runs.regimes import REGIME_FUNCTIONS
from sslmodels.runs.run_grid import SWEEPS


def test_a_regime_is_a_name_an_entry_and_a_function() -> None:
    assert set(REGIME_TABLE) == set(REGIME_FUNCTIONS) == set(REGIMES)


def test_the_project_file_knows_which_regimes_need_homologues() -> None:
    needed = {
        name for name, entry in REGIME_TABLE.items() if entry.homologues or entry.homologue_steps
    }
    assert needed == HOMOLOGOUS


def test_settings_and_sweeps_are_keys_of_the_project_file() -> None:
    for entry in REGIME_TABLE.values():
        assert set(entry.settings) <= Training.model_fields.keys()
        assert set(entry.sweeps) <= set(SWEEPS)


def test_every_series_of_the_project_file_is_trained() -> None:
    assert set(SWEEPS) == Sweeps.model_fields.keys() - {"models", "per_model"}
    assert set(SWEEPS) == SweepsOfModel.model_fields.keys()


def test_only_homologues_are_weighted_and_by_one_rule() -> None:
    for entry in REGIME_TABLE.values():
        assert entry.homologues or not (entry.weighting or entry.genome_rates or entry.teacher)
        assert not (entry.weighting and entry.teacher)


def test_curves_can_be_distinguished() -> None:
    assert len({entry.colour for entry in REGIME_TABLE.values()}) == len(REGIME_TABLE)


@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_sweep_trains_something(sweep: str) -> None:
    training = Training(regimes=["sl", "ssl-ns"])
    regimes = swept_regimes(training, sweep)
    expected = {"nearest": ("ssl",), "labelled_peaks": ("sl",)}
    assert regimes == expected.get(sweep, WITH_TEACHER)


def test_a_control_reads_no_homologues_and_is_planned_like_its_regime() -> None:
    controls = {name: entry.control for name, entry in REGIME_TABLE.items() if entry.control}
    assert controls == {
        "ssl": "two-stage",
        "ssl-ns": "two-stage",
        "ssl-plus": "sl-plus",
        "ssl-committee": "sl-committee",
    }
    assert set(LEADING) <= controls.keys()
    for control in controls.values():
        assert not REGIME_TABLE[control].homologues
    for changes in ({}, {"labelled": False}, {"finetune": False}):
        training = Training(ssl_plus=Plus(**changes))
        ours, theirs = (
            REGIME_TABLE[name].rows_per_epoch(training, 10.0, 70.0)
            for name in ("sl-plus", "ssl-plus")
        )
        assert ours == theirs
