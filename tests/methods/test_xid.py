"""Instance discrimination: losses, weights and targets beside loops, memory, faults that are known; and it learns."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from avlib import experiment
from avlib.evaluate import synchrony
from avlib.evaluate.features import features
from avlib.matching import cosine, unit
from avlib.methods import xid as module
from avlib.methods.xid import CRITERIA, POSITIVES, InstanceDiscrimination
from avlib.methods.xid_memory import SENSES, Memory
from avlib.methods.xid_weights import ESTIMATORS, TARGETS, level, soft, trusted
from avlib.recipes import xid
from avlib.train import TrainConfig, fit
from avlib.types import Batch
from avlib.world import Stream, World
from avlib.world.variation import Varied
from tests.methods.blind import with_and_without_truth

CLIPS, HEAT = 24, 0.3


@pytest.fixture(scope="module")
def batch() -> Batch:
    return World(size=32, voiceover=0.5).batch(range(CLIPS))


def method_of(seed: int = 0, **settings: Any) -> InstanceDiscrimination:
    torch.manual_seed(seed)
    given = {"dim": 16, "width": 4, "temperature": HEAT, "negatives": 7, "curve": (-0.3, 0.4, 0.1)} | settings
    return InstanceDiscrimination(CLIPS, **given)


def wide(method: InstanceDiscrimination, batch: Batch) -> tuple[InstanceDiscrimination, Batch]:
    """Both in double precision, the method as in an evaluation."""
    doubled = batch._map(lambda t: t.double() if t.is_floating_point() else t, lambda rows: rows)
    return method.double().eval(), doubled


def banks(clips: int = 9, dim: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image_MD, audio_MD = (unit(torch.randn(clips, dim, generator=generator).double()) for _ in range(2))
    return image_MD, audio_MD


Rows = list[list[float]]


def dot(one: list[float], two: list[float]) -> float:
    return sum(a * b for a, b in zip(one, two, strict=True))


def log_softmax(row: list[float]) -> list[float]:
    total = math.log(sum(math.exp(value) for value in row))
    return [value - total for value in row]


# --- by loops


def weights_by_loop(image: Rows, audio: Rows, curve: tuple[float, float, float]) -> list[float]:
    agree = [dot(v, a) for v, a in zip(image, audio, strict=True)]
    mean = sum(agree) / len(agree)
    deviation = math.sqrt(sum((s - mean) ** 2 for s in agree) / len(agree))
    shift, width, least = curve
    standard = [(s - mean - shift * deviation) / (math.sqrt(width) * deviation) for s in agree]
    return [least + (1 - least) * (1 + math.erf(z / math.sqrt(2))) / 2 for z in standard]


def shares_by_loop(kind: str, image: Rows, audio: Rows, i: int, cool: float, tie: float) -> tuple[list[float], ...]:
    """S_v(· | i) and S_a(· | i), the paper's formulas with all their terms."""
    rows = []
    for own, other in ((image, audio), (audio, image)):
        score = []
        for j in range(len(image)):
            if kind == "bootstrapping":
                score.append(dot(own[i], other[j]) / cool)
            elif kind == "swapped":
                score.append(dot(other[i], own[j]) / cool)
            elif kind == "neighbours":
                score.append(dot(own[i], own[j]) / cool)
            else:
                agree = dot(own[i], other[i]) + dot(other[j], own[j])
                score.append(agree / tie + dot(other[i], other[j]) / cool)
        rows.append([math.exp(value) for value in log_softmax(score)])
    return tuple(rows)


@pytest.mark.parametrize("positives", POSITIVES)
@pytest.mark.parametrize(("trust", "targets"), [("none", "none"), ("agreement", "none"), ("none", "cycle"),
                                                ("agreement", "swapped")])  # fmt: skip
