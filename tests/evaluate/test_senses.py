"""Several senses in one space: ranks by a loop, gaps in closed form, probes that carry over."""

import itertools
import math

import numpy as np
import pytest
import torch

from avlib.evaluate import probe, senses

SAID = ("a dog", "a bell", "a dog", "a horn", "a bird", "a drum", "a cat", "a gong", "a lute")


def space(clips=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(clips, 5, generator=generator) for name in ("picture", "sound", "text")}


def by_loop(values, query, item, label):
    """Median rank, that of the first right one among random lists, and how often the first has the query's label."""
    kept = [n for n in range(9) if item != "text" or SAID[n] not in SAID[:n]]
    ranks, first, partners = [], [], []
    for i in range(9):
        sim = [float(torch.nn.functional.cosine_similarity(values[query][i], values[item][j], 0)) for j in kept]
        mine = [n for n, j in enumerate(kept) if j == i or ("text" in (query, item) and SAID[j] == SAID[i])]
        ranks.append(1 + sum(sim[n] > max(sim[m] for m in mine) for n in range(len(kept)) if n not in mine))
        first.append(label[kept[int(np.argmax(sim))]] == label[i])
        partners.append(len(mine))
    found = [sum(1 - math.comb(len(kept) - p, k) / math.comb(len(kept), k) for p in partners) / 9
             for k in range(1, len(kept) + 1)]  # fmt: skip
    return float(np.median(ranks)), 1 + next(n for n, share in enumerate(found) if share >= 0.5), float(np.mean(first))


def test_every_way_is_that_of_a_loop():
    values, label_B = space(), torch.arange(9) % 3
    scores = senses.searches(values, SAID, label_B, 9)
    for one, other in itertools.permutations(values, 2):
        median, luck, same = by_loop(values, one, other, label_B.tolist())
        assert scores[f"{one} → {other}, median rank"] == median
        assert scores[f"{one} → {other}, rank"] == median / luck
        assert scores[f"{one} → {other}, same thing"] == pytest.approx(same)
    assert len(scores) == 18


def test_noise_finds_by_luck_also_where_sentences_are_the_same():
    values, said = space(600), [str(n // 3) for n in range(600)]
    values["text"] = values["text"][torch.arange(600) // 3]
    scores = senses.searches(values, said, torch.zeros(600, dtype=torch.int64), 600)
    for one, other in itertools.permutations(values, 2):
        assert scores[f"{one} → {other}, rank"] == pytest.approx(1, abs=0.12)


def test_chunks_are_searched_apart_and_a_short_one_is_left_out():
    values, label_B = space(), torch.arange(9) % 3
    parts = [senses.searches({n: v[row] for n, v in values.items()}, SAID[row], label_B[row], 4)
             for row in (slice(4), slice(4, 8))]  # fmt: skip
    whole = senses.searches(values, SAID, label_B, 4)
    assert whole == pytest.approx({name: (parts[0][name] + parts[1][name]) / 2 for name in whole})
    with pytest.raises(ValueError, match="9 clips make no chunk of 10"):
        senses.searches(values, SAID, label_B, 10)


def test_one_space_for_all_is_found_at_once_and_noise_by_luck():
    values = space(400)
    same = dict.fromkeys(values, values["text"])
    said, label_B = [str(n) for n in range(400)], torch.zeros(400, dtype=torch.int64)
    assert senses.searches(same, said, label_B, 400)["sound → text, median rank"] == 1
    assert senses.searches(values, said, label_B, 400)["sound → text, rank"] == pytest.approx(1, abs=0.15)


def test_moving_or_scaling_a_sense_and_reordering_all_of_them_changes_no_centred_rank():
    values, label_B = space(60), torch.arange(60) // 2 % 4
    said = [str(n // 2) for n in range(60)]
    values["text"] = values["text"][torch.arange(60) // 2]
    moved = {name: (n + 1) * value + 3 * n for n, (name, value) in enumerate(values.items())}
    one, two = (senses.searches(senses.centred(v), said, label_B, 60) for v in (values, moved))
    assert one == pytest.approx(two)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    turned = {name: value[order] for name, value in values.items()}
    assert senses.searches(turned, [said[n] for n in order], label_B[order], 60) == pytest.approx(
        senses.searches(values, said, label_B, 60)
    )


def test_gaps_have_closed_forms():
    value = torch.tensor([[3.0, 0.0], [0.0, 2.0]])
    found = senses.gaps({"picture": value, "sound": 5 * value, "text": -value})
    assert found == pytest.approx({"picture and sound": 0, "picture and text": 2**0.5, "sound and text": 2**0.5})
    assert set(senses.gaps(senses.centred({"a": value, "b": value + 7})).values()) == {0.0}


def test_who_knows_a_class_is_lost_within_it():
    said = [str(n) for n in range(12)]
    assert senses.knowing(torch.arange(12), said) == 1 / 6
    assert senses.knowing(torch.arange(12) // 4, said) == 2.5 / 6
    assert senses.knowing(torch.zeros(12), said) == 6.5 / 6


def test_a_probe_is_asked_in_every_sense_and_chooses_its_own_C():
    generator = torch.Generator().manual_seed(0)
    label_B = torch.arange(90) % 3
    signal = torch.nn.functional.one_hot(label_B, 3).float()

    def part(flip):
        noise = [0.3 * torch.randn(90, 3, generator=generator) for _ in range(2)]
        return {"one": signal + noise[0], "other": (signal.flip(1) if flip else signal) + noise[1]}, label_B

    found = senses.transfer(part(False), part(False), part(False))
    assert len(found) == 4 and min(found.values()) > 0.9
    train, valid, test = part(True), part(True), part(True)
    found = senses.transfer(train, valid, test)
    assert found["one", "one"] > 0.9 and found["one", "other"] < 0.5
    scores = [probe.linear_probe(train[0]["one"], label_B, valid[0]["one"], label_B, C).accuracy
              for C in (0.01, 0.1, 1.0)]  # fmt: skip
    C = (0.01, 0.1, 1.0)[int(np.argmax(scores))]
    due = probe.linear_probe(train[0]["one"], label_B, test[0]["other"], label_B, C).accuracy
    assert found["one", "other"] == pytest.approx(due)
