"""The papers' own numbers as tidy data, one row a printed value.

>>> from avlib import published
>>> published.value("soundnet_esc", "SoundNet", benchmark="ESC-50")
74.2

Columns: ``table``, ``system`` (who), ``variant`` (which form of it: layer, loss, mark on the page),
``training_data``, ``benchmark``, ``metric``, ``value``, ``unit``, ``source`` (the printed table), ``reference`` (key in
the bibliography of the work that prints the value), ``evidence`` and ``note`` (doubtful print, other conditions,
tables that disagree).

Accuracies, AP and success rates are in % even where a page prints fractions; nDCG and NMI stay fractions (unit
``1``). ``evidence`` says where the value was read: ``slide`` (the talk that this book follows), ``paper`` (the paper
itself or a picture of its table), ``code`` (the authors' repository), ``secondary`` (somebody else's quotation) or
``memory`` (not looked up): rows from memory are left out unless asked for.

Tables: what they hold
    soundnet_dcase, soundnet_esc, soundnet_ablation, soundnet_layers, soundnet_video: SoundNet (2016)
    ambient_layers, ambient_detection, ambient_per_class, ambient_units: ambient sound (2016)
    spoken_captions: speech and images (2016-2020); shr_retrieval: See, Hear and Read (2017)
    l3_imagenet, l3_esc50, l3_dcase, l3_correspondence, l3_clusters: Look, Listen and Learn (2017)
    avts_transfer, multisensory (2018); dmc_esc50, dmc_voc07 (2019); avid, robust_xid (2021)
    xdc_action, xdc_esc50, xdc_dcase, xdc_ablation, selavi: clustering (2020)
    ots_correspondence, ots_retrieval, ots_pointing: Objects that Sound (2018); separation: Sound of Pixels (2018)
    dsol_solo, dsol_multi, duet_later: sounding objects (2020); localization, detection: single sources and detectors
"""

from __future__ import annotations

import csv
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from avlib.errors import unknown

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "table",
    "system",
    "variant",
    "training_data",
    "benchmark",
    "metric",
    "value",
    "unit",
    "source",
    "reference",
    "evidence",
    "note",
)
KEY = ("system", "variant", "training_data", "benchmark", "metric", "source")
EVIDENCE = ("slide", "paper", "code", "secondary", "memory")


def names() -> tuple[str, ...]:
    """Names of the tables, sorted."""
    return tuple(sorted({row["table"] for row in _rows()}))


def benchmarks() -> tuple[str, ...]:
    """Names of the benchmarks, sorted; ``table`` takes them too."""
    return tuple(sorted({row["benchmark"] for row in _rows()}))


def table(name: str, include_memory: bool = False) -> pd.DataFrame:
    """Rows of one table, or of every table that reports on one benchmark.

    ``name`` is compared without case and punctuation: ``"esc50"``, ``"ESC-50"`` and ``"esc 50"`` are one.
    Rows from memory come only with ``include_memory``; their column ``evidence`` says so.
    Raises ValueError, which lists the names, for an unknown one.
    """
    import pandas as pd

    wanted = _plain(name)
    rows = [row for row in _rows() if wanted in (_plain(row["table"]), _plain(row["benchmark"]))]
    if not rows:
        raise unknown("table or benchmark", name, (*names(), *benchmarks()))
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"value": float})
    return frame if include_memory else frame[frame["evidence"] != "memory"].reset_index(drop=True)


def value(
    name: str,
    system: str,
    *,
    variant: str | None = None,
    training_data: str | None = None,
    benchmark: str | None = None,
    metric: str | None = None,
    source: str | None = None,
    include_memory: bool = False,
) -> float:
    """The one printed value that fits; ``name`` is a table or a benchmark, text is compared without case.

    Raises ValueError for an unknown system, listing the systems, and where none or several rows fit, listing them.
    """
    frame = table(name, include_memory)
    filters = zip(KEY[1:], (variant, training_data, benchmark, metric, source), strict=True)
    asked = {column: text for column, text in filters if text is not None}
    mine = frame[frame["system"].str.casefold() == system.casefold()]
    if mine.empty:
        raise unknown(f"system in {name}", system, sorted(set(frame["system"])))
    hits = mine
    for column, text in asked.items():
        hits = hits[hits[column].str.casefold() == text.casefold()]
    if len(hits) != 1:
        shown = (mine if hits.empty else hits)[list(KEY)].to_dict("records")
        listed = "; ".join(", ".join(f"{k}={v!r}" for k, v in row.items() if v) for row in shown[:12])
        raise ValueError(f"{len(hits)} rows of {name} fit {system!r} with {asked}; there are {len(shown)}: {listed}")
    return float(hits["value"].iloc[0])


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


@cache
def _rows() -> tuple[dict[str, str], ...]:
    found: list[dict[str, str]] = []
    for entry in sorted(files(__name__).iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".csv"):
            lines = entry.read_text(encoding="utf-8").splitlines()
            found += [{"table": entry.name.removesuffix(".csv"), **row} for row in csv.DictReader(lines)]
    return tuple(found)
