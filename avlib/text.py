"""Words to numbers: the tokenizer of captions, one token a word."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from avlib import files

PADDING, UNKNOWN = 0, 1
"""The tokens that fill up short texts and that stand for a word outside the vocabulary."""
_MARKS = '.,;:!?…"“”„«»()[]'


def split(text: str) -> list[str]:
    """The words of a text, in small letters and without punctuation around them.

    >>> split("Here is a dog, and an R&B band!")
    ['here', 'is', 'a', 'dog', 'and', 'an', 'r&b', 'band']
    """
    return [word for part in text.lower().split() if (word := part.strip(_MARKS))]


@dataclass(frozen=True)
class Vocabulary:
    """Which words there are, in which order: word n is token n + 2, after padding (0) and unknown (1).

    Args:
        words: in small letters, each once.

    Raises:
        ValueError: a word that occurs twice, or that no text can contain.

    Examples:
        >>> vocabulary = Vocabulary.of(["here is a dog", "a bell"])
        >>> len(vocabulary), vocabulary.words
        (7, ('a', 'bell', 'dog', 'here', 'is'))
        >>> token_BJ = vocabulary.encode(["a bell", "here is a cat"])
        >>> token_BJ.tolist()
        [[2, 3, 0, 0], [5, 6, 2, 1]]
        >>> vocabulary.lengths(token_BJ).tolist()
        [2, 4]
        >>> vocabulary.decode(token_BJ)
        ('a bell', 'here is a ?')
    """

    words: tuple[str, ...]
    _token: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        twice = sorted({word for word in self.words if self.words.count(word) > 1})
        odd = [word for word in self.words if split(word) != [word]]
        if twice or odd:
            raise ValueError(f"not a vocabulary: {twice} occur twice, {odd} are not single words in small letters")
        object.__setattr__(self, "_token", {word: n + 2 for n, word in enumerate(self.words)})

    @classmethod
    def of(cls, texts: Iterable[str]) -> Vocabulary:
        """All words of some texts (or a list of words), in the order of the alphabet."""
        if isinstance(texts, str):
            raise TypeError(f"Vocabulary.of takes many texts, not the one text {texts!r}")
        return cls(tuple(sorted({word for text in texts for word in split(text)})))

    def __len__(self) -> int:
        return len(self.words) + 2

    def encode(self, texts: Sequence[str], width: int = 0) -> Tensor:
        """The tokens of each text, padded on the right to the longest, or to ``width`` if that is more, int64 (B, J).

        Raises:
            TypeError: one text in place of many.
        """
        if isinstance(texts, str):
            raise TypeError(f"encode takes many texts, not the one text {texts!r}")
        rows = [[self._token.get(word, UNKNOWN) for word in split(text)] for text in texts]
        wide = max([width, *(len(row) for row in rows)])
        token_BJ = torch.full((len(rows), wide), PADDING, dtype=torch.int64)
        for n, row in enumerate(rows):
            token_BJ[n, : len(row)] = torch.tensor(row, dtype=torch.int64)
        return token_BJ

    @staticmethod
    def lengths(token_BJ: Tensor) -> Tensor:
        """How many words each text has, int64 (B,)."""
        return (token_BJ != PADDING).sum(1)

    def decode(self, token_BJ: Tensor) -> tuple[str, ...]:
        """The texts back, with ``?`` for each unknown word.

        Raises:
            ValueError: a token outside the vocabulary.
        """
        if token_BJ.numel() and not 0 <= int(token_BJ.min()) <= int(token_BJ.max()) < len(self):
            raise ValueError(f"tokens {int(token_BJ.min())}…{int(token_BJ.max())} are not all within 0…{len(self) - 1}")
        names = ("", "?", *self.words)
        return tuple(" ".join(names[token] for token in row if token != PADDING) for row in token_BJ.tolist())

    def save(self, path: Path | str) -> Path:
        """Write the words as a JSON list; an existing file stays until the new one is whole."""
        return files.write(path, json.dumps(self.words, ensure_ascii=False), "the vocabulary")

    @classmethod
    def load(cls, path: Path | str) -> Vocabulary:
        """A vocabulary as :meth:`save` wrote it.

        Raises:
            ValueError: the file holds something else.
        """
        try:
            words = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is not a saved vocabulary: {error}") from error
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ValueError(f"{path} is not a saved vocabulary: it holds no list of words")
        return cls(tuple(words))