def test_the_loss_is_that_of_a_loop(batch: Batch, positives: str, trust: str, targets: str) -> None:
    dials = (0.6, 0.25, 0.35)
    method, clips = wide(method_of(positives=positives, trust=trust, targets=targets, dials=dials), batch)
    some = clips.select([5, 2, 20, 11, 9])
    found, memory = method.embed(some), method.memory
    image, audio = memory.image_bank_MD.tolist(), memory.audio_bank_MD.tolist()
    weight = weights_by_loop(image, audio, method.memory.curve) if trust == "agreement" else [1.0] * CLIPS
    of = {"image": (found.image_BD.tolist(), image), "audio": (found.audio_BD.tolist(), audio)}
    parts = []
    for sense, by in POSITIVES[positives]:
        lost, index = 0.0, some.index_B.tolist()
        for n, i in enumerate(index):
            target = [float(j == i) for j in range(CLIPS)]
            if targets != "none":
                share = shares_by_loop(targets, image, audio, i, *dials[1:])[SENSES.index(sense)]
                target = [(1 - dials[0]) * t + dials[0] * s for t, s in zip(target, share, strict=True)]
            log = log_softmax([dot(of[sense][0][n], row) / HEAT for row in of[by][1]])
            lost -= weight[i] * dot(target, log)
        parts.append(lost / sum(weight[i] for i in index))
    assert float(method.loss(some, 0)["loss"].detach()) == pytest.approx(2 * sum(parts) / len(parts), abs=1e-6)


@pytest.mark.parametrize("positives", POSITIVES)
def test_nce_is_that_of_a_loop_over_clips_that_the_step_draws(batch: Batch, positives: str) -> None:
    method, clips = wide(method_of(positives=positives, criterion="NCE, frozen"), batch)
    method.normaliser.fill_(1.7)
    some, step = clips.select([5, 2, 20]), 3
    found, memory = method.embed(some), method.memory
    draw = torch.randint(CLIPS - 1, (3, 7), generator=torch.Generator().manual_seed(step)).tolist()
    parts = []
    for sense, by in POSITIVES[positives]:
        value, bank = getattr(found, f"{sense}_BD").tolist(), memory.bank(by).tolist()
        lost = 0.0
        for n, i in enumerate(some.index_B.tolist()):
            others = [k + (k >= i) for k in draw[n]]
            assert i not in others
            own = math.exp(dot(value[n], bank[i]) / HEAT)
            lost -= math.log(own / (own + 7 * 1.7))
            for k in others:
                p = math.exp(dot(value[n], bank[k]) / HEAT)
                lost -= math.log(7 * 1.7 / (p + 7 * 1.7))
        parts.append(lost / 3)
    assert float(method.loss(some, step)["loss"].detach()) == pytest.approx(2 * sum(parts) / len(parts), abs=1e-6)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_targets_are_those_of_the_papers_formulas(kind: str) -> None:
    image_MD, audio_MD = banks()
    index_B, dials = torch.tensor([4, 0, 7]), (0.4, 0.3, 0.5)
    found = soft(kind, image_MD, audio_MD, index_B, torch.arange(9), dials)
    for n, i in enumerate(index_B.tolist()):
        for target_BM, share in zip(
            found, shares_by_loop(kind, image_MD.tolist(), audio_MD.tolist(), i, 0.3, 0.5), strict=True
        ):
            expected = [0.6 * (j == i) + 0.4 * s for j, s in enumerate(share)]
            assert target_BM[n].tolist() == pytest.approx(expected, abs=1e-12)


# --- closed forms


@pytest.mark.parametrize("positives", POSITIVES)
def test_equal_scores_cost_two_logarithms_of_the_clips(batch: Batch, positives: str) -> None:
    for settings in ({}, {"trust": "agreement", "targets": "neighbours"}):
        method = method_of(positives=positives, **settings).eval()
        for sense in SENSES:
            method.memory.bank(sense)[:] = method.memory.bank(sense)[0]
        assert float(method.loss(batch, 0)["loss"].detach()) == pytest.approx(2 * math.log(CLIPS), abs=1e-4)


def test_nce_at_equal_scores_has_its_closed_form(batch: Batch) -> None:
    method = method_of(criterion="NCE, frozen", negatives=1024)
    for head in method.heads.values():
        torch.nn.init.zeros_(head[-1].weight)
    assert float(method.loss(batch, 0)["loss"].detach()) == pytest.approx(2 * 7.93196, abs=1e-4)
    assert float(method.normaliser) == pytest.approx(1)


