"""Metrics in the obvious, slow way: plain loops over Python floats. Only tests use them."""

from __future__ import annotations

import itertools
import math


def ciou(mask, truth):
    covered = annotated = outside = 0.0
    for mask_row, truth_row in zip(mask, truth):
        for lit, weight in zip(mask_row, truth_row):
            annotated += weight
            if lit:
                covered += weight
                if weight == 0:
                    outside += 1
    return covered / (annotated + outside) if annotated else math.nan


def success_auc(values):
    rates = []
    for i in range(21):
        rates.append(sum(1 for v in values if round(v * 20, 7) >= i) / len(values))
    return sum((rates[i] + rates[i + 1]) / 2 * 0.05 for i in range(20))


def pointing(heat, truth):
    cells = [(v, bool(t)) for row, truth_row in zip(heat, truth) for v, t in zip(row, truth_row)]
    high, low = max(v for v, _ in cells), min(v for v, _ in cells)
    if not any(t for _, t in cells):
        return math.nan
    if high == low:
        return 0.0
    peaks = [t for v, t in cells if v == high]
    return sum(peaks) / len(peaks)


def class_ciou(masks, truths, sounding):
    values = [ciou(m, t) for m, t, s in zip(masks, truths, sounding) if s]
    values = [v for v in values if not math.isnan(v)]
    return sum(values) / len(values) if values else math.nan


def nsa(maps, sounding, threshold):
    shares = []
    for heat, heard in zip(maps, sounding):
        if not heard:
            cells = [v for row in heat for v in row]
            shares.append(sum(1 for v in cells if v <= threshold) / len(cells))
    return sum(shares) / len(shares) if shares else math.nan


def ranking(scores, labels):
    """Labels from the highest score to the lowest, negatives first among equals."""
    return [label for _, label in sorted(zip(scores, labels), key=lambda pair: (-pair[0], pair[1]))]


def average_precision(ranked, rule, positives=None):
    positives = sum(ranked) if positives is None else positives
    if not positives:
        return math.nan
    points, hits = [], 0
    for place, label in enumerate(ranked, 1):
        hits += label
        points.append((hits, hits / place))
    if rule == "voc07":
        total = 0.0
        for tenth in range(11):
            total += max([p for h, p in points if 10 * h >= tenth * positives], default=0.0)
        return total / 11
    total, before = 0.0, 0
    for h, p in points:
        best = max(q for g, q in points if g >= h)
        total += (h - before) / positives * (best if rule == "area" else p)
        before = h
    return total


def rank(similarities, positives):
    """Expected rank of the best partner when ties are broken at random, by trying all orders of the tied ones."""
    best = max(s for s, p in zip(similarities, positives) if p)
    above = sum(1 for s in similarities if s > best)
    tied = [p for s, p in zip(similarities, positives) if s == best]
    firsts = [order.index(True) + 1 for order in itertools.permutations(tied)]
    return above + sum(firsts) / len(firsts)


def ndcg(scores, gains, k):
    def dcg(order):
        return sum(gains[i] / math.log2(place + 2) for place, i in enumerate(order[:k]))

    indices = range(len(scores))
    return dcg(sorted(indices, key=lambda i: -scores[i])) / dcg(sorted(indices, key=lambda i: -gains[i]))


def entropy(counts):
    total = sum(counts)
    return -sum(c / total * math.log(c / total) for c in counts if c)


