"""Turning hues: what stays, what a turn makes of a colour, and whether its name is true."""

import colorsys

import pytest
import torch

from avlib.world import colours, library

LUMA = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
SPOKEN = {
    "red": (1, 0, 0), "orange": (1, 0.55, 0), "yellow": (1, 0.9, 0.1), "green": (0.1, 0.7, 0.2),
    "turquoise": (0.1, 0.8, 0.75), "blue": (0.1, 0.35, 0.95), "purple": (0.55, 0.15, 0.85), "pink": (1, 0.35, 0.65),
}  # fmt: skip


def turned(rgb: torch.Tensor, turn: float) -> torch.Tensor:
    return rgb @ colours.turn_matrix(torch.tensor([turn], dtype=torch.float64))[0].T


def test_greys_and_luma_stay() -> None:
    rgb = torch.rand(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for turn in (0.0, 0.13, 0.5, 0.9, 1.0):
        assert torch.allclose(turned(rgb, turn) @ LUMA, rgb @ LUMA, atol=1e-5)
        grey = rgb[:, :1].expand(-1, 3)
        assert torch.allclose(turned(grey, turn), grey, atol=1e-5)
        assert torch.allclose(colours.chroma(turned(rgb, turn)).norm(dim=1), colours.chroma(rgb).norm(dim=1))


def test_turns_are_a_group() -> None:
    a, b = torch.tensor([0.2], dtype=torch.float64), torch.tensor([0.55], dtype=torch.float64)
    one, other = colours.turn_matrix(a)[0], colours.turn_matrix(b)[0]
    assert torch.allclose(one @ other, colours.turn_matrix(a + b)[0])
    assert torch.allclose(one @ colours.turn_matrix(-a)[0], torch.eye(3, dtype=torch.float64))
    assert torch.allclose(colours.turn_matrix(a + 1), colours.turn_matrix(a))
    assert colours.turn_matrix(torch.rand(4, 2)).shape == (4, 2, 3, 3)


def test_a_turn_adds_to_the_hue() -> None:
    rgb = torch.tensor([[0.7, 0.4, 0.35]], dtype=torch.float64)
    for turn in (0.1, 0.37, 0.8):
        apart = (colours.hue(turned(rgb, turn)) - colours.hue(rgb) - turn + 0.5) % 1 - 0.5
        assert abs(float(apart)) < 1e-9
    wheel = [float(colours.hue(torch.tensor(colorsys.hsv_to_rgb(k / 12, 1, 1)))) for k in range(12)]
    assert wheel == sorted(wheel) and wheel[0] == pytest.approx(0, abs=1e-6)


def test_colours_have_the_names_that_people_give_them() -> None:
    assert tuple(SPOKEN) == colours.NAMES
    for name, rgb in SPOKEN.items():
        assert colours.name_of(float(colours.hue(torch.tensor(rgb, dtype=torch.float64))), 1.0) == name
    assert colours.name_of(0.0, 0.1) == "" and colours.name_of(1.97, 1.0) == colours.name_of(-0.03, 1.0) == "red"
    index = colours.index_of(torch.tensor([0.0, 0.4, 0.4]), torch.tensor([1.0, 1.0, 0.2]))
    assert index.tolist() == [0, colours.NAMES.index("green"), -1]


def test_grey_and_motley_pictures_have_no_one_colour() -> None:
    picture = torch.zeros(4, 4, 8, 8, dtype=torch.uint8)
    picture[0, :3], picture[0, 3] = 120, 255  # grey
    picture[1, 0, :4], picture[1, 1:3, 4:], picture[1, 3] = 255, 255, 255  # half red, half turquoise
    picture[2, 0], picture[2, 3, :2] = 255, 255  # a little red, the rest transparent
    picture[3, 2], picture[3, 3], picture[3, :3, :3] = 255, 255, 0  # blue with much black
    hue, chroma = colours.dominant(picture)
    assert colours.index_of(hue, chroma).tolist() == [-1, -1, 0, colours.NAMES.index("blue")]
    assert (chroma >= 0).all() and (chroma <= 1).all()


def test_the_name_of_a_turned_drawing_is_true_of_its_pixels() -> None:
    """Colours that leave 0…1 are clipped, which moves few of them over a border between two names."""
    pack = library.load("orchestra")
    clear = pack.picture_chroma_M >= colours.CLEAR
    assert clear[pack.picture_form_M == 0].float().mean() > 0.75
    picture, hue, chroma = (value[clear] for value in (pack.picture_MCHW, pack.picture_hue_M, pack.picture_chroma_M))
    for turn in torch.arange(0, 1, 1 / 12):
        rgb = torch.einsum("ij,mjhw->mihw", colours.turn_matrix(turn), picture[:, :3].float()).clamp(0, 255)
        seen = colours.dominant(torch.cat([rgb.round().to(torch.uint8), picture[:, 3:]], 1))
        same = colours.index_of(*seen) == colours.index_of(hue + turn, chroma)
        assert same.float().mean() > 0.93, float(turn)


def test_the_ink_takes_every_name() -> None:
    ink = float(colours.hue(torch.tensor(colours.INK)))
    names = {colours.name_of(ink + k / 40, 1.0) for k in range(40)}
    assert names == set(colours.NAMES)
