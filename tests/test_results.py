"""Records: every arm with every seed, written as it comes, resumed, kept, judged when read, and gone stale."""

import fcntl
import importlib
import json
import math
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from avlib import provenance, recipes, results, seal

RECIPE = '''
"""A recipe that counts how often it runs."""
import time
from pathlib import Path
from torch import nn
from avlib.claims import Claim
from avlib.experiment import Arm

HERE = Path(__file__).parent.parent
ARMS = {"trained": Arm(), "untrained": Arm(steps=0), "shuffled": Arm()}
CHANCE = {"accuracy": 0.5}
CONTROL = Claim("shuffled falls to chance", "accuracy", "shuffled", "chance", margin=0.05, kind="equal")
CLAIMS = (
    Claim("trained beats untrained", "accuracy", "trained", "untrained", "a paper", tag="t", primary=True),
    CONTROL,
    Claim("untrained beats trained", "accuracy", "untrained", "trained"),
    Claim("trained errs less", "error", "trained", "untrained", higher=False),
)

def train(run, arm):
    return nn.Identity()

def measure(method, run, arm):
    seed = run.seed
    if not hasattr(run, "learnt"):  # not for a witness
        with open(HERE / "ran.txt", "a") as file:
            file.write(f"{arm} {seed}\\n")
    if (HERE / "stop").exists() and (arm, seed) == ("shuffled", 1):
        raise KeyboardInterrupt
    while (HERE / "wait").exists() and seed == 1:
        time.sleep(0.05)
    if (HERE / "nan").exists() and arm == "untrained":
        return {"accuracy": float("nan")}
    value = {"trained": 0.9, "untrained": 0.6, "shuffled": 0.5}[arm] + 0.01 * seed * (arm != "shuffled")
    return {"accuracy": value, "error": 1 - value}
'''
NAME = "own_recipes.toy"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "own_recipes"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "toy.py").write_text(RECIPE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("AVLIB_RESULTS", str(tmp_path / "results"))
    for name in ("own_recipes", "own_recipes.toy", "own_recipes.writer"):
        sys.modules.pop(name, None)
    return package


def ran(place: Path) -> list[str]:
    path = place.parent / "ran.txt"
    return path.read_text().split("\n")[:-1] if path.exists() else []


def run(seeds: int | list[int] | None = 3, **settings: object) -> results.Record:
    return results.run_claims(NAME, "smoke", seeds, **({"say": lambda line: None} | settings))


def file_of(place: Path) -> Path:
    return place.parent / "results" / "smoke" / f"{NAME}.json"


def edit(place: Path, old: str, new: str) -> None:
    """Change the recipe and have it imported again."""
    text = (place / "toy.py").read_text()
    assert old in text
    (place / "toy.py").write_text(text.replace(old, new))
    sys.modules.pop(NAME, None)


def test_every_arm_with_every_seed_is_recorded(place: Path) -> None:
    record = run()
    assert sorted(ran(place)) == sorted(f"{arm} {s}" for arm in ("trained", "untrained", "shuffled") for s in range(3))
    assert record == results.read(NAME, "smoke") and record.stale() == []
    assert record.value("trained", "accuracy") == pytest.approx(0.91)
    assert record.values("chance", "accuracy") == [0.5] * 3
    table = record.table()
    assert table.loc[("trained", "accuracy"), "n"] == 3
    assert table.loc[("trained", "accuracy"), "sd"] == pytest.approx(0.01)


def test_the_file_holds_cells_with_their_origin_and_no_verdict(place: Path) -> None:
    run()
    data = json.loads(file_of(place).read_text())
    assert data.keys() == {"method", "profile", "files", "cells"}
    assert (data["method"], data["profile"]) == (NAME, "smoke") and "own_recipes/toy.py" in data["files"]
    assert [(c["arm"], c["seed"]) for c in data["cells"]][:4] == [
        ("trained", 0), ("trained", 1), ("trained", 2), ("untrained", 0),
    ]  # fmt: skip
    cell = data["cells"][0]
    assert cell.keys() == {"arm", "seed", "metrics", "seconds", "key", "origin", "seals", "witness"}
    assert cell["origin"].keys() == {"lock", "versions", "device", "threads", "commit", "date"}
    assert cell["origin"]["versions"] == provenance.versions() and cell["origin"]["threads"] == 1
    assert "CPU" in cell["origin"]["device"] and re.fullmatch(r"20..-..-..T.*\+00:00", cell["origin"]["date"])
    assert len({c["key"] for c in data["cells"]}) == 9
    assert len(file_of(place).read_text().splitlines()) == 9 + 2  # a line a cell: differences are easy to read


def test_claims_are_judged_over_paired_seeds(place: Path) -> None:
    table = run(5).claims().set_index("claim")
    first = table.loc["trained beats untrained"]
    assert first["grade"] == "holds" and first["difference"] == pytest.approx(0.3)
    assert first["lo"] <= first["difference"] <= first["hi"] and first["source"] == "a paper"
    assert table.loc["shuffled falls to chance", "grade"] == "leans"
    assert table.loc["untrained beats trained", "grade"] == "not reproduced"
    assert table.loc["trained errs less", "grade"] == "leans"
    assert set(run(1).claims()["grade"]) == {"holds", "leans", "not reproduced"}  # what was recorded before stays


def test_arms_of_primary_claims_have_five_seeds_and_come_first(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smoke = results.find_profile("smoke")
    monkeypatch.setattr(results, "find_profile", lambda name, method=None: replace(smoke, seeds=3))
    edit(place, '"untrained": Arm(steps=0), "shuffled": Arm()}', '"shuffled": Arm(), "untrained": Arm(steps=0)}')
    run(None)
    each = [f"{arm} {seed}" for seed in range(3) for arm in ("trained", "untrained", "shuffled")]
    assert ran(place) == each + [f"{arm} {seed}" for seed in (3, 4) for arm in ("trained", "untrained")]
    said = results.read(NAME, "smoke").summary().split("\n")[-1]
    assert said == "means over the seeds 0, 1, 2, 3, 4 (over 0, 1, 2: shuffled)"


def test_a_profile_of_one_seed_asks_for_one(place: Path) -> None:
    assert {cell.seed for cell in run(None).cells} == {0}


def test_seeds_can_be_named(place: Path) -> None:
    assert run([12, 10]).seeds == (10, 12)
    assert run(1).seeds == (0, 10, 12)
    assert ran(place)[:3] == ["trained 10", "untrained 10", "shuffled 10"]


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
    lines = run(5).verdicts().split("\n")
    assert lines[0] == "         holds: trained beats untrained (primary)"
    assert "not reproduced: untrained beats trained" in lines


def test_an_absent_arm_is_not_measured(place: Path) -> None:
    record = run(arms=["trained"])
    assert list(record.claims()["grade"]) == ["not measured"] * 4
    assert run(arms=["untrained"]).arms == ("trained", "untrained")  # what was recorded before stays


def test_what_is_added_later_leaves_the_origin_of_the_others(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = run(2)
    monkeypatch.setattr(provenance, "versions", lambda: {"torch": "9.9"})
    after = run(3)
    assert [cell for cell in after.cells if cell.seed < 2] == list(before.cells)
    assert all(cell.origin["versions"] == {"torch": "9.9"} for cell in after.cells if cell.seed == 2)
    assert all(cell.origin["versions"]["torch"] != "9.9" for cell in after.cells if cell.seed < 2)


def test_another_rule_changes_the_verdict_and_not_the_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record, kept = run(5), file_of(place).read_bytes()
    assert record.claims()["grade"].iloc[0] == "holds"
    monkeypatch.setattr(results.claims, "PRIMARY_SEEDS", 6)
    again = results.read(NAME, "smoke")
    assert again.claims()["grade"].iloc[0] == "leans"
    assert again.stale() == [] and file_of(place).read_bytes() == kept


def test_other_claims_are_judged_without_measuring(place: Path) -> None:
    run(5)
    kept = file_of(place).read_bytes()
    edit(place, '"untrained beats trained", "accuracy"', '"untrained errs more", "error"')
    again = results.read(NAME, "smoke")
    assert again.claims().set_index("claim").loc["untrained errs more", "grade"] == "leans"
    assert file_of(place).read_bytes() == kept


def test_too_many_primary_claims_name_the_recipe(place: Path) -> None:
    edit(place, "CLAIMS = (", 'CLAIMS = 4 * (Claim("x", "error", "untrained", "trained", primary=True),) + (')
    with pytest.raises(ValueError, match=r"recipe own_recipes\.toy: 5 primary claims, at most 4"):
        run()
    assert ran(place) == []


def test_an_interrupted_run_goes_on(place: Path) -> None:
    (place.parent / "stop").touch()
    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(ran(place)) == 6 and len(results.read(NAME, "smoke").cells) == 5
    (place.parent / "stop").unlink()
    assert len(run().cells) == 9
    assert ran(place).count("trained 0") == 1 and len(ran(place)) == 10


def test_a_killed_run_goes_on(place: Path, repo: Path) -> None:
    (place.parent / "wait").touch()
    code = f"from avlib import results; results.run_claims({NAME!r}, 'smoke', 2)"
    environment = os.environ | {"PYTHONPATH": f"{repo}:{place.parent}"}
    running = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while "trained 1" not in ran(place) and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    (place.parent / "wait").unlink()
    assert [(cell.arm, cell.seed) for cell in results.read(NAME, "smoke").cells] == [
        ("trained", 0), ("untrained", 0), ("shuffled", 0),
    ]  # fmt: skip
    assert len(run(2).cells) == 6
    assert [ran(place).count(f"{arm} 0") for arm in ("trained", "untrained", "shuffled")] == [1, 1, 1]


def test_fresh_measures_again(place: Path) -> None:
    before = run(1)
    said: list[str] = []
    run(1, say=said.append)
    assert said == [f"{arm}, seed 0: kept from before" for arm in ("trained", "untrained", "shuffled")]
    after = run(1, fresh=True, arms=["trained"])
    assert ran(place).count("trained 0") == 2 and ran(place).count("untrained 0") == 1
    assert after.cells[1:] == before.cells[1:]


def test_other_code_or_another_budget_runs_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(2)
    edit(place, '"trained": 0.9', '"trained": 0.8')
    stale = results.read(NAME, "smoke").stale()
    assert [line.split(": code, arm or budget changed since ")[0] for line in stale] == [
        "trained, seeds 0, 1", "untrained, seeds 0, 1", "shuffled, seeds 0, 1",
    ]  # fmt: skip
    assert all(line.endswith("(in own_recipes/toy.py)") for line in stale)
    again = run(2, arms=["trained"])
    assert again.value("trained", "error") == pytest.approx(0.195) and len(again.cells) == 6
    assert [line.split(":")[0] for line in again.stale()] == ["untrained, seeds 0, 1", "shuffled, seeds 0, 1"]
    assert run(2).stale() == [] and len(ran(place)) == 12
    smoke = results.find_profile("smoke")
    monkeypatch.setattr(results, "find_profile", lambda name, method=None: replace(smoke, steps=smoke.steps + 1))
    assert len(results.read(NAME, "smoke").stale()) == 3
    run(2)
    assert len(ran(place)) == 18


def test_a_seal_vouches_for_a_cell(place: Path) -> None:
    before = run(1)
    edit(place, '"trained": 0.9', '"trained": 1.8 / 2')
    keys = results._keys(NAME, "smoke", [("trained", 0)])
    seal = {"key": keys["trained", 0], "commit": "abc", "date": "2026-11-26"}
    results.put(NAME, "smoke", [replace(before.cells[0], seals=(seal,))])
    record = results.read(NAME, "smoke")
    assert [line.split(",")[0] for line in record.stale()] == ["untrained", "shuffled"]
    assert record.cells[0].seals == (seal,) and record.cells[0].origin == before.cells[0].origin
    assert "trained 0" not in ran(place)[3:] and run(1).cells[0] == record.cells[0]


def test_a_refactored_recipe_is_sealed_and_not_run(place: Path) -> None:
    before = run().cells
    edit(place, "return nn.Identity()", "made = [nn.Identity()]\n    return made[0]")
    assert len(results.read(NAME, "smoke").stale()) == 3
    said: list[str] = []
    record = run(seal=True, say=said.append)
    assert len(ran(place)) == 9 and record.stale() == []
    assert said[0] == "trained, seed 0: sealed, other code and the same behaviour"
    for old, new in zip(before, record.cells, strict=True):
        assert replace(new, seals=()) == old and new.seals[0]["key"] != old.key and new.seals[0]["date"]
    run()
    assert len(ran(place)) == 9


def test_seeds_beyond_those_of_the_profile_are_sealed_too(place: Path) -> None:
    run([0, 7])
    edit(place, "return nn.Identity()", "made = [nn.Identity()]\n    return made[0]")
    said: list[str] = []
    record = results.run_claims(NAME, "smoke", seal=True, say=said.append)
    assert record.stale() == [] and "shuffled, seed 7: sealed, other code and the same behaviour" in said
    assert not any(line.endswith(" 7") for line in ran(place)[6:])


def test_what_behaves_otherwise_is_not_sealed_but_measured(place: Path) -> None:
    run()
    edit(place, '"trained": 0.9', '"trained": 0.8')
    said: list[str] = []
    record = run(seal=True, say=said.append)
    assert sorted(set(ran(place)[9:])) == [f"trained {seed}" for seed in range(3)]
    assert "trained, seed 0: not sealed: accuracy was 0.9, is 0.8; error was 0.1, is 0.2" in said
    assert any(line.startswith("untrained, seed 0: sealed") for line in said) and record.stale() == []
    assert record.value("trained", "accuracy") == pytest.approx(0.81)


def test_numbers_of_another_processor_are_asked_of_the_old_code_here(monkeypatch: pytest.MonkeyPatch) -> None:
    there, here, other = ({"learnt": ["a"], "judged": [], "losses": [loss], "scores": {}} for loss in (2.0, 2.1, 2.2))
    asked = []

    def earlier(commit: str, root: Path, *cell: object) -> dict[str, object]:
        asked.append((commit, root, *cell))
        if commit == "gone":
            raise ValueError("commit gone is not in the repository")
        return here

    monkeypatch.setattr(seal, "earlier", earlier)
    cell = results.Cell("trained", 3, {"accuracy": 0.5}, 1.0, "key", {"commit": "first"}, witness=there)
    lacking = lambda cell, now: results._lacking("l3", "cpu", cell, now, "cpu")  # noqa: E731
    assert lacking(cell, there) == [] and asked == []
    assert lacking(cell, here | {"learnt": ["b"]}) == ["training batch 1 differs", "loss 1 was 2.0, is 2.1"]
    assert asked == [] and lacking(cell, here) == []
    assert asked == [("first", provenance.ROOT.parent, "l3", "cpu", 3, "trained", "cpu")]
    assert lacking(cell, other) == ["loss 1 was 2.1, is 2.2"]
    later = replace(cell, seals=({"key": "k", "commit": "gone", "date": "today"},))
    assert lacking(later, here) == ["loss 1 was 2.0, is 2.1", "commit gone is not in the repository"]
    assert lacking(replace(cell, origin={"commit": None}), here) == ["loss 1 was 2.0, is 2.1"]


def test_a_cell_without_a_witness_is_not_sealed(place: Path) -> None:
    run(1)
    data = json.loads(file_of(place).read_text())
    file_of(place).write_text(json.dumps(data | {"cells": [{**cell, "witness": {}} for cell in data["cells"]]}))
    edit(place, "return nn.Identity()", "return nn.Sequential()")
    said: list[str] = []
    run(1, seal=True, say=said.append)
    assert "trained, seed 0: not sealed: no witness was kept" in said and len(ran(place)) == 6


def test_an_arm_that_the_recipe_lost_leaves_the_record(place: Path) -> None:
    run(1)
    edit(place, ', "shuffled": Arm()}', "}")
    edit(place, "    CONTROL,\n", "")
    assert results.read(NAME, "smoke").arms == ("trained", "untrained")
    assert '"shuffled"' in file_of(place).read_text()  # reading writes nothing
    said: list[str] = []
    run(1, say=said.append)
    assert "shuffled: the recipe has no such arm any more, dropped" in said
    assert '"shuffled"' not in file_of(place).read_text()


def test_processes_side_by_side_give_the_same(place: Path) -> None:
    alone = run(2)
    file_of(place).unlink()
    together = run(2, jobs=2, say=print)
    assert [(c.arm, c.seed, c.metrics) for c in together.cells] == [(c.arm, c.seed, c.metrics) for c in alone.cells]
    assert len(ran(place)) == 12


def test_an_error_in_one_process_is_told_and_loses_nothing(place: Path) -> None:
    (place.parent / "nan").touch()
    with pytest.raises(ValueError, match=r"toy, arm untrained, seed [01]: accuracy is nan"):
        run(2, jobs=2, say=print)
    assert {cell.arm for cell in results.read(NAME, "smoke").cells} == {"trained"}
    assert not any(line.startswith("shuffled") for line in ran(place))


WRITER = f"""
from avlib import results

def write(arm, count):
    for seed in range(count):
        results.put({NAME!r}, "smoke", [results.Cell(arm, seed, {{"accuracy": 0.5}}, 1.0, "key", {{}})])
"""


def test_two_processes_that_write_one_record_lose_nothing(place: Path) -> None:
    (place / "writer.py").write_text(WRITER)
    write = importlib.import_module("own_recipes.writer").write
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=write, args=(arm, 40)) for arm in ("trained", "untrained")]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
        assert process.exitcode == 0
    record = results.read(NAME, "smoke")
    assert [(c.arm, c.seed) for c in record.cells] == [(a, s) for a in ("trained", "untrained") for s in range(40)]
    assert [path.name for path in file_of(place).parent.iterdir()] == [file_of(place).name]


def test_a_write_that_fails_leaves_the_record_as_it_was(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(1)
    kept = file_of(place).read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        run(2)
    assert file_of(place).read_bytes() == kept
    assert [path.name for path in file_of(place).parent.iterdir()] == [file_of(place).name]


def test_a_place_that_cannot_be_written_is_told_first(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "a file").touch()
    monkeypatch.setenv("AVLIB_RESULTS", str(place / "a file"))
    with pytest.raises(OSError, match=r"results cannot be written into .*a file/smoke .*AVLIB_RESULTS names another"):
        run()
    assert ran(place) == []


def test_a_folder_that_cannot_be_locked_is_told_first(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(
        OSError, match=r"results/smoke, which this system cannot lock \(No locks available\): AVLIB_RES"
    ):
        run()
    assert ran(place) == []


def test_what_was_measured_is_said_even_where_it_cannot_be_written(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    said: list[str] = []
    monkeypatch.setattr(results, "put", full)
    with pytest.raises(OSError, match="No space left"):
        run(1, say=said.append)
    assert re.search(r"trained, seed 0: \d+ s, accuracy 0\.9", said[-1])


def test_processes_side_by_side_end_with_the_one_that_started_them(place: Path, repo: Path) -> None:
    (place.parent / "wait").touch()
    code = f"from avlib import results; results.run_claims({NAME!r}, 'smoke', [1, 2], jobs=2)"
    code = f"if __name__ == '__main__':\n    {code}"
    (place.parent / "start.py").write_text(code)
    environment = os.environ | {"PYTHONPATH": f"{repo}:{place.parent}"}
    running = subprocess.Popen([sys.executable, place.parent / "start.py"], env=environment)
    try:
        until = time.monotonic() + 60
        while "trained 1" not in ran(place) and time.monotonic() < until:
            time.sleep(0.05)
        alive = psutil.Process(running.pid).children(recursive=True)
    finally:
        running.kill()
        running.wait()
    assert len(alive) >= 2 and psutil.wait_procs(alive, timeout=20)[1] == []


def test_a_metric_that_is_no_number_names_arm_and_seed(place: Path) -> None:
    (place.parent / "nan").touch()
    with pytest.raises(ValueError, match="toy, arm untrained, seed 0: accuracy is nan"):
        run()
    assert ran(place) == ["trained 0", "untrained 0"]


def test_wrong_names_list_the_right_ones(place: Path) -> None:
    with pytest.raises(ValueError, match="unknown method 'nothing'"):
        results.run_claims("nothing")
    with pytest.raises(ValueError, match=r"unknown profile 'cpv'; did you mean 'cpu'\? There are: smoke, cpu, gpu"):
        results.run_claims(NAME, "cpv")
    with pytest.raises(ValueError, match=r"no module 'own_recipes\.absent'"):
        results.run_claims("own_recipes.absent")
    with pytest.raises(ValueError, match=r"unknown arm of toy 'traned'; did you mean 'trained'\?"):
        run(arms=["traned"])
    with pytest.raises(ValueError, match="at least one of them is needed"):
        run(0)
    with pytest.raises(ValueError, match="none is negative"):
        run([3, -1])
    with pytest.raises(ValueError, match="jobs=0"):
        run(jobs=0)
    assert ran(place) == [] and not file_of(place).exists()
    record = run(1)
    with pytest.raises(
        ValueError, match=r"unknown metric of own_recipes\.toy, arm trained 'acuracy'; did you mean 'accuracy'"
    ):
        record.value("trained", "acuracy")
    with pytest.raises(ValueError, match=r"There are: trained, untrained, shuffled, chance"):
        record.value("nobody", "accuracy")
    with pytest.raises(ValueError, match="chance level"):
        record.value("chance", "error")


def test_a_missing_record_says_what_to_do(place: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"avlib claims own_recipes\.toy --profile cpu"):
        results.read(NAME)


@pytest.mark.parametrize(
    "text",
    ["{}", '{"cells": [{"arm": "tr', '{"cells": [{"arm": "trained"}]}', "[]", "[" * 5000, '{"cells": [], "files": []}'],
)
def test_a_damaged_record_is_named_and_never_written_over(place: Path, text: str) -> None:
    path = results.path_of(NAME, "smoke")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    for call in (lambda: results.read(NAME, "smoke"), run):
        with pytest.raises(ValueError, match=rf"{re.escape(str(path))} is damaged .*mend it or move it away"):
            call()
    assert path.read_text() == text and ran(place) == []


def test_a_recipe_lacks_nothing(place: Path) -> None:
    (place / "half.py").write_text("ARMS = ()\n")
    with pytest.raises(ValueError, match="is not a recipe: it lacks CLAIMS, train, measure"):
        recipes.load("own_recipes.half")


def test_results_lie_in_the_repository_else_here(repo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AVLIB_RESULTS", raising=False)
    monkeypatch.chdir(repo / "tests")
    assert results.folder() == repo / "results"
    monkeypatch.chdir(tmp_path)
    assert results.folder() == repo / "results"
    monkeypatch.setattr(provenance, "repository", lambda: None)
    assert results.folder() == tmp_path / "results"


def test_an_installed_package_brings_its_records(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(2)
    package = place.parent / "installed"
    (package / "_results").mkdir(parents=True)
    (place.parent / "results" / "smoke").rename(package / "_results" / "smoke")
    monkeypatch.setattr(provenance, "ROOT", package)
    packed = package / "_results" / "smoke" / f"{NAME}.json"
    kept = packed.read_bytes()
    assert results.path_of(NAME, "smoke") == packed and results.read(NAME, "smoke").seeds == (0, 1)
    results.put(NAME, "smoke", [replace(results.read(NAME, "smoke").cells[0], seed=7)])
    assert results.path_of(NAME, "smoke") == file_of(place) and packed.read_bytes() == kept


def test_every_record_of_the_repository_can_be_read(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVLIB_RESULTS", str(repo / "results"))
    found = sorted((repo / "results").glob("*/*.json"))
    assert found
    for path in found:
        record = results.read(path.stem, path.parent.name)
        assert record.cells and len(record.claims()) == len(record.stated)


def test_a_seed_alone_has_no_spread(place: Path) -> None:
    assert math.isnan(run(1).table().loc[("trained", "accuracy"), "sd"])


CELL = {"arm": "trained", "seed": 0, "metrics": {"accuracy": 0.5}, "seconds": 1.0, "key": "k", "origin": {}}


@pytest.mark.parametrize(
    "change",
    [
        {"arm": ["trained"]}, {"seed": "0"}, {"seed": 0.5}, {"metrics": [0.5]}, {"metrics": {"accuracy": "high"}},
        {"metrics": {"accuracy": 10**400}}, {"metrics": {"accuracy": float("nan")}}, {"seconds": None}, {"key": 5},
        {"origin": "here"}, {"seals": [{"commit": "abc"}]}, {"seals": ["abc"]}, {"seals": 5}, {"witness": []},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_a_record_with_a_value_of_another_kind_is_named(place: Path, change: dict[str, object]) -> None:
    path = results.path_of(NAME, "smoke")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"cells": [CELL]}))
    assert results.read(NAME, "smoke").value("trained", "accuracy") == 0.5
    path.write_text(json.dumps({"cells": [CELL | change]}))
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} is damaged \(TypeError: "):
        results.read(NAME, "smoke")


def test_a_recipe_that_lacks_a_package_says_which(place: Path) -> None:
    edit(place, "import time", "import nowhere_to_be_found")
    with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
        recipes.load(NAME)
