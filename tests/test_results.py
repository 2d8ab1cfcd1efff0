"""Claims: every arm with every seed, kept at once, resumed, judged and gone stale."""

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from avlib import recipes, results
from avlib.results import Claim

RECIPE = '''
"""A recipe that counts how often it runs."""
from pathlib import Path
from torch import nn
from avlib.experiment import Arm
from avlib.results import Claim

ARMS = {"trained": Arm(), "untrained": Arm(steps=0), "shuffled": Arm()}
CHANCE = {"accuracy": 0.5}
CLAIMS = (
    Claim("trained beats untrained", "accuracy", "trained", "untrained", "a paper", tag="t"),
    Claim("shuffled falls to chance", "accuracy", "shuffled", "chance", margin=0.05, equal=True),
    Claim("untrained beats trained", "accuracy", "untrained", "trained"),
    Claim("trained errs less", "error", "trained", "untrained", higher=False),
)

def train(run, arm="trained"):
    return nn.Identity()

def measure(method, run, arm):
    seed = run.seed
    with open(Path(__file__).parent / "ran.txt", "a") as file:
        file.write(f"{arm} {seed}\\n")
    if (Path(__file__).parent / "stop").exists() and arm == "shuffled":
        raise KeyboardInterrupt
    if (Path(__file__).parent / "nan").exists() and arm == "untrained":
        return {"accuracy": float("nan")}
    value = {"trained": 0.9, "untrained": 0.6, "shuffled": 0.5}[arm] + 0.01 * seed * (arm != "shuffled")
    return {"accuracy": value, "error": 1 - value}
'''


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "own_recipes"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "toy.py").write_text(RECIPE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("AVLIB_RESULTS", str(tmp_path / "results"))
    for name in ("own_recipes", "own_recipes.toy"):
        sys.modules.pop(name, None)
    return package


def ran(place: Path) -> list[str]:
    path = place / "ran.txt"
    return path.read_text().split("\n")[:-1] if path.exists() else []


def run(seeds: int = 3, **settings: object) -> results.Record:
    return results.run_claims("own_recipes.toy", "smoke", seeds, say=lambda line: None, **settings)


def test_every_arm_with_every_seed_is_recorded(place: Path) -> None:
    record = run()
    assert len(ran(place)) == 9
    assert record == results.read("own_recipes.toy", "smoke")
    assert record.value("trained", "accuracy") == pytest.approx(0.91)
    assert record.values("chance", "accuracy") == [0.5] * 3
    table = record.table()
    assert table.loc[("trained", "accuracy"), "n"] == 3
    assert table.loc[("trained", "accuracy"), "sd"] == pytest.approx(0.01)
    data = json.loads((place.parent / "results/smoke/own_recipes.toy.json").read_text())
    assert data["provenance"]["budget"]["name"] == "smoke" and data["provenance"]["versions"]["torch"]


def test_claims_are_judged_over_paired_seeds(place: Path) -> None:
    claims = run().claims().set_index("claim")
    first = claims.loc["trained beats untrained"]
    assert first["holds"] == "holds" and first["difference"] == pytest.approx(0.3)
    assert first["lo"] <= first["difference"] <= first["hi"] and first["source"] == "a paper"
    assert claims.loc["shuffled falls to chance", "holds"] == "holds"
    assert claims.loc["untrained beats trained", "holds"] == "not reproduced"
    assert claims.loc["trained errs less", "holds"] == "holds"


def test_a_summary_has_a_line_an_arm(place: Path) -> None:
    record = run()
    lines = record.summary(["accuracy"]).split("\n")
    assert [line.split()[0] for line in lines] == ["accuracy", *record.arms, "means"]
    assert lines[1].split() == ["trained", "0.91"]
    assert lines[-1] == "means over the seeds 0, 1, 2"
    assert len(record.summary().split("\n")[0].split()) == len(record.cells[0].metrics)
    with pytest.raises(ValueError, match=r"unknown metric of .*'acuracy'; did you mean 'accuracy'"):
        record.summary(["acuracy"])


def test_a_single_run_stands_beside_the_record(place: Path) -> None:
    record = run()
    values = record.values("trained", "accuracy")
    line = f"accuracy: here 0.875, recorded {min(values):.3f} to {max(values):.3f}"
    assert record.beside({"accuracy": 0.875}, "trained") == line
    assert record.beside({}, "trained") == ""
    with pytest.raises(ValueError, match="toy 'traned'; did you mean 'trained'"):
        record.beside({"accuracy": 0.5}, "traned")


def test_verdicts_are_the_claims_in_words(place: Path) -> None:
    record = run()
    lines = record.verdicts().split("\n")
    assert lines[0] == "         holds: trained beats untrained"
    row = record.claims().iloc[0]
    assert lines[1].strip() == f"accuracy, +0.300 [{row['lo']:+.3f}, {row['hi']:+.3f}]"
    at = lines.index("not reproduced: untrained beats trained")
    assert lines[at + 2].strip() == "seed by seed: -0.300 -0.300 -0.300"
    assert sum("seed by seed" in line for line in lines) == 1


def test_verdicts_without_an_interval_or_a_measurement(place: Path) -> None:
    lines = run(1).verdicts().split("\n")
    assert lines[:2] == [" too few seeds: trained beats untrained", "                accuracy, +0.300"]


def test_what_was_not_measured_is_one_line(place: Path) -> None:
    assert run(arms=["trained"]).verdicts().startswith("  not measured: trained beats untrained\n  not measured: ")


def test_few_seeds_and_absent_arms_prove_nothing(place: Path) -> None:
    assert set(run(1).claims()["holds"]) == {"too few seeds"}


def test_an_absent_arm_is_not_measured(place: Path) -> None:
    record = run(arms=["trained"])
    assert list(record.claims()["holds"]) == ["not measured"] * 4
    assert run(arms=["untrained"]).arms == ("trained", "untrained")  # what was recorded before stays
    with pytest.raises(ValueError, match=r"unknown arm of toy 'traned'; did you mean 'trained'\?"):
        run(arms=["traned"])


def test_an_interrupted_run_goes_on(place: Path) -> None:
    (place / "stop").touch()
    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(ran(place)) == 7
    (place / "stop").unlink()
    record = run()
    assert ran(place).count("trained 0") == 1 and len(ran(place)) == 10
    assert len(record.cells) == 9


def test_other_code_or_another_budget_runs_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    (place / "toy.py").write_text(RECIPE.replace('"trained": 0.9', '"trained": 0.8'))
    record = results.read("own_recipes.toy", "smoke")
    assert record.stale() == ["own_recipes.toy changed"]
    run()
    assert len(ran(place)) == 18
    fresh = results.read("own_recipes.toy", "smoke")
    assert fresh.stale() == []
    smoke = results.find_profile("smoke")
    monkeypatch.setattr(results, "find_profile", lambda name, method=None: replace(smoke, steps=smoke.steps + 1))
    assert fresh.stale() == [f"profile: steps was {smoke.steps}, is {smoke.steps + 1}"]
    run()
    assert len(ran(place)) == 27


def test_a_damaged_cell_is_run_again(place: Path) -> None:
    run()
    (place.parent / "results/smoke/own_recipes.toy.json").unlink()
    (place.parent / "runs/claims/smoke/own_recipes.toy/trained-1.json").write_text('{"arm": "tr')
    run()
    assert ran(place).count("trained 1") == 2 and len(ran(place)) == 10


def test_processes_side_by_side_give_the_same(place: Path) -> None:
    alone = run(2)
    for path in place.parent.rglob("*.json"):
        path.unlink()
    together = run(2, jobs=2)
    assert [(c.arm, c.seed, c.metrics) for c in together.cells] == [(c.arm, c.seed, c.metrics) for c in alone.cells]


def test_a_metric_that_is_no_number_names_arm_and_seed(place: Path) -> None:
    (place / "nan").touch()
    with pytest.raises(ValueError, match="toy, arm untrained, seed 0: accuracy is nan"):
        run()
    assert ran(place) == ["trained 0", "trained 1", "trained 2", "untrained 0"]


def test_wrong_names_list_the_right_ones(place: Path) -> None:
    with pytest.raises(ValueError, match="unknown method 'nothing'"):
        results.run_claims("nothing")
    with pytest.raises(ValueError, match=r"unknown profile 'cpv'; did you mean 'cpu'\? There are: smoke, cpu, gpu"):
        results.run_claims("own_recipes.toy", "cpv")
    with pytest.raises(ValueError, match=r"no module 'own_recipes\.absent'"):
        results.run_claims("own_recipes.absent")
    with pytest.raises(ValueError, match="at least one of each"):
        run(0)
    record = run(1)
    with pytest.raises(
        ValueError, match=r"unknown metric of own_recipes\.toy, arm trained 'acuracy'; did you mean 'accuracy'"
    ):
        record.value("trained", "acuracy")
    with pytest.raises(ValueError, match=r"There are: trained, untrained, shuffled, chance"):
        record.value("nobody", "accuracy")
    with pytest.raises(ValueError, match="chance level"):
        record.value("chance", "error")


def test_a_missing_or_damaged_record_says_what_to_do(place: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"avlib claims own_recipes\.toy --profile cpu"):
        results.read("own_recipes.toy")
    path = results.path_of("own_recipes.toy", "cpu")
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with pytest.raises(ValueError, match="is damaged"):
        results.read("own_recipes.toy")


def test_a_recipe_lacks_nothing(place: Path) -> None:
    (place / "half.py").write_text("ARMS = ()\n")
    with pytest.raises(ValueError, match="is not a recipe: it lacks CLAIMS, train"):
        recipes.load("own_recipes.half")


def test_claims_of_equality_need_a_margin() -> None:
    with pytest.raises(ValueError, match="where equality is claimed"):
        Claim("equal", "accuracy", "a", "b", equal=True)


def test_results_lie_in_the_repository(repo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AVLIB_RESULTS", raising=False)
    monkeypatch.chdir(repo / "tests")
    assert results.folder() == repo / "results"
    monkeypatch.chdir(tmp_path)
    assert results.folder() == repo / "results"


def test_a_seed_alone_has_no_spread(place: Path) -> None:
    assert math.isnan(run(1).table().loc[("trained", "accuracy"), "sd"])
