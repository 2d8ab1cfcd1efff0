"""Losses against float64 loops, numerical gradients and closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from avlib import losses
from tests.reference import losses as reference


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


LABELS = torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=torch.float64)
TARGET = random(3, 5, seed=9).softmax(1)
TEACHER = random(3, 5, seed=8).softmax(1)
WEIGHTS = torch.tensor([1.0, 0.25, 2.0], dtype=torch.float64)
INDEX = torch.tensor([4, 0, 2])

CASES: dict[str, tuple[Callable[..., Tensor], Callable[..., float], list[Tensor]]] = {
    "correspondence": (
        lambda x: losses.correspondence(x, LABELS),
        lambda x: reference.correspondence(x, LABELS.tolist()),
        [random(4)],
    ),
    "correspondence pairs": (losses.correspondence, reference.correspondence_pairs, [random(4, 4)]),
    "info_nce": (
        lambda x: losses.info_nce(x, 0.3, symmetric=True),
        lambda x: reference.info_nce(x, 0.3, True),
        [random(4, 4)],
    ),
    "info_nce rows": (
        lambda x: losses.info_nce(x, 0.3, symmetric=False),
        lambda x: reference.info_nce(x, 0.3, False),
        [random(4, 4)],
    ),
    "info_nce_bank": (
        lambda q: losses.info_nce_bank(q, random(5, 2, seed=3), INDEX, 0.3, WEIGHTS),
        lambda q: reference.soft_nce(
            q, random(5, 2, seed=3).tolist(), torch.eye(5)[INDEX].tolist(), 0.3, WEIGHTS.tolist()
        ),
        [random(3, 2)],
    ),
    "soft_nce": (
        lambda q: losses.soft_nce(q, random(5, 2, seed=3), TARGET, 0.3, WEIGHTS),
        lambda q: reference.soft_nce(q, random(5, 2, seed=3).tolist(), TARGET.tolist(), 0.3, WEIGHTS.tolist()),
        [random(3, 2)],
    ),
    "true_or_false": (losses.true_or_false, reference.true_or_false, [random(3), random(3, 4, seed=1)]),
    "among": (
        losses.among,
        lambda own, others: reference.among(own, others, [[1.0, 0, 0, 0, 0]] * 3),
        [random(3), random(3, 4, seed=1)],
    ),
    "among, shared": (
        lambda own, others: losses.among(own, others, TARGET),
        lambda own, others: reference.among(own, others, TARGET.tolist()),
        [random(3), random(3, 4, seed=1)],
    ),
    "noise_contrastive": (
        lambda p, n: losses.noise_contrastive(p, n, 1.5, 0.5),
        lambda p, n: reference.noise_contrastive(p, n, 1.5, 0.5),
        [random(3), random(3, 4, seed=1)],
    ),
    "contrastive": (
        lambda v, a: losses.contrastive(v, a, LABELS, 2.0),
        lambda v, a: reference.contrastive(v, a, LABELS.tolist(), 2.0),
        [random(4, 3), random(4, 3, seed=1)],
    ),
    "triplet": (
        lambda a, p, n: losses.triplet(a, p, n, 0.5),
        lambda a, p, n: reference.triplet(a, p, n, 0.5),
        [random(4, 3), random(4, 3, seed=1), random(4, 3, seed=2)],
    ),
    "margin": (
        lambda t, f: losses.margin(t, f, 1.0),
        lambda t, f: sum(max(0.0, 1.0 + y - x) for x, y in zip(t, f, strict=True)) / len(t),
        [random(4), random(4, seed=1)],
    ),
    "kl": (
        lambda x: losses.kl_distillation(TEACHER, x),
        lambda x: reference.kl_distillation(TEACHER.tolist(), x),
        [random(3, 5)],
    ),
    "l2": (
        lambda x: losses.l2_distillation(TEACHER, x),
        lambda x: reference.l2_distillation(TEACHER.tolist(), x),
        [random(3, 5)],
    ),
    **{
        f"margin_rank {kind}": (
            lambda x, kind=kind: losses.margin_rank(x, 1.0, kind),
            lambda x, kind=kind: reference.margin_rank(x, 1.0, kind),
            [random(5, 5)],
        )
        for kind in ("all", "hardest", "semi-hard")
    },
}


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_equal_the_loop(name: str) -> None:
    ours, loop, inputs = CASES[name]
    assert float(ours(*inputs)) == pytest.approx(loop(*(x.tolist() for x in inputs)), rel=1e-9)
    leaves = [x.clone().requires_grad_() for x in inputs]
    gradients = torch.autograd.grad(ours(*leaves), leaves)
    for place, gradient in enumerate(gradients):
        for cell in range(gradient.numel()):
            ends = []
            for step in (1e-5, -1e-5):
                moved = [x.clone() for x in inputs]
                moved[place].view(-1)[cell] += step
                ends.append(loop(*(x.tolist() for x in moved)))
            assert float(gradient.reshape(-1)[cell]) == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_gradcheck(name: str) -> None:
    ours, _, inputs = CASES[name]
    assert torch.autograd.gradcheck(ours, [x.clone().requires_grad_() for x in inputs])


@pytest.mark.parametrize("name", CASES)
def test_half_precision_is_widened(name: str) -> None:
    ours, _, inputs = CASES[name]
    half = [x.bfloat16() for x in inputs]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = ours(*half)
    assert value.dtype in (torch.float32, torch.float64)
    assert float(value) == pytest.approx(float(ours(*(x.double() for x in half))), rel=1e-4)


def test_correspondence_at_zero_and_flipped() -> None:
    assert float(losses.correspondence(torch.zeros(6, 6))) == pytest.approx(math.log(2))
    assert float(losses.correspondence(torch.zeros(4), LABELS)) == pytest.approx(math.log(2))
    logit = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    (plus,) = torch.autograd.grad(losses.correspondence(logit, LABELS), logit)
    (minus,) = torch.autograd.grad(losses.correspondence(logit, 1 - LABELS), logit)
    assert torch.equal(plus, -minus)


def test_random_shift_never_pairs_a_clip_with_itself() -> None:
    generator = torch.Generator().manual_seed(0)
    seen = {losses.random_shift(5, generator) for _ in range(200)}
    assert seen == {1, 2, 3, 4}


def test_off_diagonal() -> None:
    assert losses.off_diagonal(torch.arange(9.0).view(3, 3)).tolist() == [[1, 2], [3, 5], [6, 7]]


def test_equal_scores() -> None:
    query, bank, index = torch.zeros(4, 3), torch.zeros(50, 3), torch.arange(4)
    assert float(2 * losses.info_nce_bank(query, bank, index)) == pytest.approx(2 * math.log(50), rel=1e-6)
    assert float(losses.info_nce(torch.ones(7, 7))) == pytest.approx(math.log(7), rel=1e-6)
    nce = losses.noise_contrastive(torch.zeros(2).double(), torch.zeros(2, 1024).double(), 1.0)
    assert float(nce) == pytest.approx(7.93196, abs=5e-6)
    assert float(losses.margin(torch.ones(3), torch.ones(3), 10.0)) == 10
    for kind in ("random", "hardest", "all"):
        assert float(losses.margin_rank(torch.zeros(4, 4), 1.0, kind)) == 2.0


def test_candidates_are_drawn_evenly_among_those_that_are_allowed() -> None:
    allowed = torch.tensor([[False, True, True, True], [True, False, False, False], [True, False, True, False]])
    drawn = losses.draw(allowed, 3000, torch.Generator().manual_seed(0))
    for row, may in zip(drawn, allowed, strict=True):
        share = row.bincount(minlength=4) / 3000
        assert torch.allclose(share, may / may.sum(), atol=0.04) and not bool(share[~may].any())
    again = losses.draw(allowed, 3000, torch.Generator().manual_seed(0))
    assert torch.equal(drawn, again) and drawn.dtype == torch.int64


def test_all_others_of_a_batch_are_the_matrix_forms() -> None:
    logit = random(5, 5)
    false, back = losses.off_diagonal(logit), losses.off_diagonal(logit.t())
    both = torch.cat([false, back])
    assert torch.allclose(losses.true_or_false(logit.diagonal(), both), losses.correspondence(logit))
    assert torch.allclose(losses.among(logit.diagonal().repeat(2), both), losses.info_nce(logit, 1.0))
    assert float(losses.true_or_false(torch.zeros(3), torch.zeros(3, 7))) == pytest.approx(math.log(2))
    assert float(losses.among(torch.ones(3), torch.ones(3, 7))) == pytest.approx(math.log(8))


def test_info_nce_gradient_is_probability_minus_target() -> None:
    sim = random(4, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(losses.info_nce(sim, 1.0, symmetric=False), sim)
    assert torch.allclose(gradient, (sim.detach().softmax(1) - torch.eye(4)) / 4)


def test_info_nce_target_reads_other_columns() -> None:
    sim = random(3, 5)
    shifted = torch.cat([random(3, 2, seed=4), sim[:, :3]], 1)
    whole = torch.nn.functional.cross_entropy(shifted / 0.1, torch.tensor([2, 3, 4]))
    assert torch.allclose(losses.info_nce(shifted, 0.1, symmetric=False, target_B=torch.tensor([2, 3, 4])), whole)


def test_soft_targets_and_weights() -> None:
    score, index = random(3, 6), torch.tensor([5, 0, 3])
    own = losses.soft_targets(score, index, 0.0, 0.1)
    assert torch.equal(own, torch.eye(6, dtype=torch.float64)[index])
    target = losses.soft_targets(score, index, 0.5, 0.1)
    assert torch.allclose(target.sum(1), torch.ones(3, dtype=torch.float64)) and bool((target >= 0).all())
    soft = 0.7 * own + 0.3 * (score / 0.1).softmax(1)
    assert torch.allclose(losses.soft_targets(score, index, 0.3, 0.1), soft)
    query, bank = random(3, 2), random(6, 2, seed=1)
    plain = losses.info_nce_bank(query, bank, index)
    assert torch.allclose(losses.soft_nce(query, bank, own), plain)
    assert torch.allclose(losses.soft_nce(query, bank, own, weight_B=torch.full((3,), 7.0).double()), plain)
    assert losses.soft_nce(query, bank, target) >= losses.entropy(target).mean()
    leaf = query.clone().requires_grad_()
    weight = torch.tensor([1.0, 0.0, 1.0]).double()
    (gradient,) = torch.autograd.grad(losses.soft_nce(leaf, bank, target, weight_B=weight), leaf)
    assert torch.equal(gradient[1], torch.zeros(2).double()) and bool(gradient[0].abs().sum() > 0)


def test_agreement_weights() -> None:
    score = torch.linspace(-3, 3, 61, dtype=torch.float64)
    weight = losses.agreement_weights(score, 0.5, 0.8, shift=-1.0, width=0.5, least=0.0)
    assert bool((weight.diff() >= 0).all())
    half = losses.agreement_weights(torch.tensor([0.5 - 0.8]).double(), 0.5, 0.8, least=0.0)
    assert float(half) == pytest.approx(0.5)
    assert float(losses.agreement_weights(torch.tensor([-99.0]), 0.5, 0.8)) == pytest.approx(0.25)


def test_soft_targets_in_half_precision_are_distributions() -> None:
    target = random(3, 5000).softmax(1).to(torch.bfloat16)
    assert bool(losses.soft_nce(random(3, 2).float(), random(5000, 2).float(), target).isfinite())


def test_entropy_of_a_softmax_that_underflows() -> None:
    logit = torch.tensor([[0.0, 0.0, -200.0], [0.0, -1e4, -1e4]], requires_grad=True)
    value = losses.entropy(logit.softmax(1))
    assert value.tolist() == pytest.approx([math.log(2), 0])
    (gradient,) = torch.autograd.grad(value.sum(), logit)
    assert gradient.tolist() == [pytest.approx([0, 0, 0], abs=1e-6)] * 2
    prob = random(4, 6).softmax(1).requires_grad_()
    (gradient,) = torch.autograd.grad(losses.entropy(prob).sum(), prob)
    assert torch.allclose(gradient, -prob.detach().log() - 1)
    assert float(losses.entropy(torch.eye(3)).abs().max()) == 0


def test_entropy_and_divergence_are_over_the_last_axis() -> None:
    first, second = random(2, 3, 5).softmax(2), random(2, 3, 5, seed=1).softmax(2)
    rows = [torch.distributions.Categorical(probs=p) for p in (first, second)]
    assert torch.allclose(losses.entropy(first), rows[0].entropy())
    assert torch.allclose(losses.kl_divergence(first, second), torch.distributions.kl_divergence(*rows).mean())


def test_agreement_weights_follow_the_normal_distribution() -> None:
    normal = torch.distributions.Normal(0.0, 1.0)
    score, mean, deviation = torch.tensor([-0.3, 0.9]), 0.5, 0.8
    for shift, width, least in ((-1.0, 0.5, 0.25), (0.5, 2.0, 0.0)):
        standard = (score - mean - shift * deviation) / (width**0.5 * deviation)
        want = least + (1 - least) * normal.cdf(standard)
        got = losses.agreement_weights(score, mean, torch.tensor(deviation), shift, width, least)
        assert torch.allclose(got, want, atol=1e-6)
        narrower = losses.agreement_weights(score, mean, deviation, shift, width / 4, least)
        assert bool(((narrower - got) * standard >= 0).all())
    assert torch.allclose(
        losses.agreement_weights(score, mean, deviation),
        0.25 + 0.75 * normal.cdf((score - mean + deviation) / (0.5**0.5 * deviation)),
    )
    assert losses.agreement_weights(torch.tensor([0.4, 0.6]), 0.5, 0.0, shift=0.0).tolist() == [0.25, 1]


def test_margin_is_a_hinge() -> None:
    true, false = torch.tensor([5.0, 1.0, 0.0], requires_grad=True), torch.tensor([1.0, 0.0, 2.0])
    loss = losses.margin(true, false, 2.0)
    assert float(loss.detach()) == pytest.approx((0 + 1 + 4) / 3)
    assert torch.autograd.grad(loss, true)[0].tolist() == pytest.approx([0, -1 / 3, -1 / 3])


def test_contrastive_closed_forms() -> None:
    same = torch.ones(2, 3)
    assert float(losses.contrastive(same, same, torch.ones(2))) == 0
    far = torch.tensor([[0.0, 0.0], [0.0, 0.0]], requires_grad=True)
    loss = losses.contrastive(far, torch.ones(2, 2), torch.zeros(2))
    assert float(loss.detach()) == 0 and not bool(torch.autograd.grad(loss, far)[0].any())
    collapsed = torch.zeros(4, 2, requires_grad=True)
    loss = losses.contrastive(collapsed, torch.zeros(4, 2), LABELS)
    assert float(loss.detach()) == pytest.approx(0.99**2 / 2, rel=1e-4)
    assert bool(torch.autograd.grad(loss, collapsed)[0].isfinite().all())


def test_margin_rank_closed_forms() -> None:
    assert float(losses.margin_rank(3 * torch.eye(5), 1.0, "hardest")) == 0
    sim = torch.full((4, 4), 0.3) + 0.2 * torch.eye(4)
    for kind in ("random", "semi-hard", "hardest", "all"):
        assert float(losses.margin_rank(sim, 1.0, kind)) == pytest.approx(2 * (1 + 0.3 - 0.5))
    # With every impostor above the own pair, no semi-hard one is left.
    assert float(losses.margin_rank(1 - torch.eye(4), 1.0, "semi-hard")) == 0


def test_random_impostor_is_never_the_own_pair() -> None:
    generator = torch.Generator().manual_seed(0)
    sim = torch.eye(3) * 100
    assert all(float(losses.margin_rank(sim, 1.0, "random", generator)) == 0 for _ in range(50))


def test_kl_closed_forms() -> None:
    prob, logit = random(4, 6).softmax(1), random(4, 6, seed=1)
    assert float(losses.kl_distillation(prob, prob.log())) == pytest.approx(0, abs=1e-12)
    one_hot = torch.eye(6, dtype=torch.float64)[:4]
    own = -logit.log_softmax(1).diagonal().mean()
    assert torch.allclose(losses.kl_distillation(one_hot, logit), own)
    flat = losses.kl_distillation(prob, torch.zeros(4, 6).double())
    assert torch.allclose(flat, math.log(6) - losses.entropy(prob).mean())
    leaf = logit.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(losses.kl_distillation(prob, leaf), leaf)
    assert torch.allclose(gradient, (logit.softmax(1) - prob) / 4)
    soft = torch.nn.functional.cross_entropy(logit, prob)
    assert torch.allclose(losses.kl_distillation(prob, logit) + losses.entropy(prob).mean(), soft)
    assert torch.allclose(losses.kl_divergence(prob, logit.softmax(1)), losses.kl_distillation(prob, logit))


def test_several_teachers_and_times() -> None:
    first, second = random(4, 3, 6).softmax(2), random(4, 3, 5, seed=1).softmax(2)
    logits = [random(4, 3, 6, seed=2), random(4, 3, 5, seed=3)]
    both = losses.kl_distillation([first, second], logits, (1, 2.49))
    alone = [losses.kl_distillation(t, o) for t, o in zip((first, second), logits, strict=True)]
    assert torch.allclose(both, alone[0] + 2.49 * alone[1])
    over_time = sum(losses.kl_distillation(first[:, t], logits[0][:, t]) for t in range(3))
    assert torch.allclose(alone[0], over_time)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: losses.correspondence(torch.zeros(1, 1)), "correspondence contrasts clips.*at least 2"),
        (lambda: losses.draw(torch.eye(3)[:2] > 0, 0), "at least one candidate, not 0"),
        (lambda: losses.draw(torch.eye(3), 2), "allowed_BM of bool, not torch.float32"),
        (lambda: losses.draw(torch.tensor([[True], [False]]), 2), r"rows \[1\] may be compared with nobody"),
        (lambda: losses.true_or_false(torch.zeros(2), torch.zeros(2, 0)), "true_or_false got an empty batch"),
        (lambda: losses.among(torch.zeros(2), torch.zeros(3, 4)), "not 3 rows for 2 clips"),
        (lambda: losses.among(torch.zeros(3), torch.zeros(3, 3), TARGET), r"target_BN of \(3, 4\), not \(3, 5\)"),
        (lambda: losses.correspondence(torch.zeros(0), torch.zeros(0)), "correspondence got an empty batch"),
        (lambda: losses.correspondence(torch.zeros(3), torch.zeros(2)), "one label a logit"),
        (lambda: losses.correspondence(torch.zeros(3, 2)), "square logit_BB"),
        (lambda: losses.info_nce(torch.zeros(1, 1)), "info_nce contrasts clips"),
        (lambda: losses.info_nce(torch.zeros(0, 0)), "empty batch"),
        (lambda: losses.info_nce(torch.zeros(2, 2), 0.0), "temperature above 0"),
        (lambda: losses.info_nce(torch.zeros(2, 3), target_B=INDEX), "symmetric=False"),
        (lambda: losses.info_nce_bank(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1).long()), "info_nce_bank"),
        (
            lambda: losses.info_nce(random(2, 3), symmetric=False, target_B=torch.tensor([0, -100])),
            r"info_nce needs target_B within 0…2, not \[-100\]",
        ),
        (lambda: losses.info_nce(random(2, 3), symmetric=False, target_B=torch.tensor([3, 0])), r"0…2, not \[3\]"),
        (lambda: losses.info_nce(random(2, 3), symmetric=False, target_B=INDEX), r"each of 2 rows, not \(3,\)"),
        (
            lambda: losses.info_nce_bank(random(3, 2), random(4, 2), INDEX),
            r"info_nce_bank needs index_B within 0…3, not \[4\]",
        ),
        (lambda: losses.info_nce_bank(random(3, 2), random(5, 2), INDEX - 1), r"index_B within 0…4, not \[-1\]"),
        (
            lambda: losses.info_nce_bank(random(3, 2), random(5, 2), INDEX, weight_B=torch.zeros(3)),
            "info_nce_bank needs weights with a sum above 0, not 0",
        ),
        (
            lambda: losses.soft_nce(random(3, 2), random(5, 2), TARGET, weight_B=torch.tensor([1.0, -1.0, 0.0])),
            "soft_nce needs weights with a sum above 0, not 0",
        ),
        (
            lambda: losses.soft_nce(random(3, 2), random(5, 2), TARGET, weight_B=torch.ones(2)),
            r"soft_nce: weight_B of shape \(2,\) does not fit 3 clips",
        ),
        (
            lambda: losses.soft_nce(random(3, 2), random(5, 2), TARGET * torch.tensor([[1.0], [1.0], [0.5]])),
            r"soft_nce needs rows.*rows \[2\] sum to \[0\.5",
        ),
        (
            lambda: losses.soft_nce(torch.zeros(1, 2), torch.zeros(2, 2), torch.tensor([[1.5, -0.5]])),
            r"0 or more and sum to 1; rows \[0\]",
        ),
        (
            lambda: losses.soft_targets(random(3, 4), INDEX, 0.5, 0.1),
            r"soft_targets needs index_B within 0…3, not \[4\]",
        ),
        (lambda: losses.soft_nce(torch.zeros(1, 2), torch.zeros(4, 2), torch.zeros(1, 3)), "target_BM of 1×4"),
        (lambda: losses.soft_targets(torch.zeros(1, 2), torch.zeros(1).long(), 2.0, 0.1), "keep within 0…1"),
        (lambda: losses.contrastive(torch.zeros(2, 2), torch.zeros(3, 2), torch.zeros(2)), "same clips"),
        (lambda: losses.triplet(torch.zeros(2, 2), torch.zeros(2, 2), torch.zeros(1, 2)), "one shape"),
        (lambda: losses.margin_rank(torch.zeros(1, 1)), "margin_rank contrasts clips"),
        (lambda: losses.margin_rank(torch.zeros(2, 2), 1.0, "easy"), "random, semi-hard, hardest, all"),
        (lambda: losses.kl_distillation(torch.zeros(2, 3), torch.zeros(2, 4)), r"shape .*, not \(2, 3\) and \(2, 4\)"),
        (
            lambda: losses.kl_distillation([torch.zeros(2, 3)], [torch.zeros(2, 3)], (1, 2)),
            "1 teachers, 1 logits, 2 weights",
        ),
        (lambda: losses.random_shift(1), "random_shift contrasts clips"),
        (lambda: losses.noise_contrastive(torch.zeros(1), torch.zeros(1, 2), 0.0), "normaliser above 0"),
    ],
)
def test_bad_input_is_named(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
