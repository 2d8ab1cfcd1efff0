"""How AVTS is trained and judged here.

    avlib train avts --profile cpu
    avlib claims avts --profile cpu

Each clip is longer than what is shown of it; two windows of it are cut from its interior, each the other's sound out of
time (`avlib.world.windows`). Asked are true pairs against easy, hard and super-hard ones, by the area under the curve,
which needs no threshold; how far distance grows with the shift; whether clips whose sound is another's can be told; and
what a linear probe reads off the picture tower: how many onsets a window shows, which timing alone tells, and which
thing it shows, which a picture tells. The clips are of the hands that training saw, the recordings are new.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from avlib.claims import Claim
from avlib.distributed import rank, world_size
from avlib.evaluate import exam, synchrony
from avlib.evaluate.features import Features, evaluating, features, join
from avlib.experiment import Arm, Batches, Run
from avlib.methods.avts import Synchronisation
from avlib.types import Batch, Embedding
from avlib.world.windows import Pairs, Windows, rendered

BUDGET: dict[str, dict[str, Any]] = {
    "smoke": {"batch": 8, "count": 32, "eval_count": 32},
    "cpu": {"batch": 32, "steps": 400, "size": 48, "count": 768, "eval_count": 384},
    "gpu": {"batch": 64, "count": 4096, "eval_count": 1024, "size": 96},
}
ARMS = {
    "curriculum": Arm(),
    "easy only": Arm(build={"hard": 0.0}),
    "pairing": Arm(build={"hard": 0.0}),
    "hard from the start": Arm(build={"begin": 0}),
    "super-hard too": Arm(),
    "cross-entropy": Arm(build={"loss": "cross-entropy"}),
    "time pooled": Arm(build={"bins": 1}),
    "one frame": Arm(),
    "sound alone": Arm(),
    "shuffled pairs": Arm(shuffled=True),
    "untrained": Arm(steps=0),
}
CHANCE = {f"{kind} {what}": 0.5 for kind in ("easy", "hard", "super-hard") for what in ("AUC", "wins", "accuracy")}
CHANCE |= {"synchronisable AUC": 0.5, "picture tempo": 0.5, "sound tempo": 0.5}
_PAPER = "korbar2018cooperative"
# fmt: off
CLAIMS = (
    Claim("Who must tell when reads more rhythm from pictures than who must tell which",
          "picture onsets", "curriculum", "pairing", "ours: same towers, same clips", "rhythm", primary=True),
    Claim("Hard negatives, after easy ones, teach what is in time better than easy ones alone",
          "hard AUC", "curriculum", "easy only", f"{_PAPER}, synchronisation", "curriculum", primary=True),
    Claim("Easy negatives first is better than hard ones from the start",
          "hard AUC", "curriculum", "hard from the start", f"{_PAPER}, synchronisation", "curriculum", primary=True),
    Claim("A margin on distances teaches it better than a verdict on both embeddings",
          "hard AUC", "curriculum", "cross-entropy", f"{_PAPER}, loss", "loss", primary=True),
    Claim("Which thing it is, timing does not teach better than pairing",
          "picture class", "pairing", "curriculum", "ours", "class"),
    Claim("Negatives that overlap with the truth do harm",
          "hard AUC", "curriculum", "super-hard too", _PAPER, "curriculum"),
    Claim("Trained towers read more rhythm from pictures than untrained ones",
          "picture onsets", "curriculum", "untrained", "ours", "rhythm"),
    Claim("Sound is found to be late or early better than by luck",
          "hard AUC", "curriculum", "chance", _PAPER, "found"),
    Claim("Without time in the embedding there is no telling",
          "hard AUC", "curriculum", "time pooled", "ours", "pooled"),
    Claim("A single frame tells less of it than motion",
          "hard AUC", "curriculum", "one frame", "ours", "motion"),
    Claim("Control: sound alone does not tell that it was shifted",
          "hard AUC", "sound alone", "chance", "ours", "alone", margin=0.03, kind="equal"),
    Claim("Control: with shuffled pairs there is nothing to learn",
          "hard AUC", "shuffled pairs", "chance", "ours", "shuffled", margin=0.05, kind="equal"),
)
# fmt: on
SECONDS, FPS, FRAMES = 3.6, 10.0, 12
"""Of a clip; frames a second; of a window. The sampling rate is a multiple of the second."""
LOOK: dict[str, Any] = {
    "tempo": (1.0, 2.5),
    "onset_from": 1.0,
    "drift": 0.06,
    "side": (0.5, 0.7),
    "classes": 6,
    "hue": 0.0,
}
HARD, SUPER_HARD = (FRAMES / FPS, SECONDS), (0.3, 0.9)
"""How far apart (s) windows begin: so far that they share nothing; so little that they overlap."""
RATE = 3e-3


def windows(run: Run, split: str = "train", preset: str = "moving", **dials: Any) -> Windows:
    """Clips of a split, rendered once."""
    count = run.budget.count if split == "train" else run.budget.eval_count
    still = {"shift": 0.0, "shift_from": 0.0}
    world = run.world(preset, split, seconds=SECONDS, fps=FPS, **LOOK | still | {"hands": "known"} | dials)
    return run.once(("windows", world, count), lambda: rendered(world.batches(count, 32), FRAMES))


def still(batch: Batch) -> Batch:
    """The same windows with their middle frame all along."""
    assert batch.video_BTCHW is not None
    return replace(batch, video_BTCHW=batch.frame_BCHW[:, None].expand_as(batch.video_BTCHW))


def grey(batch: Batch) -> Batch:
    """The same windows with nothing to see."""
    assert batch.video_BTCHW is not None
    return replace(batch, video_BTCHW=torch.full_like(batch.video_BTCHW, 0.5))


SHOWN: dict[str, Callable[[Batch], Batch]] = {"one frame": still, "sound alone": grey}
"""What arms get to see, in training and in every question about time."""


def lessons(run: Run, arm: str) -> Batches:
    """Batches of an arm."""
    clips = windows(run, **ARMS[arm].world)
    clips = clips.shuffled() if ARMS[arm].shuffled else clips
    gaps = (HARD, SUPER_HARD) if arm == "super-hard too" else (HARD,)
    pairs = Pairs(clips, run.budget.batch, gaps, arm == "pairing", run.seed, rank(), world_size())
    show = SHOWN.get(arm, lambda batch: batch)
    return lambda step: show(pairs(step))


def build(run: Run, **settings: Any) -> Synchronisation:
    """The net at the size of a run's profile; hard negatives come in the second half of its training."""
    sized = {"begin": run.budget.steps // 2, "fps": FPS, "eye": "MC3-18" if run.budget.full else "small"}
    return run.build(Synchronisation, **sized | settings)


def train(run: Run, arm: str = "curriculum") -> Synchronisation:
    """Train one arm."""
    method = build(run, **ARMS[arm].build)
    run.fit(method, lessons(run, arm), run.steps(ARMS[arm]), RATE)
    return method


def measure(method: nn.Module, run: Run, arm: str = "curriculum") -> dict[str, float]:
    """Every number of the chapter."""
    assert isinstance(method, Synchronisation)
    show = SHOWN.get(arm, lambda batch: batch)
    valid, test = (Asked(method, windows(run, split), show) for split in ("val", "test"))
    scores = verdicts(test, valid) | offsets(test)
    scores |= {"new: hard AUC": Asked(method, windows(run, "test", hands="own"), show).auc("hard")}
    scores |= {"steady: hard AUC": Asked(method, windows(run, "test", steady=True), show).auc("hard")}
    scores |= synchronisable(method, run, show) | probes(method, run)
    return scores | run.exam(method, (), video=True, seconds=FRAMES / FPS, fps=FPS, motion=1.0, **LOOK)


class Asked:
    """Windows that a net has seen and heard: true pairs, and easy, hard and super-hard ones of the same pictures."""

    def __init__(self, method: Synchronisation, clips: Windows, show: Callable[[Batch], Batch]) -> None:
        self.method, self.clips, self.show = method, clips, show
        self.row_B = torch.arange(len(clips))
        self.true, self.false = {}, {}
        for kind, gap in (("hard", HARD), ("super-hard", SUPER_HARD)):
            seen_B, other_B = clips.starts(self.row_B, [gap]).unbind(1)
            self.true[kind], self.false[kind] = self.score(seen_B, seen_B), self.score(seen_B, other_B)
            if kind == "hard":
                self.true["easy"], self.false["easy"] = self.true[kind], self.score(seen_B, seen_B, clips=1)

    def score(self, seen_B: Tensor, heard_B: Tensor, clips: int = 0) -> Tensor:
        """How well what is seen of each clip goes with what is heard of it, or of one some ``clips`` further on."""
        found = []
        with evaluating(self.method) as device:
            for row_B in self.row_B.split(64):
                batch: Batch = self.show(self.clips.cut(row_B, seen_B[row_B], heard_B[row_B])).blind().to(device)
                found.append(self.method.embed(batch))
            whole = join(found)
            assert whole.audio_BD is not None
            return self.method.compare(whole, Embedding(audio_BD=whole.audio_BD.roll(-clips, 0))).diagonal().cpu()

    def auc(self, kind: str) -> float:
        """Chance that a true pair scores above a false one of that kind."""
        return synchrony.auc(self.true[kind], self.false[kind])


KINDS = "easy", "hard", "super-hard"


def verdicts(test: Asked, valid: Asked) -> dict[str, float]:
    """Of each kind of negatives: AUC, how often a clip's own sound wins, and accuracy at validation's best threshold.

    That threshold is one for all kinds: the best for true pairs against easy and hard ones, half and half.
    """
    true_B, false_B = valid.true["hard"], torch.cat([valid.false["easy"], valid.false["hard"]])
    level_R = torch.cat([true_B, false_B])
    right_R = (true_B >= level_R[:, None]).float().mean(1) + (false_B < level_R[:, None]).float().mean(1)
    level = level_R[right_R.argmax()]
    scores: dict[str, float] = {}
    for kind in KINDS:
        true_B, false_B = test.true[kind], test.false[kind]
        right = ((true_B >= level).float().mean() + (false_B < level).float().mean()) / 2
        wins = (true_B > false_B).float().mean() + (true_B == false_B).float().mean() / 2
        scores |= {f"{kind} AUC": test.auc(kind), f"{kind} wins": float(wins), f"{kind} accuracy": float(right)}
    return scores


def offsets(asked: Asked) -> dict[str, float]:
    """Mean score by how much too late (frames) the sound is, and how often the best of all delays is right within one.

    What is seen is the middle of each clip; what is heard begins anywhere in it.
    """
    clips, middle = asked.clips, (asked.clips.margin + asked.clips.last) // 2
    start_O = torch.arange(clips.margin, clips.last + 1)
    seen_B = torch.full((len(clips),), middle)
    score_BO = torch.stack([asked.score(seen_B, seen_B * 0 + start) for start in start_O], 1)
    offset_O = middle - start_O
    found = synchrony.offset_accuracy(score_BO, offset_O)
    mean_O = score_BO.mean(0)
    curve = {f"score at {int(n):+d}": float(mean_O[o]) for o, n in enumerate(offset_O) if n % 3 == 0}
    return curve | {"offset accuracy": found.accuracy, "offset accuracy, luck": found.chance}


def synchronisable(method: Synchronisation, run: Run, show: Callable[[Batch], Batch]) -> dict[str, float]:
    """Can this clip be in time at all? AUC of clips with their sound over others dubbed with a thing that is not seen.

    Beside it what motion alone tells, the mean change from frame to frame: nothing, since the dubbed things move too.
    """
    own, dubbed = (windows(run, "test", voiceover=share) for share in (0.0, 1.0))
    half = len(own) // 2
    scores, energies = [], []
    for clips, part in ((own, slice(None, half)), (dubbed, slice(half, None))):
        asked = Asked(method, clips, show)
        scores.append(asked.true["hard"][part])
        change_B = clips.video_MTCHW[part].float().diff(dim=1).abs().mean((1, 2, 3, 4))
        energies.append(change_B)
    return {"synchronisable AUC": synchrony.auc(*scores), "synchronisable, motion alone": synchrony.auc(*energies)}


VIEWS = 4
"""Windows of each clip that a probe is taught and asked with."""
MOST = 4
"""Onsets of a window beyond which a probe counts no further."""


def probes(method: nn.Module, run: Run) -> dict[str, float]:
    """Accuracy of linear probes of either tower: how many onsets, which of two halves of tempi, which thing."""
    parts = []
    for split in ("train", "val", "test"):
        clips = windows(run, split)
        row_B = torch.arange(len(clips))
        shown = torch.cat([torch.cat([row_B[:, None], clips.starts(row_B, [HARD], n)], 1) for n in range(VIEWS // 2)])
        row_V, seen_V = torch.cat([shown[:, [0, 1]], shown[:, [0, 2]]]).unbind(1)
        parts.append(features(method, map(clips.cut, row_V.split(64), seen_V.split(64))))
    scores: dict[str, float] = {}
    for name, sense in (("image_BD", "picture"), ("audio_BD", "sound")):
        for what, asked in (("onsets", onsets), ("tempo", fast), ("class", lambda part: part.label_B)):
            rows = [(getattr(part, name), asked(part)) for part in parts]
            scores[f"{sense} {what}"] = exam.probe_score(*rows)
    return scores


def onsets(found: Features) -> Tensor:
    """How many notes of the thing begin within the window, counted up to MOST."""
    begin_BE = found.truth.onset_BNE[:, 0]  # type: ignore[index]
    return ((begin_BE >= 0) & (begin_BE < FRAMES / FPS)).sum(1).clamp(max=MOST)


def fast(found: Features) -> Tensor:
    """Does the thing play faster than the middle of all tempi?"""
    return (found.truth.rhythm_BN[:, 0] > sum(LOOK["tempo"]) / 2).long()  # type: ignore[index]
