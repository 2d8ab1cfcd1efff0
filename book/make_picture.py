"""Draws the README's picture: ``python book/make_picture.py`` writes ``book/_static/world.png``."""

from pathlib import Path

import numpy as np
from PIL import Image

from avlib.audio import LogMel
from avlib.figures import style
from avlib.world import World

OUT = Path(__file__).parent / "_static/world.png"
CLIPS = (("solo", 3), ("duet", 1), ("cocktail", 4), ("silent", 5), ("faces", 2), ("speech", 0))
SIDE, MEL, GAP = 200, 64, 10


def column(preset: str, index: int) -> tuple[Image.Image, Image.Image]:
    """The picture of one scene, and the spectrogram of its sound in the book's colours."""
    import matplotlib

    batch = World("orchestra", preset, split="test", seed=0, size=SIDE).batch([index])
    picture = Image.fromarray((batch.frame_BCHW[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))
    mel_FL = LogMel()(batch.wave_BS)[0].flip(0).numpy()
    loud_FL = np.clip((mel_FL - mel_FL.max()) / 9.0 + 1.0, 0.0, 1.0)
    colours = matplotlib.colormaps[style.MAPS["spectrogram"]](loud_FL)[..., :3]
    return picture, Image.fromarray((colours * 255).astype(np.uint8)).resize((SIDE, MEL))


def main() -> None:
    """Put the columns side by side and write them with few enough colours for a small file."""
    width = len(CLIPS) * (SIDE + GAP) - GAP
    sheet = Image.new("RGB", (width, SIDE + GAP // 2 + MEL), "white")
    for i, (preset, index) in enumerate(CLIPS):
        picture, sound = column(preset, index)
        sheet.paste(picture, (i * (SIDE + GAP), 0))
        sheet.paste(sound, (i * (SIDE + GAP), SIDE + GAP // 2))
    sheet.quantize(255, dither=Image.Dither.FLOYDSTEINBERG).save(OUT, optimize=True)
    print(f"{OUT}: {OUT.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
