"""Claims that a paper makes, or we do, and the verdict on each: pure functions of numbers.

A claim compares arms of an experiment seed by seed. Whatever it compares, it comes down to one number a seed, signed
so that more is as claimed (better minus worse, a difference of two such differences, a slope), and to the one-sided
p-value of a t test over the seeds. `judge` says how the grade follows from that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avlib.errors import unknown

if TYPE_CHECKING:
    import pandas as pd

CHANCE = "chance"
"""The other side of a claim that needs no arm: what luck reaches."""

ORDER, EQUAL, NOT_WORSE = "order", "equal", "not worse"
HOLDS, LEANS, FAILS, FEW, MISSING = "holds", "leans", "not reproduced", "too few seeds", "not measured"

LEVEL = 0.05
MOST_PRIMARY = 4
PRIMARY_SEEDS, LEAST_SEEDS = 5, 3

Scores = Mapping[str, Mapping[int, Mapping[str, float]]]
"""Arm → seed → metric → value."""

Terms = tuple[tuple[float, str, str], ...]
"""Weight, arm and metric of each value that a gap adds up."""


@dataclass(frozen=True)
class Gap:
    """What is tested: one number a seed, a weighted sum of metrics of arms."""

    label: str
    terms: Terms


@dataclass(frozen=True)
class Claim:
    """Two arms and a metric: one is better, they are equal, or one is not worse.

    Attributes:
        text: the claim in one sentence.
        metric: what is compared.
        better, worse: names of arms, or ``"chance"``.
        source: paper and table.
        tag: a short name to find it by.
        margin: how much an order must exceed; how much equality or being not worse allows (in units of the metric).
        kind: ``"order"``, ``"equal"`` or ``"not worse"``.
        higher: is more of the metric better?
        primary: is it one of the few that the record stands for?

    Raises:
        ValueError: an unknown kind; a negative margin, or none where one is needed.
    """

    text: str
    metric: str
    better: str
    worse: str
    source: str = ""
    tag: str = ""
    margin: float = 0.0
    kind: str = ORDER
    higher: bool = True
    primary: bool = False

    def __post_init__(self) -> None:
        if self.kind not in (ORDER, EQUAL, NOT_WORSE):
            raise unknown(f"kind of claim {self.text!r}", self.kind, (ORDER, EQUAL, NOT_WORSE))
        if self.margin < 0 or (self.kind != ORDER and self.margin == 0):
            raise ValueError(
                f"claim {self.text!r}: margin={self.margin} must not be negative, "
                "and must be positive for equal and not worse"
            )

    def gaps(self) -> tuple[Gap, ...]:
        """The one difference that is tested."""
        allowed = {ORDER: f", by more than {self.margin:g}", EQUAL: f", within ±{self.margin:g}"}
        words = allowed.get(self.kind, f", no worse than by {self.margin:g}") if self.margin else ""
        return (Gap(self.metric + words, _less(self.metric, self.better, self.worse, self.higher)),)


@dataclass(frozen=True)
class Chain:
    """Each arm is better than the next; it holds where each step does.

    Attributes:
        arms: from the best to the worst; the last may be ``"chance"``. The others as for `Claim`.

    Raises:
        ValueError: fewer than two arms, or one twice.
    """

    text: str
    metric: str
    arms: tuple[str, ...]
    source: str = ""
    tag: str = ""
    higher: bool = True
    primary: bool = False

    margin = 0.0
    kind = ORDER

    def __post_init__(self) -> None:
        if len(self.arms) < 2 or len(set(self.arms)) < len(self.arms):
            raise ValueError(f"claim {self.text!r}: a chain needs at least two arms, each once, not {self.arms}")

    def gaps(self) -> tuple[Gap, ...]:
        """One difference a step."""
        pairs = zip(self.arms, self.arms[1:], strict=False)
        return tuple(Gap(f"{self.metric}, {a} over {b}", _less(self.metric, a, b, self.higher)) for a, b in pairs)


@dataclass(frozen=True)
class Contrast:
    """One difference exceeds another: "gains more on sounding things than on silent ones".

    Attributes:
        more, less: (metric, better arm, worse arm) of either difference. The others as for `Claim`.
        margin: by how much the first exceeds the second.

    Raises:
        ValueError: a negative margin.
    """

    text: str
    more: tuple[str, str, str]
    less: tuple[str, str, str]
    source: str = ""
    tag: str = ""
    margin: float = 0.0
    higher: bool = True
    primary: bool = False

    kind = ORDER

    def __post_init__(self) -> None:
        if self.margin < 0:
            raise ValueError(f"claim {self.text!r}: margin={self.margin} must not be negative")

    def gaps(self) -> tuple[Gap, ...]:
        """The one difference of differences."""
        label = " over ".join(f"{metric} ({a} − {b})" for metric, a, b in (self.more, self.less))
        taken = tuple((-weight, arm, metric) for weight, arm, metric in _less(*self.less, self.higher))
        return (Gap(label, _less(*self.more, self.higher) + taken),)


@dataclass(frozen=True)
class Trend:
    """A metric grows with a dose: its slope over the arms, fitted by least squares for each seed, is above zero.

    Attributes:
        doses: (arm, dose) of each arm. The others as for `Claim`; ``higher=False`` claims that the metric falls.

    Raises:
        ValueError: fewer than two different doses, or an arm twice.
    """

    text: str
    metric: str
    doses: tuple[tuple[str, float], ...]
    source: str = ""
    tag: str = ""
    higher: bool = True
    primary: bool = False

    margin = 0.0
    kind = ORDER

    def __post_init__(self) -> None:
        arms, doses = {arm for arm, _ in self.doses}, {dose for _, dose in self.doses}
        if len(doses) < 2 or len(arms) < len(self.doses):
            raise ValueError(f"claim {self.text!r}: needs two different doses or more, each arm once: {self.doses}")

    def gaps(self) -> tuple[Gap, ...]:
        """The one slope: metric per unit of the dose."""
        mean = sum(dose for _, dose in self.doses) / len(self.doses)
        scale = sum((dose - mean) ** 2 for _, dose in self.doses) * (1 if self.higher else -1)
        terms = tuple(((dose - mean) / scale, arm, self.metric) for arm, dose in self.doses)
        return (Gap(f"{self.metric}, slope over {len(self.doses)} arms", terms),)


AnyClaim = Claim | Chain | Contrast | Trend


def _less(metric: str, better: str, worse: str, higher: bool) -> Terms:
    sign = 1.0 if higher else -1.0
    return ((sign, better, metric), (-sign, worse, metric))


@dataclass(frozen=True)
class Step:
    """One tested difference: each seed's, their mean with its 90 % interval (NaN for one seed), and p (else NaN)."""

    label: str
    each: tuple[float, ...]
    mean: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Verdict:
    """A claim, its grade, and what it rests on.

    Attributes:
        claim, grade: see `judge`.
        steps: what was tested, one for each step of a chain; empty where an arm was not measured.
        corrected: the p-value after Holm's correction, for primary claims.
    """

    claim: AnyClaim
    grade: str
    steps: tuple[Step, ...]
    corrected: float | None = None

    @property
    def weakest(self) -> Step | None:
        """The step on which the verdict hangs: the one with the largest p (the smallest mean where there is none)."""
        return max(self.steps, key=lambda step: (step.p, -step.mean), default=None)

    @property
    def count(self) -> int:
        """How many seeds it rests on."""
        return min((len(step.each) for step in self.steps), default=0)

    @property
    def p(self) -> float:
        """One-sided; the largest of its steps; 1 where nothing can be tested."""
        return max((1.0 if math.isnan(step.p) else step.p for step in self.steps), default=1.0)


