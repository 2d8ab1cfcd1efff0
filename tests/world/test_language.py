"""What is said about a scene is what is seen, word by word and at the time that it is said."""

import logging
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency

from avlib.datasets import benchmarks
from avlib.text import split
from avlib.types import SAMPLE_RATE, Word
from avlib.world import World, language, library, presets, recorded, scenes, speech
from avlib.world.packs import Pack
from avlib.world.scenes import SPLITS, Draws


@pytest.fixture(scope="module")
def orchestra() -> Pack:
    return library.load("orchestra")


def sentences(pack: Pack, count: int, things: int = 1, colour: int = -1, plain: bool = False) -> list[str]:
    """Captions of scenes of which only the classes and the place are known."""
    draw = Draws(torch.arange(count), 0, "train")
    category_BN = (draw("category", things) * len(pack.classes)).long()
    colour_BN, visible_BN = torch.full_like(category_BN, colour), torch.ones_like(category_BN, dtype=torch.bool)
    place_B = (draw("place") * len(pack.places)).long()
    plain_B = torch.full_like(place_B, plain, dtype=torch.bool)
    chunk_BE = language.compose(draw, pack, category_BN, visible_BN, colour_BN, place_B, plain_B)
    return list(language.captions(chunk_BE, pack))


# ------------------------------------------------------------------------------------------------------- sentences


SOUND_DIALS = (
    {"voiceover": 1.0}, {"offscreen": 1.0}, {"sounding": (0, 0)}, {"tempo": (2.0, 9.0)}, {"noise": 0.0},
    {"gain": (-30.0, -20.0)}, {"shift": 0.9}, {"ambience": 0.0},
)  # fmt: skip


@pytest.mark.parametrize("preset", ["duet", "voiceover", "twins", "faces", "speech"])
def test_a_caption_knows_nothing_of_the_sound(preset: str, orchestra: Pack) -> None:
    cast = scenes.Cast(orchestra, "train")

    def said(**dials: object) -> tuple[str, ...]:
        turned = presets.named(preset).with_dials(**dials)
        scene = scenes.draw(orchestra, cast, turned, "train", 0, torch.arange(60), 1.0)
        return language.captions(scene.chunk_BE, orchestra)

    for dials in SOUND_DIALS:
        assert said(**dials) == said(), dials


def test_a_caption_names_the_things_in_sight_and_no_other(orchestra: Pack) -> None:
    roles = language.roles(orchestra)
    assert set(roles.values()) == {"thing", "colour", "place", "control", "function"}
    world = World(preset="silent", size=32)
    scene = world.scene(range(300))
    for text, visible, category, place in zip(
        language.captions(scene.chunk_BE, orchestra), scene.visible_BN, scene.category_BN, scene.place_B, strict=True
    ):
        seen = [orchestra.classes[k] for k in category[visible].tolist()]
        assert [word for word in split(text) if roles[word] == "thing"] == seen  # every one, in its order
        where = [word for word in split(text) if roles[word] == "place"]
        assert where in ([], orchestra.places[int(place)].split())


def test_every_word_of_the_grammar_occurs_and_phrasings_vary(orchestra: Pack) -> None:
    texts = sentences(orchestra, 4000, 2, colour=3) + sentences(orchestra, 500, plain=True)
    found = Counter(word for text in texts for word in split(text))
    roles = language.roles(orchestra)
    missing = {word for word, role in roles.items() if role != "colour"} - set(found) - {language.PERSON}
    assert missing == set() and set(found) <= set(roles)
    kinds = Counter(" ".join(w if roles[w] == "function" else roles[w] for w in split(text)) for text in texts)
    assert len(kinds) >= 20 and max(kinds.values()) < 0.2 * len(texts)
    assert any(language.PLAIN in text for text in texts)
    controls = sum(found[word.lower()] for word in language.CONTROLS) / len(texts)
    assert 0.55 < controls < 0.7  # five of eight patterns have one


