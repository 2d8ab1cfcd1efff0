"""The tokenizer of captions."""

import doctest

import pytest
import torch

import avlib.text
from avlib.text import PADDING, UNKNOWN, Vocabulary, split

TEXTS = ["Here is a dog, before the temple.", "an R&B band", "a собака and a 3D printer"]


def test_texts_come_back_word_for_word() -> None:
    vocabulary = Vocabulary.of(TEXTS)
    token_BJ = vocabulary.encode(TEXTS)
    assert token_BJ.dtype == torch.int64 and token_BJ.shape == (3, 7)
    assert vocabulary.decode(token_BJ) == (
        "here is a dog before the temple",
        "an r&b band",
        "a собака and a 3d printer",
    )
    assert vocabulary.lengths(token_BJ).tolist() == [7, 3, 6]
    assert (token_BJ[1, 3:] == PADDING).all() and not (token_BJ == UNKNOWN).any()
    assert len(vocabulary) == len(vocabulary.words) + 2 > int(token_BJ.max())


def test_a_word_has_one_token_whatever_stands_around_it() -> None:
    vocabulary = Vocabulary.of(["dog cat"])
    assert vocabulary.encode(["A dog!", "(Dog) cat,"]).tolist() == [[UNKNOWN, 3], [3, 2]]
    assert Vocabulary.of(["cat", "dog"]) == vocabulary  # the order of the texts does not matter
    assert split("  well-known  —  l'été … ") == ["well-known", "—", "l'été"]


def test_padding_goes_as_far_as_asked() -> None:
    vocabulary = Vocabulary.of(["a b"])
    assert vocabulary.encode(["a", "a b a"], width=5).shape == (2, 5)
    assert vocabulary.encode(["a b a"], width=2).shape == (1, 3)  # never cuts
    assert vocabulary.encode([]).shape == (0, 0) and vocabulary.encode([""]).shape == (1, 0)
    assert vocabulary.decode(torch.zeros(2, 0, dtype=torch.int64)) == ("", "")


def test_a_vocabulary_is_kept_as_plain_json(tmp_path) -> None:
    vocabulary = Vocabulary.of(TEXTS)
    assert Vocabulary.load(vocabulary.save(tmp_path / "words.json")) == vocabulary
    assert "собака" in (tmp_path / "words.json").read_text(encoding="utf-8")
    for content in ("{", '{"a": 1}', "[1, 2]", '["Dog"]', '["a", "a"]'):
        (tmp_path / "words.json").write_text(content)
        with pytest.raises(ValueError, match="vocabulary"):
            Vocabulary.load(tmp_path / "words.json")


def test_wrong_input_is_named() -> None:
    vocabulary = Vocabulary.of(["a b"])
    with pytest.raises(ValueError, match=r"\['b'\] occur twice, \['c d'\] are not single words"):
        Vocabulary(("b", "b", "c d"))
    with pytest.raises(ValueError, match=r"tokens 0…4 are not all within 0…3"):
        vocabulary.decode(torch.tensor([[0, 4]]))
    for call in (Vocabulary.of, vocabulary.encode):
        with pytest.raises(TypeError, match="many texts, not the one text 'a b'"):
            call("a b")


def test_the_examples_of_the_documentation_are_true() -> None:
    assert doctest.testmod(avlib.text) == (0, 7)
