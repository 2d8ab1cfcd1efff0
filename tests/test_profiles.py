"""The table of profiles."""

import dataclasses

import pytest

from avlib import profiles
from avlib.profiles import PROFILES, profile


def test_there_are_three_each_larger_than_the_one_before() -> None:
    assert tuple(PROFILES) == ("smoke", "cpu", "gpu")
    smoke, cpu, gpu = PROFILES.values()
    for field in ("size", "video_size", "batch", "steps", "eval_count"):
        assert getattr(smoke, field) < getattr(cpu, field) <= getattr(gpu, field), field
    assert cpu.seeds >= 3 and gpu.seeds >= 3
    assert gpu.full and not cpu.full


def test_names_stand_in_their_rows() -> None:
    assert all(row.name == name for name, row in PROFILES.items())


def test_a_method_may_change_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(profiles._METHODS, "toy", {"cpu": {"steps": 7}})
    assert profile("cpu", "toy") == dataclasses.replace(profile("cpu"), steps=7)
    assert profile("gpu", "toy") == profile("gpu")
    assert profile("cpu", "another") == profile("cpu")


def test_an_unknown_profile_lists_the_right_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown profile 'cpuu'; did you mean 'cpu'\? There are: smoke, cpu, gpu"):
        profile("cpuu")


def test_the_overrides_name_profiles_and_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    profiles.check()
    monkeypatch.setitem(profiles._METHODS, "toy", {"cpu": {"stepps": 7}})
    with pytest.raises(ValueError, match="unknown profile field 'stepps'; did you mean 'steps'"):
        profiles.check()
    monkeypatch.setitem(profiles._METHODS, "toy", {"cpuu": {}})
    with pytest.raises(ValueError, match="unknown profile 'cpuu'"):
        profiles.check()
