"""Soft clusters of cells and their match, written the obvious way: one cell, one component, one pair at a time."""

from __future__ import annotations

import math


def dot(one: list[float], two: list[float]) -> float:
    """Σ a·b."""
    return sum(a * b for a, b in zip(one, two, strict=True))


def squash(value: list[float]) -> list[float]:
    """tanh(10·length) in the direction of ``value``."""
    length = math.sqrt(dot(value, value))
    return [math.tanh(10 * length) * x / length for x in value] if length else value


def softmax(score: list[float]) -> list[float]:
    """exp(score) over their sum."""
    total = sum(math.exp(x - max(score)) for x in score)
    return [math.exp(x - max(score)) / total for x in score]


def projected(
    cells: list[list[float]], weights: list[list[list[float]]], rounds: int, sharpness: float
) -> tuple[list[list[float]], list[list[float]]]:
    """Centres (K, D) and shares (P, K) of one clip: ``cells`` (P, C), ``weights`` (K, D, C)."""
    views = [[[dot(row, cell) for row in weight] for weight in weights] for cell in cells]
    parts, dim = len(weights), len(weights[0])
    logits = [[0.0] * parts for _ in cells]
    for n in range(rounds):
        shares = [softmax(row) for row in logits]
        centres = [
            [sum(shares[i][k] * views[i][k][d] for i in range(len(cells))) for d in range(dim)] for k in range(parts)
        ]
        if n < rounds - 1:
            lengths = [math.sqrt(dot(c, c)) for c in centres]
            logits = [[sharpness * dot(centres[k], view[k]) / lengths[k] for k in range(parts)] for view in views]
    return centres, shares


def euclidean(
    cells: list[list[float]], clusters: int, rounds: int, sharpness: float
) -> tuple[list[list[float]], list[list[float]]]:
    """Centres (K, D) and shares (P, K) of one clip by soft k-means from evenly spaced cells."""
    centres = [cells[n * len(cells) // clusters] for n in range(clusters)]
    for _ in range(rounds):
        shares = [softmax([-sharpness * max(math.dist(cell, c), 1e-5) for c in centres]) for cell in cells]
        weight = [sum(row[k] for row in shares) for k in range(clusters)]
        centres = [
            [
                sum(row[k] * cell[d] for row, cell in zip(shares, cells, strict=True)) / weight[k]
                for d in range(len(cells[0]))
            ]
            for k in range(clusters)
        ]
    return centres, shares


def match(image: list[list[float]], audio: list[list[float]]) -> float:
    """Mean over k of the cosine of component k of a picture and component k of a sound."""
    cosines = [dot(v, a) / math.sqrt(dot(v, v) * dot(a, a)) for v, a in zip(image, audio, strict=True)]
    return sum(cosines) / len(cosines)


def choice(match_BB: list[list[float]], scale: float) -> float:
    """Mean of both directions of -log softmax at the own clip."""
    clips, total = len(match_BB), 0.0
    for i in range(clips):
        row = [scale * x for x in match_BB[i]]
        column = [scale * match_BB[j][i] for j in range(clips)]
        total -= (math.log(softmax(row)[i]) + math.log(softmax(column)[i])) / (2 * clips)
    return total


def all_margins(match_BB: list[list[float]], gap: float) -> float:
    """max(0, gap + false - true), mean over all false pairs, of both directions, added."""
    clips, total = len(match_BB), 0.0
    for i in range(clips):
        for j in range(clips):
            if i != j:
                total += max(0.0, gap + match_BB[i][j] - match_BB[i][i]) + max(
                    0.0, gap + match_BB[j][i] - match_BB[i][i]
                )
    return total / (clips * (clips - 1))


def nearest(image: list[list[float]], audio: list[list[float]]) -> float:
    """Mean over a sound's centres of the distance to the nearest of a picture's."""
    return sum(min(math.dist(v, a) for v in image) for a in audio) / len(audio)


def apart(distance_BB: list[list[float]], margin: float) -> float:
    """½ of the mean d² of own pairs, and ½ of the mean max(margin - d, 0)² of the others."""
    clips = len(distance_BB)
    near = sum(distance_BB[i][i] ** 2 for i in range(clips)) / clips
    far = [max(margin - distance_BB[i][j], 0.0) ** 2 for i in range(clips) for j in range(clips) if i != j]
    return (near + sum(far) / len(far)) / 2


def released(image: list[list[float]], audio: list[list[float]]) -> float:
    """What the released layer sums up: cosines of cluster k and cluster k + K/2 of one row that holds both senses.

    Centres (K, d) of both are put side by side on their last axis, and that row of K is halved along its first.
    """
    rows = [v + a for v, a in zip(image, audio, strict=True)]
    half = len(rows) // 2
    return sum(
        dot(one, two) / math.sqrt(dot(one, one) * dot(two, two))
        for one, two in zip(rows[:half], rows[half:], strict=True)
    )
