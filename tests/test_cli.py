"""The command line: what it prints, what it writes, and how it answers mistakes."""

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

from avlib import checkpoints, cli, folders

RECIPE = """
import torch
from torch import nn
from avlib.claims import Claim
from avlib.experiment import Arm
from avlib.types import Batch

ARMS = {"trained": Arm(), "untrained": Arm(steps=0)}
CHANCE = {"accuracy": 0.5}
CLAIMS = (Claim("training helps", "accuracy", "trained", "untrained"),)

class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)
    def loss(self, batch, step):
        return {"loss": (self.layer(batch.wave_BS) - 1).square().mean()}

def train(run, arm="trained"):
    method = run.build(Toy)
    batches = lambda step: Batch(torch.arange(2), torch.ones(2, 4))
    run.fit(method, batches, run.steps(ARMS[arm]), 3e-3, progress=False)
    return method

def measure(method, run, arm="trained"):
    found = 0.9 + 0.001 * run.seed if arm == "trained" else 0.5
    return {"accuracy": found, "steps": float(run.budget.steps)}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "cli_recipes").mkdir()
    (tmp_path / "cli_recipes" / "__init__.py").write_text("")
    (tmp_path / "cli_recipes" / "toy.py").write_text(RECIPE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("AVLIB_RESULTS", str(tmp_path / "results"))
    monkeypatch.chdir(tmp_path)
    for name in ("cli_recipes", "cli_recipes.toy"):
        sys.modules.pop(name, None)
    return tmp_path


Captured = pytest.CaptureFixture[str]


def test_train_says_what_it_did_and_where_it_is(place: Path, capsys: Captured) -> None:
    assert cli.main(["train", "cli_recipes.toy", "--profile", "smoke", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "cli_recipes.toy, arm trained, seed 0: 4 steps in" in said and "loss" in said
    out = place / "runs/train/cli_recipes.toy/smoke/trained-0"
    assert sorted(p.name for p in out.iterdir()) == ["checkpoint.pt", "log.jsonl"]


def test_train_takes_an_arm_and_a_folder(place: Path, capsys: Captured) -> None:
    assert cli.main(["train", "cli_recipes.toy", "--profile", "smoke", "--arm", "untrained", "--out", "there"]) == 0
    assert "arm untrained: nothing to train" in capsys.readouterr().out


def test_claims_stand_side_by_side_and_are_recorded(place: Path, capsys: Captured) -> None:
    assert cli.main(["claims", "cli_recipes.toy", "--profile", "smoke", "--seeds", "3", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "trained, seed 2: " in said
    assert "          trained        untrained      chance" in said
    assert "accuracy  0.901 ± 0.001  0.500 ± 0.000  0.500" in said
    assert "         leans: training helps\n                accuracy: +0.401 [+0.399, +0.403], 3 seeds" in said
    assert (place / "results/smoke/cli_recipes.toy.json").is_file()
    assert cli.main(["claims", "cli_recipes.toy", "--profile", "smoke", "--seeds", "3", "--arms", "trained"]) == 0
    assert "trained, seed 0: kept from before" in capsys.readouterr().out


def test_one_seed_has_no_interval(place: Path, capsys: Captured) -> None:
    assert cli.main(["claims", "cli_recipes.toy", "--profile", "smoke", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert " too few seeds: training helps\n                accuracy: +0.400, 1 seed\n" in said


def test_seeds_are_counted_or_named_and_measured_again_when_asked(place: Path, capsys: Captured) -> None:
    command = ["claims", "cli_recipes.toy", "--profile", "smoke", "--device", "cpu", "--arms", "trained"]
    assert cli.main([*command, "--seeds", "10,12"]) == 0
    said = capsys.readouterr().out
    assert "trained, seed 10: " in said and "trained, seed 12: " in said and "seed 0" not in said
    assert cli.main([*command, "--seeds", "10,", "--fresh"]) == 0
    assert "kept from before" not in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main([*command, "--seeds", "few"])
    assert "'few' is neither a number of seeds nor a list such as 10,11,12" in capsys.readouterr().err


def test_a_recipe_lies_in_the_current_folder(place: Path, repo: Path) -> None:
    command = [sys.executable, "-P", "-m", "avlib", "claims", "cli_recipes.toy", "--profile", "smoke"]
    environment = os.environ | {"PYTHONPATH": str(repo)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=place)
    assert done.returncode == 0, done.stderr
    assert (place / "results/smoke/cli_recipes.toy.json").is_file()


def test_published_tables(capsys: Captured) -> None:
    assert cli.main(["published"]) == 0
    assert "soundnet_esc" in capsys.readouterr().out
    assert cli.main(["published", "esc50"]) == 0
    assert capsys.readouterr().out.startswith("system")


def test_world_list(capsys: Captured) -> None:
    assert cli.main(["world", "list"]) == 0
    assert "solo" in capsys.readouterr().out


def test_world_show_writes_a_sheet_and_sounds(tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "shown"
    arguments = ["world", "show", "duet", "--count", "3", "--size", "32", "--seconds", "0.5", "--out", str(out)]
    assert cli.main(arguments) == 0
    assert sorted(p.name for p in out.iterdir()) == [folders.MARK, "00.wav", "01.wav", "02.wav", "contact_sheet.png"]
    assert (out / "contact_sheet.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "00.wav").read_bytes().startswith(b"RIFF")
    said = capsys.readouterr().out.splitlines()
    assert [line[:4] for line in said[:3]] == ["00  ", "01  ", "02  "] and all(len(line) > 10 for line in said[:3])


def test_packs_are_built_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    from avlib.world import library, packs

    sounds = types.SimpleNamespace(label_M=torch.tensor([0, 0, 1]), split_M=torch.tensor([0, 2, 1]))
    pack = types.SimpleNamespace(
        name="folder:where", classes=("bell", "dog"), places=("street",), sha256="ab" * 32, sounds=sounds,
        licences=("CC0: all",), picture_label_M=torch.tensor([0, 1, 1]), picture_hand_M=torch.tensor([0, 0, 0]),
        backdrop_label_M=torch.tensor([0, 0]), hands=("me",), drawings=lambda rows_M: (int(rows_M.sum()), 7, 8),
    )  # fmt: skip
    asked = []
    monkeypatch.setattr(library, "build", lambda *named, **options: asked.append((*named, options)) or pack)
    monkeypatch.setattr(packs, "save", lambda pack, path: Path(path).write_bytes(b"x"))
    monkeypatch.setattr(library, "load", lambda name: pack)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["pack", "build", "folder:some/where", "--folder", "there"]) == 0
    assert asked.pop() == ("folder:some/where", Path("there"), {}) and (tmp_path / "where.safetensors").exists()
    assert cli.main(["pack", "build", "folder:some/where", "--shortest", "0.05", "--out", "b.safetensors"]) == 0
    assert asked == [("folder:some/where", None, {"shortest": 0.05})]
    assert cli.main(["pack", "show", "toy"]) == 0
    said = capsys.readouterr().out
    assert (
        "bell   1                7    8     1              0    1" in said
        and "3 pictures by me 3/7/8" in said
        and "CC0: all" in said
    )


def test_a_recipe_in_the_current_folder_is_found(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr(sys, "path", [part for part in sys.path if part not in ("", str(place))])
    (place / "lying_here").mkdir()
    (place / "lying_here" / "temp.py").write_text(RECIPE)
    assert cli.main(["claims", "lying_here.temp", "--arms", "no"]) == 2
    assert "unknown arm of temp 'no'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train nothing", "avlib train: unknown method 'nothing'"),
        (
            "train cli_recipes.toy --profile cpuu",
            "unknown profile 'cpuu'; did you mean 'cpu'? There are: smoke",
        ),
        ("train cli_recipes.toy --arm traned", "unknown arm of toy 'traned'; did you mean 'trained'?"),
        ("claims cli_recipes.toy --arms trained,no", "unknown arm of toy 'no'"),
        ("claims cli_recipes.toy --arms ,", "--arms ',' names no arm"),
        ("claims cli_recipes/toy.py", "'cli_recipes/toy.py' is not the name of a module"),
        ("claims .toy", "'.toy' is not the name of a module"),
        ("pack build esc --shortest 0.05", "--shortest goes with folder:PATH, not with esc"),
        ("claims cli_recipes.toy --profile smoke --seeds 0", "at least one of them is needed"),
        ("world show sollo", "unknown preset 'sollo'; did you mean 'solo'?"),
        ("world show solo --count 0", "at least one scene is needed"),
        ("published esc5", "unknown table or benchmark 'esc5'"),
        ("train cli_recipes.toy --device cuda:7", "unknown device 'cuda:7'"),
        ("claims cli_recipes.toy --device gpu", "unknown device 'gpu'; did you mean 'cpu'? There are: auto, cpu"),
        ("train cli_recipes.toy --seed -1", "avlib train: --seed -1: a seed is a whole number from 0 to 4294967295"),
        ("world show solo --seed 99999999999999999999", "--seed 99999999999999999999: a seed is"),
        ("book execute --seed -3", "avlib book: --seed -3: a seed is"),
        ("book test --jobs 0", "--jobs 0: at least one is needed"),
    ],
)
def test_a_mistake_is_answered_without_a_traceback(place: Path, arguments: str, message: str, capsys: Captured) -> None:
    assert cli.main(arguments.split()) == 2
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said


def test_debug_shows_the_traceback(capsys: Captured) -> None:
    assert cli.main(["train", "nothing", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_wrong_command_lists_the_right_ones(capsys: Captured) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["trian"])
    assert ended.value.code == 2 and "'train'" in capsys.readouterr().err


def test_an_interrupt_is_told_how_to_go_on(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    from avlib import recipes

    def stopped(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt("training was interrupted after step 3; the same call continues from x")

    monkeypatch.setattr(recipes.load("cli_recipes.toy"), "train", stopped)
    assert cli.main(["train", "cli_recipes.toy"]) == 130
    assert "interrupted after step 3" in capsys.readouterr().err


def test_what_lies_where_something_shall_go_is_not_written_over(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    from avlib import world
    from avlib.world import library

    def never(*arguments: object, **named: object) -> None:
        raise AssertionError("hours of work")

    monkeypatch.setattr(library, "build", never)
    monkeypatch.setattr(world, "World", never)
    (place / "folder").mkdir()
    (place / "00.wav").write_text("mine")
    (place / "log.jsonl").write_text("mine\n")
    (place / "bert.safetensors").write_text("mine")
    before = {path: path.read_text() for path in place.rglob("*") if path.is_file()}
    for command, message in (
        ("pack build folder:some/bert", "bert.safetensors is there and is no pack; name another file with --out"),
        ("pack build orchestra --out folder", "folder is there and is no pack"),
        ("pack build orchestra --out 00.wav/a", "the pack cannot be written into 00.wav (File exists): --out names"),
        ("world show duet --count 1 --out .", "holds 00.wav, which avlib did not write"),
        ("train cli_recipes.toy --profile smoke --device cpu --out .", "log.jsonl is no log of avlib"),
        (
            "train cli_recipes.toy --profile smoke --device cpu --out 00.wav",
            "log and checkpoint cannot be written into",
        ),
    ):
        assert cli.main(command.split()) == 1, command
        assert message in capsys.readouterr().err
    assert {path: path.read_text() for path in before} == before


def test_what_the_terminal_cannot_print_stops_nothing(repo: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(repo), "PYTHONIOENCODING": "latin-1"}
    command = [sys.executable, "-m", "avlib", "published", "esc50"]
    done = subprocess.run(command, capture_output=True, env=environment)
    assert done.returncode == 0 and done.stdout.startswith(b"system") and b"????" in done.stdout and not done.stderr


@pytest.mark.parametrize(
    "command",
    [[], ["train"], ["claims"], ["world"], ["world", "show"], ["pack"], ["pack", "build"], ["published"], ["book"]],
)
def test_help_reads_well(command: list[str], capsys: Captured) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0 and "usage: avlib" in said
    assert max(map(len, said.splitlines())) <= 120


def test_python_m_is_the_same(repo: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(repo)}
    command = [sys.executable, "-m", "avlib", "train", "nothing"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 2 and "unknown method 'nothing'" in done.stderr and "Traceback" not in done.stderr


SHARED = """
import torch
from avlib import distributed
from cli_recipes import toy
from cli_recipes.toy import ARMS, CLAIMS, measure

