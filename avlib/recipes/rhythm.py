"""What rhythm features keep: linear probes of when notes begin, how many there are and how fast they come."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from avlib.evaluate import exam, probe, synchrony
from avlib.evaluate.features import Features, features
from avlib.recipes.timing import FPS, FRAMES, HARD
from avlib.world.windows import Windows

Labelled = tuple[Tensor, Tensor]
VIEWS = 2
"""Windows of each clip that a probe is taught and asked with."""
SPANS = 6
MOST = 4
"""Onsets of a window beyond which a probe counts no further."""


def probes(method: nn.Module, sets: Sequence[Windows]) -> dict[str, float]:
    """Linear probes of either tower on the windows of training, validation and test.

    Which thing, how many onsets, faster or slower than most: accuracy. When: whether a note begins within each of the
    window's SPANS, the mean of the areas under their curves.
    """
    parts = []
    for clips in sets:
        row_B = torch.arange(len(clips))
        shown = torch.cat([torch.cat([row_B[:, None], clips.starts(row_B, [HARD], n)], 1) for n in range(VIEWS // 2)])
        row_V, seen_V = torch.cat([shown[:, [0, 1]], shown[:, [0, 2]]]).unbind(1)
        parts.append(features(method, map(clips.cut, row_V.split(64), seen_V.split(64))))
    middle = float(parts[0].truth.rhythm_BN[:, 0].median())  # type: ignore[index]
    answers: dict[str, Callable[[Features], Tensor]] = {
        "onsets": onsets, "tempo": lambda part: fast(part, middle), "class": lambda part: part.label_B,
    }  # fmt: skip
    scores: dict[str, float] = {}
    for name, sense in (("image_BD", "picture"), ("audio_BD", "sound")):
        rows = [getattr(part, name) for part in parts]
        for what, told in answers.items():
            scores[f"{sense} {what}"] = exam.probe_score(*zip(rows, map(told, parts), strict=True))
        scores[f"{sense} when"] = beats(*zip(rows, map(begins, parts), strict=True))
    return scores


def beats(train: Labelled, valid: Labelled, test: Labelled) -> float:
    """Mean over spans of the AUC of a linear probe for notes that begin there; C is the one that validation prefers."""
    feature_BD = torch.cat([valid[0], test[0]])
    found = []
    for strength in exam.STRENGTHS:
        areas = []
        for span in range(SPANS):
            label_B = torch.cat([valid[1][:, span], test[1][:, span]]).bool()
            known = probe.linear_probe(train[0], train[1][:, span], feature_BD, label_B.long(), strength)
            score_B = torch.from_numpy(known.score_BK[:, -1])
            areas.append(
                [
                    synchrony.auc(score_B[part][label_B[part]], score_B[part][~label_B[part]])
                    for part in (slice(len(valid[0])), slice(len(valid[0]), None))
                ]
            )
        found.append(torch.tensor(areas).mean(0).tolist())
    return float(max(found)[1])


def begins(found: Features) -> Tensor:
    """Does a note begin in each of SPANS equal parts of the window? int64 (B, SPANS)."""
    begin_BE = found.truth.onset_BNE[:, 0]  # type: ignore[index]
    at_BE = begin_BE * (SPANS * FPS / FRAMES)
    return torch.stack([((at_BE >= n) & (at_BE < n + 1)).any(1) for n in range(SPANS)], 1).long()


def onsets(found: Features) -> Tensor:
    """How many notes of the thing begin within the window, counted up to MOST."""
    begin_BE = found.truth.onset_BNE[:, 0]  # type: ignore[index]
    return ((begin_BE >= 0) & (begin_BE < FRAMES / FPS)).sum(1).clamp(max=MOST)


def fast(found: Features, middle: float) -> Tensor:
    """Does the thing play faster than that (notes/s)? int64 (B,)."""
    return (found.truth.rhythm_BN[:, 0] > middle).long()  # type: ignore[index]
