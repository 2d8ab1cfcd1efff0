"""Every protocol takes lists, arrays and tensors, and says what is wrong with an input."""

import numpy as np
import pytest
import torch

from avlib.evaluate import arrays, retrieval


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64])
def test_tensors_lists_and_arrays_mean_the_same(dtype):
    sim = [[3, 1], [2, 5]]
    tensor = torch.tensor(sim, dtype=dtype)
    assert retrieval.retrieval(tensor) == retrieval.retrieval(sim) == retrieval.retrieval(np.array(sim))


def test_a_tensor_that_needs_its_gradient_is_only_read():
    leaf = torch.ones(2, 2, requires_grad=True)
    assert arrays.floats(leaf * 2, "x", 2).tolist() == [[2, 2], [2, 2]] and leaf.grad is None
    assert arrays.masks(leaf, "x", 2).all() and leaf.grad is None


def test_nan_passes_where_it_means_no_value():
    assert np.isnan(arrays.floats([np.nan], "x", 1, nan=True)).all()
    with pytest.raises(ValueError, match="x holds 1 NaN or infinite"):
        arrays.floats([np.inf], "x", 1, nan=True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: arrays.floats([1.0], "x", 2), "x must have 2 axes"),
        (lambda: arrays.floats(["a"], "x", 1), "x must hold numbers"),
        (lambda: arrays.floats([1.0, np.nan], "x", 1), r"first at \(1,\)"),
        (lambda: arrays.integers([1.5], "x"), "whole numbers"),
        (lambda: arrays.masks([2], "x", 1), "must be a mask"),
        (lambda: arrays.masks(torch.zeros(0), "x", 1), "x is empty"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
