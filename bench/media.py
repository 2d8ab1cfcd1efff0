"""Reading video beside plain PyAV, which leaves time stamps, rotation and cut files to the reader: a row a task."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import torch
from clock import seconds

from avlib import media
from avlib.types import SAMPLE_RATE

SECONDS, FPS, HIGH, WIDE = 10, 25, 720, 1280
READ = (
    "import resource, sys; from avlib import media; media.read_video(sys.argv[1]);"
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)"
)


def film(path: Path) -> Path:
    """A 720p film of moving noise with a hum."""
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(1, 3, HIGH // 16, WIDE // 16, generator=generator)
    image_CHW = torch.nn.functional.interpolate(small, (HIGH, WIDE), mode="bilinear")[0]
    video_TCHW = torch.stack([image_CHW.roll(8 * t, 2) for t in range(FPS)]).repeat(SECONDS, 1, 1, 1)
    wave_S = 0.1 * torch.sin(torch.arange(SECONDS * SAMPLE_RATE) * 0.1)
    return media.write_video(path, video_TCHW, wave_S, FPS)


def plain(path: Path, keep: int, size: tuple[int, int] | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Every ``keep``-th frame and the sound, as a reader of PyAV's documentation would write it."""
    images, waves = [], []
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
        shown = 0
        for frame in container.decode(video=0, audio=0):
            if isinstance(frame, av.AudioFrame):
                waves += [part.to_ndarray() for part in resampler.resample(frame)]
                continue
            if shown % keep == 0:
                high, wide = size or (frame.height, frame.width)
                images.append(frame.to_ndarray(format="rgb24", width=wide, height=high, interpolation="AREA"))
            shown += 1
    video_TCHW = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    return video_TCHW, torch.from_numpy(np.concatenate(waves, 1)[0])


def main() -> None:
    """Print the table."""
    print(f"| {SECONDS} s of {HIGH}p | ours, s | plain PyAV, s | ratio | threads |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path = film(Path(folder) / "film.mp4")
        tasks: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "five frames a second, 128×228": (
                lambda: media.read_video(path, fps=5, size=(128, 228)),
                lambda: plain(path, 5, (128, 228)),
            ),
            "every frame, whole": (lambda: media.read_video(path), lambda: plain(path, 1, None)),
        }
        for name, (ours, theirs) in tasks.items():
            own, peer = seconds(ours), seconds(theirs)
            print(f"| {name} | {own:.2f} | {peer:.2f} | {peer / own:.2f} | {torch.get_num_threads()} |")
        peak = subprocess.run([sys.executable, "-c", READ, path], capture_output=True, check=True, text=True).stdout
        print(f"\nLargest memory of a process that reads every frame: {float(peak):.1f} GB")


if __name__ == "__main__":
    main()