def test_colours_are_told_sometimes_and_truly(orchestra: Pack) -> None:
    for index, colour in enumerate(language.COLOURS):
        texts = sentences(orchestra, 200, colour=index)
        told = [text for text in texts if colour in text.split()]
        assert 0.2 < len(told) / len(texts) < 0.55
        assert all(other not in text.split() for text in texts for other in language.COLOURS if other != colour)
    assert not any(colour in text.split() for text in sentences(orchestra, 300) for colour in language.COLOURS)


def test_a_told_colour_is_that_of_the_thing_in_the_picture() -> None:
    world = World(preset="duet", size=32)
    scene, roles, told = world.scene(range(600)), language.roles(world.pack), 0
    rows = zip(scene.category_BN.tolist(), scene.colour_BN.tolist(), strict=True)
    for text, (category, colour) in zip(language.captions(scene.chunk_BE, world.pack), rows, strict=True):
        true = {world.classes[k]: c for k, c in zip(category, colour, strict=False)}
        for word, follows in pairwise(split(text)):
            if roles[word] == "colour":
                assert language.COLOURS.index(word) == true[follows]
                told += 1
    assert 0.4 * language.COLOURED < told / 1200 < language.COLOURED  # not every thing has one colour


def test_articles_agree_with_what_follows(orchestra: Pack) -> None:
    for colour in range(-1, len(language.COLOURS)):
        for text in sentences(orchestra, 200, 2, colour):
            words = text.split()
            for article, follows in pairwise(words):
                if article in ("a", "an"):
                    assert (article == "an") == (follows[0] in "aeiou"), text
                    assert follows not in ("maracas", "clapping"), text
    called = {
        "dog": "a dog", "accordion": "an accordion", "maracas": "maracas", "clapping": "clapping", "bus": "a bus",
        "acoustic_guitar": "an acoustic guitar", "R&B": "an R&B", "unicorn": "a unicorn", "hour_glass": "an hour glass",
        "8-bit": "an 8-bit", "3D printer": "a 3D printer", "8D": "an 8D", "180": "a 180",
        "_": "a thing", "ring": "a ring",
    }  # fmt: skip
    assert {name: language.with_article(name) for name in called} == called
    assert language.with_article("church_bells") == "church bells"


def test_phrasing_and_filler_are_independent_of_the_scene() -> None:
    world = World(preset="solo", size=32)
    scene = world.scene(range(3000))
    roles = language.roles(world.pack)
    rows = []
    for text, category in zip(language.captions(scene.chunk_BE, world.pack), scene.category_BN[:, 0], strict=True):
        words = [word for word in split(text) if roles[word] == "control"]
        rows += [(sorted(roles).index(words[0]), int(category))] if words else []
    control, category = np.unique([r[0] for r in rows], return_inverse=True)[1], [r[1] for r in rows]
    table = np.zeros((control.max() + 1, len(world.classes)))
    np.add.at(table, (control, category), 1)
    assert chi2_contingency(table).pvalue > 1e-3


def test_the_vocabulary_of_a_pack_knows_every_word(orchestra: Pack) -> None:
    vocabulary = language.vocabulary(orchestra)
    assert set(vocabulary.words) == set(language.roles(orchestra))
    assert vocabulary.encode(sentences(orchestra, 200, 2, 1)).min() != 1


# ---------------------------------------------------------------------------------------------------------- speech


def test_every_voice_says_every_chunk_word_by_word(orchestra: Pack) -> None:
    assert orchestra.phrases == language.grammar(orchestra.classes, orchestra.places).chunks
    for n, words in enumerate(orchestra.words):
        assert " ".join(word.text for word in words) == orchestra.phrases[int(orchestra.speech.label_M[n])]
        seconds = int(orchestra.speech.length_M[n]) / SAMPLE_RATE
        times = [time for word in words for time in (word.start, word.end)]
        assert times == sorted(times) and times[0] == 0 and times[-1] == pytest.approx(seconds, abs=1e-3)
    assert len(orchestra.speech.data_S) * 2 < 25e6