def test_weights_rise_with_agreement_and_half_is_where_it_is_shifted_to() -> None:
    agree_M, order_M = torch.linspace(-0.5, 0.9, 15).double(), torch.randperm(15)
    given = order_M, torch.zeros(15)
    weight_M = trusted("agreement", agree_M, *given, (0.5, 0.3, 0.0))
    assert (weight_M.diff() > 0).all() and 0 < float(weight_M[0]) < float(weight_M[-1]) < 1
    mean, deviation = agree_M.mean(), agree_M.std(correction=0)
    middle_M = (agree_M - mean) / deviation < 0.5
    assert torch.equal(weight_M < 0.5, middle_M)
    assert torch.equal(trusted("permuted", agree_M, *given, (0.5, 0.3, 0.0)), weight_M[order_M])
    assert torch.equal(trusted("none", agree_M, *given, (0.5, 0.3, 0.0)), torch.ones(15).double())
    assert torch.equal(trusted("oracle", agree_M, *given, (0.5, 0.3, 0.0)), torch.zeros(15))


@pytest.mark.parametrize("kind", TARGETS)
def test_targets_are_distributions_and_lambda_0_leaves_the_own_clip_alone(kind: str) -> None:
    index_B, kind_M = torch.tensor([3, 3, 8, 0]), torch.arange(9) % 3
    for keep in (0.0, 0.5, 1.0):
        for target_BM in soft(kind, *banks(), index_B, kind_M, (keep, 0.2, 0.4)):
            assert target_BM.sum(1).tolist() == pytest.approx([1.0] * 4) and bool((target_BM >= 0).all())
            own_B = target_BM.gather(1, index_B[:, None])[:, 0]
            assert bool((own_B >= 1 - keep - 1e-12).all())
            assert keep > 0 or own_B.tolist() == pytest.approx([1.0] * 4)


def test_a_cycle_of_equal_agreement_is_the_other_senses_neighbours() -> None:
    image_MD, other_MD = banks()
    beside_MD = unit(other_MD - (other_MD * image_MD).sum(1, keepdim=True) * image_MD)
    audio_MD = 0.6 * image_MD + 0.8 * beside_MD  # every clip's two senses agree by .6
    index_B, rest = torch.tensor([1, 6]), (torch.arange(9), (0.5, 0.2, 0.4))
    cycle, near = (soft(kind, image_MD, audio_MD, index_B, *rest) for kind in ("cycle", "neighbours"))
    torch.testing.assert_close(cycle, near[::-1])
    assert not torch.allclose(near[0], near[1])


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_exchanging_the_senses_exchanges_their_targets(kind: str) -> None:
    image_MD, audio_MD = banks()
    rest = torch.tensor([1, 6]), torch.arange(9), (0.5, 0.2, 0.4)
    one, two = soft(kind, image_MD, audio_MD, *rest), soft(kind, audio_MD, image_MD, *rest)
    assert torch.equal(one[0], two[1]) and torch.equal(one[1], two[0]) and not torch.equal(one[0], one[1])


def test_uniform_targets_leave_each_clip_what_the_cycle_leaves_it() -> None:
    index_B, rest = torch.tensor([1, 6, 2]), (torch.arange(9), (0.5, 0.2, 0.4))
    pairs = zip(soft("cycle", *banks(), index_B, *rest), soft("uniform", *banks(), index_B, *rest), strict=True)
    for own_BM, flat_BM in pairs:
        torch.testing.assert_close(own_BM.gather(1, index_B[:, None]), flat_BM.gather(1, index_B[:, None]))
        for n, i in enumerate(index_B.tolist()):
            others = [float(flat_BM[n, j]) for j in range(9) if j != i]
            assert max(others) == pytest.approx(min(others)) and sum(others) == pytest.approx(1 - float(own_BM[n, i]))
    one_hot_BM = torch.eye(9)[index_B]
    assert torch.equal(level(one_hot_BM, index_B), one_hot_BM)


def test_an_oracle_shares_with_all_of_a_kind_alike() -> None:
    kind_M = torch.tensor([0, 1, 0, 2, 0, 1, 1, 2, 0])
    picture_BM, sound_BM = soft("oracle", *banks(), torch.tensor([4, 3]), kind_M, (0.5, 0.2, 0.4))
    assert torch.equal(picture_BM, sound_BM)
    assert picture_BM[0].tolist() == pytest.approx([0.125, 0, 0.125, 0, 0.625, 0, 0, 0, 0.125])
    assert picture_BM[1].tolist() == pytest.approx([0, 0, 0, 0.75, 0, 0, 0, 0.25, 0])