def clusters(cluster, label):
    """NMI, best one-to-one accuracy (every assignment tried), purity, entropy."""
    ids, classes = sorted(set(cluster)), sorted(set(label))
    table = [[sum(1 for a, b in zip(cluster, label) if (a, b) == (k, c)) for c in classes] for k in ids]
    n = len(label)
    rows, columns = [sum(row) for row in table], [sum(column) for column in zip(*table)]
    mutual = sum(
        table[k][c] / n * math.log(table[k][c] * n / (rows[k] * columns[c]))
        for k in range(len(ids))
        for c in range(len(classes))
        if table[k][c]
    )
    spread = (entropy(rows) + entropy(columns)) / 2
    wide = table if len(ids) <= len(classes) else [list(column) for column in zip(*table)]
    best = max(
        sum(wide[i][j] for i, j in enumerate(order)) for order in itertools.permutations(range(len(wide[0])), len(wide))
    )
    purity = sum(max(row) / sum(row) for row in table) / len(table)
    return {
        "nmi": mutual / spread if spread else 1.0,
        "accuracy": best / n,
        "purity": purity,
        "entropy": sum(entropy(row) for row in table) / len(table),
    }


def auc(true, false):
    wins = sum(1.0 if t > f else 0.5 if t == f else 0.0 for t in true for f in false)
    return wins / (len(true) * len(false))


def sync_accuracy(scores, offsets, truth, tolerance):
    credit = 0.0
    for row, true in zip(scores, truth):
        best = [o for s, o in zip(row, offsets) if s == max(row)]
        credit += sum(1 for o in best if abs(o - true) <= tolerance) / len(best)
    return credit / len(scores)


def si_sdr(estimate, reference):
    def centred(x):
        mean = sum(x) / len(x)
        return [v - mean for v in x]

    e, s = centred(estimate), centred(reference)
    scale = sum(a * b for a, b in zip(e, s)) / sum(b * b for b in s)
    target = [scale * b for b in s]
    kept = sum(t * t for t in target)
    lost = sum((a - t) ** 2 for a, t in zip(e, target))
    return 10 * math.log10(kept / lost)


def with_negatives(confidence, ciou_values, visible, threshold=0.5):
    """Clean AP and max-F1 over every threshold."""
    positives = sum(visible)
    points, best = [], 0.0
    for c in sorted(set(confidence), reverse=True):
        true = false = 0
        for conf, value, seen in zip(confidence, ciou_values, visible):
            if conf >= c:
                if seen and value >= threshold:
                    true += 1
                else:
                    false += 1
        precision, recall = true / (true + false), true / positives
        points.append((recall, precision))
        best = max(best, 2 * precision * recall / (precision + recall) if true else 0.0)
    area, before = 0.0, 0.0
    for i, (recall, _) in enumerate(points):
        area += (recall - before) * max(p for _, p in points[i:])
        before = recall
    return area, best


def box_iou(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union else 0.0


def box_ap(boxes, scores, images, truths, truth_images, iou=0.5):
    taken, ranked = set(), []
    for p in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        free = [
            (box_iou(boxes[p], truths[g]), -g)
            for g in range(len(truths))
            if truth_images[g] == images[p] and g not in taken
        ]
        overlap, g = max(free, default=(0.0, 0))
        hit = overlap >= iou
        if hit:
            taken.add(-g)
        ranked.append(int(hit))
    return average_precision(ranked, "area", len(truths))


def top_label(activation, label, top):
    order = sorted(range(len(activation)), key=lambda i: (-activation[i], i))[:top]
    labels = [label[i] for i in order if activation[i] > min(activation)]
    return max(sorted(set(labels)), key=labels.count) if labels else -1


def unit_purity(activation, label, top):
    order = sorted(range(len(activation)), key=lambda i: (-activation[i], i))[:top]
    labels = [label[i] for i in order]
    return max(labels.count(c) for c in set(labels)) / len(labels)


def looks_at(region, masks, categories, place, things):
    """What a unit looks at in one clip: the name of a thing, of the place, or -1."""
    area, rest = [0] * len(masks), 0
    for y, row in enumerate(region):
        for x, lit in enumerate(row):
            if lit:
                over = [n for n, mask in enumerate(masks) if mask[y][x]]
                for n in over:
                    area[n] += 1
                rest += not over
    named = [(size, name) for size, name in zip(area, categories) if name >= 0]
    if place >= 0:
        named.append((rest, things + place))
    size, name = max(named, key=lambda pair: pair[0], default=(0, -1))
    return name if size else -1
