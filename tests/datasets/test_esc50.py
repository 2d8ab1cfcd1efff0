"""Reading ESC-50's layout and Caltech-101: from a folder, and what is said when something is missing or broken."""

import csv
from collections import Counter
from pathlib import Path
from random import Random

import datasets as hub
import pytest
import torch

from avlib import datasets as sets
from avlib import media
from avlib.datasets import caltech101, esc50
from avlib.types import SAMPLE_RATE

CLASSES = ("dog", "rain")


def rows() -> list[dict[str, str]]:
    """Two classes, one recording a fold each."""
    return [
        {"filename": f"{fold}-{100 * fold + target}-A-{target}.wav", "fold": str(fold), "target": str(target),
         "category": name, "esc10": "True", "src_file": str(100 * fold + target), "take": "A"}
        for fold in esc50.FOLDS for target, name in enumerate(CLASSES)
    ]  # fmt: skip


def write(folder: Path, table: list[dict[str, str]]) -> Path:
    (folder / "meta").mkdir(parents=True)
    (folder / "audio").mkdir()
    with (folder / "meta" / "esc50.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    for row in table:
        media.write_wav(folder / "audio" / row["filename"], 0.1 * torch.randn(800))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "esc50", rows())


def test_a_folder_in_the_layout(folder: Path) -> None:
    for root in (folder, folder.parent):
        clips = esc50.clips(root)
        assert [clip.filename for clip in clips] == [row["filename"] for row in rows()]
        assert Counter((clip.category, clip.fold) for clip in clips) == dict.fromkeys(
            ((name, fold) for name in CLASSES for fold in esc50.FOLDS), 1
        )
    esc50.check_folds(clips)
    wave_S = esc50.wave(clips[0])
    assert wave_S.dtype == torch.float32
    assert wave_S.shape == (800,)
    assert esc50.wave(clips[0], 8000).shape == (400,)


