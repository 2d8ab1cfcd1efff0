"""The exam: methods whose marks are known beforehand sit it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from avlib.evaluate import exam
from avlib.types import Batch, Embedding, Truth

THINGS, SIDE, CELLS = 4, 16, 8
WAVES = 2


def scene(count: int, things: int, seed: int, late: bool = False) -> Batch:
    """Clips that say outright what they hold: things in the channels of the picture, sounds in the samples.

    Thing n of a clip stands in quarter n; the first half of the things is heard.
    """
    generator = torch.Generator().manual_seed(seed)
    category_BN = torch.rand(count, THINGS, generator=generator).argsort(1)[:, :things]
    sounding_BN = (torch.arange(things) < max(1, things // 2)).expand(count, -1)
    x1, y1 = torch.tensor([0, 8, 0, 8])[:things], torch.tensor([0, 0, 8, 8])[:things]
    box_BN4 = torch.stack([x1, y1, x1 + 8, y1 + 8], 1).float().expand(count, -1, -1)
    image_BCHW = torch.zeros(count, THINGS, SIDE, SIDE)
    wave_BS = torch.zeros(count, 4 * THINGS)
    for b in range(count):
        for n in range(things):
            image_BCHW[b, category_BN[b, n], y1[n] : y1[n] + 8, x1[n] : x1[n] + 8] = 1
        heard = one_hot(category_BN[b, : max(1, things // 2)], THINGS).sum(0).float()
        wave_BS[b] = torch.cat([heard, torch.zeros(THINGS), torch.full((2 * THINGS,), float(late))])
    truth = Truth(category_BN, sounding_BN, box_BN4, backdrop_B=category_BN[:, 0] % 2)
    return Batch(torch.arange(count), wave_BS, image_BCHW, truth=truth)


class World:
    """Clips for an exam, and a list of what was asked for."""

    def __init__(self, video: bool = False) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.video = video

    def __call__(self, preset: str, split: str, hands: str, **dials: object) -> Sequence[Batch]:
        self.asked.append((preset, split, hands, *dials))
        things = {"solo": 1, "duet": 2, "cocktail": 4, "sync": 1}[preset]
        batch = scene(40, things, len(split) + 10 * len(hands), late=preset == "sync" and not dials)
        if self.video:
            batch = replace(batch, image_BCHW=None, video_BTCHW=batch.image_BCHW[:, None], fps=4.0)
        return [batch.select(list(range(24))), batch.select(list(range(24, 40)))]


class Oracle(nn.Module):
    """Sees the things and hears the sounds as they are."""

    deaf = blind = False

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def embed(self, batch: Batch) -> Embedding:
        image_BDYX = batch.frame_BCHW[:, :, ::2, ::2]
        audio_BD = batch.wave_BS[:, :THINGS] - batch.wave_BS[:, 2 * THINGS : 3 * THINGS] / 2
        if self.deaf:
            audio_BD = torch.ones_like(audio_BD)
        if self.blind:
            image_BDYX = torch.ones_like(image_BDYX)
        return Embedding(image_BDYX.amax((2, 3)), audio_BD, image_BDYX)


class Deaf(Oracle):
    deaf = True


class Blind(Oracle):
    blind = True


class Constant(Oracle):
    deaf = blind = True


@pytest.fixture(scope="module")
def marks() -> dict[str, dict[str, float]]:
    return {kind.__name__: exam.exam(kind(), World()) for kind in (Oracle, Deaf, Blind, Constant)}


@pytest.mark.parametrize("which", ["known", "new"])
def test_an_oracle_knows_everything(marks: dict[str, dict[str, float]], which: str) -> None:
    mine = {name.removeprefix(f"{which}: "): value for name, value in marks["Oracle"].items()}
    perfect = ("image probe", "audio probe", "image places", "image NMI", "audio NMI", "pairs", "picture → sound",
               "sound → picture", "own over swapped", "own over muted", "own over blanked",
               "solo pointing", "solo IoU", "duet pointing", "duet IoU", "cocktail pointing",
               "cocktail IoU")  # fmt: skip
    assert {name: mine[name] for name in perfect} == pytest.approx(dict.fromkeys(perfect, 1.0), abs=0.05)
    assert mine["heat moved by swapping"] == pytest.approx(0.75)  # what is not there lights nothing: all cells alike
    assert "in time" not in mine


def test_the_blind_baselines_stand_beside(marks: dict[str, dict[str, float]]) -> None:
    for method in marks.values():
        assert method["known: solo IoU, whole"] == pytest.approx(0.25)
        assert method["known: cocktail IoU, whole"] == pytest.approx(0.5)
        assert method["known: solo pointing, centre"] == pytest.approx(0.25)
    assert marks["Oracle"]["known: solo IoU, another's sound"] == pytest.approx(0)
    assert marks["Oracle"]["known: cocktail pointing, another's sound"] < 1
    assert marks["Deaf"]["known: solo IoU, another's sound"] == marks["Deaf"]["known: solo IoU"]


def test_a_deaf_method_is_found_out(marks: dict[str, dict[str, float]]) -> None:
    found = marks["Deaf"]
    assert found["known: image probe"] == 1 and found["audio probe"] < 0.6
    for what in ("muted", "swapped", "shifted"):
        assert found[f"known: own over {what}"] == 0.5
    assert found["known: heat moved by swapping"] == found["known: heat moved by muting"] == 0
    assert found["known: own over blanked"] != 0.5 and found["known: pairs"] == 0.5
    assert found["known: solo pointing"] == 1  # one thing: whoever sees needs not listen
    assert found["known: cocktail pointing"] < 0.7


def test_a_blind_method_is_found_out(marks: dict[str, dict[str, float]]) -> None:
    found = marks["Blind"]
    assert found["audio probe"] == 1 and found["known: image probe"] < 0.6
    assert found["known: own over blanked"] == 0.5
    assert found["known: solo pointing"] == 0 == found["known: solo IoU"]


def test_a_constant_method_knows_nothing(marks: dict[str, dict[str, float]]) -> None:
    found = marks["Constant"]
    assert {name: found[name] for name in found if "own over" in name} == pytest.approx(
        {name: 0.5 for name in found if "own over" in name}
    )
    assert found["known: pairs"] == 0.5 and found["audio NMI"] < 0.3
    assert found["known: picture → sound"] < 0.6


def test_names_are_the_same_for_both_sets_and_sound_is_asked_once(marks: dict[str, dict[str, float]]) -> None:
    names = [{n.removeprefix(f"{s}: ") for n in marks["Oracle"] if n.startswith(f"{s}: ")} for s in exam.SETS]
    assert names[0] == names[1]
    rest = {name for name in marks["Oracle"] if ":" not in name}
    assert rest == {"audio probe", "audio places", "audio NMI"}


def test_validation_shows_unseen_drawings_and_the_test_shows_others() -> None:
    world = World()
    exam.exam(Oracle(), world, scenes=("solo",))
    assert {row[1:] for row in world.asked} == {
        ("train", "own"), ("val", "known"), ("test", "known"), ("val", "own"), ("test", "new")
    }  # fmt: skip


class Ear(Oracle):
    """Hears only."""

    def embed(self, batch: Batch) -> Embedding:
        return Embedding(audio_BD=batch.wave_BS[:, :THINGS])


def test_what_cannot_be_answered_is_not_asked() -> None:
    assert set(exam.exam(Ear(), World())) == {"audio probe", "audio places", "audio NMI"}


class Mute(Oracle):
    """Embeds nothing."""

    def embed(self, batch: Batch) -> Embedding:
        return Embedding()


def test_a_method_that_answers_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="Mute embeds neither image_BD nor audio_BD"):
        exam.exam(Mute(), World())


class Turned(Oracle):
    """Its spaces are not one: they compare when the sound is turned back."""

    def embed(self, batch: Batch) -> Embedding:
        found = super().embed(batch)
        return replace(found, audio_BD=found.audio_BD.roll(1, 1))

    def compare(self, pictures: Embedding, sounds: Embedding) -> Tensor:
        assert pictures.image_BD is not None and sounds.audio_BD is not None
        return pictures.image_BD @ sounds.audio_BD.roll(-1, 1).T


class Pointing(Turned):
    def heat(self, found: Embedding) -> Tensor:
        assert found.image_BDYX is not None and found.audio_BD is not None
        return torch.einsum("bdyx,bd->byx", found.image_BDYX, found.audio_BD.roll(-1, 1))


def test_a_method_may_say_how_its_spaces_compare() -> None:
    found = exam.exam(Turned(), World(), scenes=("solo",))
    assert found["new: pairs"] == 1 and not any("IoU" in name or "heat" in name for name in found)
    found = exam.exam(Pointing(), World(), scenes=("cocktail",))
    assert found["new: cocktail IoU"] == pytest.approx(1) and found["new: pairs"] == 1


def test_videos_are_asked_whether_they_are_in_time() -> None:
    found = exam.exam(Oracle(), World(video=True), scenes=())
    assert found["known: in time"] == found["new: in time"] == 1
    assert exam.exam(Deaf(), World(video=True), scenes=())["known: in time"] == 0.5


def test_the_probes_constant_is_chosen_on_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def probe(train_BD, train_B, test_BD, test_B, C):  # type: ignore[no-untyped-def]
        tried.append(C)
        right = {0.01: [1, 0, 0, 1, 1, 1, 1], 0.1: [1, 1, 0, 1, 1, 0, 0], 1.0: [1, 1, 0, 0, 0, 0, 0]}
        return type("Found", (), {"predicted_B": 1 - np.array(right.get(C, [0] * 7))})

    monkeypatch.setattr(exam.probe, "linear_probe", probe)
    rows = lambda count: (torch.zeros(count, 2), torch.zeros(count, dtype=torch.int64))  # noqa: E731
    assert exam.probe_score(rows(9), rows(3), rows(4)) == 0.5  # 0.01 would give 1, and 1.0, as good there, 0
    assert tuple(tried) == exam.STRENGTHS


def test_a_class_that_no_training_clip_shows_cannot_be_right() -> None:
    feature_BD = torch.eye(3)[torch.tensor([0, 1] * 10)]
    label_B = torch.tensor([0, 1] * 10)
    stranger = (torch.eye(3)[[0, 1, 2, 2]], torch.tensor([0, 1, 2, 2]))
    assert exam.probe_score((feature_BD, label_B), (feature_BD, label_B), stranger) == 0.5


def test_the_masks_constant_is_chosen_on_validation() -> None:
    map_BYX, truth_BYX = np.zeros((1, 4, 4)), np.zeros((1, 4, 4), dtype=bool)
    map_BYX[0, 0], map_BYX[0, 1], truth_BYX[0, :2] = 1.0, 0.4, True
    rule = exam._best_rule(map_BYX, truth_BYX)
    assert 0 < rule <= 0.4
    truth_BYX[0, 1] = False
    assert exam._best_rule(map_BYX, truth_BYX) > 0.4


def test_where_needs_boxes_and_what_is_heard() -> None:
    whole = scene(3, 4, 0)
    heard_BYX = exam.heard(whole)
    assert heard_BYX.shape == (3, SIDE, SIDE) and heard_BYX[:, :8].all() and not heard_BYX[:, 8:].any()
    for part in (replace(whole.truth, box_BN4=None), replace(whole.truth, sounding_BN=None)):
        with pytest.raises(ValueError, match="do not say where things are and which of them are heard"):
            exam.heard(replace(whole, truth=part))


def test_how_far_heat_moves() -> None:
    left, right = torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)
    left[0, :, 0], right[0, :, 1] = 3.0, 1.0
    assert exam.moved(left, right) == pytest.approx(1) and exam.moved(left, left * 2 + 5) == pytest.approx(0, abs=1e-6)
    half = left.clone()
    half[0, 0, 0], half[0, 0, 1] = 0.0, 3.0
    assert exam.moved(left, half) == pytest.approx(0.5)


def test_what_is_changed_is_one_thing() -> None:
    clips = scene(6, 1, 0)
    found = exam.variants(clips)
    assert float(found["muted"].wave_BS.abs().max()) == 0 and torch.equal(found["muted"].image_BCHW, clips.image_BCHW)
    heard_B = found["swapped"].wave_BS[:, :THINGS].argmax(1)
    assert bool((heard_B != clips.truth.label_B).all())
    assert torch.equal(found["shifted"].wave_BS[:, 8:12], clips.wave_BS[:, :4])
    assert bool((found["blanked"].image_BCHW == 0.5).all()) and torch.equal(found["blanked"].wave_BS, clips.wave_BS)
