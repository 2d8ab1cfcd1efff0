"""Claims: what each kind tests, how its grade follows, and how often the rule is wrong."""

import dataclasses

import numpy as np
import pytest
from scipy import stats as scipy_stats

from avlib import claims
from avlib.claims import CHANCE, FAILS, FEW, HOLDS, LEANS, MISSING, Chain, Claim, Contrast, Trend
from avlib.evaluate import stats

SCATTER = (0.0, 0.02, -0.01, 0.01, -0.02)


def scores(seeds: int = 5, metric: str = "score", **means: float) -> dict:
    """Arms with these means, each with a scatter of its own over the seeds."""
    return {
        arm: {seed: {metric: mean + SCATTER[(seed * (at + 1) + at) % 5]} for seed in range(seeds)}
        for at, (arm, mean) in enumerate(means.items())
    }


def one(claim: claims.AnyClaim, found: dict, **chance: float) -> claims.Verdict:
    return claims.judge([claim], found, chance)[0]


def each(found: dict, arm: str, metric: str = "score") -> np.ndarray:
    return np.array([metrics[metric] for _, metrics in sorted(found[arm].items())])


def test_a_primary_claim_holds_and_another_leans() -> None:
    found = scores(a=0.9, b=0.5)
    claim = Claim("a beats b", "score", "a", "b", primary=True)
    verdict = one(claim, found)
    assert verdict.grade == HOLDS and verdict.count == 5
    want = scipy_stats.ttest_rel(each(found, "a"), each(found, "b"), alternative="greater")
    assert verdict.p == verdict.corrected == pytest.approx(want.pvalue)
    low, high = scipy_stats.ttest_1samp(each(found, "a") - each(found, "b"), 0).confidence_interval(0.9)
    assert (verdict.steps[0].low, verdict.steps[0].high) == pytest.approx((low, high))
    assert one(dataclasses.replace(claim, primary=False), found).grade == LEANS
    assert one(Claim("b beats a", "score", "b", "a", primary=True), found).grade == FAILS
    assert one(Claim("b is less", "score", "b", "a", higher=False, primary=True), found).grade == HOLDS


def test_few_seeds_say_less() -> None:
    claim = Claim("a beats b", "score", "a", "b", primary=True)
    assert [one(claim, scores(n, a=0.9, b=0.5)).grade for n in range(6)] == [MISSING, FEW, FEW, LEANS, LEANS, HOLDS]
    assert one(claim, scores(a=0.9)).grade == MISSING
    assert one(claim, scores(1, a=0.9, b=0.5)).p == one(claim, scores(a=0.9)).p == 1  # nothing can be tested
    assert one(Claim("a", "other", "a", "b"), scores(a=0.9, b=0.5)).grade == MISSING


def test_only_seeds_that_both_have_are_paired() -> None:
    found = scores(a=0.9, b=0.5)
    del found["a"][0], found["b"][4]
    verdict = one(Claim("a beats b", "score", "a", "b", primary=True), found)
    assert verdict.grade == LEANS and verdict.count == 3
    assert verdict.steps[0].each == pytest.approx(each(found, "a")[:3] - each(found, "b")[1:])


def test_chance_is_a_side() -> None:
    found = scores(a=0.9)
    assert one(Claim("a beats luck", "score", "a", CHANCE, primary=True), found, score=0.5).grade == HOLDS
    assert one(Claim("a beats luck", "score", "a", CHANCE, primary=True), found, score=0.95).grade == FAILS
    assert claims.arms_of(Claim("a beats luck", "score", "a", CHANCE)) == ("a",)


def test_an_order_may_have_to_exceed_a_margin() -> None:
    found = scores(a=0.9, b=0.5)
    for margin, grade in ((0.3, HOLDS), (0.5, FAILS)):
        assert one(Claim("a beats b", "score", "a", "b", margin=margin, primary=True), found).grade == grade
    got = one(Claim("a beats b", "score", "a", "b", margin=0.3), found)
    assert got.p == pytest.approx(stats.p_above(each(found, "a") - each(found, "b"), 0.3))


