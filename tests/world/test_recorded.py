"""Packs of recordings: anyone's own files, real data, and what the sounds of the default pack tell.

There a class can be heard, yet not by how loud or how long a recording is.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor

from avlib import audio
from avlib.types import SAMPLE_RATE
from avlib.world import drawings, library, recorded
from avlib.world.packs import PackError, SoundBank


@pytest.fixture
def mute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody speaks the names of new classes: espeak-ng takes seconds to start."""
    pack = library.load("orchestra")
    said = pack.speech, pack.voice_M, pack.phrases, pack.words
    monkeypatch.setattr(recorded.language, "spoken", lambda classes, places: said)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Two classes with four photographs and four sounds each."""
    noise = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "sounds" / name).mkdir(parents=True)
        for n in range(4):
            pixels = noise.integers(0, 255, (60, 90, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{n}.jpg")
            soundfile.write(tmp_path / "sounds" / name / f"{n}.wav", 0.1 * noise.standard_normal(12_000), 22_050)
    return tmp_path


@pytest.fixture(scope="module")
def bank() -> SoundBank:
    return library.load("orchestra").sounds


def accuracy(bank: SoundBank, feature_MD: Tensor, seed: int = 0) -> float:
    """Of a random forest that learnt on the recordings for training, on those for testing."""
    train_M, test_M = bank.split_M == 0, bank.split_M == 2
    forest = RandomForestClassifier(100, random_state=seed)
    forest.fit(feature_MD[train_M].numpy(), bank.label_M[train_M].numpy())
    return float(forest.score(feature_MD[test_M].numpy(), bank.label_M[test_M].numpy()))


def learnt(seed: int) -> dict[str, float]:
    """Accuracy of mean MFCCs on pitches never trained on; chance is one in twenty."""
    sounds = library.load("orchestra").sounds
    wave = (sounds.wave(row)[None] for row in range(len(sounds)))
    return {"accuracy": accuracy(sounds, torch.stack([audio.mfcc(w, SAMPLE_RATE)[0].mean(1) for w in wave]), seed)}


@pytest.mark.learns
def test_classes_can_be_told_apart_by_ear() -> None:
    """20 runs (seeds 0–3; native, AVX2, SSE4.1; 1 and, but for SSE4.1, 2 threads): .945, deviation .005, least .94."""
    assert learnt(0)["accuracy"] > 0.9


def test_length_and_level_tell_next_to_nothing(bank: SoundBank) -> None:
    """Chance is one in twenty; a drum rings out by itself, so its length may tell it."""
    waves = [bank.wave(row) for row in range(len(bank))]
    loud = [wave_S[wave_S.abs() > 0.05 * wave_S.abs().max()] for wave_S in waves]
    rms_M = torch.stack([wave_S.square().mean().sqrt() for wave_S in loud])
    length_M = bank.length_M.float()
    assert accuracy(bank, torch.stack([length_M, rms_M], 1)) < 0.2


# --------------------------------------------------------------------------------------------------------- own files


def test_own_files_become_a_pack(own: Path) -> None:
    (own / "images" / "cat" / "notes.txt").write_text("not a picture")
    for place in ("street", "field"):
        (own / "backdrops" / place).mkdir(parents=True)
        for n in range(3):
            Image.new("RGB", (50, 40), (n, 0, 0)).save(own / "backdrops" / place / f"{n}.png")
    pack = library.build(f"folder:{own}")
    assert (
        pack.hands == ("photograph",)
        and not pack.picture_chroma_M.any()
        and pack.families == (("animal", "mammal"),) * 2
    )
    assert len(pack.picture_drawing_M.unique()) == 8
    assert pack.classes == ("cat", "dog") and pack.places == ("field", "street") and pack.photographic
    assert pack.picture_MCHW.shape == (8, 4, 96, 96) and pack.backdrop_MCHW.shape == (6, 3, 192, 192)
    for k in range(2):
        assert sorted(pack.picture_split_M[pack.picture_label_M == k].tolist()) == [0, 0, 1, 2]
        assert sorted(pack.sounds.split_M[pack.sounds.label_M == k].tolist()) == [0, 0, 1, 2]
    assert (pack.picture_MCHW[:, 3] == 255).all()


def test_a_picture_with_transparent_parts_is_a_cut_out(own: Path, mute: None) -> None:
    for name in ("cat", "dog"):
        for file in (own / "images" / name).iterdir():
            file.unlink()
        Image.fromarray(drawings.sheet("openmoji:1F415")[0]).save(own / "images" / name / "one.png")
    pack = library.build(f"folder:{own}")
    assert not pack.photographic
    assert pack.picture_split_M.tolist() == [0, 1, 2, 0, 1, 2]  # one picture shows in every split
    assert len(pack.picture_drawing_M.unique()) == 2


def halve(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda own: empty(own / "sounds" / "dog"), "class 'dog' has no sounds"),
        (lambda own: empty(own / "images" / "cat"), "class 'cat' has no images"),
        (lambda own: (own / "sounds").rename(own / "noises"), "no folder .*sounds"),
        (lambda own: halve(own / "images" / "dog" / "1.jpg"), r"dog/1\.jpg: not a picture, or damaged or cut off"),
        (lambda own: halve(own / "sounds" / "dog" / "2.wav"), r"dog/2\.wav: cut off"),
        (lambda own: (own / "sounds" / "cat" / "0.wav").write_bytes(b"x" * 500), r"cat/0\.wav: not a media file"),
        (lambda own: (own / "images" / "cat" / "0.jpg").write_bytes(b""), r"cat/0\.jpg: the file is empty"),
        (lambda own: soundfile.write(own / "sounds" / "cat" / "0.wav", np.zeros(9000), 16_000), r"0\.wav: .*silent"),
        (lambda own: soundfile.write(own / "sounds" / "cat" / "0.wav", np.ones(90), 16_000), r"0\.wav: no part of it"),
        (lambda own: Image.new("RGBA", (9, 9)).save(own / "images" / "cat" / "x.png"), r"x\.png is transparent"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_own_files_is_named(own: Path, spoil, message: str) -> None:
    spoil(own)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        library.build(f"folder:{own}")


def test_what_is_skipped_is_counted_in_one_line(own: Path, mute: None, caplog: pytest.LogCaptureFixture) -> None:
    library.build(f"folder:{own}")
    assert not caplog.messages
    (own / "images" / "cat" / "gone.jpg").symlink_to("nowhere.jpg")
    (own / "sounds" / "lost").symlink_to("nowhere")
    (own / "sounds" / "dog" / "more").mkdir()
    (own / "images" / "loose.jpg").write_bytes(b"-")
    for hidden in ("images/cat/.DS_Store", "sounds/.x"):
        (own / hidden).write_bytes(b"-")
    for n in range(2):
        (own / "images" / "dog" / f"{n}.txt").write_text("notes")
    pack = library.build(f"folder:{own}")
    assert pack.classes == ("cat", "dog") and len(pack.picture_label_M) == 8
    assert caplog.messages == [
        f"{own}: skipped links that lead nowhere (2), files of other kinds (2), files outside of a class (1), "
        "folders within a class (1)"
    ]


def test_files_that_splits_share_are_told(own: Path, mute: None, caplog: pytest.LogCaptureFixture) -> None:
    for n in range(3):
        (own / "images" / "cat" / f"{n}.jpg").unlink()
    (own / "sounds" / "dog" / "0.wav").unlink()
    (own / "sounds" / "dog" / "1.wav").unlink()
    library.build(f"folder:{own}")
    assert caplog.messages == [f"{own}: fewer than three files, so that splits share them: cat (images), dog (sounds)"]


def test_the_shortest_sound_can_be_set(own: Path, mute: None) -> None:
    soundfile.write(own / "sounds" / "dog" / "0.wav", 0.1 * np.ones(800), 16_000)
    with pytest.raises(PackError, match=r"dog/0\.wav: no part of it is heard for 0\.1 s; a smaller `shortest`"):
        library.build(f"folder:{own}")
    pack = library.build(f"folder:{own}", shortest=0.04)
    assert int(pack.sounds.length_M.min()) == 800
    with pytest.raises(ValueError, match=r"shortest=0 s must be above 0"):
        library.build(f"folder:{own}", shortest=0)


def test_home_is_expanded(own: Path, mute: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(own.parent))
    assert library.build(f"folder:~/{own.name}").name == f"folder:{own.name}"
    monkeypatch.chdir(own)
    assert library.build("folder:.").name == f"folder:{own.name}"


def test_a_name_in_another_encoding_is_told(own: Path) -> None:
    for part in ("images", "sounds"):
        (own / part / "cat").rename(own / part / os.fsdecode(b"caf\xe9"))
    with pytest.raises(PackError, match=r"'caf\\udce9' in .* has a name that is not in UTF-8"):
        library.build(f"folder:{own}")


def test_one_class_is_too_few_and_no_folder_is_named(own: Path) -> None:
    (own / "images" / "cat").rename(own / "cat_images")
    (own / "sounds" / "cat").rename(own / "cat_sounds")
    with pytest.raises(PackError, match="holds 1 classes; a pack needs two or more"):
        library.build(f"folder:{own}")
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        library.build(f"folder:{own / 'nowhere'}")


# ---------------------------------------------------------------------------------------------- parts of recordings


def test_a_recording_is_cut_at_its_pauses() -> None:
    wave = np.zeros(5 * SAMPLE_RATE)
    for start, end in ((0.5, 0.8), (0.9, 1.2), (2.0, 4.5)):
        t = np.arange(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE))
        wave[t] = np.sin(t)
    seconds = [len(part) / SAMPLE_RATE for part in recorded.active_parts(wave)]
    assert seconds == pytest.approx([0.7, 1.25, 1.25], abs=0.03)  # 0.1 s of quiet is no pause; 2.5 s are two parts
    assert recorded.active_parts(np.zeros(SAMPLE_RATE)) == []
    assert recorded.active_parts(np.ones(SAMPLE_RATE // 20)) == []  # too short
    shortest = round(recorded.SHORTEST * SAMPLE_RATE)
    assert [len(part) for part in recorded.active_parts(np.ones(shortest))] == [shortest]


@pytest.mark.parametrize(("decibels", "count"), [(-recorded.QUIET + 1, 1), (-recorded.QUIET - 1, 2)])
def test_what_is_far_below_the_loudest_is_quiet(decibels: float, count: int) -> None:
    wave = np.ones(3 * SAMPLE_RATE // 2)
    wave[SAMPLE_RATE // 2 : SAMPLE_RATE] = 10 ** (decibels / 20)
    parts = recorded.active_parts(wave)
    assert len(parts) == count and sum(map(len, parts)) == (len(wave) if count == 1 else SAMPLE_RATE)


def test_the_longest_parts_are_kept_in_their_order() -> None:
    wave, lengths = np.zeros(8 * SAMPLE_RATE), (0.2, 0.9, 0.4, 0.3, 0.6)
    for n, seconds in enumerate(lengths):
        wave[int(1.5 * n * SAMPLE_RATE) :][: round(seconds * SAMPLE_RATE)] = n + 1
    parts = recorded.active_parts(wave)
    assert [(part[0], len(part) / SAMPLE_RATE) for part in parts] == [(2, 0.9), (3, 0.4), (4, 0.3), (5, 0.6)]


@pytest.mark.parametrize(
    ("count", "splits"), [(1, [0, 1, 2]), (2, [0, 1, 2]), (3, [0, 1, 2]), (10, [0] * 6 + [1] * 2 + [2] * 2)]
)
def test_few_items_reach_every_split(count: int, splits: list[int]) -> None:
    made = recorded.spread(range(count))
    assert sorted(split for _, split in made) == splits and {item for item, _ in made} == set(range(count))


def test_twins_among_photographs_stay_together() -> None:
    noise = np.random.default_rng(0)
    a, b, c = (noise.integers(0, 255, (96, 96, 4), dtype=np.uint8) for _ in range(3))
    brighter = np.clip(a.astype(int) * 0.9 + 12, 0, 255).astype(np.uint8)
    groups = recorded.alike([a, b, a[:, ::-1], c, brighter])
    assert [len(group) for group in groups] == [3, 1, 1]
    assert groups[0][2] is brighter and groups[1][0] is b
    assert len(recorded.alike([a])) == 1
    assert len(recorded.alike([np.full((96, 96, 4), 7, np.uint8), a])) == 2  # a picture of one colour is no error


# ------------------------------------------------------------------------------------------------------- real data


def test_folds_become_splits() -> None:
    assert recorded._fold_splits((1, 2, 3)) == {1: 0, 2: 0, 3: 0, 4: 1, 5: 2}
    assert recorded._fold_splits((1, 2, 4, 5)) == {1: 0, 2: 0, 4: 0, 5: 0, 3: 2}
    with pytest.raises(ValueError, match="none is left"):
        recorded._fold_splits((1, 2, 3, 4, 5))
    with pytest.raises(ValueError, match=r"train_folds must be some of .*not \(7,\)"):
        recorded._fold_splits((7,))


def test_every_thing_of_real_recordings_has_a_family() -> None:
    names = [*recorded.PHOTOS, *(name for name, _ in recorded.ESC.values())]
    assert all(recorded._families(names)) and recorded._families(["unheard of"]) == ((),)


def test_every_category_of_esc_has_a_drawing_of_its_own() -> None:
    assert len(recorded.ESC) == 50
    assert len({name for name, _ in recorded.ESC.values()}) == len({code for _, code in recorded.ESC.values()}) == 50
    drawn = [sum(map(drawings.is_drawn, drawings.emojis(code))) for _, code in recorded.ESC.values()]
    assert min(drawn) >= 1 and sum(count == 3 for count in drawn) >= 45


def test_recordings_of_esc_stay_in_their_folds(real_data: Path, mute: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from avlib.datasets import esc50

    some = [clip for clip in esc50.clips(real_data) if clip.category in ("dog", "rain")]
    few = [clip for fold in esc50.FOLDS for kind in ("dog", "rain")
           for clip in [c for c in some if c.fold == fold and c.category == kind][:2]]  # fmt: skip
    monkeypatch.setattr(esc50, "clips", lambda folder, only_esc10=None: few)
    pack = library.build("esc", real_data)
    assert pack.classes == ("dog", "rain cloud") and not pack.photographic
    for k in range(2):  # three hands, one a split
        assert pack.drawings(pack.picture_label_M == k) == (1, 1, 1)
    assert pack.families == (("animal", "mammal"), ("nature", "weather"))
    held_out = library.build("esc", real_data, train_folds=(1, 2, 3, 4))
    for k, kind in enumerate(("dog", "rain")):
        for made, folds in ((pack, {0: (1, 2, 3), 1: (4,), 2: (5,)}), (held_out, {0: (1, 2, 3, 4), 1: (5,), 2: (5,)})):
            for split, of in folds.items():
                parts = sum(len(recorded._heard(clip)) for clip in few if clip.category == kind and clip.fold in of)
                assert int(((made.sounds.label_M == k) & (made.sounds.split_M == split)).sum()) == parts
    assert int(pack.sounds.length_M.max()) <= 2 * SAMPLE_RATE + 1


def test_photographs_meet_recordings_and_notes(real_data: Path, mute: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from avlib.datasets import caltech101, esc50

    files = caltech101.photographs(real_data)
    few = {name: paths[:8] for name, paths in files.items() if name in ("dalmatian", "accordion", "car_side")}
    dogs = [clip for clip in esc50.clips(real_data) if clip.category == "dog"][::4]
    monkeypatch.setattr(caltech101, "photographs", lambda folder: few)
    monkeypatch.setattr(esc50, "clips", lambda folder, only_esc10=None: dogs)
    pack = library.build("photos", real_data)
    assert pack.classes == ("dog", "accordion") and pack.photographic and pack.picture_MCHW.shape == (16, 4, 96, 96)
    (line,) = (line for line in pack.licences if line.startswith("Left out"))
    assert "car" in line and "rooster" in line