def test_voices_are_split_and_differ(orchestra: Pack) -> None:
    split_V = torch.tensor([int(orchestra.speech.split_M[orchestra.voice_M == v][0]) for v in range(14)])
    assert torch.equal(split_V[orchestra.voice_M], orchestra.speech.split_M)
    assert [int((split_V == s).sum()) for s in range(3)] == [8, 2, 4]
    of_split = list(zip(speech.SPEAKERS, speech.SPEAKER_SPLIT, strict=True))
    timbres = [{who.voice.partition("+")[2] for who, s in of_split if s == k} for k in range(3)]
    assert not timbres[0] & timbres[1] and not timbres[0] & timbres[2] and not timbres[1] & timbres[2]
    phrase = orchestra.phrases.index("a helicopter")
    heard = [spectrum(orchestra.speech.wave(int(m))) for m in (orchestra.speech.label_M == phrase).nonzero()[:, 0]]
    apart = [np.abs(a - b).mean() for n, a in enumerate(heard) for b in heard[:n]]
    assert min(apart) > 1.0  # dB, on average over the spectrum


def spectrum(wave_S: torch.Tensor) -> np.ndarray:
    """Long-term level in 40 bands, dB."""
    power = np.abs(np.fft.rfft(wave_S.numpy(), SAMPLE_RATE)) ** 2
    return np.array([10 * np.log10(band.mean() + 1e-9) for band in np.array_split(power[80:6080], 40)])


def test_control_words_last_as_long_as_the_names_of_things(orchestra: Pack) -> None:
    def seconds(words: tuple[str, ...]) -> float:
        rows = torch.isin(orchestra.speech.label_M, torch.tensor([orchestra.phrases.index(word) for word in words]))
        return float(orchestra.speech.length_M[rows].float().mean()) / SAMPLE_RATE

    assert abs(seconds(language.CONTROLS) / seconds(orchestra.classes) - 1) < 0.15


@pytest.mark.parametrize("split", SPLITS)
def test_a_spoken_caption_is_the_written_one_in_one_voice(split: str, orchestra: Pack) -> None:
    world = World(preset="speech", split=split, seconds=4.0, size=32)
    scene, batch = world.scene(range(200)), world.batch(range(200))
    assert batch.truth.caption == tuple(" ".join(w.text for w in words) for words in batch.truth.words)
    voice_BN = language.voices(scene.note_BNE, scene.onset_BNE, orchestra)
    assert (voice_BN[:, :-1] == -1).all()
    there_BE = ~scene.onset_BNE[:, -1].isnan()
    for b in range(200):
        voices = orchestra.voice_M[scene.note_BNE[b, -1][there_BE[b]]]
        assert set(voices.tolist()) == {int(voice_BN[b, -1])}
    split_of = dict(zip(orchestra.voice_M.tolist(), orchestra.speech.split_M.tolist(), strict=True))
    used = set(voice_BN[:, -1].tolist())
    assert used == {voice for voice, s in split_of.items() if s == SPLITS.index(split)}


def test_words_are_heard_when_the_truth_says_so() -> None:
    batch = World(preset="speech", seconds=4.0, size=32).batch(range(100))
    for wave_S, words in zip(batch.wave_BS, batch.truth.words, strict=True):
        rms = float(wave_S.square().mean().sqrt())
        inside_S = torch.zeros(len(wave_S), dtype=torch.bool)
        for word, after in zip(words, (*words[1:], None), strict=True):
            a, b = round(word.start * SAMPLE_RATE), round(word.end * SAMPLE_RATE)
            assert wave_S[a:b].square().mean().sqrt() > 0.1 * rms, word
            inside_S[a - 2 : b + 2] = True
            assert after is None or after.start >= word.end - 1e-6
        assert wave_S[~inside_S].abs().max() == 0.0  # nothing is said outside the words


def test_almost_every_spoken_caption_fits_into_three_seconds() -> None:
    world = World(preset="speech", seconds=3.0, size=32)
    truth = world.batch(range(300)).truth
    whole = [text == " ".join(w.text for w in words) for text, words in zip(truth.caption, truth.words, strict=True)]
    assert np.mean(whole) > 0.9


# ----------------------------------------------------------------------------------------------------------- faces