def test_equality_is_tested_from_either_side() -> None:
    found = scores(a=0.52, b=0.5)
    for sides in (("a", "b"), ("b", "a")):
        for margin, grade in ((0.1, HOLDS), (0.03, FAILS)):
            claim = Claim("a is b", "score", *sides, margin=margin, kind="equal", primary=True)
            assert one(claim, found).grade == grade
            assert one(claim, found).p == pytest.approx(stats.p_within(each(found, "a") - each(found, "b"), margin))
    far = Claim("a is b", "score", "a", "b", margin=0.1, kind="equal")
    assert one(far, scores(a=0.9, b=0.5)).grade == one(far, scores(a=0.1, b=0.5)).grade == FAILS


def test_not_worse_allows_a_margin_on_one_side() -> None:
    claim = Claim("a is not worse", "score", "a", "b", margin=0.1, kind="not worse", primary=True)
    assert one(claim, scores(a=0.48, b=0.5)).grade == HOLDS
    assert one(claim, scores(a=0.9, b=0.5)).grade == HOLDS
    assert one(claim, scores(a=0.405, b=0.5)).grade == FAILS
    less = Claim("a errs no more", "score", "a", "b", margin=0.1, kind="not worse", higher=False, primary=True)
    assert one(less, scores(a=0.52, b=0.5)).grade == HOLDS and one(less, scores(a=0.9, b=0.5)).grade == FAILS


def test_a_chain_is_as_strong_as_its_weakest_step() -> None:
    found = scores(a=0.9, b=0.5, c=0.48, d=0.1)
    chain = Chain("a, b, c and d", "score", ("a", "b", "c", "d"), primary=True)
    verdict = one(chain, found)
    p = [stats.p_above(each(found, x) - each(found, y)) for x, y in ("ab", "bc", "cd")]
    assert [step.p for step in verdict.steps] == pytest.approx(p)
    assert verdict.p == pytest.approx(max(p)) == pytest.approx(p[1])
    assert verdict.weakest == verdict.steps[1] and verdict.grade == FAILS
    assert one(dataclasses.replace(chain, arms=("a", "b", "d")), found).grade == HOLDS
    assert one(dataclasses.replace(chain, arms=("a", "b", CHANCE)), found, score=0.0).grade == HOLDS
    assert one(dataclasses.replace(chain, arms=("d", "b", "a"), higher=False), found).grade == HOLDS
    assert one(dataclasses.replace(chain, arms=("a", "b", "x")), found).grade == MISSING
    del found["d"][0], found["d"][1]
    assert one(dataclasses.replace(chain, arms=("a", "b", "d")), found).grade == LEANS


def test_a_contrast_is_a_difference_of_differences() -> None:
    seen, heard = scores(metric="seen", a=0.9, b=0.8), scores(metric="heard", a=0.5, b=0.1)
    found = {arm: {seed: seen[arm][seed] | heard[arm][seed] for seed in range(5)} for arm in "ab"}
    claim = Contrast("gains more in hearing", ("heard", "a", "b"), ("seen", "a", "b"), primary=True)
    verdict = one(claim, found)
    want = (each(found, "a", "heard") - each(found, "b", "heard")) - (
        each(found, "a", "seen") - each(found, "b", "seen")
    )
    assert verdict.steps[0].each == pytest.approx(want) and verdict.grade == HOLDS
    assert verdict.steps[0].mean == pytest.approx(0.3)
    assert one(dataclasses.replace(claim, margin=0.35), found).grade == FAILS
    assert one(dataclasses.replace(claim, higher=False), found).grade == FAILS
    assert one(dataclasses.replace(claim, more=claim.less, less=claim.more, higher=False), found).grade == HOLDS
    assert claims.arms_of(claim) == ("a", "b")


def test_a_trend_is_a_slope_of_least_squares() -> None:
    found = scores(a=0.1, b=0.25, c=0.3)
    doses = (("a", 0.0), ("b", 0.5), ("c", 1.0))
    verdict = one(Trend("grows with p", "score", doses, primary=True), found)
    rows = np.stack([each(found, arm) for arm, _ in doses])
    want = [np.polyfit([0.0, 0.5, 1.0], column, 1)[0] for column in rows.T]
    assert verdict.steps[0].each == pytest.approx(want) and verdict.grade == HOLDS
    falls = one(Trend("falls with p", "score", doses, higher=False), found)
    assert falls.grade == FAILS and falls.steps[0].each == pytest.approx([-slope for slope in want])
    uneven = (("a", 0.0), ("b", 3.0), ("c", 1.0))
    want = [np.polyfit([0.0, 3.0, 1.0], column, 1)[0] for column in rows.T]
    assert one(Trend("grows", "score", uneven), found).steps[0].each == pytest.approx(want)


