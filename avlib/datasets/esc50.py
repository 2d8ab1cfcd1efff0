"""ESC-50 and ESC-10, recordings of everyday sounds (Piczak, ACM Multimedia 2015), from a folder or from the hub.

A folder is in the layout of its author: ``meta/esc50.csv`` (filename, fold, target, category, esc10, src_file, take)
and ``audio/``; the recordings may be .wav or .ogg, and a spreadsheet may have saved the table.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from avlib import datasets as sets
from avlib import media
from avlib.types import SAMPLE_RATE

if TYPE_CHECKING:
    import datasets

HUB = "ashraq/esc50"
FOLDS = (1, 2, 3, 4, 5)
COLUMNS = ("filename", "fold", "target", "category", "esc10", "src_file", "take")
CHECKSUM = "8c6edfdd6c140bff8e22f421620d0410bba2d1f0c52550fa1d5efb041d52ca80"
"""`checksum` of ESC-10."""


@dataclass(frozen=True)
class Clip:
    """One recording: its row of the table, and its file or the bytes of it."""

    filename: str
    fold: int
    target: int
    category: str
    esc10: bool
    src_file: str
    take: str
    path: Path | None = None
    data: bytes | None = None


def clips(root: Path | str | None = None, only_esc10: bool | None = None) -> list[Clip]:
    """All recordings, in the order of the table.

    Args:
        root: the set's folder, or one that holds it; without one ``$AVLIB_DATA`` is searched, then the hub is asked.
        only_esc10: True keeps the ten classes of ESC-10, False insists on all fifty, None takes what there is.

    Raises:
        FileNotFoundError: no data (the message says how to get them), or a recording of the table is missing.
        ValueError: a table without the columns, or a row of it that cannot be read; names the file.
    """
    folder = sets.root("esc50", root)
    if folder is None and root is not None:
        raise sets.missing("esc50", root)
    found = _from_hub() if folder is None else _from_folder(folder)
    if only_esc10:
        found = [clip for clip in found if clip.esc10]
    kinds = len({clip.target for clip in found})
    if only_esc10 is False and kinds != 50:
        raise sets.missing("esc50", root, f"only {kinds} of the 50 classes are in {folder or HUB}")
    return found


def _from_folder(folder: Path) -> list[Clip]:
    table = folder / "meta" / "esc50.csv"
    columns, rows = _table(table)
    lacking = [name for name in COLUMNS if name not in columns]
    if lacking:
        raise ValueError(f"{table} lacks the columns {', '.join(lacking)}")
    found = [_row(row, table, number, folder / "audio") for number, row in rows]
    if not found:
        raise ValueError(f"{table} lists no recordings")
    absent = [str(clip.path) for clip in found if clip.path is None or not os.path.isfile(clip.path)]
    if absent:
        raise FileNotFoundError(f"{table} lists {len(absent)} recordings that are not there, the first: {absent[0]}")
    return found


def _table(path: Path) -> tuple[Sequence[str], list[tuple[int, dict[Any, Any]]]]:
    """The columns of a table and its rows, each with its line; commas, semicolons or tabs, UTF-8 or UTF-16."""
    raw = path.read_bytes()
    wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = raw.decode("utf-16" if wide else "utf-8-sig")
        between = max(",;\t", key=text.partition("\n")[0].count)
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=between, strict=True)
        rows = [(reader.line_num, row) for row in reader if any(row.values())]
    except (UnicodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a table in UTF-8 or UTF-16, or is damaged: {error}") from error
    return reader.fieldnames or (), rows


def _row(row: dict[Any, Any], table: Path, number: int, audio: Path) -> Clip:
    try:
        name, fold, target, category, esc10, src_file, take = ((row[column] or "").strip() for column in COLUMNS)
        if None in row or not (category and src_file and take) or Path(name).name != name:
            raise ValueError("a field is empty or too much, or the recording is not in the folder audio")
        if int(fold) not in FOLDS or int(target) not in range(50):
            raise ValueError("the folds are 1 to 5, the targets 0 to 49")
        small = {"true": True, "false": False}[esc10.lower()]
        return Clip(name, int(fold), int(target), category, small, src_file, take, audio / name)
    except (KeyError, ValueError) as error:
        raise ValueError(f"{table}, line {number} cannot be read: {str(row)[:300]} ({error!r})") from error


def _from_hub() -> list[Clip]:
    """The hub's copy; its audio comes as bytes, since decoding it there would need FFmpeg on the system."""
    try:
        import datasets

        rows: Any = datasets.load_dataset(HUB, split="train")
        rows = rows.cast_column("audio", datasets.Audio(decode=False))
    except ImportError as error:
        raise sets.missing("esc50", None, "and the `datasets` package, for the hub, is not installed") from error
    except Exception as error:  # what the hub raises when it cannot be reached differs by version
        raise sets.missing("esc50", None, f"and the hub's {HUB} cannot be read: {error}") from error
    names = [name for name in COLUMNS if name != "src_file"]
    return [
        Clip(**{k: row[k] for k in names}, src_file=str(row["src_file"]), data=row["audio"]["bytes"]) for row in rows
    ]


def wave(clip: Clip, rate: int = SAMPLE_RATE) -> Tensor:
    """A recording, mono, wave_S at ``rate`` Hz.

    Raises:
        MediaError: the recording is damaged or silent; the message names it.
    """
    try:
        return media.read_audio(clip.path or clip.data or b"", rate)
    except media.MediaError as error:
        raise media.MediaError(f"{clip.filename}: {error}") from error


def checksum(rows: Iterable[Clip]) -> str:
    """sha256 over name (without its ending), fold and class, sorted by name, of ESC-10's clips among ``rows``."""
    lines = sorted(f"{Path(c.filename).stem},{c.fold},{c.category}" for c in rows if c.esc10)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def check_folds(rows: Sequence[Clip], folds: Sequence[int] = FOLDS) -> None:
    """Every class in every fold, and no source recording in two.

    Raises:
        ValueError: a fold without clips, a class that a fold lacks, a recording in two folds; each is named.
    """
    classes = {clip.category for clip in rows}
    for fold in folds:
        there = {clip.category for clip in rows if clip.fold == fold}
        if not there:
            raise ValueError(f"fold {fold} holds no clips; there are folds {sorted({c.fold for c in rows})}")
        if classes - there:
            raise ValueError(f"fold {fold} lacks the classes {', '.join(sorted(classes - there))}")
    where: dict[str, set[int]] = defaultdict(set)
    for clip in rows:
        where[clip.src_file].add(clip.fold)
    torn = [name for name, lies in where.items() if len(lies) > 1]
    if torn:
        raise ValueError(f"source recordings {', '.join(sorted(torn)[:5])} lie in more than one fold")


def load(root: Path | str | None = None, only_esc10: bool | None = None) -> datasets.Dataset:
    """The recordings as a Hugging Face dataset: the columns of the table and ``audio``, undecoded (path or bytes).

    Raises:
        ImportError: the `datasets` package is not installed.
        FileNotFoundError, ValueError: as in `clips`.
    """
    try:
        import datasets
    except ImportError as error:
        raise ImportError("Hugging Face datasets are an extra: pip install 'avlib[data]'") from error
    rows = clips(root, only_esc10)
    table = [{k: v for k, v in asdict(c).items() if k not in ("path", "data")} | {"audio": _audio(c)} for c in rows]
    return datasets.Dataset.from_list(table).cast_column("audio", datasets.Audio(decode=False))


def _audio(clip: Clip) -> dict[str, Any]:
    return {"path": None if clip.path is None else str(clip.path), "bytes": clip.data}
