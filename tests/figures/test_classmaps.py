"""A scene taken apart: a column a class, a line a set of maps, and errors that name what does not fit."""

import pytest
import torch

from avlib.figures.classmaps import class_strip, state
from tests.figures.clips import CLASSES, clips


def test_one_column_a_class_and_one_line_a_set_of_maps() -> None:
    batch = clips(2)
    maps = {"plain": torch.rand(4, 8, 8), "filtered": torch.zeros(4, 8, 8)}
    figure = class_strip(batch, 1, maps, [1, 2, 0], CLASSES)
    assert len(figure.axes) == 2 * 4
    titles = [ax.get_title(loc="left") for ax in figure.axes[1:4]]
    assert titles == ["dog\nseen and heard", "bell\nseen, silent", "trumpet\nnot there"]
    assert figure.axes[0].get_ylabel() == "plain" and "dog" in figure.alt


def test_a_sound_from_outside_is_heard_and_not_seen() -> None:
    from dataclasses import replace

    batch = clips(1)
    batch = replace(batch, truth=replace(batch.truth, offscreen_B=torch.tensor([3])))
    assert state(batch, 0, 3) == ("heard, not seen", True)


@pytest.mark.parametrize(
    ("maps", "chosen", "message"),
    [
        ({}, [0], "at least one set"),
        ({"a": torch.zeros(4, 2, 2)}, [], "one class"),
        ({"a": torch.zeros(3, 2, 2)}, [0], "3 maps for 4 classes"),
        ({"a": torch.full((4, 2, 2), float("nan"))}, [0], "NaN"),
    ],
)
def test_bad_maps_are_named(maps: dict, chosen: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        class_strip(clips(1), 0, maps, chosen, CLASSES)
