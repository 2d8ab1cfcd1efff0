"""The losses written the obvious way: float64 numbers, plain loops."""

from __future__ import annotations

import math

Matrix = list[list[float]]


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def correspondence(logits: list[float], labels: list[float]) -> float:
    total = 0.0
    for logit, label in zip(logits, labels, strict=True):
        total += label * softplus(-logit) + (1 - label) * softplus(logit)
    return total / len(logits)


def correspondence_pairs(logits: Matrix) -> float:
    true, false = [], []
    for i, row in enumerate(logits):
        for j, logit in enumerate(row):
            (true if i == j else false).append(softplus(-logit) if i == j else softplus(logit))
    return 0.5 * sum(true) / len(true) + 0.5 * sum(false) / len(false)


def log_softmax(row: list[float]) -> list[float]:
    top = max(row)
    total = top + math.log(sum(math.exp(x - top) for x in row))
    return [x - total for x in row]


def info_nce(sim: Matrix, temperature: float, symmetric: bool) -> float:
    def one_way(rows: Matrix) -> float:
        return -sum(log_softmax([x / temperature for x in row])[i] for i, row in enumerate(rows)) / len(rows)

    columns = [[row[j] for row in sim] for j in range(len(sim))]
    return (one_way(sim) + one_way(columns)) / 2 if symmetric else one_way(sim)


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def soft_nce(query: Matrix, bank: Matrix, target: Matrix, temperature: float, weights: list[float]) -> float:
    total = 0.0
    for vector, row, weight in zip(query, target, weights, strict=True):
        log_prob = log_softmax([dot(vector, entry) / temperature for entry in bank])
        total -= weight * dot(row, log_prob)
    return total / sum(weights)


def true_or_false(true: list[float], false: Matrix) -> float:
    wrong = [softplus(logit) for row in false for logit in row]
    return 0.5 * sum(softplus(-logit) for logit in true) / len(true) + 0.5 * sum(wrong) / len(wrong)


def among(own: list[float], others: Matrix, target: Matrix) -> float:
    rows = zip(own, others, target, strict=True)
    return -sum(dot(share, log_softmax([logit, *row])) for logit, row, share in rows) / len(own)


def noise_contrastive(positive: list[float], negative: Matrix, normaliser: float, temperature: float) -> float:
    total = 0.0
    for score, others in zip(positive, negative, strict=True):
        constant = len(others) * normaliser
        p = math.exp(score / temperature)
        total -= math.log(p / (p + constant))
        for other in others:
            total -= math.log(constant / (math.exp(other / temperature) + constant))
    return total / len(positive)


def distance(a: list[float], b: list[float]) -> float:
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) + 1e-12)


def contrastive(image: Matrix, audio: Matrix, labels: list[float], margin: float) -> float:
    total = 0.0
    for v, a, label in zip(image, audio, labels, strict=True):
        d = distance(v, a)
        total += d**2 if label else max(margin - d, 0.0) ** 2
    return total / len(labels)


def triplet(anchor: Matrix, positive: Matrix, negative: Matrix, margin: float) -> float:
    rows = zip(anchor, positive, negative, strict=True)
    return sum(max(0.0, margin + distance(a, p) - distance(a, n)) for a, p, n in rows) / len(anchor)


def margin_rank(sim: Matrix, gap: float, impostors: str) -> float:
    def one_way(rows: Matrix) -> float:
        total = 0.0
        for i, row in enumerate(rows):
            others = [x for j, x in enumerate(row) if j != i]
            if impostors == "all":
                total += sum(max(0.0, gap + x - row[i]) for x in others) / len(others)
            elif impostors == "hardest":
                total += max(0.0, gap + max(others) - row[i])
            else:
                below = [x for x in others if x < row[i]]
                total += max(0.0, gap + max(below) - row[i]) if below else 0.0
        return total / len(rows)

    return one_way(sim) + one_way([[row[j] for row in sim] for j in range(len(sim))])


def kl_distillation(teacher: Matrix, logits: Matrix) -> float:
    total = 0.0
    for prob, row in zip(teacher, logits, strict=True):
        for p, log_q in zip(prob, log_softmax(row), strict=True):
            total += p * (math.log(p) - log_q) if p > 0 else 0.0
    return total / len(teacher)


def l2_distillation(teacher: Matrix, logits: Matrix) -> float:
    total = 0.0
    for prob, row in zip(teacher, logits, strict=True):
        total += sum((p - math.exp(log_q)) ** 2 for p, log_q in zip(prob, log_softmax(row), strict=True))
    return total / len(teacher)