@pytest.mark.parametrize("split", SPLITS)
def test_each_head_has_a_voice_of_its_own(split: str, orchestra: Pack) -> None:
    scene = World(preset="faces", split=split, size=32, seconds=2.0).scene(range(200))
    for b in range(200):
        voices = []
        for n in range(2):
            there_E = ~scene.onset_BNE[b, n].isnan()
            heard = set(orchestra.voice_M[scene.note_BNE[b, n][there_E]].tolist())
            assert len(heard) == 1
            voices += heard
        assert voices[0] != voices[1]
    assert set(language.voices(scene.note_BNE, scene.onset_BNE, orchestra)[:, :2].flatten().tolist()) == {
        v for v, s in zip(range(14), speech.SPEAKER_SPLIT, strict=True) if s == SPLITS.index(split)
    }


def test_heads_talk_all_the_time_with_pauses(orchestra: Pack) -> None:
    seconds = 3.0
    scene = World(preset="faces", size=32, seconds=seconds).scene(range(200))
    length_BNE = orchestra.speech.length_M[scene.note_BNE] / SAMPLE_RATE
    end_BNE = scene.onset_BNE + length_BNE
    assert scene.onset_BNE.nan_to_num(9.0).amin(2).max() <= -1.0 and end_BNE.nan_to_num(-9.0).amax(2).min() > seconds
    silence_BNE = scene.onset_BNE[..., 1:] - end_BNE[..., :-1]
    gap = silence_BNE[~silence_BNE.isnan()]
    assert gap.min() >= -1e-4 and gap.max() <= language.PAUSE[1] + 1e-4
    pauses = gap >= language.PAUSE[0] - 1e-4
    assert ((gap <= language.GAP[1] + 1e-4) | pauses).all() and 0.1 < pauses.float().mean() < 0.4
    inside = (scene.onset_BNE.clamp(0, seconds) - end_BNE.clamp(0, seconds)).abs().nansum(2) / seconds
    assert inside.min() > 0.5 and inside.mean() > 0.7


def test_what_a_head_says_depends_on_nothing_but_its_clip(orchestra: Pack) -> None:
    world = World(preset="faces", size=32)
    assert torch.equal(world.scene(range(9)).note_BNE[5], world.scene([5]).note_BNE[0])
    said = {tuple(row) for row in world.scene(range(100)).note_BNE[:, 0].tolist()}
    assert len(said) == 100


# ------------------------------------------------------------------------------------------------------ odd packs


ODD = ("acoustic_guitar", "dog2", "R&B", "3D printer", "собака", "l'étoile", "★")


