"""What knows nothing of picture or sound already scores on VGG-SS: the rows that stand beside every method."""

import json

import numpy as np
import pytest

from avlib.evaluate import localize as loc

SIDE = 112  # half of the papers' 224 px: a quarter of the time, and the same to a point


@pytest.fixture(scope="module")
def truths(real_data):
    file = real_data / "annotations" / "vggss.json"
    if not file.is_file():
        pytest.skip(f"no VGG-SS annotation at {file}")
    masks = []
    for clip in json.loads(file.read_text()):
        boxes = np.clip(np.array(clip["bbox"], float), 0, 1)
        boxes = boxes[(boxes[:, 2:] > boxes[:, :2]).all(1)]
        if len(boxes):
            masks.append(loc.boxes_to_mask(boxes, SIDE).any(0))
    return masks


@pytest.mark.parametrize(
    ("mask", "rate", "auc"),
    [
        (loc.whole_image(SIDE), 0.220, 0.313),
        (loc.centre_disc(SIDE, 0.5), 0.340, 0.374),
        (loc.centre_disc(SIDE, 0.25), 0.148, 0.325),
    ],
    ids=["whole image", "disc of a half", "disc of a quarter"],
)
def test_blind_rows_of_vggss(truths, mask, rate, auc):
    assert len(truths) == 5156
    parts = [np.stack(truths[i : i + 128]) for i in range(0, len(truths), 128)]
    score = loc.success(np.concatenate([loc.iou(np.broadcast_to(mask, part.shape), part) for part in parts]))
    assert (score.success[0.5], score.auc) == pytest.approx((rate, auc), abs=0.01)