def test_holm_is_over_the_primary_claims_of_the_record() -> None:
    values = {seed: {"score": value} for seed, value in enumerate((0.02, 0.12, 0.05, -0.01, 0.07))}
    found, chance = {"weak": values} | scores(strong=0.9), {"score": 0.0}
    weak = Claim("weak", "score", "weak", CHANCE, primary=True)
    p = one(weak, found, score=0.0).p
    assert 0.025 < p < 0.05 and one(weak, found, score=0.0).grade == HOLDS
    strong = Claim("strong", "score", "strong", CHANCE, primary=True)
    two = claims.judge([weak, strong], found, chance)
    assert [v.grade for v in two] == [HOLDS, HOLDS]  # the second step of Holm asks for no more than .05
    absent = Claim("absent", "score", "nobody", CHANCE, primary=True)
    asked = claims.judge([weak, absent], found, chance)
    assert [v.grade for v in asked] == [LEANS, MISSING] and asked[0].corrected == pytest.approx(2 * p)
    other = claims.judge([weak, dataclasses.replace(absent, primary=False)], found, chance)
    assert other[0].grade == HOLDS and other[1].corrected is None


def test_more_than_four_primary_claims_are_too_many() -> None:
    five = [Claim(f"claim {k}", "score", "a", "b", primary=k < 4) for k in range(5)]
    claims.check(five, ["a", "b"], {}, "toy")
    five[4] = dataclasses.replace(five[4], primary=True)
    with pytest.raises(ValueError, match=r"recipe toy: 5 primary claims, at most 4: claim 0; claim 1"):
        claims.check(five, ["a", "b"], {}, "toy")


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (Claim("x", "score", "a", "bb"), r"unknown arm in the claim 'x' of toy 'bb'.*There are: a, b, chance"),
        (Chain("x", "score", ("a", "c")), r"unknown arm in the claim 'x' of toy 'c'"),
        (Claim("x", "skore", "a", CHANCE), r"unknown metric with a chance level in the claim 'x' of toy 'skore'"),
    ],
)
def test_an_impossible_claim_is_named(claim: claims.AnyClaim, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        claims.check([claim], ["a", "b"], {"score": 0.5}, "toy")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Claim("x", "score", "a", "b", kind="equal"), "must be positive for equal"),
        (lambda: Claim("x", "score", "a", "b", kind="not worse"), "must be positive for equal and not worse"),
        (lambda: Claim("x", "score", "a", "b", margin=-1.0), "must not be negative"),
        (lambda: Claim("x", "score", "a", "b", kind="equals"), "unknown kind of claim 'x' 'equals'; did you mean"),
        (lambda: Chain("x", "score", ("a",)), "at least two arms"),
        (lambda: Chain("x", "score", ("a", "b", "a")), "each once"),
        (lambda: Contrast("x", ("s", "a", "b"), ("t", "a", "b"), margin=-1.0), "must not be negative"),
        (lambda: Trend("x", "score", (("a", 1.0), ("b", 1.0))), "two different doses"),
        (lambda: Trend("x", "score", (("a", 1.0), ("a", 2.0))), "each arm once"),
    ],
)
def test_a_claim_makes_sense(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_verdicts_to_read() -> None:
    found = scores(a=0.9, b=0.5, c=0.1)
    stated = [
        Claim("a beats b", "score", "a", "b", primary=True),
        Claim("b beats a", "score", "b", "a"),
        Chain("in this order", "score", ("a", "b", "c")),
        Claim("a is b", "score", "a", "b", margin=0.05, kind="equal"),
        Claim("a beats d", "score", "a", "d"),
    ]
    verdicts = claims.judge(stated, found)
    step = verdicts[0].steps[0]
    indent = " " * 16
    assert claims.text(verdicts).split("\n") == [
        "         holds: a beats b (primary)",
        f"{indent}score: +0.400 [{step.low:+.3f}, {step.high:+.3f}], 5 seeds",
        f"{indent}p < .001, with Holm's correction < .001",
        "not reproduced: b beats a",
        f"{indent}score: -0.400 [{-step.high:+.3f}, {-step.low:+.3f}], 5 seeds",
        f"{indent}seed by seed: " + " ".join(f"{-value:+.3f}" for value in step.each),
        "         leans: in this order",
        *(f"{indent}{s.label}: {s.mean:+.3f} [{s.low:+.3f}, {s.high:+.3f}], 5 seeds" for s in verdicts[2].steps),
        "not reproduced: a is b",
        f"{indent}score, within ±0.05: +0.400 [{step.low:+.3f}, {step.high:+.3f}], 5 seeds",
        f"{indent}seed by seed: " + " ".join(f"{value:+.3f}" for value in step.each),
        "  not measured: a beats d",
    ]
    assert [s.label for s in verdicts[2].steps] == ["score, a over b", "score, b over c"]
    single = claims.text(claims.judge(stated[:1], scores(1, a=0.9, b=0.5))).split("\n")
    assert single == [" too few seeds: a beats b (primary)", f"{indent}score: {0.9 - 0.5 - 0.02:+.3f}, 1 seed"]
    three = claims.text(claims.judge(stated[:1], scores(3, a=0.9, b=0.5))).split("\n")
    assert three[0] == "         leans: a beats b (primary)" and three[2].endswith("to hold it needs 5 seeds")


def test_a_table_of_verdicts() -> None:
    found = scores(a=0.9, b=0.5, c=0.45)
    stated = [
        Claim("a beats b", "score", "a", "b", "a paper, table 1", tag="ab", primary=True),
        Chain("in this order", "score", ("a", "b", "c")),
        Claim("a beats d", "score", "a", "d"),
    ]
    verdicts = claims.judge(stated, found)
    table = claims.table(verdicts).set_index("claim")
    assert list(table["grade"]) == [v.grade for v in verdicts] and list(table["seeds"]) == [5, 5, 0]
    assert table.loc["a beats b", ["tag", "source", "compared"]].tolist() == ["ab", "a paper, table 1", "score"]
    weakest = verdicts[1].weakest
    assert weakest is not None and weakest.label == "score, b over c"
    assert table.loc["in this order", ["difference", "lo", "hi", "p"]].tolist() == [
        weakest.mean, weakest.low, weakest.high, weakest.p,
    ]  # fmt: skip
    assert table.loc["a beats d", ["difference", "p"]].isna().all()
    assert claims.table([]).columns.tolist() == ["claim", *table.columns]


def test_how_often_the_rule_is_wrong_and_right() -> None:
    """Binomial deviations of 500 records: .010 for a rate of .05, .018 for .2; bounds lie three of them away.

    A claim that leans is wrong in 5 % (2,000 claims: deviation .005), as often as its interval promises.
    """
    found = claims.operating_characteristics(draws=500)
    print(found.round(3).to_string())
    assert found.loc["holds", "record by luck"] <= 0.06
    assert found.loc["holds", "claim by luck"] <= 0.02
    assert 0.035 <= found.loc["leans", "claim by luck"] <= 0.065
    assert found.loc["leans", "record by luck"] <= 0.25
    assert found.loc["holds", "power"] >= 0.9
    assert found.loc["leans", "power"] >= 0.6


@pytest.mark.parametrize("kind", ["equal", "not worse"])
def test_how_often_equality_is_claimed_by_luck(kind: str) -> None:
    """At the margin itself (the worst case), as `test_how_often_the_rule_is_wrong_and_right`; 200 records."""
    found = claims.operating_characteristics(kind=kind, draws=200, effect=3.0)
    assert found.loc["holds", "record by luck"] <= 0.08
    assert found.loc["leans", "claim by luck"] <= 0.075
    assert found.loc["holds", "power"] >= 0.9


def test_one_true_claim_among_three_empty_ones_is_mostly_found() -> None:
    """Effect 2.5 deviations, five seeds, p must stay below .05 / 4: power about .9."""
    random = np.random.default_rng(0)
    stated = [Claim(str(k), "score", str(k), CHANCE, primary=True) for k in range(4)]
    grades = []
    for _ in range(200):
        draw_KS = random.normal(size=(4, 5))
        draw_KS[0] += 2.5
        found = {str(k): {s: {"score": v} for s, v in enumerate(row)} for k, row in enumerate(draw_KS)}
        grades.append([v.grade for v in claims.judge(stated, found, {"score": 0.0})])
    holds = np.array(grades) == HOLDS
    assert holds[:, 0].mean() > 0.8 and holds[:, 1:].any(1).mean() <= 0.1
