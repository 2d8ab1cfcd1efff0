"""Trained weights that come along: one ``.safetensors`` file a method, with its card and with what it must say.

`avlib.results.run_claims` writes the net of a method's own arm and first seed here; `avlib.load` gives it back. Beside
the weights a file holds the embeddings of 16 fixed clips as they were then, which a test asks for again.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from avlib import experiment, files, provenance, recipes
from avlib.errors import unknown
from avlib.evaluate.features import evaluating
from avlib.profiles import Profile
from avlib.types import Batch
from avlib.world import World, library

CLIPS, TOLERANCE = 16, 1e-3
"""How many clips are embedded, and how far an embedding may lie from the stored one, as a part of the largest."""
MOST_BYTES, LARGE = 2_000_000, 100_000
"""How large a file may be; and tensors of more numbers than that (a memory of all clips) are narrowed before others."""
_NET, _SAID, _SUFFIX = "net.", "embedding.", ".safetensors"


def folder() -> Path:
    """Where weights are written: beside the package's code, or with the records where ``$AVLIB_RESULTS`` says so."""
    results = os.environ.get("AVLIB_RESULTS")
    return Path(results) / "weights" if results else provenance.ROOT / "weights"


def names() -> tuple[str, ...]:
    """The methods whose weights are here."""
    places = (folder(), provenance.ROOT / "weights")
    return tuple(sorted({file.stem for place in places for file in place.glob(f"*{_SUFFIX}")}))


def path_of(name: str) -> Path:
    """The file of a method's weights: in `folder`, or else in the package.

    Raises:
        ValueError: there are none; the right names are listed.
    """
    if name not in names():
        raise unknown("method with trained weights", name, names())
    own = folder() / f"{name}{_SUFFIX}"
    return own if own.exists() else provenance.ROOT / "weights" / own.name


def load(name: str, device: torch.device | str = "cpu") -> nn.Module:
    """The trained small net of a method, in evaluation mode; ``net.card`` says what it learnt from and how well.

    The card is a dictionary: ``method``, ``arm``, ``seed``, ``profile``; ``data`` (pack, sha256, licences), ``budget``,
    ``exam`` (metric → value, as in the record), ``commit`` and ``date``.

    Raises:
        ValueError: no weights of that name (the right ones are listed), or a damaged file or another net's (named).

    Examples:
        >>> net = load("l3")
        >>> net.card["method"]
        'l3'
    """
    path = path_of(name)
    tensors, card = _read(path)
    return _filled(path, tensors, card).to(device)


def stored(name: str) -> dict[str, Tensor]:
    """What the net of ``name`` said of the fixed clips when it was saved: field of the embedding → tensor."""
    return _part(_read(path_of(name))[0], _SAID)


def said(net: nn.Module, clips: Batch) -> dict[str, Tensor]:
    """The pooled embeddings of some clips, on the CPU: field of the embedding → tensor (B, D)."""
    with evaluating(net) as device:
        found = net.embed(clips.blind().to(device))  # type: ignore[operator]
    fields = {name: value for name, value in vars(found).items() if name.endswith("_BD") and value is not None}
    return {name: value.float().cpu() for name, value in fields.items()}


def fixed_clips(size: int) -> Batch:
    """The clips that every net is asked about: of one thing each, unseen drawings and recordings, ``size`` px."""
    return World(preset="solo", split="test", size=size).batch(range(CLIPS))


def save(name: str, net: nn.Module, budget: Profile, about: dict[str, Any]) -> dict[str, str]:
    """Write the weights of a method with their card, in half precision where no embedding notices.

    Args:
        name: the method's recipe; it has ``build(run)``, which makes the net without its weights.
        budget: the sizes that it was trained with.
        about: what the card says beside data and budget.

    Returns:
        dict: ``file`` (relative to the package's parent, or absolute) and ``sha256``, for the record.

    Raises:
        ValueError: the file would be larger than `MOST_BYTES`, or the net cannot be made again from it.
        OSError: it cannot be written.
    """
    clips, pack = fixed_clips(budget.size), library.load("orchestra")
    data = {"pack": pack.name, "sha256": pack.sha256, "licences": list(pack.licences)}
    card = {"method": name, **about, "data": data, "budget": asdict(budget)}
    path, said_before = folder() / f"{name}{_SUFFIX}", said(net, clips)
    weights = {key: value.detach().cpu().contiguous().clone() for key, value in net.state_dict().items()}
    for least in (0, LARGE, float("inf")):
        narrowed = {key: _half(value) if value.numel() > least else value for key, value in weights.items()}
        tensors = {f"{_NET}{key}": value for key, value in narrowed.items()}
        if same(said(_filled(path, tensors, card), clips), said_before):
            break
    else:
        raise ValueError(f"the net of {name} says other things once it is made again from its weights")
    raw = to_bytes(tensors | {f"{_SAID}{k}": v for k, v in said_before.items()}, {"card": json.dumps(card)})
    if len(raw) > MOST_BYTES:
        raise ValueError(f"the weights of {name} take {len(raw) / 1e6:.2f} MB, more than {MOST_BYTES / 1e6:.1f}")
    files.write(path, raw, f"the weights of {name}")
    root = provenance.ROOT.parent
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    return {"file": shown.as_posix(), "sha256": provenance.file_digest(path)}


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    """Are two sets of embeddings alike, each number within `TOLERANCE` of the largest in its field?"""
    return found.keys() == expected.keys() and all(
        torch.allclose(found[name], value, rtol=0, atol=TOLERANCE * float(value.abs().max()))
        for name, value in expected.items()
    )


def _half(value: Tensor) -> Tensor:
    return value.half() if value.is_floating_point() and value.ndim > 1 else value


def _filled(path: Path, tensors: dict[str, Tensor], card: dict[str, Any]) -> nn.Module:
    try:
        with torch.random.fork_rng(devices=[]):  # whoever loads a net keeps their own random numbers
            net: nn.Module = recipes.load(card["method"]).build(experiment.Run(Profile(**card["budget"]), card["seed"]))
        net.load_state_dict(_part(tensors, _NET))
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path} does not hold the weights of the net that its card names: {error}") from error
    net.card = card  # type: ignore[assignment]
    return net.eval()


def _part(tensors: dict[str, Tensor], begin: str) -> dict[str, Tensor]:
    return {key.removeprefix(begin): value for key, value in tensors.items() if key.startswith(begin)}


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, "pt") as file:
            card = json.loads((file.metadata() or {})["card"])
            return {key: file.get_tensor(key) for key in file.keys()}, card  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise ValueError(f"{path} is damaged, or holds no trained weights: {error}") from error
