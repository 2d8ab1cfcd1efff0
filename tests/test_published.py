"""The papers' tables: nothing missing, nothing twice, and their own sums agree."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from avlib import published

COUNTS = {
    "ambient_detection": 9,
    "ambient_layers": 72,
    "ambient_per_class": 200,
    "ambient_units": 9,
    "avid": 12,
    "avts_transfer": 12,
    "detection": 14,
    "dmc_esc50": 10,
    "dmc_voc07": 10,
    "dsol_multi": 42,
    "dsol_solo": 20,
    "duet_later": 8,
    "l3_clusters": 5,
    "l3_correspondence": 4,
    "l3_dcase": 7,
    "l3_esc50": 8,
    "l3_imagenet": 9,
    "localization": 42,
    "multisensory": 9,
    "ots_correspondence": 5,
    "ots_pointing": 2,
    "ots_retrieval": 25,
    "robust_xid": 8,
    "selavi": 19,
    "separation": 6,
    "shr_retrieval": 7,
    "soundnet_ablation": 18,
    "soundnet_dcase": 7,
    "soundnet_esc": 12,
    "soundnet_layers": 24,
    "soundnet_video": 6,
    "spoken_captions": 26,
    "xdc_ablation": 15,
    "xdc_action": 36,
    "xdc_dcase": 9,
    "xdc_esc50": 8,
}


@pytest.fixture(scope="module")
def everything() -> pd.DataFrame:
    return pd.concat([published.table(name, include_memory=True) for name in published.names()], ignore_index=True)


def test_row_counts() -> None:
    assert {name: len(published.table(name, include_memory=True)) for name in published.names()} == COUNTS


def test_no_key_twice(everything: pd.DataFrame) -> None:
    twice = everything[everything.duplicated(list(published.KEY), keep=False)]
    assert twice.empty, twice[["table", *published.KEY]].to_string()


def test_every_row_is_complete(everything: pd.DataFrame) -> None:
    assert tuple(everything.columns) == published.COLUMNS
    assert everything["value"].notna().all()
    for column in ("system", "benchmark", "metric", "unit", "source", "reference"):
        assert (everything[column].str.strip() != "").all(), column
    assert set(everything["evidence"]) <= set(published.EVIDENCE)
    assert everything["reference"].map(lambda key: bool(re.fullmatch(r"[a-z]+\d{4}[a-z]+", key))).all()


def test_values_lie_in_the_range_of_their_unit(everything: pd.DataFrame) -> None:
    for unit, top in {"%": 100, "1": 1, "rank": 1000, "units": 256, "dB": 60}.items():
        assert everything.loc[everything["unit"] == unit, "value"].between(0, top).all(), unit
    assert set(everything["unit"]) == {"%", "1", "rank", "units", "dB"}


def test_references_are_in_the_bibliography(everything: pd.DataFrame) -> None:
    path = Path(__file__).parents[1] / "book" / "references.bib"
    known = set(re.findall(r"^@\w+\{([^,\s]+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert set(everything["reference"]) <= known, sorted(set(everything["reference"]) - known)


def _class_means() -> pd.Series:
    frame = published.table("ambient_per_class", include_memory=True)
    assert (frame.groupby("system").size() == 20).all() and frame["metric"].nunique() == 20
    return frame.groupby("system")["value"].mean()


def _pool5(system: str) -> float:
    return published.value("ambient_layers", system, variant="pool5", benchmark="VOC07", include_memory=True)


@pytest.mark.parametrize(
    "system", sorted(set(published.table("ambient_per_class", True)["system"]) - {"Patch position"})
)
def test_class_means_reproduce_their_column(system: str) -> None:
    assert _class_means()[system] == pytest.approx(_pool5(system), abs=0.2 + 1e-9)


def test_patch_position_is_the_exception() -> None:
    assert _class_means()["Patch position"] == pytest.approx(46.0)
    assert _pool5("Patch position") == 46.7


def test_tables_that_disagree_are_both_kept() -> None:
    assert published.value("dmc_voc07", "ImageNet labels") == 67.2
    assert _pool5("ImageNet labels") == 65.6
    assert "disagree" in published.table("dmc_voc07").set_index("system").loc["ImageNet labels", "note"]


def test_other_pool5_values_agree_between_the_two_tables() -> None:
    frame = published.table("dmc_voc07")
    for system in set(frame["system"]) - {"ImageNet labels", "DMC"}:
        assert published.value("dmc_voc07", system) == pytest.approx(_pool5(system), abs=0.051), system


def test_names_are_compared_without_case_and_punctuation() -> None:
    for name in ("esc50", "ESC-50", "Esc 50"):
        assert set(published.table(name)["benchmark"]) == {"ESC-50"}
    assert {"soundnet_esc", "l3_esc50", "dmc_esc50", "xdc_esc50"} <= set(published.table("esc50")["table"])
    plain = [published._plain(name) for name in (*published.names(), *published.benchmarks())]
    assert len(set(plain)) == len(plain)


def test_unknown_table_lists_the_right_ones() -> None:
    with pytest.raises(ValueError, match=r"esc5o.*soundnet_esc"):
        published.table("esc5o")


def test_memory_is_left_out_unless_asked_for() -> None:
    assert "memory" not in set(published.table("xdc_ablation")["evidence"])
    assert published.table("xdc_ablation").empty
    assert set(published.table("xdc_ablation", include_memory=True)["evidence"]) == {"memory"}
    with pytest.raises(ValueError, match="XDC"):
        published.value("xdc_ablation", "XDC", benchmark="UCF101")
    assert published.value("xdc_ablation", "XDC", benchmark="UCF101", include_memory=True) == 74.2


def test_value_wants_exactly_one_row() -> None:
    assert published.value("dsol_multi", "dsol", benchmark="music-duet", metric="NSA") == 83.1
    with pytest.raises(ValueError, match="9 rows of dsol_multi"):
        published.value("dsol_multi", "DSOL")
    with pytest.raises(ValueError, match=r"0 rows of dsol_multi.*metric='NSA'"):
        published.value("dsol_multi", "DSOL", metric="mAP")
    with pytest.raises(ValueError, match="nobody"):
        published.value("dsol_multi", "nobody")


def test_a_table_is_a_copy() -> None:
    frame = published.table("avid")
    frame["value"] = 0.0
    assert published.value("avid", "AVID", training_data="AudioSet", benchmark="UCF101") == 91.0
