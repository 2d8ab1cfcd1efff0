"""Log-mel spectrograms beside torchaudio's and librosa's, 64 clips of one second: one markdown row a peer."""

from __future__ import annotations

from collections.abc import Callable

import librosa
import numpy as np
import torch
import torchaudio
from clock import seconds

from avlib.audio import LogMel

CLIPS, SAMPLE_RATE = 64, 16_000
SETTINGS = {"sr": SAMPLE_RATE, "n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 64}


def librosa_log_mel(wave: np.ndarray) -> np.ndarray:
    return np.log(librosa.feature.melspectrogram(y=wave, htk=True, norm=None, pad_mode="reflect", **SETTINGS) + 1e-6)


def main() -> None:
    wave_BS = torch.randn(CLIPS, SAMPLE_RATE, generator=torch.Generator().manual_seed(0)) * 0.1
    array = wave_BS.numpy()
    ours = LogMel()
    theirs = torchaudio.transforms.MelSpectrogram(SAMPLE_RATE, n_fft=512, win_length=400, hop_length=160, n_mels=64)
    peers: dict[str, Callable[[], object]] = {
        "torchaudio": lambda: (theirs(wave_BS) + 1e-6).log(),
        "librosa, one call a clip": lambda: [librosa_log_mel(clip) for clip in array],
        "librosa, one call a batch": lambda: librosa_log_mel(array),
    }
    print("| log-mel, 64 clips of 1 s | ours, ms | peer, ms | ratio | threads |")
    print("|---|---|---|---|---|")
    for name, run in peers.items():
        # Ours is timed again beside each peer, so that both see the same machine.
        own, peer = seconds(lambda: ours(wave_BS), 30), seconds(run, 9)
        print(f"| {name} | {own * 1e3:.1f} | {peer * 1e3:.1f} | {peer / own:.1f} | {torch.get_num_threads()} |")


if __name__ == "__main__":
    main()