def clips(step):
    wave_BS = torch.randn(4, 4, generator=torch.Generator().manual_seed(step))
    rows = torch.arange(4).chunk(distributed.world_size())[distributed.rank()]
    return toy.Batch(torch.arange(4), wave_BS).select(rows)

def train(run, arm="trained"):
    method = run.build(toy.Toy)
    run.fit(method, clips, 6, 3e-3, log_every=1, progress=False)
    return method
"""


@pytest.mark.slow
def test_two_processes_train_to_the_weights_of_one_and_one_speaks(place: Path, repo: Path, capsys: Captured) -> None:
    (place / "cli_recipes" / "shared.py").write_text(SHARED)
    command = ["train", "cli_recipes.shared", "--profile", "smoke", "--device", "cpu", "--out"]
    assert cli.main([*command, "one"]) == 0
    environment = os.environ | {"PYTHONPATH": f"{repo}:{place}", "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "avlib"]
    done = subprocess.run([*launcher, *command, "two"], capture_output=True, text=True, env=environment, cwd=place)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("6 steps in") == 1
    assert len((place / "two" / "log.jsonl").read_text().splitlines()) == 6
    one, two = (checkpoints.load(place / name / "checkpoint.pt")["method"] for name in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-5, atol=1e-7, msg=name)
