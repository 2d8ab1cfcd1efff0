"""Weights that come along: kept in half precision, read back as the same net, and still saying what they said."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

import avlib
from avlib import experiment, pretrained, profiles, provenance, recipes, results
from avlib.methods.ambient import AmbientSound
from avlib.world import World

ABOUT = {"arm": "trained", "seed": 0, "exam": {"accuracy": 0.9}, "commit": "abc1234", "date": "2026-01-01"}
BUILT = [name for name in recipes.names() if hasattr(recipes.load(name), "build")]
HERE = sorted((provenance.ROOT / "weights").glob("*.safetensors"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AVLIB_RESULTS", str(tmp_path))
    return tmp_path / "weights"


def net_of(name: str, profile: str = "smoke") -> nn.Module:
    return recipes.load(name).build(experiment.open(name, profile, seed=5, device="cpu"))


def saved(name: str) -> nn.Module:
    net = net_of(name)
    if isinstance(net, AmbientSound):  # what its labels are is found in clips
        net.targets.fit([World(size=32).batch(range(64))])
    pretrained.save(name, net, profiles.profile("smoke", name), ABOUT)
    return net


def broken(place: Path, name: str = "l3", **changes: object) -> None:
    """The file of ``name`` with a changed card, or (a tensor's name) without a tensor."""
    with safe_open(place / f"{name}.safetensors", "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys() if key not in changes}  # noqa: SIM118
        card = json.loads(file.metadata()["card"]) | {key: value for key, value in changes.items() if value}
    save_file(tensors, place / f"{name}.safetensors", {"card": json.dumps(card)})


def test_there_are_methods_whose_nets_can_be_built() -> None:
    assert {"l3", "soundnet", "dsol"} <= set(BUILT)


@pytest.mark.parametrize("name", BUILT)
def test_a_net_comes_back_as_it_was(name: str, place: Path) -> None:
    net, clips = saved(name), pretrained.fixed_clips(32)
    before = torch.get_rng_state()
    found = avlib.load(name)
    assert torch.equal(torch.get_rng_state(), before)
    assert not found.training and type(found) is type(net)
    expected, heard = pretrained.said(net, clips), pretrained.said(found, clips)
    assert expected and pretrained.same(heard, expected) and pretrained.same(pretrained.stored(name), expected)
    assert (place / f"{name}.safetensors").stat().st_size <= pretrained.MOST_BYTES


def test_another_net_says_something_else(place: Path) -> None:
    saved("l3")
    torch.manual_seed(6)
    other = recipes.load("l3").build(experiment.open("l3", "smoke", seed=6, device="cpu"))
    assert not pretrained.same(pretrained.said(other, pretrained.fixed_clips(32)), pretrained.stored("l3"))


def test_the_card_says_where_it_comes_from(place: Path) -> None:
    saved("l3")
    card = avlib.load("l3").card
    assert {key: card[key] for key in ABOUT} == ABOUT and card["method"] == "l3"
    assert card["budget"]["size"] == 32 and card["budget"]["name"] == "smoke"
    assert card["data"]["pack"] == "orchestra" and len(card["data"]["sha256"]) == 64 and card["data"]["licences"]


def test_kernels_are_halved_where_no_embedding_notices(place: Path) -> None:
    saved("l3")
    with safe_open(place / "l3.safetensors", "pt") as file:
        kinds = {key: file.get_tensor(key).dtype for key in file.keys() if key.startswith("net.")}  # noqa: SIM118
    assert kinds["net.image.output.weight"] == torch.float16 and kinds["net.image.output.bias"] == torch.float32


def test_kernels_that_half_precision_cannot_hold_stay_whole(place: Path) -> None:
    net = net_of("l3")
    with torch.no_grad():
        net.image.output.weight.mul_(1e7)
        net.image.output.bias.mul_(1e7)
    pretrained.save("l3", net, profiles.profile("smoke", "l3"), ABOUT)
    with safe_open(place / "l3.safetensors", "pt") as file:
        assert file.get_tensor("net.image.output.weight").dtype == torch.float32


def test_a_net_that_is_too_large_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "MOST_BYTES", 10_000)
    with pytest.raises(ValueError, match=r"weights of l3 take \d\.\d\d MB"):
        saved("l3")
    assert not (place / "l3.safetensors").exists()


def test_an_unknown_name_lists_the_right_ones(place: Path) -> None:
    saved("l3")
    with pytest.raises(ValueError, match=r"unknown method with trained weights 'l3x'; did you mean 'l3'"):
        avlib.load("l3x")


@pytest.mark.parametrize("how", ["cut", "no card", "a tensor is gone", "another method"])
def test_a_damaged_file_is_named(how: str, place: Path) -> None:
    saved("l3")
    path = place / "l3.safetensors"
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif how == "no card":
        save_file({"net.x": torch.zeros(1)}, path)
    else:
        broken(place, **({"net.image.output.weight": None} if how == "a tensor is gone" else {"method": "soundnet"}))
    with pytest.raises(ValueError, match=r"l3\.safetensors (is damaged|does not hold)"):
        avlib.load("l3")


def test_claims_keep_the_net_of_the_own_arm_and_first_seed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = profiles.PROFILES["smoke"]
    monkeypatch.setitem(profiles.PROFILES, "cpu", profiles.replace(plain, name="cpu", steps=1))
    monkeypatch.setattr(recipes.load("l3"), "BUDGET", {})
    monkeypatch.setattr(recipes.load("l3"), "measure", lambda method, run, arm: {"accuracy": 0.5})
    record = results.run_claims("l3", "cpu", seeds=[0, 1], arms=["trained", "untrained"])
    named = [cell for cell in record.cells if "weights" in cell.origin]
    assert [(cell.arm, cell.seed) for cell in named] == [("trained", 0)]
    path = Path(named[0].origin["weights"]["file"])
    assert path == place / "l3.safetensors"
    assert named[0].origin["weights"]["sha256"] == provenance.file_digest(path)
    assert avlib.load("l3").card["exam"] == {"accuracy": 0.5}


def test_a_soundnet_without_teachers_hears_and_cannot_be_taught(place: Path) -> None:
    saved("soundnet")
    with pytest.raises(ValueError, match="came without its teachers"):
        avlib.load("soundnet").loss(pretrained.fixed_clips(32), 0)


def test_weights_that_come_along_say_what_they_said() -> None:
    for path in HERE:
        net = avlib.load(path.stem)
        found = pretrained.said(net, pretrained.fixed_clips(net.card["budget"]["size"]))
        assert pretrained.same(found, pretrained.stored(path.stem)), path.name
        assert path.stat().st_size <= pretrained.MOST_BYTES and net.card["exam"], path.name


def test_records_and_weights_name_each_other(repo: Path) -> None:
    named = {}
    for path in (repo / "results" / "cpu").glob("*.json"):
        for cell in json.loads(path.read_text())["cells"]:
            named |= {w["file"]: w["sha256"] for w in [cell.get("origin", {}).get("weights")] if w}
    assert named == {str(path.relative_to(repo)): provenance.file_digest(path) for path in HERE}
