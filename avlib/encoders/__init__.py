"""Networks that turn a picture, a video, a sound, speech or text into a map of features.

Every encoder returns its map *before* pooling, ``(B, D, …cells)``; pooling is a function of its own, so that a method
can look at the cells (heat maps, matchmaps) or at the clip.
"""

from avlib.encoders.audio import AudioConv9, AudioResNet, AudioSmall, AudioVGG
from avlib.encoders.image import ImageAligned, ImageLayers, ImageResNet18, ImageSmall, ImageVGG, ImageVGG16
from avlib.encoders.pool import pool_max, pool_mean
from avlib.encoders.speech import SpeechDAVEnet, SpeechSmall
from avlib.encoders.text import TextSmall
from avlib.encoders.unet import UNetSmall
from avlib.encoders.video import VideoMC3, VideoR2Plus1D18, VideoSmall
from avlib.encoders.wave import SoundNet5, SoundNet8, SoundNetSmall, WaveSmall

__all__ = [
    "AudioConv9",
    "AudioResNet",
    "AudioSmall",
    "AudioVGG",
    "ImageAligned",
    "ImageLayers",
    "ImageResNet18",
    "ImageSmall",
    "ImageVGG",
    "ImageVGG16",
    "SoundNet5",
    "SoundNet8",
    "SoundNetSmall",
    "SpeechDAVEnet",
    "SpeechSmall",
    "TextSmall",
    "UNetSmall",
    "VideoMC3",
    "VideoR2Plus1D18",
    "VideoSmall",
    "WaveSmall",
    "pool_max",
    "pool_mean",
]
