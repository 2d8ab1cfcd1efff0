"""Spoken captions: miniatures of the three sets' layouts, read back; broken rows and missing files named."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from avlib import media
from avlib.datasets import spoken
from avlib.datasets.spoken import SpokenCaption
from avlib.types import SAMPLE_RATE, Word


def put(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def places_row(n: int, **change: Any) -> dict[str, Any]:
    row = {"uttid": f"A1-{n}", "speaker": "A1", "asr_text": f"this is room {n}", "wav": f"wavs/4/utterance_{n}.wav"}
    return row | {"image": f"b/beach/gsun_{n}.jpg"} | change


@pytest.fixture
def places_list(tmp_path: Path) -> Path:
    rows = [places_row(n) for n in range(3)]
    for row in rows:
        put(tmp_path / "images256" / row["image"], b"-")
        put(tmp_path / "audio" / row["wav"], b"-")
    data = {"image_base_path": "../images256", "audio_base_path": str(tmp_path / "audio"), "data": rows}
    return put(tmp_path / "metadata" / "val.json", json.dumps(data))


FLICKR = {"train": ("a_1.jpg", "b_2.jpg"), "dev": ("c_3.jpg",), "test": ("d_4.jpg",)}


@pytest.fixture
def flickr_folder(tmp_path: Path) -> Path:
    captions, speakers, texts = [], [], []
    for split, images in FLICKR.items():
        put(tmp_path / "Flickr8k_text" / f"Flickr_8k.{split}Images.txt", "".join(f"{image}\n" for image in images))
        for image in images:
            put(tmp_path / "Flicker8k_Dataset" / image, b"-")
            for n in range(2):
                wav = f"{image[:-4]}_{n}.wav"
                put(tmp_path / "flickr_audio" / "wavs" / wav, b"-")
                captions.append(f"{wav} {image} #{n}\n")
                speakers.append(f"{wav} {n + 7}\n")
                texts.append(f"{image}#{n}\tA dog , seen {n} times , in {image} .\n")
    texts.append("2258277193_586949ec62.jpg.1#0\tA text without a picture .\n")
    put(tmp_path / "flickr_audio" / "wav2capt.txt", "".join(captions))
    put(tmp_path / "flickr_audio" / "wav2spk.txt", "".join(speakers))
    put(tmp_path / "Flickr8k_text" / "Flickr8k.token.txt", "".join(texts))
    return tmp_path


TIMECODE = [
    [0.0, "SYL", ""], [0.0, "WORD", "White"], [0.0, "PHO", "w"], [124.5, "PHO", "ai"], [253.0, "SYL", ""],
    [253.0, "SEPR", " "], [253.0, "WORD", "-"], [253.0, "SYL", ""], [253.0, "WORD", "keys"], [253.0, "PHO", "k"],
    [700.25, "PHO", "_"], [900.5, "SIL", ""], [900.5, "SYL", ""], [900.5, "WORD", "here"], [900.5, "PHO", "h"],
    [1200.0, "SYL", ""], [1300.0, "SIL", ""],
]  # fmt: skip
WORDS = (Word("White", 0.0, 0.253), Word("keys", 0.253, 0.70025), Word("here", 0.9005, 1.3))


def coco_row(image: int, caption: int, **change: Any) -> dict[str, Any]:
    row = {"duration": 1.4, "speaker": "Phil", "synthesisedCaption": "White - keys, here.", "timecode": TIMECODE}
    row |= {"speed": 0.9, "wavFilename": f"{image}_{caption}_Phil_None_0-9.wav", "captionID": caption, "imgID": image}
    return row | {"disfluency": ["None", ""]} | change


@pytest.fixture
def coco_folder(tmp_path: Path) -> Path:
    for split, image in (("train", 298817), ("val", 42)):
        place = tmp_path / f"{split}2014"
        put(place / f"COCO_{split}2014_{image:012d}.jpg", b"-")
        for caption in (26763, 26764):
            name = f"{image}_{caption}_Phil_None_0-9"
            put(place / "wav" / f"{name}.wav", b"-")
            put(place / "json" / f"{name}.json", json.dumps(coco_row(image, caption)))
    return tmp_path


def test_places(places_list: Path, tmp_path: Path) -> None:
    found = spoken.places(places_list)
    assert len(found) == 3
    assert found[1].image.samefile(tmp_path / "images256/b/beach/gsun_1.jpg")
    assert found[1].wav == tmp_path / "audio/wavs/4/utterance_1.wav"
    assert (found[1].text, found[1].speaker, found[1].utterance) == ("this is room 1", "A1", "A1-1")
    assert (found[1].split, found[1].words) == ("val", ())


def test_places_elsewhere(places_list: Path, tmp_path: Path) -> None:
    data = json.loads(places_list.read_text())
    put(places_list, json.dumps({"data": data["data"]}).encode("utf-16"))  # the parser finds out the encoding
    with pytest.raises(ValueError, match=r"val\.json, key 'image_base_path'"):
        spoken.places(places_list)
    found = spoken.places(places_list, tmp_path / "images256", tmp_path / "audio")
    assert found[2].image == tmp_path / "images256/b/beach/gsun_2.jpg"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (places_row(1, uttid="A1-0"), r"data\[1\]: 'A1-0' stands there twice"),
        (places_row(1, speaker=7), r"data\[1\]: 'speaker' is 7, not str"),
        (places_row(1, wav="../../etc/passwd"), r"data\[1\]: '\.\./\.\./etc/passwd' is not a file within"),
        ({"uttid": "x"}, r"data\[1\]: no key 'image'"),
        (None, r"data\[1\]: no key"),
    ],
)
def test_a_broken_row_of_places_is_named(
    places_list: Path, row: Any, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = json.loads(places_list.read_text())
    data["data"][1] = row
    put(places_list, json.dumps(data))
    with pytest.raises(ValueError, match=rf"val\.json: 1 rows cannot be read: {says}"):
        spoken.places(places_list)
    with caplog.at_level(logging.WARNING):
        assert [caption.utterance for caption in spoken.places(places_list, strict=False)] == ["A1-0", "A1-2"]
    assert "1 rows cannot be read" in caplog.text


@pytest.mark.parametrize("text", ["[]", "{}", '{"data": {}}', '{"data": [', '{"data": [], "data": []}', "\xff\xfe"])
def test_what_is_no_list_of_places_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"train\.json"):
        spoken.places(put(tmp_path / "train.json", text))
    with pytest.raises(FileNotFoundError, match=r"absent\.json"):
        spoken.places(tmp_path / "absent.json")


@pytest.mark.parametrize("name", ["images256/b/beach/gsun_2.jpg", "audio/wavs/4/utterance_2.wav"])
def test_a_missing_file_of_places_is_named(places_list: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"val\.json: 1 rows cannot be read: data\[2\]: .*{Path(name).name}"):
        spoken.places(places_list)
    assert len(spoken.places(places_list, strict=False)) == 2


def test_flickr8k(flickr_folder: Path) -> None:
    for split, images in FLICKR.items():
        found = spoken.flickr8k(flickr_folder, split)
        assert [caption.image.name for caption in found] == [image for image in images for _ in range(2)]
        assert all(caption.split == split and not caption.words for caption in found)
    assert spoken.flickr8k(flickr_folder)[3] == SpokenCaption(
        flickr_folder / "Flicker8k_Dataset/b_2.jpg", flickr_folder / "flickr_audio/wavs/b_2_1.wav",
        "A dog , seen 1 times , in b_2.jpg .", "8", "b_2_1", "train",
    )  # fmt: skip


def test_flickr8k_in_one_folder_with_pictures_elsewhere(flickr_folder: Path, tmp_path: Path) -> None:
    for name in ("flickr_audio", "Flickr8k_text"):
        for path in (flickr_folder / name).iterdir():
            path.rename(flickr_folder / path.name)
    (flickr_folder / "Flicker8k_Dataset").rename(tmp_path / "pictures")
    with pytest.raises(FileNotFoundError, match="no Flicker8k_Dataset or Images there"):
        spoken.flickr8k(flickr_folder)
    assert len(spoken.flickr8k(flickr_folder, "dev", tmp_path / "pictures")) == 2


def test_another_split_lists_the_right_ones(flickr_folder: Path, coco_folder: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown split 'tset'; did you mean 'test'.*train, dev, test"):
        spoken.flickr8k(flickr_folder, "tset")
    with pytest.raises(ValueError, match=r"unknown split 'test'.*train, val"):
        spoken.speech_coco(coco_folder, "test")


@pytest.mark.parametrize(
    ("name", "before", "after", "says"),
    [
        ("wav2capt.txt", b"a_1_1.wav a_1.jpg #1", b"a_1_0.wav a_1.jpg #1", "line 2: 'a_1_0.wav' stands there twice"),
        ("wav2capt.txt", b"a_1_1.wav a_1.jpg #1", b"a_1_1.wav a_1.jpg", "line 2: .* is not a recording, a picture and"),
        ("wav2capt.txt", b"a_1.jpg #1", b"a_1.jpg #9", "line 2: no text for 'a_1.jpg#9'"),
        ("wav2capt.txt", b"a_1_1.wav", b"../a_1_1.wav", "line 2: no speaker for '../a_1_1.wav'"),
        ("wav2spk.txt", b"a_1_1.wav 8", b"a_1_1.wav 8 9", "line 2: .* is not a recording and a speaker"),
        ("Flickr8k.token.txt", b"#1\tA dog", b"#1 A dog", "line 2: .* is not a picture#number, a tab and a text"),
        ("Flickr8k.token.txt", b"A dog", "Ein hübscher Hund".encode("latin-1"), "line 1: 'utf-8' codec can't decode"),
        ("Flickr_8k.trainImages.txt", b"b_2.jpg", b"a_1.jpg", "line 2: 'a_1.jpg' stands there twice"),
    ],
)
def test_a_broken_line_of_flickr8k_is_named(
    flickr_folder: Path, name: str, before: bytes, after: bytes, says: str
) -> None:
    (path,) = flickr_folder.rglob(name)
    put(path, path.read_bytes().replace(before, after, 1))
    with pytest.raises(ValueError, match=rf"{name}: 1 rows cannot be read: {says}"):
        spoken.flickr8k(flickr_folder)


def test_flickr8k_in_part(flickr_folder: Path) -> None:
    (flickr_folder / "flickr_audio/wavs/a_1_1.wav").unlink()
    assert len(spoken.flickr8k(flickr_folder, "dev")) == 2
    with pytest.raises(FileNotFoundError, match=r"wav2capt\.txt: 1 rows cannot be read: line 2: .*a_1_1\.wav"):
        spoken.flickr8k(flickr_folder)
    assert [c.utterance for c in spoken.flickr8k(flickr_folder, strict=False)] == ["a_1_0", "b_2_0", "b_2_1"]
    put(flickr_folder / "Flickr8k_text/Flickr_8k.testImages.txt", b"\xef\xbb\xbfz.jpg\r\n")
    with pytest.raises(ValueError, match=r"wav2capt\.txt holds no captions of the test pictures"):
        spoken.flickr8k(flickr_folder, "test")
    (flickr_folder / "flickr_audio/wav2spk.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"no wav2spk\.txt there"):
        spoken.flickr8k(flickr_folder)


def test_speech_coco(coco_folder: Path) -> None:
    first, second = spoken.speech_coco(coco_folder)
    place = coco_folder / "train2014"
    assert first == SpokenCaption(
        place / "COCO_train2014_000000298817.jpg", place / "wav/298817_26763_Phil_None_0-9.wav",
        "White - keys, here.", "Phil", "298817_26763_Phil_None_0-9", "train", WORDS,
    )  # fmt: skip
    assert second.utterance == "298817_26764_Phil_None_0-9"
    assert {c.image.name for c in spoken.speech_coco(coco_folder, "val")} == {"COCO_val2014_000000000042.jpg"}
    with pytest.raises(FileNotFoundError, match=r"298817_26763_Phil_None_0-9\.json: there is no file .*COCO_train2014"):
        spoken.speech_coco(coco_folder, images=coco_folder / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"no \.json annotations"):
        spoken.speech_coco(coco_folder / "train2014")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"captionID": 26763}, "holds caption 26763 of picture 298817"),
        ({"imgID": "298817"}, "'imgID' is '298817', not int"),
        ({"timecode": None}, "'timecode' is None, not list"),
        ({"timecode": [[0.0, "WORD"]]}, r"\[0.0, 'WORD'\] is not a time, a kind and a value"),
        ({"timecode": [[float("nan"), "WORD", "a"]]}, "its time cannot be"),
        ({"timecode": [[10**400, "SYL", ""]]}, "its time cannot be"),
        ({"timecode": [[5.0, "WORD", "a"], [2.0, "SIL", ""]]}, "the word 'a' ends at 2 ms and begins at 5 ms"),
    ],
)
def test_a_broken_file_of_speech_coco_is_named(coco_folder: Path, change: dict[str, Any], says: str) -> None:
    path = coco_folder / "train2014/json/298817_26764_Phil_None_0-9.json"
    put(path, json.dumps(coco_row(298817, 26764, **change)))
    with pytest.raises(ValueError, match=rf"json: 1 rows cannot be read: {path.name}: .*{says}"):
        spoken.speech_coco(coco_folder)
    assert len(spoken.speech_coco(coco_folder, strict=False)) == 1


def test_a_caption_of_speech_coco_that_comes_twice_is_named(coco_folder: Path) -> None:
    put(coco_folder / "val2014/json/42_26763_Paul_None_1-0.json", json.dumps(coco_row(42, 26763)))
    put(coco_folder / "val2014/wav/42_26763_Paul_None_1-0.wav", b"-")
    with pytest.raises(ValueError, match=r"42_26763_Phil_None_0-9\.json: '26763' stands there twice"):
        spoken.speech_coco(coco_folder, "val")


def test_words_without_a_closing_silence_or_any_mark() -> None:
    assert spoken._words([]) == ()
    assert spoken._words(TIMECODE[:4]) == (Word("White", 0.0, 0.1245),)


def recorded(folder: Path, seconds: float, rate: int = SAMPLE_RATE, words: tuple[Word, ...] = ()) -> SpokenCaption:
    """A picture, left third red, middle green, right blue, and a recording at half of full scale."""
    image_CHW = torch.eye(3).repeat_interleave(8, 1)[:, None].expand(3, 8, 24)
    name = f"{seconds}_{rate}"
    image = put(folder / f"{name}.png", media.encode_png(image_CHW))
    wav = media.write_wav(folder / f"{name}.wav", torch.full((round(seconds * rate),), 0.5), rate)
    return SpokenCaption(image, wav, f"text {name}", "1", name, words=words)


def test_a_batch_is_padded_with_silence_and_cut(tmp_path: Path) -> None:
    captions = [recorded(tmp_path, 0.25), recorded(tmp_path, 1.5, words=WORDS), recorded(tmp_path, 0.5, 8000)]
    batch = spoken.batch(captions, size=16, seconds=0.8)
    assert batch.wave_BS.shape == (3, 12_800) and batch.wave_BS.dtype == torch.float32
    assert (batch.wave_BS[0, :4000] > 0.49).all() and (batch.wave_BS[0, 4000:] == 0).all()
    assert (batch.wave_BS[1] > 0.49).all()
    assert (batch.wave_BS[2, 500:7500] - 0.5).abs().max() < 0.01 and (batch.wave_BS[2, 8000:] == 0).all()
    assert batch.image_BCHW is not None and batch.image_BCHW.shape == (3, 3, 16, 16)
    assert torch.allclose(batch.image_BCHW[0].mean((1, 2)), torch.tensor([0.0, 1.0, 0.0]))  # the square in the middle
    assert batch.text is None and batch.index_B.tolist() == [0, 1, 2] and len(batch) == 3
    assert batch.truth.caption == tuple(caption.text for caption in captions)
    assert batch.truth.words == ((), WORDS[:2], ())
    assert spoken.batch(captions, seconds=0.6).truth.words == ((), (WORDS[0], Word("keys", 0.253, 0.6)), ())


def test_a_batch_of_some_rows(tmp_path: Path) -> None:
    captions = [recorded(tmp_path, 0.1), recorded(tmp_path, 0.2), recorded(tmp_path, 0.3)]
    batch = spoken.batch(captions, seconds=0.2, rows=[2, 0])
    assert batch.index_B.tolist() == [2, 0] and batch.truth.caption == (captions[2].text, captions[0].text)
    assert batch.image_BCHW is not None and batch.image_BCHW.shape == (2, 3, 224, 224)
    assert batch.truth.words is None
    assert batch.select([1]).truth.caption == (captions[0].text,)
    assert spoken.batch(captions[:1]).wave_BS.shape == (1, 327_680)


def test_a_batch_that_cannot_be(tmp_path: Path) -> None:
    caption = recorded(tmp_path, 0.1)
    for bad in ({"seconds": 0.0}, {"seconds": float("nan")}, {"size": 0}, {"rows": []}):
        with pytest.raises(ValueError, match="a batch needs captions, pixels and time"):
            spoken.batch([caption], **bad)  # type: ignore[arg-type]
    put(caption.image, caption.image.read_bytes()[:40])
    with pytest.raises(media.MediaError, match=caption.image.name):
        spoken.batch([caption])
    put(caption.wav, caption.wav.read_bytes()[:60])
    with pytest.raises(media.MediaError, match=caption.wav.name):
        spoken.batch([caption])


def spoilt(whole: bytes, random: Random) -> bytes:
    """The same with a few bytes changed, or cut off."""
    raw = bytearray(whole)
    for _ in range(random.randint(1, 3)):
        raw[random.randrange(len(raw))] = random.choice([0, 9, 10, 32, 34, 35, 46, 47, 92, 255, random.randrange(256)])
    return bytes(raw[: random.randrange(len(raw))] if random.random() < 0.2 else raw)


@pytest.mark.parametrize("strict", [True, False])
def test_whatever_the_files_hold_they_are_read_or_named(
    places_list: Path, flickr_folder: Path, coco_folder: Path, strict: bool
) -> None:
    random, texts = Random(0), ("wav2capt.txt", "wav2spk.txt", "Flickr8k.token.txt", "Flickr_8k.trainImages.txt")
    cases = [(places_list, lambda: spoken.places(places_list, strict=strict))]
    cases += [(next(flickr_folder.rglob(t)), lambda: spoken.flickr8k(flickr_folder, strict=strict)) for t in texts]
    coco = next((coco_folder / "train2014/json").iterdir())
    cases.append((coco, lambda: spoken.speech_coco(coco_folder, strict=strict)))
    for path, read in cases:
        whole = path.read_bytes()
        for _ in range(60):
            put(path, spoilt(whole, random))
            try:
                assert read()
            except (ValueError, FileNotFoundError) as error:
                assert path.name in str(error) or "wav2capt.txt" in str(error)
        put(path, whole)
        assert read()
