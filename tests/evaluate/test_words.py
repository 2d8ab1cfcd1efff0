"""Words in speech: planted ones are pointed at and found, and every number equals a loop."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch

from avlib.evaluate import words
from avlib.types import Word

CELL = 0.1
SENTENCES = (
    (Word("a", 0.0, 0.1), Word("dog", 0.1, 0.4), Word("and", 0.4, 0.6), Word("bell", 0.6, 1.0)),
    (Word("the", 0.0, 0.2), Word("bell", 0.2, 0.55), Word("dog", 0.55, 0.8)),
)
NAMES = {"dog": 0, "bell": 1}
CATEGORY = np.array([[0, 1, -1], [1, 0, -1]])
BOX = np.array([[[0, 0, 4, 4], [4, 4, 8, 8], [np.nan] * 4], [[4, 0, 8, 4], [0, 4, 4, 8], [np.nan] * 4]])


def planted() -> np.ndarray:
    """map_BYXL of two clips: each thing's cell is warm just while its word is said."""
    map_BYXL = np.zeros((2, 2, 2, 10))
    map_BYXL[0, 0, 0, 1:4] = map_BYXL[0, 1, 1, 6:10] = 1.0
    map_BYXL[1, 0, 1, 2:6] = map_BYXL[1, 1, 0, 5:8] = 1.0
    return map_BYXL


# --- pointing


@pytest.mark.parametrize(
    ("start", "end", "cells"), [(0.0, 0.1, (0, 1)), (0.12, 0.3, (1, 3)), (0.31, 0.31, (3, 4)), (2.0, 2.2, (9, 10))]
)
def test_a_word_lasts_at_least_one_cell_of_its_sentence(start: float, end: float, cells: tuple[int, int]) -> None:
    found = words.moments(Word("", start, end), CELL, 10)
    assert (found.start, found.stop) == cells


def test_planted_words_point_at_their_things_and_at_no_other() -> None:
    found = words.point(planted(), SENTENCES, NAMES, CATEGORY, BOX, CELL, 8)
    assert found.clip_R.tolist() == [0, 0, 1, 1]
    scores = found.scores(0.5)
    assert scores["pointing"] == 1 and scores["pointing, other"] == 0
    assert (
        scores["IoU"]
        > 0.6
        > 0.2
        > words.point(planted()[:, ::-1], SENTENCES, NAMES, CATEGORY, BOX, CELL, 8).scores(0.5)["IoU"]
    )


def test_the_map_of_a_word_is_the_mean_while_it_is_said() -> None:
    map_BYXL = np.random.default_rng(0).random((2, 2, 2, 10))
    found = words.point(map_BYXL, SENTENCES, NAMES, CATEGORY, BOX, CELL, 8)
    for y in range(2):
        for x in range(2):
            assert found.map_RYX[0, y, x] == pytest.approx(sum(map_BYXL[0, y, x, n] for n in (1, 2, 3)) / 3)


def test_a_word_for_two_things_or_for_none_in_sight_is_left_out() -> None:
    twice = np.array([[0, 0, -1], [2, 0, -1]])
    found = words.point(planted(), SENTENCES, NAMES, twice, BOX, CELL, 8)
    assert found.clip_R.tolist() == [1]
    with pytest.raises(ValueError, match="no word names anything in sight; named are cat"):
        words.point(planted(), SENTENCES, {"cat": 0}, CATEGORY, BOX, CELL, 8)
    with pytest.raises(ValueError, match="different numbers"):
        words.point(planted(), SENTENCES[:1], NAMES, CATEGORY, BOX, CELL, 8)


# --- segments


def test_planted_words_are_cut_out_exactly() -> None:
    found = words.grounded(planted(), [10, 8], share=0.8)
    rows = sorted(zip(found.clip_R.tolist(), found.first_R.tolist(), found.last_R.tolist(), strict=True))
    assert rows == [(0, 1, 4), (0, 6, 10), (1, 2, 6), (1, 5, 8)]
    place, iou_R = words.told(found, SENTENCES, CELL)
    said = [SENTENCES[clip][n].text for clip, n in zip(found.clip_R, place, strict=True)]
    assert Counter(said) == {"dog": 2, "bell": 2}
    assert iou_R[0] == pytest.approx(1.0) and len(found) == 4
    assert found.box_R4[0].tolist() == [0, 0, 1, 1]


def test_what_is_beyond_the_end_of_a_sentence_is_not_looked_at() -> None:
    map_BYXL = planted()
    map_BYXL[1, :, :, 8:] = 9.0
    assert (words.grounded(map_BYXL, [10, 8], share=0.8).last_R <= [10, 10, 8, 8]).all()


def test_parts_too_short_and_shares_too_odd_are_named() -> None:
    with pytest.raises(ValueError, match="lasts 6 cells"):
        words.grounded(planted(), [10, 8], share=0.8, least=6)
    with pytest.raises(ValueError, match="share must lie within"):
        words.grounded(planted(), [10, 8], share=1.0)


