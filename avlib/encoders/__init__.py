"""Networks that turn a picture, a video, a sound, speech or text into a map of features.

Every encoder returns its map *before* pooling, ``(B, D, …cells)``; pooling is a function of its own, so that a method
can look at the cells (heat maps, matchmaps) or at the clip.
"""

from avlib.encoders.audio import AudioSmall
from avlib.encoders.image import ImageSmall
from avlib.encoders.pool import pool_max, pool_mean

__all__ = ["AudioSmall", "ImageSmall", "pool_max", "pool_mean"]