def test_a_pair_that_nobody_trusts_teaches_nothing(batch: Batch) -> None:
    method, clips = wide(method_of(trust="oracle"), batch)
    some, weight_M = clips.select([5, 2, 20]), torch.ones(CLIPS)
    weight_M[2] = 0
    method.memory.tell(weight_M, torch.arange(CLIPS))
    changed = replace(some, wave_BS=torch.cat([some.wave_BS[:1], 0.5 * some.wave_BS[:1], some.wave_BS[2:]]))
    assert torch.equal(method.loss(some, 0)["loss"], method.loss(changed, 0)["loss"])
    method.memory.tell(3 * torch.ones(CLIPS), torch.arange(CLIPS))
    plain, _ = wide(method_of(), batch)
    assert float(method.loss(some, 0)["loss"].detach()) == pytest.approx(float(plain.loss(some, 0)["loss"].detach()))


# --- memory


def test_half_of_what_was_and_half_of_what_is_and_nobody_else(batch: Batch) -> None:
    method = method_of(trust="agreement", targets="cycle")
    before, some = {sense: method.memory.bank(sense).clone() for sense in SENSES}, batch.select([5, 2, 20, 11])
    method.loss(some, 0)["loss"].backward()
    now = method.embed(some)
    row = some.index_B
    for sense in SENSES:
        bank_MD, value_BD = method.memory.bank(sense), getattr(now, f"{sense}_BD").detach()
        torch.testing.assert_close(bank_MD[row], unit(before[sense][row] + value_BD))
        torch.testing.assert_close(bank_MD.norm(dim=1), torch.ones(CLIPS))
        rest = torch.ones(CLIPS, dtype=torch.bool)
        rest[row] = False
        assert torch.equal(bank_MD[rest], before[sense][rest]) and not torch.equal(bank_MD[row], before[sense][row])


def test_an_evaluation_changes_no_memory(batch: Batch) -> None:
    for criterion in CRITERIA:
        method = method_of(criterion=criterion).eval()
        method.normaliser.fill_(1.0)
        before = {name: value.clone() for name, value in method.state_dict().items()}
        method.loss(batch, 0)
        assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())


def test_a_frozen_normaliser_is_the_first_batchs_and_a_running_one_moves(batch: Batch) -> None:
    found = {}
    for criterion in ("NCE, frozen", "NCE, running"):
        method, each = method_of(criterion=criterion), []
        for step in range(3):
            method.loss(batch.select(list(range(8 * step, 8 * step + 8))), step)
            each.append(float(method.normaliser))
        found[criterion] = each
    frozen, running = found.values()
    assert frozen[0] == frozen[1] == frozen[2] == running[0] > 0
    assert 0 < abs(running[1] / running[0] - 1) < 0.05 and running[2] != running[1]


def test_before_the_warm_up_ends_it_is_plain(batch: Batch) -> None:
    plain = method_of().eval()
    robust = method_of(trust="agreement", targets="swapped", warmup=5).eval()
    one, two, three = (m.loss(batch, s)["loss"] for m, s in ((plain, 4), (robust, 4), (robust, 5)))
    assert torch.equal(one, two) and not torch.equal(one, three)


