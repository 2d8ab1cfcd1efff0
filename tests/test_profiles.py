"""The table of profiles."""

import dataclasses
import types

import pytest

from avlib import profiles, recipes
from avlib.profiles import PROFILES, profile


def test_there_are_three_each_larger_than_the_one_before() -> None:
    assert tuple(PROFILES) == ("smoke", "cpu", "gpu")
    smoke, cpu, gpu = PROFILES.values()
    for field in ("size", "video_size", "batch", "steps", "eval_count"):
        assert getattr(smoke, field) < getattr(cpu, field) <= getattr(gpu, field), field
    assert cpu.seeds >= 3 and gpu.seeds >= 3
    for field in ("full", "amp"):
        assert [getattr(row, field) for row in (smoke, cpu, gpu)] == [False, False, True], field
    assert smoke.seeds == 1 and smoke.count == cpu.count == gpu.count == 0  # scenes are drawn for ever


def test_names_stand_in_their_rows() -> None:
    assert all(row.name == name for name, row in PROFILES.items())


def own(monkeypatch: pytest.MonkeyPatch, budget: dict[str, dict[str, int]]) -> None:
    monkeypatch.setattr(profiles, "load", lambda name: types.SimpleNamespace(BUDGET=budget))


def test_a_method_may_change_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    own(monkeypatch, {"cpu": {"steps": 7}})
    assert profile("cpu", "toy") == dataclasses.replace(profile("cpu"), steps=7)
    assert profile("gpu", "toy") == profile("gpu")
    monkeypatch.setattr(profiles, "load", lambda name: types.SimpleNamespace())
    assert profile("cpu", "another") == profile("cpu")


def test_an_unknown_profile_lists_the_right_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown profile 'cpuu'; did you mean 'cpu'\? There are: smoke, cpu, gpu"):
        profile("cpuu")


def test_the_recipes_budgets_name_profiles_and_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in recipes.names():
        assert profile("smoke", name).steps <= profile("cpu", name).steps
    own(monkeypatch, {"cpu": {"stepps": 7}})
    with pytest.raises(ValueError, match="unknown profile field 'stepps'; did you mean 'steps'"):
        profile("smoke", "toy")
    own(monkeypatch, {"cpuu": {}})
    with pytest.raises(ValueError, match="unknown profile 'cpuu'"):
        profile("cpu", "toy")