def arms_of(claim: AnyClaim) -> tuple[str, ...]:
    """The arms that a claim needs, each once."""
    named = [arm for gap in claim.gaps() for _, arm, _ in gap.terms if arm != CHANCE]
    return tuple(dict.fromkeys(named))


def check(stated: Sequence[AnyClaim], arms: Sequence[str], chance: Mapping[str, float], name: str) -> None:
    """Are the claims of the recipe ``name`` possible ones?

    Raises:
        ValueError: more than four primary claims, an arm that the recipe lacks, a metric without its level of chance.
    """
    primary = [claim for claim in stated if claim.primary]
    if len(primary) > MOST_PRIMARY:
        texts = "; ".join(claim.text for claim in primary)
        raise ValueError(f"recipe {name}: {len(primary)} primary claims, at most {MOST_PRIMARY}: {texts}")
    for claim in stated:
        for arm in arms_of(claim):
            if arm not in arms:
                raise unknown(f"arm in the claim {claim.text!r} of {name}", arm, (*arms, CHANCE))
        for metric in {m for gap in claim.gaps() for _, arm, m in gap.terms if arm == CHANCE}:
            if metric not in chance:
                raise unknown(f"metric with a chance level in the claim {claim.text!r} of {name}", metric, chance)


def judge(stated: Sequence[AnyClaim], scores: Scores, chance: Mapping[str, float] | None = None) -> tuple[Verdict, ...]:
    """The verdict on each claim of a record.

    Only seeds that all arms of a comparison share count, paired. Each claim has a one-sided p-value of its own, over
    them: an order, contrast or trend, that the mean exceeds the margin (0 by default); *not worse*, that it exceeds
    minus the margin; *equal*, the larger p of two such tests from either side (TOST); a chain, the largest of its
    steps' (each must hold, so no correction is due among them). p < .05 says the same as: the claim's own 90 %
    interval lies beyond the margin, or within it for equality. Then

    * **holds**: a primary claim, at least five seeds, p ≤ .05 after Holm's correction over all primary claims that
      the record names (one that lacks seeds or arms counts as p = 1: it was asked all the same);
    * **leans**: p < .05 by itself, but it is not primary, has fewer than five seeds, or did not survive Holm;
    * **not reproduced**: p ≥ .05;
    * **too few seeds**: fewer than three;
    * **not measured**: an arm or its metric was not run, or no seed is shared.

    So with nothing there at all, at most one record in twenty shows a claim that holds; of the claims that lean, one in
    twenty does so by luck, and a page with eight of them will often show one: `operating_characteristics` counts.

    Args:
        stated: the recipe's claims.
        scores: arm → seed → metric → value.
        chance: metric → what luck reaches.
    """
    from avlib.evaluate import stats

    steps = [_steps(claim, scores, chance or {}) for claim in stated]
    plain = [Verdict(claim, "", measured) for claim, measured in zip(stated, steps, strict=True)]
    primary = [at for at, verdict in enumerate(plain) if verdict.claim.primary]
    tested = [plain[at].p if plain[at].count >= PRIMARY_SEEDS else 1.0 for at in primary]
    corrected = dict(zip(primary, stats.holm(tested) if tested else [], strict=True))
    return tuple(
        Verdict(verdict.claim, _grade(verdict, corrected.get(at, 1.0)), verdict.steps, corrected.get(at))
        for at, verdict in enumerate(plain)
    )