def test_rows_of_other_processes_are_sought_and_remembered(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of two processes of half a batch each, whose other half is handed over."""
    whole = method_of(trust="agreement", targets="cycle", positives="joint")
    half = method_of(trust="agreement", targets="cycle", positives="joint")
    for norm in (part for net in (whole, half) for part in net.modules() if isinstance(part, _BatchNorm)):
        norm.eval()  # `distributed.synchronised` sees to it that they know the whole batch
    expected = whole.loss(batch, 0)["loss"]
    with torch.no_grad():
        rest = half.embed(batch.select(list(range(12, 24))))
    others = iter([batch.index_B[12:], rest.image_BD, rest.audio_BD])
    monkeypatch.setattr(module, "gather", lambda value: torch.cat([value, next(others)]))
    found = half.loss(batch.select(list(range(12))), 0)["loss"]
    torch.testing.assert_close(found, expected)
    for sense in SENSES:
        torch.testing.assert_close(half.memory.bank(sense), whole.memory.bank(sense))


def test_a_run_that_was_cut_off_remembers_what_one_that_was_not_does(batch: Batch, tmp_path: Path) -> None:
    def stream(until: int) -> Callable[[int], Batch]:
        def clips(step: int) -> Batch:
            if step >= until:
                raise RuntimeError("cut off")
            return batch.select([(6 * step + n) % CLIPS for n in range(6)])

        return clips

    config = TrainConfig(6, checkpoint_every=2, progress=False, device="cpu")
    make = lambda: method_of(trust="permuted", targets="cycle", warmup=1)  # noqa: E731
    whole, cut, again = make(), make(), method_of(7, trust="permuted", targets="cycle", warmup=1)
    fit(whole, stream(6), config)
    with pytest.raises(RuntimeError, match="cut off"):
        fit(cut, stream(4), replace(config, out=tmp_path))
    fit(again, stream(6), replace(config, out=tmp_path))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_bad_arguments_are_named(batch: Batch) -> None:
    for settings, said in (
        ({"positives": "corss"}, "positives of instance discrimination 'corss'"),
        ({"criterion": "NCE"}, "criterion of instance discrimination 'NCE'"),
        ({"trust": "agreemnt"}, "trust of instance discrimination 'agreemnt'"),
        ({"targets": "cycles"}, "targets of instance discrimination 'cycles'"),
        ({"criterion": "NCE, frozen", "trust": "agreement"}, "neither weights nor soft targets"),
    ):
        with pytest.raises(ValueError, match=said):
            method_of(**settings)
    with pytest.raises(ValueError, match="2 or more, not 1"):
        Memory(1, 4, "none", (0, 1, 0), "none", (0.5, 0.1, 0.2))
    with pytest.raises(ValueError, match="index_B within 0…23, not"):
        method_of().loss(replace(batch, index_B=batch.index_B + 99), 0)


def test_embeddings_lie_on_a_sphere(batch: Batch) -> None:
    found = method_of().eval().embed(batch)
    assert found.image_BD.shape == found.audio_BD.shape == (CLIPS, 16)
    for value_BD in (found.image_BD, found.audio_BD):
        assert value_BD.norm(dim=1).tolist() == pytest.approx([1.0] * CLIPS, abs=1e-5)


def test_in_full_size_it_watches_videos() -> None:
    torch.manual_seed(0)
    method = InstanceDiscrimination(8, full=True, trust="agreement")
    clips = World(size=32, **xid.MOVING).batch(range(4))
    found = method.embed(clips)
    assert found.image_BD.shape == found.audio_BD.shape == (4, 128)
    still = replace(clips, video_BTCHW=clips.video_BTCHW[:, :1].expand_as(clips.video_BTCHW))  # type: ignore[index]
    assert not torch.allclose(method.eval().embed(clips).image_BD, method.embed(still).image_BD)
    assert math.isfinite(float(method.loss(clips, 0)["loss"].detach()))


# --- learning


@pytest.mark.parametrize("settings", [{}, {"trust": "agreement", "targets": "cycle"}, {"criterion": "NCE, running"}])
def test_the_truth_is_never_read(settings: dict[str, Any]) -> None:
    stream = Stream(World(size=32, voiceover=0.5), 8, CLIPS)
    assert torch.equal(*with_and_without_truth(lambda: method_of(**settings), stream, 4))


@pytest.fixture(scope="module")
def run() -> experiment.Run:
    return experiment.open("xid", "smoke", device="cpu")


def test_wrong_pairs_and_few_kinds_are_in_training_and_not_in_the_exam(run: experiment.Run) -> None:
    for arm, how in xid.ARMS.items():
        truth = xid.clips(run, arm).whole.truth
        assert truth.faulty_B is not None
        share = how.world.get("voiceover", 0.0)
        assert float(truth.faulty_B.float().mean()) == pytest.approx(share, abs=0.1)
        kinds = set(truth.label_B.tolist())
        assert len(kinds) == how.world.get("classes", 20)
        asked = run.world("solo", "test", **xid.dials(run, arm)).batch(range(64)).truth
        assert not asked.faulty_B.any() and set(asked.label_B.tolist()) <= kinds  # type: ignore[union-attr]


def test_which_kinds_there_are_is_the_seeds() -> None:
    found = set()
    for seed in range(3):
        run = experiment.open("xid", "smoke", seed, device="cpu")
        world = run.world("solo", **xid.dials(run, "few: xID"))
        found.add(frozenset(world.batch(range(64)).truth.label_B.tolist()))
    assert len(found) > 1


def test_oracles_alone_know(run: experiment.Run) -> None:
    for arm, how in xid.ARMS.items():
        if how.steps == 0 or how.shuffled:
            continue
        knows = arm.endswith("oracle")
        assert knows == ("oracle" in how.build.values())
    method, truth = xid.train(run, "½ wrong: oracle"), xid.clips(run, "½ wrong: oracle").whole.truth
    assert torch.equal(method.memory.weights() > 0, ~truth.faulty_B)  # type: ignore[operator]
    plain = xid.train(run, "½ wrong: RxID")
    assert torch.equal(plain.memory.known_weight_M, torch.ones(256))
    assert torch.equal(plain.memory.known_kind_M, torch.arange(256))


def test_what_memory_says_of_wrong_pairs_and_of_kin_is_counted() -> None:
    method = InstanceDiscrimination(6, trust="agreement", targets="oracle", dim=3, width=4)
    wrong_M, kind_M = torch.tensor([0, 1, 0, 0, 1, 0]).bool(), torch.tensor([0, 1, 0, 2, 1, 0])
    memory = method.memory
    memory.audio_bank_MD[:] = torch.where(wrong_M[:, None], -memory.image_bank_MD, memory.image_bank_MD)
    found = xid.doubted(method, wrong_M)
    assert found["wrong pairs found"] == 1 and found["weight of right pairs"] > found["weight of wrong pairs"] >= 0.25
    assert xid.doubted(method, torch.zeros(6, dtype=torch.bool)) == {}
    memory.tell(torch.ones(6), kind_M)
    found = xid.shared(method, kind_M)
    assert found["shared with its kind"] == pytest.approx(1)
    assert found["shared with others"] == pytest.approx((3 * 0.5 * 2 / 3 + 2 * 0.25 + 0) / 6)
    memory.targets = "none"
    assert xid.shared(method, kind_M) == {}


def test_a_record_holds_what_claims_and_chance_ask_for(run: experiment.Run) -> None:
    found = {arm: experiment.run_cell(xid, run, arm) for arm in ("½ wrong: both", "few: cycle")}
    asked = {(arm, metric) for claim in xid.CLAIMS for gap in claim.gaps() for _, arm, metric in gap.terms}
    assert {metric for _, metric in asked} | set(xid.CHANCE) <= set().union(*found.values())
    assert {arm for arm, _ in asked} <= {*xid.ARMS, "chance"}
    assert all(math.isfinite(value) for scores in found.values() for value in scores.values())
    for arm, metric in asked:
        how = xid.ARMS.get(arm)
        assert how is None or metric != "wrong pairs found" or "voiceover" in how.world
        assert how is None or metric != "shared with its kind" or "targets" in how.build


def learnt(seed: int) -> dict[str, float]:
    """A quarter of the pairs is wrong: how often a clip's own sound outscores another thing's; are they told apart?"""
    dials = {"classes": 6, "side": (0.7, 0.8), "hue": 0.0, "backdrop": 0.0, "hands": "known", "seed": seed}
    shown, test = World(size=32, voiceover=0.25, **dials), World(size=32, split="test", **dials)
    torch.manual_seed(seed)
    settings: dict[str, Any] = {"trust": "agreement", "curve": xid.CURVE, "warmup": 90, "temperature": 0.3}
    method = InstanceDiscrimination(512, **settings, dim=48, width=8, hop=320)
    config = TrainConfig(300, 1e-2, seed=seed, device="cpu", progress=False)
    clips = experiment.Clips(shown.batch(range(512)))
    fit(method, Varied(Stream(clips, 32, 512, seed), seed), config)  # type: ignore[arg-type]
    wrong_M = clips.whole.truth.faulty_B
    found = features(method, test.batches(192))
    sim_BB, differs_BB = cosine(found.image_BD, found.audio_BD), found.label_B[:, None] != found.label_B
    assert wrong_M is not None
    agree_M = method.memory.agreement()
    return {
        "pairs": float((sim_BB.diagonal()[:, None] > sim_BB)[differs_BB].float().mean()),
        "wrong pairs found": synchrony.auc(agree_M[~wrong_M], agree_M[wrong_M]),
    }


@pytest.mark.learns
def test_it_learns_from_pairs_of_which_a_quarter_is_wrong_and_tells_them_apart_within_seconds() -> None:
    """Pairs .83 (deviation .06), wrong pairs found .86 (.05) in 20 runs with one thread: seeds 0-3 natively, with AVX2
    and with SSE4.1, seeds 4-11 natively; by luck .5."""
    found = learnt(0)
    assert found["pairs"] > 0.59
    assert found["wrong pairs found"] > 0.66
