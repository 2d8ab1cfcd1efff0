"""The transfer to actions: where the ten clips lie, whose mean decides, and the whole way on a miniature of a set."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from avlib import media
from avlib.datasets.actions import actions
from avlib.encoders import VideoSmall
from avlib.evaluate.actions import ActionNet, Transfer, cut, judge, lessons, mean_of_splits, spaced, transfer
from avlib.train import TrainConfig


def numbered(frames: int) -> Tensor:
    """Frame t has the value t."""
    return torch.arange(float(frames)).view(-1, 1, 1, 1).expand(frames, 3, 2, 2)


def test_ten_clips_are_equally_spaced_and_reach_both_ends() -> None:
    clip_MT = spaced(numbered(100), 10)[:, :, 0, 0, 0]
    assert clip_MT[:, 0].tolist() == [10 * i for i in range(10)] and clip_MT[-1, -1] == 99
    assert bool((clip_MT.diff(dim=1) == 1).all())
    # i · max(T − frames, 0) / 9, rounded
    assert spaced(numbered(20), 8)[:, 0, 0, 0, 0].tolist() == [round(i * 12 / 9) for i in range(10)]


def test_a_short_video_begins_anew() -> None:
    clip_MT = spaced(numbered(3), 8)[:, :, 0, 0, 0]
    assert clip_MT.tolist() == [[0, 1, 2, 0, 1, 2, 0, 1]] * 10
    with pytest.raises(ValueError, match="need video_TCHW"):
        cut(numbered(0), [0], 4)


class Says(ActionNet):
    """Logits that each clip's first frame names."""

    def __init__(self, logit_TK: Tensor) -> None:
        super().__init__(nn.Identity(), 1, logit_TK.shape[1])
        self.logit_TK = logit_TK

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        return self.logit_TK[video_BTCHW[:, 0, 0, 0, 0].long()]


def test_the_mean_is_over_probabilities_not_over_logits() -> None:
    """One very sure clip of ten outvotes the others by its logit, but not by its probability."""
    logit_TK = torch.tensor([[0.0, 1.0]]).repeat(10, 1)
    logit_TK[4] = torch.tensor([50.0, 0.0])
    assert int(logit_TK.mean(0).argmax()) == 0
    found = judge(Says(logit_TK), [(Path("a"), 1)], lambda _: numbered(10), 1)
    assert found.predicted_V.tolist() == [1] and found.accuracy == 1
    by_loop = [sum(math.exp(row[k]) / (math.exp(row[0]) + math.exp(row[1])) for row in logit_TK.tolist()) / 10 for k in (0, 1)]  # fmt: skip  # noqa: E501
    assert by_loop[1] > by_loop[0]


def test_chance_is_the_largest_class_and_splits_weigh_alike() -> None:
    logit_TK = torch.tensor([[1.0, 0.0]]).repeat(10, 1)
    found = judge(Says(logit_TK), [(Path("a"), 0), (Path("b"), 1), (Path("c"), 1)], lambda _: numbered(10), 1)
    assert found.accuracy == pytest.approx(1 / 3) and found.chance == pytest.approx(2 / 3)
    other = Transfer(1.0, 0.5, torch.zeros(1), torch.zeros(1))
    assert mean_of_splits([found, other]) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="no split"):
        mean_of_splits([])


def test_lessons_are_random_clips_of_every_video_and_a_function_of_the_step() -> None:
    listed = [(Path(str(n)), n % 3) for n in range(8)]

    def read(path: Path) -> Tensor:
        return numbered(20) + 100 * int(path.name)

    clips, again = lessons(listed, read, 4, 5, seed=3), lessons(listed, read, 4, 5, seed=3)
    seen = []
    for step in range(40):
        batch = clips(step)
        value_BT = batch.video_BTCHW[:, :, 0, 0, 0]  # type: ignore[index]
        assert bool((value_BT.diff(dim=1) == 1).all()) and (value_BT[:, 0] // 100).tolist() == batch.index_B.tolist()
        assert batch.truth.label_B.tolist() == [int(n) % 3 for n in batch.index_B]
        assert torch.equal(again(step).video_BTCHW, batch.video_BTCHW)  # type: ignore[arg-type]
        seen.append(value_BT[:, 0])
    start = torch.cat(seen) % 100
    assert int(start.min()) == 0 and int(start.max()) == 15
    assert len(torch.cat([clips(n).index_B for n in (0, 1)]).unique()) == 8
    with pytest.raises(ValueError, match="do not fill"):
        lessons(listed, read, 9, 5)


def filmed(folder: Path) -> Path:
    """Two classes of real files, light and dark; three splits in UCF101's lists."""
    lists = folder / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_text("1 Dark\n2 Light\n")
    rows = [(n, name, g) for n, name in ((1, "Dark"), (2, "Light")) for g in range(1, 5)]
    for n, name, g in rows:
        (folder / "UCF-101" / name).mkdir(parents=True, exist_ok=True)
        video_TCHW = (torch.rand(12 + g, 3, 32, 32, generator=torch.Generator().manual_seed(9 * n + g)) + n - 1) / 2
        media.write_video(folder / "UCF-101" / name / f"v_{name}_g{g:02d}_c01.mp4", video_TCHW, None, 12)
    for split in (1, 2, 3):
        for kind, keep in (("train", lambda g, s=split: g != s), ("test", lambda g, s=split: g == s)):
            text = [f"{name}/v_{name}_g{g:02d}_c01.mp4{f' {n}' * (kind == 'train')}" for n, name, g in rows if keep(g)]
            (lists / f"{kind}list{split:02d}.txt").write_text("\n".join(text))
    return folder


def test_the_whole_way_from_files_to_the_mean_of_three_splits(tmp_path: Path) -> None:
    found = []
    for split in (1, 2, 3):
        sets = actions("ucf101", filmed(tmp_path) if split == 1 else tmp_path, split, whole=False)
        torch.manual_seed(0)
        net = ActionNet(VideoSmall(4, 8, 16), 8, len(sets.classes), dropout=0.0)
        before = [p.clone() for p in net.parameters()]
        config = TrainConfig(20, 1e-2, device="cpu", progress=False)

        def read(path: Path) -> Tensor:
            return media.read_frames(path, size=32)

        found.append(transfer(net, sets.train, sets.test, read, config, batch=6, frames=4))
        assert not any(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True)), "all weights learn"
        assert found[-1].label_V.tolist() == [0, 1] and found[-1].chance == 0.5
    assert mean_of_splits(found) == pytest.approx(np.mean([one.accuracy for one in found]))
