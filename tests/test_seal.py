"""A witness of a run is the same while the code does the same, and says what differs where it does not."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from avlib import seal
from avlib.experiment import Arm
from avlib.profiles import profile
from avlib.types import Batch


class Loudness(nn.Module):
    """Guesses how loud a clip is from its mean colour."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[0.1, 0.2, 0.3]]))

    def loss(self, batch: Batch, step: int) -> dict[str, torch.Tensor]:
        guess_B = (batch.frame_BCHW.mean((2, 3)) @ self.weight.T).squeeze(1)
        return {"loss": (guess_B - batch.wave_BS.abs().mean(1)).square().mean()}


def recipe(**changes):
    """A recipe whose parts can be changed."""
    given = {"arms": {"a": Arm(), "b": Arm(world={"voiceover": 1.0}), "untrained": Arm(steps=0)}, "rate": 0.01}
    given |= {"split": "test", "factor": 1.0} | changes

    def train(run, arm):
        method = run.build(Loudness)
        world = run.world("solo", **given["arms"][arm].world)
        run.fit(method, run.stream(world, kept=True, count=64), run.steps(given["arms"][arm]), given["rate"])
        return method

    def measure(method, run, arm):
        batches = run.batches(run.world("solo", given["split"]))
        return {"error": given["factor"] * sum(float(method.loss(b, 0)["loss"].detach()) for b in batches)}

    return SimpleNamespace(__name__="toy", ARMS=given["arms"], train=train, measure=measure)


def take(made, arm="a", seed=0):
    return seal.witness(made, profile("smoke"), seed, arm, "cpu")


@pytest.fixture(scope="module")
def before():
    return take(recipe())


def test_the_same_code_gives_the_same_witness(before):
    assert take(recipe()) == before
    assert seal.differences(before, take(recipe())) == []
    assert len(before["learnt"]) == 2 and len(set(before["learnt"])) == 2 and len(before["losses"]) == seal.STEPS
    assert len(before["judged"]) == 1 and set(before["scores"]) == {"error"}


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({"arms": {"a": Arm(world={"voiceover": 1.0})}}, "training batch 1 differs"),
        ({"arms": {"a": Arm(steps=3)}}, "training batch 2 differs"),
        ({"arms": {"a": Arm(shuffled=True, world={"tilt": 0.0})}}, "training batch 1 differs"),
        ({"rate": 0.02}, "loss 2 was"),
        ({"split": "val"}, "evaluation batch 1 differs"),
        ({"factor": 1.1}, "error was"),
    ],
)
def test_other_behaviour_is_found_and_named(before, changes, first):
    assert seal.differences(before, take(recipe(**changes)))[0].startswith(first)


def test_other_seeds_and_arms_have_witnesses_of_their_own(before):
    assert seal.differences(before, take(recipe(), seed=1)) and seal.differences(before, take(recipe(), "b"))
    untrained = take(recipe(), "untrained")
    assert untrained["learnt"] == untrained["losses"] == [] and untrained["judged"] == before["judged"]
    assert seal.differences(before, untrained)[0] == "there were 2 training batches, are 0"


def test_arithmetic_in_another_order_is_no_difference():
    old, now = {"losses": [2.0], "scores": {"a": 0.5}}, {"losses": [2.00001], "scores": {"a": 0.500001}}
    assert seal.differences(old, now) == []
    assert seal.differences(old, {"losses": [2.0], "scores": {"b": 0.5}}) == [
        "a was 0.5, is None",
        "b was None, is 0.5",
    ]
    assert seal.differences(old, {"losses": [2.001], "scores": {"a": 0.5}}) == ["loss 1 was 2.0, is 2.001"]


def test_clips_that_are_the_same_are_told_from_numbers_that_are():
    now = {"learnt": ["a", "b"], "judged": ["c"], "losses": [2.0], "scores": {"a": 0.5}}
    assert seal.same_clips(now, now | {"losses": [3.0], "scores": {}})
    assert not seal.same_clips(now, now | {"learnt": ["a"]}) and not seal.same_clips(now, now | {"judged": ["d"]})


OLD = """
def load(name):
    return name
def profile(size, name):
    return size
def witness(recipe, budget, seed, arm, device):
    if arm == "broken":
        raise KeyError("gone")
    if arm == "killed":
        import os
        os._exit(9)
    print("something is said")
    return {"losses": [seed / 2], "asked": [recipe, budget, arm, device]}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose one commit has a small library, and whose working tree has another."""
    files = {"__init__": "", "recipes": OLD, "seal": OLD, "profiles": OLD}
    (tmp_path / "avlib").mkdir()
    for name, text in files.items():
        (tmp_path / f"avlib/{name}.py").write_text(text)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "old"]):
        subprocess.run([*git, *words], check=True)
    (tmp_path / "avlib/seal.py").write_text("def witness(*given):\n    return {}\n")
    return tmp_path


def test_the_library_of_a_commit_is_asked_on_this_machine(repository: Path) -> None:
    found = seal.earlier("HEAD", repository, "toy", "cpu", 3, "a b", "cpu")
    assert found == {"losses": [1.5], "asked": ["toy", "cpu", "a b", "cpu"]}


def test_a_commit_that_is_not_there_or_does_not_run_is_named(repository: Path) -> None:
    with pytest.raises(ValueError, match="commit 1234567 is not in the repository"):
        seal.earlier("1234567", repository, "toy", "cpu", 0, "a")
    with pytest.raises(ValueError, match="the library of commit HEAD does not run: KeyError: 'gone'"):
        seal.earlier("HEAD", repository, "toy", "cpu", 0, "broken")


def test_whoever_ends_without_a_word_is_named_too(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="does not run: it ended with 9"):
        seal.earlier("HEAD", repository, "toy", "cpu", 0, "killed")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match=r"commit HEAD is not in the repository at .*: .*git"):
        seal.earlier("HEAD", repository, "toy", "cpu", 0, "a")


def test_a_digest_sees_eight_and_sixteen_bits():
    batch = Batch(torch.arange(1), torch.zeros(1, 4), image_BCHW=torch.full((1, 1, 1, 1), 0.5))
    same = Batch(torch.arange(1), torch.zeros(1, 4) + 1e-6, image_BCHW=torch.full((1, 1, 1, 1), 0.5 + 1e-4))
    assert seal.digest(batch) == seal.digest(same)
    for other in (
        Batch(torch.arange(1), torch.zeros(1, 4) + 1e-4, image_BCHW=batch.image_BCHW),
        Batch(torch.arange(1), torch.zeros(1, 4), image_BCHW=batch.image_BCHW + 0.01),
        Batch(torch.arange(1), torch.zeros(1, 4), image_BCHW=batch.image_BCHW, text=("a dog",)),
    ):
        assert seal.digest(other) != seal.digest(batch)
