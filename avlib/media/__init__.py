"""Audio, video and picture files: the only place that decodes them, and that encodes whole ones.

Sound is read by libsndfile (through ``soundfile``) where it knows the format, else by FFmpeg (through PyAV); video by
PyAV. Both come inside their wheels, so nothing has to be installed on the system. What is wrong with a file is said
with its name and with the tracks that it does have.
"""

from avlib.media.pictures import encode_jpeg, encode_png, read_image
from avlib.media.sound import read_audio
from avlib.media.source import MediaError, Source, name_of
from avlib.media.streams import tracks
from avlib.media.video import Clip, read_frames, read_video
from avlib.media.write import Format, encode_audio, encode_wav, write_video, write_wav

__all__ = [
    "Clip",
    "Format",
    "MediaError",
    "Source",
    "encode_audio",
    "encode_jpeg",
    "encode_png",
    "encode_wav",
    "name_of",
    "read_audio",
    "read_frames",
    "read_image",
    "read_video",
    "tracks",
    "write_video",
    "write_wav",
]