def _grade(verdict: Verdict, corrected: float) -> str:
    if not verdict.steps:
        return MISSING
    if verdict.count < LEAST_SEEDS:
        return FEW
    if corrected <= LEVEL:
        return HOLDS
    return LEANS if verdict.p < LEVEL else FAILS


def _steps(claim: AnyClaim, scores: Scores, chance: Mapping[str, float]) -> tuple[Step, ...]:
    """Each gap of a claim, measured; none at all where one cannot be."""
    found = [(gap.label, _each(gap.terms, scores, chance)) for gap in claim.gaps()]
    return tuple(_step(claim, label, each) for label, each in found) if all(each for _, each in found) else ()


def _each(terms: Terms, scores: Scores, chance: Mapping[str, float]) -> list[float]:
    """A gap for each seed that has all of its values, in order of the seeds."""
    having = [
        {seed for seed, metrics in scores.get(arm, {}).items() if metric in metrics}
        for _, arm, metric in terms
        if arm != CHANCE
    ]
    return [
        sum(w * (chance[metric] if arm == CHANCE else scores[arm][seed][metric]) for w, arm, metric in terms)
        for seed in sorted(set.intersection(*having))
    ]


def _step(claim: AnyClaim, label: str, each: Sequence[float]) -> Step:
    from avlib.evaluate import stats

    interval = stats.t_interval(each)
    if claim.kind == EQUAL:
        p = stats.p_within(each, claim.margin)
    else:
        p = stats.p_above(each, -claim.margin if claim.kind == NOT_WORSE else claim.margin)
    return Step(label, tuple(each), interval.value, interval.low, interval.high, p)


# --- to read ----------------------------------------------------------------------------------------------------------