def test_random_stretches_are_as_many_and_as_long_and_lie_inside() -> None:
    own = words.grounded(planted(), [10, 8], share=0.8)
    starts = set()
    for seed in range(200):
        other = words.elsewhere(own, [10, 8], seed)
        assert (other.clip_R == own.clip_R).all()
        assert (other.last_R - other.first_R == own.last_R - own.first_R).all()
        assert (other.first_R >= 0).all() and (other.last_R <= np.array([10, 8])[own.clip_R]).all()
        starts.add(int(other.first_R[0]))
    assert starts == set(range(8))  # every place that a stretch of three cells has among ten


def test_a_stretch_says_the_word_it_shares_most_time_with() -> None:
    segments = words.Segments(np.array([0, 0, 1]), np.array([0, 3, 9]), np.array([3, 7, 10]), np.zeros((3, 4), int))
    place, iou_R = words.told(segments, SENTENCES, CELL)
    assert place == [1, 2, -1]
    assert iou_R.tolist() == pytest.approx([0.2 / 0.4, 0.2 / 0.4, 0.0])


def test_averages_are_those_of_a_loop() -> None:
    speech_BDL = torch.randn(2, 3, 10)
    segments = words.grounded(planted(), [10, 8], share=0.8)
    found = words.averages(segments, speech_BDL)
    for r in range(len(segments)):
        for d in range(3):
            cells = [
                float(speech_BDL[segments.clip_R[r], d, n]) for n in range(segments.first_R[r], segments.last_R[r])
            ]
            assert float(found[r, d]) == pytest.approx(sum(cells) / len(cells), abs=1e-6)


# --- units


def case(noise: float) -> tuple[words.Segments, torch.Tensor, list[tuple[Word, ...]]]:
    """Forty sentences of two words among five; the net hears which, more or less."""
    generator = np.random.default_rng(0)
    texts = "abcde"
    speech_BDL, sentences, rows = torch.zeros(40, 5, 10), [], []
    for b in range(40):
        one, two = generator.permutation(5)[:2]
        sentences.append((Word(texts[one], 0.0, 0.5), Word(texts[two], 0.5, 1.0)))
        speech_BDL[b, one, :5] = speech_BDL[b, two, 5:] = 1.0
        rows += [(b, 0, 5), (b, 5, 10)]
    speech_BDL += noise * torch.from_numpy(generator.normal(size=(40, 5, 10))).float()
    clip_R, first_R, last_R = np.array(rows).T
    return words.Segments(clip_R, first_R, last_R, np.zeros((80, 4), int)), speech_BDL, sentences


def test_words_that_the_net_tells_apart_are_found() -> None:
    segments, speech_BDL, sentences = case(0.05)
    found = words.word_units(segments, speech_BDL, sentences, CELL, 5)
    assert found.purity == found.nmi == 1.0 and set(found.name.values()) == set("abcde")
    assert set(found.coverage.values()) == {1.0} and found.iou == pytest.approx(1.0)
    assert found.covered("ab") == 1.0 and math.isnan(found.covered(["nobody"]))


def test_purity_and_coverage_are_those_of_a_loop() -> None:
    segments, speech_BDL, sentences = case(3.0)
    found = words.word_units(segments, speech_BDL, sentences, CELL, 7, seed=1)
    right = 0
    caught: dict[str, int] = dict.fromkeys("abcde", 0)
    for k in range(7):
        rows = [r for r in range(80) if found.cluster_R[r] == k]
        counts = Counter(found.word_R[r] for r in rows)
        assert counts[found.name[k]] == max(counts.values())
        assert found.share[k] == pytest.approx(counts[found.name[k]] / len(rows))
        right += counts[found.name[k]]
        caught[found.name[k]] += counts[found.name[k]]  # here each token lies in one stretch
    assert found.purity == pytest.approx(right / 80) and found.purity < 0.9
    tokens = Counter(word.text for sentence in sentences for word in sentence)
    for text, count in tokens.items():
        assert found.coverage[text] == pytest.approx(caught[text] / count)


def test_a_token_under_two_stretches_counts_once() -> None:
    sentences = [(Word("a", 0.0, 1.0),)]
    segments = words.Segments(np.zeros(2, int), np.array([0, 5]), np.array([5, 10]), np.zeros((2, 4), int))
    found = words.word_units(segments, torch.ones(1, 3, 10), sentences, CELL, 1)
    assert found.coverage == {"a": 1.0} and found.iou == pytest.approx(0.5)


def test_a_stretch_in_which_nobody_speaks_says_nothing() -> None:
    segments = words.Segments(np.array([0]), np.array([7]), np.array([9]), np.zeros((1, 4), int))
    found = words.word_units(segments, torch.ones(1, 3, 10), [(Word("a", 0.0, 0.5),)], CELL, 3)
    assert found.word_R == ("",) and found.coverage == {"a": 0.0} and found.iou == 0.0
