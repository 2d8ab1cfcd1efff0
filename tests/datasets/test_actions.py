"""UCF101 and HMDB51 in miniature, as their authors lay them out: lists are read as they stand, faults are named."""

from pathlib import Path

import pytest

from avlib.datasets.actions import CLASSES, SPLITS, actions

UCF = ("ApplyEyeMakeup", "YoYo")
HMDB = ("brush_hair", "wave")


def put(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def ucf(folder: Path) -> Path:
    """Two classes, four groups of two clips; group 1 is the test of split 1, and so on."""
    lists = folder / "ucfTrainTestlist"
    put(lists / "classInd.txt", "".join(f"{n} {name}\r\n" for n, name in enumerate(UCF, 1)))
    rows = [(n, name, g, f"{name}/v_{name}_g{g:02d}_c{c:02d}.avi") for n, name in enumerate(UCF, 1) for g in range(1, 5) for c in (1, 2)]  # fmt: skip  # noqa: E501
    for split in SPLITS:
        put(lists / f"trainlist{split:02d}.txt", "".join(f"{file} {n}\n" for n, _, g, file in rows if g != split))
        put(lists / f"testlist{split:02d}.txt", "".join(f"{file}\n" for _, _, g, file in rows if g == split))
    for *_, file in rows:
        put(folder / "UCF-101" / file)
    return folder


def hmdb(folder: Path) -> Path:
    """Two classes of five videos; the s-th is the test of split s, the fifth is in none."""
    for name in HMDB:
        for n in range(1, 6):
            put(folder / "hmdb51_org" / name / f"{name}_{n}.avi")
        for split in SPLITS:
            marks = [0 if n == 5 else 2 if n == split else 1 for n in range(1, 6)]
            put(
                folder / "testTrainMulti_7030_splits" / f"{name}_test_split{split}.txt",
                "".join(f"{name}_{n}.avi {mark} \n" for n, mark in enumerate(marks, 1)),
            )
    return folder


@pytest.mark.parametrize("split", SPLITS)
def test_ucf101_is_read_as_its_lists_say(tmp_path: Path, split: int) -> None:
    found = actions("ucf101", ucf(tmp_path), split, whole=False)
    assert found.classes == UCF and len(found.train) == 12 and len(found.test) == 4
    assert {(path.parent.name, label) for path, label in (*found.train, *found.test)} == {(UCF[0], 0), (UCF[1], 1)}
    assert all(f"_g{split:02d}_" in path.name for path, _ in found.test)
    assert not any(f"_g{split:02d}_" in path.name for path, _ in found.train)


@pytest.mark.parametrize("split", SPLITS)
def test_hmdb51_is_read_as_its_lists_say(tmp_path: Path, split: int) -> None:
    found = actions("hmdb51", hmdb(tmp_path), split, whole=False)
    assert found.classes == HMDB and len(found.train) == 6
    assert [(path.name, label) for path, label in found.test] == [(f"{n}_{split}.avi", k) for k, n in enumerate(HMDB)]
    assert not any(path.name.endswith("_5.avi") for path, _ in (*found.train, *found.test))


def test_the_folders_may_lie_deeper_and_bear_their_archives_names(tmp_path: Path) -> None:
    (ucf(tmp_path / "data") / "ucfTrainTestlist").rename(tmp_path / "data" / "UCF101TrainTestSplits-RecognitionTask")
    assert len(actions("ucf101", tmp_path, whole=False).test) == 4


def test_a_part_of_a_set_is_no_set(tmp_path: Path) -> None:
    assert CLASSES == {"ucf101": 101, "hmdb51": 51}
    with pytest.raises(ValueError, match="2 classes instead of 101"):
        actions("ucf101", ucf(tmp_path))
    with pytest.raises(ValueError, match="2 classes instead of 51"):
        actions("hmdb51", hmdb(tmp_path))


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("classInd.txt", "1 ApplyEyeMakeup\n3 YoYo\n", "classInd.txt, line 2: not the number 2"),
        ("trainlist01.txt", "YoYo/v_YoYo_g02_c01.avi 1\n", "trainlist01.txt, line 1: .*not its number"),
        ("trainlist01.txt", "\nJuggling/v.avi 1\n", "trainlist01.txt, line 2: no video of a class"),
        ("testlist01.txt", "YoYo/v_YoYo_g02_c01.avi\n", "stands in the lists twice"),
        ("testlist01.txt", "YoYo/v_YoYo_g09_c01.avi\n", "1 of 13 videos are not there, first .*g09"),
        ("testlist01.txt", "YoYo/v_YoYo_g01_c01.avi\n", "no video of ApplyEyeMakeup in test"),
    ],
)
def test_a_fault_in_the_lists_of_ucf101_is_named(tmp_path: Path, file: str, text: str, words: str) -> None:
    put(ucf(tmp_path) / "ucfTrainTestlist" / file, text)
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        actions("ucf101", tmp_path, whole=False)


def test_a_fault_in_the_lists_of_hmdb51_is_named(tmp_path: Path) -> None:
    file = hmdb(tmp_path) / "testTrainMulti_7030_splits" / "wave_test_split1.txt"
    put(file, "wave_1.avi 3\n")
    with pytest.raises(ValueError, match=r"wave_test_split1.txt, line 1: not a video and 0, 1 or 2"):
        actions("hmdb51", tmp_path, whole=False)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no UCF-101/ or UCF101/"):
        actions("ucf101", tmp_path)
    (ucf(tmp_path) / "ucfTrainTestlist" / "testlist02.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"no list .*testlist02"):
        actions("ucf101", tmp_path, 2)
    with pytest.raises(ValueError, match="set of actions"):
        actions("ucf50", tmp_path)
    with pytest.raises(ValueError, match="official split"):
        actions("ucf101", tmp_path, 4)
