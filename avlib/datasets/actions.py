"""Videos of human actions with their official splits: UCF101 and HMDB51, read from the lists that come with them.

Both are looked for as their authors unpack them: a folder a class, full of ``.avi``; and a folder of lists. UCF101 has
``classInd.txt`` and ``trainlist01.txt`` … ``testlist03.txt``; HMDB51 has a file a class and split,
``brush_hair_test_split1.txt``, in which 1 is training, 2 is test and 0 is neither. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from avlib.errors import unknown

SPLITS = (1, 2, 3)
CLASSES = {"ucf101": 101, "hmdb51": 51}
FOLDERS = {
    "ucf101": (("UCF-101", "UCF101", "ucf101"), ("ucfTrainTestlist", "UCF101TrainTestSplits-RecognitionTask")),
    "hmdb51": (("hmdb51_org", "hmdb51", "HMDB51"), ("testTrainMulti_7030_splits", "test_train_splits")),
}
"""Names of the folders of videos, and of lists, by set."""


@dataclass(frozen=True)
class Actions:
    """One official split.

    Attributes:
        classes: their names, by label.
        train, test: files and labels.
    """

    classes: tuple[str, ...]
    train: tuple[tuple[Path, int], ...]
    test: tuple[tuple[Path, int], ...]


def actions(name: str, folder: Path | str, split: int = 1, whole: bool = True) -> Actions:
    """A split of ``"ucf101"`` or ``"hmdb51"``.

    Args:
        folder: holds the folders of videos and of lists (the latter perhaps among the former).
        whole: insist on all classes; False takes a part of the set.

    Raises:
        FileNotFoundError: a folder, a list or a video that a list names is not there.
        ValueError: an unknown set or split; a line that cannot be read (file and number); a class without training or
            test; a video that is in both or stands there twice; not all classes.
    """
    if name not in FOLDERS:
        raise unknown("set of actions", name, FOLDERS)
    if split not in SPLITS:
        raise unknown("official split", str(split), map(str, SPLITS))
    videos, lists = (_folder(Path(folder), names) for names in FOLDERS[name])
    found = (_ucf101 if name == "ucf101" else _hmdb51)(videos, lists, split)
    _check(found, name, whole)
    return found


def _folder(folder: Path, names: tuple[str, ...]) -> Path:
    within = [folder / name for name in names] + [path / name for path in _below(folder) for name in names]
    for path in within:
        if path.is_dir():
            return path
    raise FileNotFoundError(f"no {' or '.join(f'{name}/' for name in names)} in {folder}")


def _below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Where each line stands, for messages, and its words; empty lines are left out."""
    if not path.is_file():
        raise FileNotFoundError(f"no list {path}")
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if line.strip():
            yield f"{path}, line {number}", line.split()


def _ucf101(videos: Path, lists: Path, split: int) -> Actions:
    names: dict[str, int] = {}
    for where, words in _lines(lists / "classInd.txt"):
        if len(words) != 2 or not words[0].isdigit() or int(words[0]) != len(names) + 1:
            raise ValueError(f"{where}: not the number {len(names) + 1} and a class: {' '.join(words)!r}")
        names[words[1]] = len(names)

    def listed(kind: str) -> tuple[tuple[Path, int], ...]:
        found = []
        for where, (file, *label) in _lines(lists / f"{kind}list{split:02d}.txt"):
            name = file.split("/")[0]
            # lists of training say the label besides, counted from 1
            if name not in names or "/" not in file or label not in ([], [str(names[name] + 1)]):
                raise ValueError(f"{where}: no video of a class, or not its number: {' '.join((file, *label))!r}")
            found.append((videos / file, names[name]))
        return tuple(found)

    return Actions(tuple(names), listed("train"), listed("test"))


def _hmdb51(videos: Path, lists: Path, split: int) -> Actions:
    ending = f"_test_split{split}.txt"
    names = tuple(sorted(path.name.removesuffix(ending) for path in lists.glob(f"*{ending}")))
    if not names:
        raise FileNotFoundError(f"no list *{ending} in {lists}")
    found: dict[str, list[tuple[Path, int]]] = {"0": [], "1": [], "2": []}
    for label, name in enumerate(names):
        for where, words in _lines(lists / f"{name}{ending}"):
            if len(words) != 2 or words[1] not in found:
                raise ValueError(f"{where}: not a video and 0, 1 or 2: {' '.join(words)!r}")
            found[words[1]].append((videos / name / words[0], label))
    return Actions(names, tuple(found["1"]), tuple(found["2"]))


def _check(found: Actions, name: str, whole: bool) -> None:
    files = [path for path, _ in (*found.train, *found.test)]
    if len(set(files)) < len(files):
        twice = next(path for path in files if files.count(path) > 1)
        raise ValueError(f"{name}: {twice} stands in the lists twice")
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"{name}: {len(missing)} of {len(files)} videos are not there, first {missing[0]}")
    for part, rows in (("training", found.train), ("test", found.test)):
        lacking = [kind for label, kind in enumerate(found.classes) if label not in {n for _, n in rows}]
        if lacking:
            raise ValueError(f"{name}: no video of {', '.join(lacking[:5])} in {part}")
    if whole and len(found.classes) != CLASSES[name]:
        raise ValueError(f"{name}: {len(found.classes)} classes instead of {CLASSES[name]}; whole=False takes a part")