def table(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """One row a claim, a chain by its weakest step; ``difference``, ``lo`` and ``hi`` are NaN where not measured."""
    import pandas as pd

    rows = []
    for verdict in verdicts:
        claim, step = verdict.claim, verdict.weakest
        row = {"claim": claim.text, "tag": claim.tag, "primary": claim.primary, "grade": verdict.grade}
        row |= {"compared": " / ".join(gap.label for gap in claim.gaps()), "seeds": verdict.count}
        numbers = (step.mean, step.low, step.high, step.p) if step else (math.nan,) * 4
        row |= dict(zip(("difference", "lo", "hi", "p"), numbers, strict=True))
        rows.append(row | {"corrected": verdict.corrected, "source": claim.source})
    columns = ["claim", "tag", "primary", "grade", "compared", "seeds", "difference", "lo", "hi", "p", "corrected"]
    return pd.DataFrame(rows, columns=[*columns, "source"])


def text(verdicts: Sequence[Verdict]) -> str:
    """The claims to read: grade, what was compared, difference and interval; seed by seed where not reproduced."""
    lines = []
    for verdict in verdicts:
        lines.append(f"{verdict.grade:>14}: {verdict.claim.text}{' (primary)' if verdict.claim.primary else ''}")
        for step in verdict.steps:
            interval = "" if math.isnan(step.low) else f" [{step.low:+.3f}, {step.high:+.3f}]"
            lines.append(f"{'':>14}  {step.label}: {step.mean:+.3f}{interval}, {_seeds(len(step.each))}")
            if verdict.grade == FAILS:
                lines.append(f"{'':>14}  seed by seed: " + " ".join(f"{value:+.3f}" for value in step.each))
        if verdict.claim.primary and verdict.count >= LEAST_SEEDS:
            lines.append(f"{'':>14}  {_why(verdict)}")
    return "\n".join(lines)


def _seeds(count: int) -> str:
    return f"{count} seed{'s' if count != 1 else ''}"


def _why(verdict: Verdict) -> str:
    """The p-value of a primary claim, and what came of it."""
    if verdict.count < PRIMARY_SEEDS:
        return f"p {_p(verdict.p)}; to hold it needs {PRIMARY_SEEDS} seeds"
    return f"p {_p(verdict.p)}, with Holm's correction {_p(verdict.corrected or 0.0)}"


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"{value:.3f}"


# --- how far the rule can be trusted ---------------------------------------------------------------------------------


def operating_characteristics(
    primary: int = MOST_PRIMARY,
    others: int = 4,
    seeds: tuple[int, int] = (PRIMARY_SEEDS, LEAST_SEEDS),
    effect: float = 2.0,
    kind: str = ORDER,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """How often `judge` says *holds* or *leans* by luck, and how often where there is something: by simulation.

    Each draw is a record of independent claims whose differences are normal over the seeds, with a deviation of 1.

    Args:
        primary, others: how many claims of either sort a record names.
        seeds: how many seeds the arms of either sort have.
        effect: true mean difference, in deviations, where there is something; for ``"equal"`` and ``"not worse"``, the
            margin (there is nothing where the true difference is the margin, and something where it is 0).
        draws, seed: records simulated, and their seed.

    Returns:
        One row a grade: ``claim by luck`` (share of those claims that can get it), ``record by luck`` (share of the
        records that show at least one), ``power``. The grade ``"leans"`` counts claims that are not primary.
    """
    import numpy as np
    import pandas as pd

    margin = effect if kind != ORDER else 0.0
    arms = [f"arm {k}" for k in range(primary + others)]
    stated = [
        Claim(arm, "score", arm, CHANCE, margin=margin, kind=kind, primary=k < primary) for k, arm in enumerate(arms)
    ]
    luck, there = {ORDER: (0.0, effect), EQUAL: (effect, 0.0), NOT_WORSE: (-effect, 0.0)}[kind]
    random = np.random.default_rng(seed)
    noise_RKS = random.normal(size=(draws, len(arms), max(seeds)))
    shown = {}
    for name, mean in (("luck", luck), ("power", there)):
        shown[name] = np.array([_grades(stated, row_KS + mean, primary, seeds) for row_KS in noise_RKS])
    rows = {}
    for grade, of in ((HOLDS, slice(0, primary)), (LEANS, slice(primary, None))):
        by_luck_RK, found_RK = (shown[name][:, of] == grade for name in ("luck", "power"))
        rows[grade] = (by_luck_RK.mean(), by_luck_RK.any(1).mean(), found_RK.mean())
    return pd.DataFrame.from_dict(rows, "index", columns=["claim by luck", "record by luck", "power"])


def _grades(
    stated: Sequence[Claim], value_KS: Sequence[Sequence[float]], primary: int, seeds: tuple[int, int]
) -> list[str]:
    scores = {
        claim.better: {s: {"score": float(value)} for s, value in enumerate(row_S[: seeds[k >= primary]])}
        for k, (claim, row_S) in enumerate(zip(stated, value_KS, strict=True))
    }
    return [verdict.grade for verdict in judge(stated, scores, {"score": 0.0})]