@pytest.fixture(scope="module")
def odd(orchestra: Pack) -> Pack:
    """A pack of seven things with unusual names, spoken by two voices a split."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speech, "SPEAKERS", tuple(speech.SPEAKERS[n] for n in (0, 1, 8, 9, 10, 11)))
        patch.setattr(speech, "SPEAKER_SPLIT", (0, 0, 1, 1, 2, 2))
        said, voice_M, phrases, words = language.spoken(ODD, orchestra.places)
    few = orchestra.picture_label_M < len(ODD)
    heard = (orchestra.sounds.label_M < len(ODD)).nonzero()[:, 0]
    bank = orchestra.sounds
    sounds = replace(
        bank, start_M=bank.start_M[heard], length_M=bank.length_M[heard], label_M=bank.label_M[heard],
        split_M=bank.split_M[heard],
    )  # fmt: skip
    pictures = {
        f.name: getattr(orchestra, f.name)[few]
        for f in orchestra.__dataclass_fields__.values()
        if f.name.startswith("picture_")
    }
    return replace(
        orchestra, name="odd", classes=ODD, sounds=sounds, speech=said, voice_M=voice_M, phrases=phrases, words=words,
        **pictures,
    )  # fmt: skip


def test_unusual_names_break_nothing(odd: Pack) -> None:
    for name in ("speech", "faces", "duet"):
        assert len(World(odd, preset=name, size=32).batch(range(20)).truth.caption) == 20
    texts = " | ".join(sentences(odd, 300))
    for name in ("an acoustic guitar", "a dog2", "an R&B", "a 3D printer", "a собака", "a l'étoile"):
        assert name in texts
        word = name.split()[-1]
        rows = (odd.speech.label_M == odd.phrases.index(name)).nonzero()[:, 0].tolist()
        assert all(odd.words[m][-1].text == word and odd.words[m][-1].end > odd.words[m][-1].start for m in rows)
    batch = World(odd, preset="speech", seconds=5.0, size=32).batch(range(60))
    for text, words in zip(batch.truth.caption, batch.truth.words, strict=True):
        assert "★" in text or " ".join(w.text for w in words) == text


def test_what_cannot_be_spoken_is_silent_and_named(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    wave = np.ones(800)

    def said(lines):
        return [(np.zeros(1), ()) if "★" in text else (wave, (Word(text, 0.0, 0.05),)) for text, _ in lines]

    monkeypatch.setattr(speech, "say_all", said)
    with caplog.at_level(logging.WARNING):
        bank, _, phrases, words = language.spoken(("★", "☃"), ())
    assert "nothing can be spoken of 'a ★', '★'" in caplog.text and "☃" not in caplog.text
    assert words[phrases.index("★")] == () and int(bank.length_M[phrases.index("★")]) == 1


def test_an_article_alone_is_not_the_name_of_a_thing(odd: Pack) -> None:
    """espeak-ng says the "a" of "a ★"."""
    for phrase in ("★", "a ★"):
        rows = (odd.speech.label_M == odd.phrases.index(phrase)).nonzero()[:, 0].tolist()
        assert rows and all(odd.words[m] == () and int(odd.speech.length_M[m]) == 1 for m in rows)


PUBLIC = (
    *recorded.ESC, *benchmarks.MUSIC_CATEGORIES.values(), "air_conditioner", "car_horn", "children_playing", "dog_bark",
    "drilling", "engine_idling", "gun_shot", "jackhammer", "siren", "street_music",
)  # fmt: skip
"""Categories of ESC-50, MUSIC and UrbanSound8K, as their files spell them."""


def test_the_names_of_public_classes_are_spoken_word_by_word() -> None:
    lines = [language.with_article(name) for name in PUBLIC]
    for line, (wave, words) in zip(lines, speech.say_all([(line, speech.SPEAKERS[0]) for line in lines]), strict=True):
        assert [word.text for word in words] == line.split() and "_" not in line
        assert all(0 <= word.start < word.end <= len(wave) / SAMPLE_RATE + 0.01 for word in words)


def test_speech_of_another_grammar_is_an_error(orchestra: Pack) -> None:
    old = replace(orchestra, phrases=(*orchestra.phrases[:-1], "hello"))
    with pytest.raises(ValueError, match="the speech of pack 'orchestra' is not that of this grammar"):
        World(old, preset="speech", size=32).scene([0])


# ---------------------------------------------------------------------------------------------------------- espeak


def test_the_same_lines_are_said_alike_in_every_process() -> None:
    lines = [("and a trumpet", speech.Speaker("en-us", 150, 45)), ("here is a dog", speech.Speaker("en+m7", 145, 40))]
    (a, words_a), (b, words_b) = speech.say_all(lines)
    again = speech.say_all(lines)
    assert np.array_equal(a, again[0][0]) and np.array_equal(b, again[1][0]) and words_b == again[1][1]
    assert [word.text for word in words_a] == ["and", "a", "trumpet"]
    with pytest.raises(ValueError, match="no voice 'nobody'"):
        speech.say("hello", speech.Speaker("nobody", 150, 45))


def test_words_without_a_mark_of_their_own_count_as_one() -> None:
    marks = [(1, 0), (3, 50), (6, 80)]  # (position in the text, sample)
    assert speech._words("a dog2", marks, 100, 10, 1.0) == (Word("a", 0.0, 0.4), Word("dog2", 0.4, 1.0))
    assert speech._words("a ★", [(1, 0)], 100, 0, 1.0) == (Word("a ★", 0.0, 1.0),)
