"""Digests of the frozen world: what every preset looks and sounds like, to the bit.

A new dial is welcome when its default changes none of them. Renewing them makes a new version of the world and ages
every record, so it is done on purpose:

    python tests/world/test_golden.py
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from avlib.types import Batch
from avlib.world import PRESETS, World

FILE = Path(__file__).with_suffix(".json")
CLIPS, SIZE = 64, 48
WORLDS: dict[str, dict] = {
    **{name: {"preset": name} for name in PRESETS},
    **{f"{name}, test": {"preset": name, "split": "test"} for name in ("solo", "speech", "crossing")},
    "forms and warps": {"preset": "duet", "forms": 0.7, "warp": 0.22, "hue": 0.3, "class_seed": 1},
    "known hands, few classes": {"split": "test", "hands": "known", "classes": 8, "mute": 4, "captioned": True},
    "companions": {"companion": True, "things": (1, 2), "side": (0.26, 0.4), "backdrop": 0.5, "seed": 3},
    "steady twins": {"preset": "twins", "steady": True, "onset_from": 1.0, "noise": -10.0, "seconds": 2.0},
    "known voices": {"preset": "faces", "split": "val", "voices": "known", "hands": "known", "offscreen": 0.5},
}
"""name: arguments of the world"""


def digest(batch: Batch) -> str:
    """sha256 of frames of 8 bits, sound of 16, texts, and every whole number of the truth."""
    frames = batch.image_BCHW if batch.video_BTCHW is None else batch.video_BTCHW
    parts = [(frames * 255).round().byte(), (batch.wave_BS * 32767).round().short(), batch.index_B]
    truth = [getattr(batch.truth, field.name) for field in fields(batch.truth)]
    parts += [value for value in truth if isinstance(value, torch.Tensor) and not value.is_floating_point()]
    sha = hashlib.sha256()
    for part in parts:
        sha.update(f"{part.dtype}{tuple(part.shape)}".encode() + part.contiguous().numpy().tobytes())
    words = [[word.text for word in row] for row in batch.truth.words or ()]
    sha.update(json.dumps([batch.text, batch.truth.caption, words]).encode())
    return sha.hexdigest()


def digests(names: list[str]) -> dict[str, str]:
    """The digest of each of these worlds, and of the pack that they are made of."""
    found = {"pack": World().pack.sha256}
    return found | {name: digest(World(size=SIZE, **WORLDS[name]).batch(range(CLIPS), masks=True)) for name in names}


@pytest.fixture(scope="module")
def frozen() -> dict[str, str]:
    return json.loads(FILE.read_text())


def test_the_pack_is_the_one_that_was_frozen(frozen: dict[str, str]) -> None:
    assert World().pack.sha256 == frozen["pack"], "the pack has changed; so must everything that is made of it"
    assert set(frozen) == {"pack", *WORLDS}


@pytest.mark.parametrize("name", WORLDS)
def test_the_world_is_frozen(name: str, frozen: dict[str, str]) -> None:
    assert digests([name])[name] == frozen[name]


def test_other_instructions_and_more_threads_render_the_same_bytes(frozen: dict[str, str]) -> None:
    some = ["noisy", "moving", "speech, test", "crossing, test", "known hands, few classes"]
    code = f"import json, test_golden; print(json.dumps(test_golden.digests({some})))"
    here = Path(__file__).resolve()
    path = os.pathsep.join([str(here.parent), str(here.parents[2])])
    other = os.environ | {"PYTHONPATH": path, "ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=other, check=True)
    found = json.loads(done.stdout)
    assert found == {name: frozen[name] for name in found}


if __name__ == "__main__":
    FILE.write_text(json.dumps(digests(list(WORLDS)), indent=1) + "\n")
