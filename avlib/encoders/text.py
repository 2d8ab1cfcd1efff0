"""Encoders of written captions."""

from __future__ import annotations

from torch import Tensor, nn

PADDING = 0
"""The token that fills up short captions."""


class TextSmall(nn.Module):
    """Word vectors and two convolutions over three words: token_BL (int64, 0 is padding) -> map_BDL.

    Cells of padding are 0 in every layer, so more padding changes nothing; pool with
    ``pool_max(map, TextSmall.mask(token_BL))``.

    Args:
        words: size of the vocabulary, padding included.
        dim: coordinates of each cell, D.
        width: coordinates of a word vector.

    Raises:
        ValueError: when called, not (captions, words), a caption of padding alone, a token outside the vocabulary.
    """

    def __init__(self, words: int, dim: int = 128, width: int = 64) -> None:
        super().__init__()
        self.words = words
        self.embedding = nn.Embedding(words, width, padding_idx=PADDING)
        self.first = nn.Conv1d(width, dim, 3, padding=1)
        self.second = nn.Conv1d(dim, dim, 3, padding=1)

    @staticmethod
    def mask(token_BL: Tensor) -> Tensor:
        """Which tokens are words: bool, (B, L)."""
        return token_BL != PADDING

    def forward(self, token_BL: Tensor) -> Tensor:
        if token_BL.ndim != 2 or token_BL.numel() == 0:
            raise ValueError(f"TextSmall needs token_BL (captions, words), not shape {tuple(token_BL.shape)}")
        if int(token_BL.min()) < 0 or int(token_BL.max()) >= self.words:
            raise ValueError(
                f"TextSmall knows tokens 0…{self.words - 1}, not {int(token_BL.min())}…{int(token_BL.max())}"
            )
        word_BL = self.mask(token_BL)
        if not bool(word_BL.any(1).all()):
            empty = (~word_BL.any(1)).nonzero().flatten().tolist()
            raise ValueError(f"TextSmall got captions without a word: rows {empty[:8]}")
        value = self.embedding(token_BL).transpose(1, 2)
        value = self.first(value).relu() * word_BL[:, None]
        return self.second(value) * word_BL[:, None]