def test_the_environment_says_where(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVLIB_DATA", str(folder.parent))
    assert sets.root("esc50") == folder
    assert len(esc50.clips()) == 10


def test_no_data_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(hub, "load_dataset", offline)
    monkeypatch.delenv("AVLIB_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"no esc50 data.*no network.*AVLIB_DATA, which is not set"):
        esc50.clips()
    monkeypatch.setattr(hub, "load_dataset", None)  # a folder that was named is not replaced by a download
    with pytest.raises(FileNotFoundError, match=rf"no esc50 data: looked in {tmp_path}.*AVLIB_DATA"):
        esc50.clips(tmp_path)


def test_the_hub_gives_bytes(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in with the hub's columns: numbers where the table has text, and the recordings' bytes."""
    made = [
        {**row, "fold": int(row["fold"]), "target": int(row["target"]), "esc10": True, "src_file": int(row["src_file"]),
         "audio": {"path": None, "bytes": (folder / "audio" / row["filename"]).read_bytes()}}
        for row in rows()
    ]  # fmt: skip
    there = hub.Dataset.from_list(made)
    monkeypatch.setattr(hub, "load_dataset", lambda name, split: {("ashraq/esc50", "train"): there}[name, split])
    monkeypatch.setenv("AVLIB_DATA", str(tmp_path / "nothing"))
    clips = esc50.clips()
    assert esc50.checksum(clips) == esc50.checksum(esc50.clips(folder))
    assert clips[3].src_file == "201"
    torch.testing.assert_close(esc50.wave(clips[3]), esc50.wave(esc50.clips(folder)[3]))


def test_fifty_classes_are_asked_for(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="only 2 of the 50 classes"):
        esc50.clips(folder, only_esc10=False)


def test_a_missing_recording_is_named(folder: Path) -> None:
    (folder / "audio" / "2-200-A-0.wav").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 recordings that are not there, the first: .*2-200-A-0\.wav"):
        esc50.clips(folder)


@pytest.mark.parametrize(("change", "says"), [({"fold": "two"}, "line 2 cannot be read"), ({"esc10": "?"}, "line 2")])
def test_a_broken_row_is_named(tmp_path: Path, change: dict[str, str], says: str) -> None:
    table = rows()
    table[0] |= change
    with pytest.raises(ValueError, match=rf"esc50\.csv, {says}"):
        esc50.clips(write(tmp_path / "esc50", table))


def test_a_table_without_columns_or_rows(tmp_path: Path) -> None:
    table = [{k: v for k, v in row.items() if k not in ("fold", "take")} for row in rows()]
    with pytest.raises(ValueError, match="lacks the columns fold, take"):
        esc50.clips(write(tmp_path / "a", table))
    empty = write(tmp_path / "b", rows()[:1]) / "meta" / "esc50.csv"
    empty.write_text(empty.read_text().splitlines()[0])
    with pytest.raises(ValueError, match="lists no recordings"):
        esc50.clips(tmp_path / "b")


def test_folds_are_checked(tmp_path: Path) -> None:
    lacking = [row for row in rows() if not (row["fold"] == "3" and row["category"] == "dog")]
    with pytest.raises(ValueError, match="fold 3 lacks the classes dog"):
        esc50.check_folds(esc50.clips(write(tmp_path / "a", lacking)))
    absent = [row for row in rows() if row["fold"] != "4"]
    with pytest.raises(ValueError, match="fold 4 holds no clips"):
        esc50.check_folds(esc50.clips(write(tmp_path / "b", absent)))
    torn = rows()
    torn[2]["src_file"] = torn[0]["src_file"]
    with pytest.raises(ValueError, match="source recordings 100 lie in more than one fold"):
        esc50.check_folds(esc50.clips(write(tmp_path / "c", torn)))


def test_a_corrupt_recording_is_named(folder: Path) -> None:
    clip = esc50.clips(folder)[4]
    assert clip.path is not None
    clip.path.write_bytes(clip.path.read_bytes()[:200])
    with pytest.raises(media.MediaError, match=clip.filename):
        esc50.wave(clip)


def test_as_a_hugging_face_dataset(folder: Path) -> None:
    table = esc50.load(folder)
    assert table.column_names == [*esc50.COLUMNS, "audio"]
    assert len(table) == 10
    assert Path(table[0]["audio"]["path"]).is_file()


def test_an_unknown_set_lists_the_right_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown dataset 'esc5'; did you mean 'esc50'.*caltech101"):
        sets.root("esc5")


def test_the_real_ten_classes(real_data: Path) -> None:
    clips = esc50.clips(real_data / "esc10")
    assert esc50.checksum(clips) == esc50.CHECKSUM
    assert Counter(clip.category for clip in clips) == dict.fromkeys({clip.category for clip in clips}, 40)
    assert len({clip.category for clip in clips}) == 10
    esc50.check_folds(clips)
    wave_S = esc50.wave(clips[0])
    assert abs(len(wave_S) / SAMPLE_RATE - 5) < 0.01
    assert 0 < float(wave_S.abs().max()) <= 1.0


def test_photographs_of_a_folder(tmp_path: Path) -> None:
    for name in ("accordion", "rooster", "empty"):
        (tmp_path / "caltech101" / "101_ObjectCategories" / name).mkdir(parents=True)
    for name in ("accordion/b.jpg", "accordion/a.jpg", "rooster/a.jpg", "rooster/notes.txt"):
        (tmp_path / "caltech101" / "101_ObjectCategories" / name).write_bytes(b"-")
    found = caltech101.photographs(tmp_path, download=False)
    assert {name: [file.name for file in files] for name, files in found.items()} == {
        "accordion": ["a.jpg", "b.jpg"], "rooster": ["a.jpg"],
    }  # fmt: skip


def test_no_photographs_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVLIB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(FileNotFoundError, match=r"no caltech101 data.*AVLIB_DATA"):
        caltech101.photographs(tmp_path, download=False)


def test_the_real_photographs(real_data: Path) -> None:
    found = caltech101.photographs(real_data / "caltech101-sounding", download=False)
    assert len(found["rooster"]) > 40
    assert caltech101.BACKDROP in found
    assert sum(map(len, found.values())) == len(list((real_data / "caltech101-sounding").glob("*/*.jpg")))


def test_photographs_that_are_skipped_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = tmp_path / "101_ObjectCategories"
    (place / "accordion" / "deeper").mkdir(parents=True)
    for name in ("a.jpg", "notes.txt", ".hidden"):
        (place / "accordion" / name).write_bytes(b"-")
    (place / "accordion" / "b.jpg").symlink_to("nowhere.jpg")
    assert caltech101.photographs(tmp_path, download=False) == {"accordion": [place / "accordion" / "a.jpg"]}
    (said,) = caplog.messages
    assert said == f"{place}: skipped links that lead nowhere (1), folders within a class (1), files of other kinds (1)"


def test_home_is_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("AVLIB_DATA", "~/esc50")
    assert sets.root("esc50") == folder


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("between", [",", ";", "\t"])
def test_a_table_that_a_spreadsheet_saved(folder: Path, encoding: str, between: str) -> None:
    expected, table = esc50.clips(folder), folder / "meta" / "esc50.csv"
    text = table.read_text().replace(",", between).replace("True", "TRUE") + 6 * between + "\n"
    table.write_bytes(text.encode(encoding))
    assert esc50.clips(folder) == expected


FIELDS = (
    "",
    "-1",
    "1e9",
    "9" * 5000,
    "x" * 300,
    "../../etc/passwd",
    "/etc/passwd",
    "\0",
    "ü",
    '"',
    "nan",
    "1.0",
    "a\nb",
)


def test_whatever_the_table_holds_it_is_read_or_named(folder: Path) -> None:
    table, random = folder / "meta" / "esc50.csv", Random(0)
    whole = table.read_bytes()
    for n in range(150):
        raw = bytearray(whole)
        if n % 2:
            raw[random.randrange(len(raw))] = random.randrange(256)
        else:
            lines = [line.split(",") for line in whole.decode().splitlines()]
            row = random.choice(lines)
            row[random.randrange(7)] = random.choice(FIELDS)
            raw = bytearray("\n".join(map(",".join, lines)).encode())
        table.write_bytes(raw)
        try:
            assert len(esc50.clips(folder)) == 10
        except (ValueError, FileNotFoundError) as error:
            assert str(error).startswith(str(table))


@pytest.mark.parametrize(
    "change", [{"fold": "6"}, {"target": "50"}, {"filename": "/etc/hostname"}, {"category": ""}, {"take": '"'}]
)
def test_a_field_that_cannot_be_is_named(tmp_path: Path, change: dict[str, str]) -> None:
    table = rows()
    table[3] |= change
    with pytest.raises(ValueError, match=r"esc50\.csv, line 5 cannot be read" if "take" not in change else "damaged"):
        esc50.clips(unquoted(write(tmp_path / "esc50", rows()), table))


def unquoted(folder: Path, table: list[dict[str, str]]) -> Path:
    """The same folder with another table, its fields as they are."""
    lines = [",".join(table[0]), *(",".join(row.values()) for row in table)]
    (folder / "meta" / "esc50.csv").write_text("\n".join(lines))
    return folder
