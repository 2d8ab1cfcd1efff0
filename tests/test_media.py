"""Media files as they come: whole, cut off, without picture, without sound, silent, broken, or no media at all."""

import io
import math
import os
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from torch import Tensor

from avlib import media
from avlib.media import MediaError
from avlib.types import SAMPLE_RATE
from tests import clap


def tone(seconds: float = 1.0, hertz: float = 440.0, rate: int = SAMPLE_RATE) -> Tensor:
    time_S = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    return (0.5 * torch.sin(2 * math.pi * hertz * time_S)).float()


def flashes(frames: int = 20, side: int = 32) -> Tensor:
    """Frame t is grey of brightness t / frames."""
    grey_T = torch.arange(frames) / frames
    return grey_T.view(-1, 1, 1, 1).expand(-1, 3, side, side).contiguous()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds at 10 frames a second."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return media.write_video(path, flashes(), tone(2.0), fps=10)


# ------------------------------------------------------------------------------------------------ sound


@pytest.mark.parametrize(("form", "error"), [("wav", 1e-4), ("flac", 1e-4), ("ogg", 0.06), ("mp3", 0.06)])
def test_encoded_sound_reads_back_in_step(form: media.Format, error: float) -> None:
    wave_S = tone()
    data = media.encode_audio(wave_S, SAMPLE_RATE, form, squeeze=0.0)
    again_S = media.read_audio(data)
    assert again_S.dtype == torch.float32
    assert len(again_S) == len(wave_S)
    assert float((again_S - wave_S)[800:-800].abs().max()) < error


def test_loss_is_smaller_when_squeezed() -> None:
    wave_S = 0.2 * torch.randn(SAMPLE_RATE)
    assert len(media.encode_audio(wave_S, squeeze=1.0)) < len(media.encode_audio(wave_S, squeeze=0.0))


def test_sound_is_mixed_to_mono_and_resampled(tmp_path: Path) -> None:
    path = tmp_path / "two.wav"
    left_S = tone(rate=44_100).numpy()
    soundfile.write(path, np.stack([left_S, -0.5 * left_S], 1), 44_100)
    wave_S = media.read_audio(path)
    assert wave_S.shape == (SAMPLE_RATE,)
    torch.testing.assert_close(wave_S[500:-500], 0.25 * tone()[500:-500], atol=2e-3, rtol=0)


def test_written_wav_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = media.write_wav(tmp_path / "new" / "a.wav", tone())
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"the recording could not be written \(No space left.*a\.wav"):
        media.write_wav(path, tone(2.0))
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["a.wav"]


@pytest.mark.parametrize("form", ["wav", "flac", "ogg", "mp3", "aiff", "au", "caf", "rf64", "w64"])
def test_a_cut_recording_is_named(tmp_path: Path, form: str) -> None:
    path, file = tmp_path / f"cut.{form}", io.BytesIO()
    soundfile.write(file, (0.1 * torch.randn(5 * SAMPLE_RATE)).numpy(), SAMPLE_RATE, format=form)
    assert len(media.read_audio(file.getvalue())) == 5 * SAMPLE_RATE
    path.write_bytes(file.getvalue()[: len(file.getvalue()) * 6 // 10])
    with pytest.raises(MediaError, match=rf"cut\.{form}: .*(cut off|damaged)"):
        media.read_audio(path)


def heard(wave_S: Tensor, begin: float, end: float) -> float:
    """The loudest frequency of a part, Hz."""
    part_S = wave_S[round(begin * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
    spectrum = torch.fft.rfft(part_S * torch.hann_window(len(part_S)), 4 * SAMPLE_RATE).abs()
    return int(spectrum.argmax()) / 4


@pytest.mark.parametrize("form", ["ogg", "mp3"])
@pytest.mark.parametrize("rate", [SAMPLE_RATE, 44_100])
def test_joined_recordings_are_read_to_the_end(form: media.Format, rate: int) -> None:
    one = media.encode_audio(tone(1.0, 440.0), SAMPLE_RATE, form)
    two = media.encode_audio(tone(1.5, 880.0, rate), rate, form)
    wave_S = media.read_audio(one + two)
    assert len(wave_S) == pytest.approx(2.5 * SAMPLE_RATE, abs=2)
    torch.testing.assert_close(wave_S[:SAMPLE_RATE], media.read_audio(one), atol=0, rtol=0)
    assert heard(wave_S, 0.1, 0.9) == pytest.approx(440, abs=2)
    assert heard(wave_S, 1.1, 2.4) == pytest.approx(880, abs=2)


def bare_mp3(seconds: float = 3.0) -> bytes:
    """Without the first frame, in which the encoder noted the length."""
    data = media.encode_audio(tone(seconds), SAMPLE_RATE, "mp3")
    assert b"Info" in data[:60] or b"Xing" in data[:60]
    return data[data.index(b"\xff\xf3", 4) :]


def id3(content: bytes) -> bytes:
    size = len(content)
    return b"ID3\x03\0\0" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0)) + content


def cover() -> bytes:
    """An ID3 frame with a picture."""
    content = b"\0image/jpeg\0\x03\0" + media.encode_jpeg(torch.rand(3, 64, 64))
    return b"APIC" + len(content).to_bytes(4, "big") + b"\0\0" + content


@pytest.mark.parametrize("before", [b"", id3(bytes(100_000)), id3(cover())], ids=["bare", "tag", "cover"])
@pytest.mark.parametrize("after", [b"", b"TAG" + bytes(125)])
def test_an_mp3_need_not_say_how_long_it_is(before: bytes, after: bytes) -> None:
    wave_S = media.read_audio(before + bare_mp3() + after)
    assert len(wave_S) / SAMPLE_RATE == pytest.approx(3.0, abs=0.15)
    assert heard(wave_S, 0.2, 2.8) == pytest.approx(440, abs=1)
    twice_S = media.read_audio(2 * (before + bare_mp3() + after))
    assert len(twice_S) / SAMPLE_RATE == pytest.approx(6.0, abs=0.3)


def test_a_cover_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(id3(cover()) + media.encode_audio(tone(), SAMPLE_RATE, "mp3"))
    with pytest.raises(MediaError, match=r"song\.mp3: no video track\. .*audio 0: mp3.*; a cover picture: .*64×64"):
        media.read_video(path)


def test_flac_without_a_stated_length(tmp_path: Path) -> None:
    data = bytearray(media.encode_audio(tone(3.0), SAMPLE_RATE, "flac"))
    whole_S = media.read_audio(bytes(data))
    data[21] &= 0xF0  # the samples of the whole, 36 bits: 0 where a pipe was written
    data[22:26] = bytes(4)
    torch.testing.assert_close(media.read_audio(bytes(data)), whole_S, atol=0, rtol=0)


def adts(wave_S: Tensor, rate: int, channels: int) -> bytes:
    """Raw AAC, whose frames each say their rate and channels."""
    file = io.BytesIO()
    with av.open(file, "w", format="adts") as container:
        stream = container.add_stream("aac", rate=rate, layout="mono" if channels == 1 else "stereo")
        wave_CS = wave_S.expand(channels, -1).contiguous().numpy()
        frame = av.AudioFrame.from_ndarray(wave_CS, format="fltp", layout=stream.layout.name)
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def test_channels_and_rate_may_change_midway() -> None:
    data = adts(tone(2.0, 440.0, 44_100), 44_100, 1) + adts(tone(2.0, 880.0, 48_000), 48_000, 2)
    wave_S = media.read_audio(data)
    assert len(wave_S) / SAMPLE_RATE == pytest.approx(4.0, abs=0.15)
    assert heard(wave_S, 0.2, 1.8) == pytest.approx(440, abs=2)
    assert heard(wave_S, 2.2, 3.8) == pytest.approx(880, abs=2)
    assert float(wave_S[-SAMPLE_RATE // 2 : -SAMPLE_RATE // 10].abs().max()) == pytest.approx(0.5, abs=0.05)


def test_a_hole_in_the_sound_is_silence(tmp_path: Path) -> None:
    path = clap.write(tmp_path / "hole.mkv", 3.0, events=(0.0, 2.0), hole=(0.5, 1.0))
    wave_S = media.read_audio(path)
    assert len(wave_S) / SAMPLE_RATE == pytest.approx(3.0, abs=0.05)
    assert float((wave_S[SAMPLE_RATE:].abs() > 0.1).nonzero()[0]) / SAMPLE_RATE == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("kind", ["video", "audio"])
def test_one_bad_packet_costs_no_more_than_itself(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    path = clap.write(tmp_path / "clap.mp4")
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(**{kind: 0}) if p.size]
    for n, packet in enumerate(packets):
        if n == 30:
            data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path.write_bytes(data)
    clip = media.read_video(path)
    flash, beep = clap.noticed(clip)
    assert abs(beep - flash) <= 1 / clap.FPS + 1e-3
    assert f"1 of {len(packets)} packets of its {kind}" in caplog.text or kind == "video"
    for packet in packets[10:90]:
        data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path.write_bytes(data)
    if kind == "audio":
        with pytest.raises(MediaError, match=r"clap\.mp4: damaged, .* packets of its audio cannot be decoded"):
            media.read_audio(path)


@pytest.mark.parametrize("rate", [11_127, 44_099])
def test_rates_with_no_common_divisor(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "odd.wav"
    soundfile.write(path, tone(0.5, rate=rate).numpy(), rate)
    wave_S = media.read_audio(path)
    assert len(wave_S) == pytest.approx(8000, abs=1)
    torch.testing.assert_close(wave_S[200:7800], tone(0.5)[200:7800], atol=1e-3, rtol=0)


@pytest.mark.parametrize("allow", [False, True])
def test_what_is_silent_when_mixed_is_said_so(tmp_path: Path, allow: bool) -> None:
    hiss_S = torch.randint(-1, 2, (SAMPLE_RATE,)).numpy() / 32768
    loud_S = tone().numpy()
    cases = {
        "antiphase": (np.stack([loud_S, -loud_S], 1), "channels cancel each other out"),
        "nearly": (np.stack([loud_S, -loud_S + hiss_S], 1), "channels cancel each other out"),
        "least": (hiss_S, "no sample is above the last bits"),
    }
    for name, (wave, says) in cases.items():
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, wave, SAMPLE_RATE, subtype="PCM_16")
        if allow:
            assert float(media.read_audio(path, allow_silent=True).abs().max()) < 1e-4
        else:
            with pytest.raises(MediaError, match=rf"{name}\.wav: its sound is silent.*{says}"):
                media.read_audio(path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_samples_must_be_finite_both_ways(tmp_path: Path, bad: float) -> None:
    wave_S = tone()
    wave_S[7] = bad
    with pytest.raises(MediaError, match="1 samples to encode are NaN or infinite"):
        media.encode_wav(wave_S)
    path = tmp_path / "nan.wav"
    soundfile.write(path, wave_S.numpy(), SAMPLE_RATE, subtype="FLOAT")
    with pytest.raises(MediaError, match=r"nan\.wav: 1 samples are NaN or infinite"):
        media.read_audio(path)


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_of_nothing_is_refused(rate: int, film: Path) -> None:
    for call in (
        lambda: media.read_audio(film, rate),
        lambda: media.read_video(film, rate=rate),
        lambda: media.encode_audio(tone(), rate),
    ):
        with pytest.raises(MediaError, match="rate must be above 0"):
            call()


def test_a_file_that_states_a_rate_of_0(tmp_path: Path) -> None:
    data = bytearray(media.encode_wav(tone()))
    data[24:28] = bytes(4)  # the field of the sampling rate
    path = tmp_path / "zero.wav"
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"zero\.wav"):
        media.read_audio(path)


def test_silence_is_refused_unless_allowed() -> None:
    data = media.encode_wav(torch.zeros(SAMPLE_RATE))
    with pytest.raises(MediaError, match="silent"):
        media.read_audio(data)
    assert not media.read_audio(data, allow_silent=True).any()


def test_no_samples_and_unknown_formats() -> None:
    with pytest.raises(MediaError, match="at least one sample"):
        media.encode_wav(torch.zeros(0))
    with pytest.raises(MediaError, match=r"unknown audio format 'mp4'.*mp3"):
        media.encode_audio(tone(), SAMPLE_RATE, "mp4")  # type: ignore[arg-type]
    with pytest.raises(MediaError, match=r"sound of 11127 Hz cannot be written as mp3"):
        media.encode_audio(tone(), 11_127, "mp3")


@pytest.mark.parametrize(("content", "says"), [(b"", "empty"), (b"not a sound" * 99, "not a media file")])
def test_what_is_no_media_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    for read in (media.read_audio, media.read_video):
        with pytest.raises(MediaError, match=rf"notes\.txt: .*{says}"):
            read(path)
    with pytest.raises(MediaError, match=r"notes\.txt"):
        media.read_image(path)


@pytest.mark.parametrize("read", [media.read_audio, media.read_video, media.read_image, media.tracks])
def test_a_file_that_is_not_there(tmp_path: Path, read) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(FileNotFoundError, match=r"lost\.mp4"):
        read(tmp_path / "lost.mp4")


# ------------------------------------------------------------------------------------------------ video


def test_video_reads_back(film: Path) -> None:
    clip = media.read_video(film)
    assert clip.video_TCHW.shape == (20, 3, 32, 32)
    assert clip.fps == 10
    assert clip.wave_S.shape == (2 * SAMPLE_RATE,)
    torch.testing.assert_close(clip.video_TCHW.mean((1, 2, 3)), torch.arange(20) / 20, atol=0.03, rtol=0)
    spectrum = torch.fft.rfft(clip.wave_S).abs()
    assert abs(int(spectrum.argmax()) / 2 - 440) <= 1


@pytest.mark.parametrize(("fps", "start", "seconds"), [(5, 0.0, None), (20, 0.0, 1.0), (10, 0.5, 0.8), (4, 1.0, 1.0)])
def test_each_tick_shows_the_frame_of_its_moment(film: Path, fps: float, start: float, seconds: float | None) -> None:
    clip = media.read_video(film, fps=fps, start=start, seconds=seconds)
    count = round((2.0 - start if seconds is None else seconds) * fps)
    shown = [int((start + t / fps) * 10 + 1e-6) / 20 for t in range(count)]
    assert len(clip.wave_S) == round(count / fps * SAMPLE_RATE)
    torch.testing.assert_close(clip.video_TCHW.mean((1, 2, 3)), torch.tensor(shown), atol=0.03, rtol=0)


def test_sound_stays_in_step_with_the_picture(tmp_path: Path) -> None:
    video_TCHW, wave_S = torch.zeros(30, 3, 32, 32), torch.zeros(3 * SAMPLE_RATE)
    video_TCHW[15:], wave_S[round(1.5 * SAMPLE_RATE) :] = 1.0, tone(1.5)
    path = media.write_video(tmp_path / "clap.mp4", video_TCHW, wave_S, fps=10)
    for start in (0.0, 0.7):
        clip = media.read_video(path, start=start, seconds=2.0)
        light = float((clip.video_TCHW.mean((1, 2, 3)) > 0.5).nonzero()[0]) / clip.fps
        noise = float((clip.wave_S.abs() > 0.1).nonzero()[0]) / SAMPLE_RATE
        assert light == pytest.approx(1.5 - start, abs=0.051)
        assert noise == pytest.approx(1.5 - start, abs=0.03)


def test_size_crops_the_middle(film: Path) -> None:
    assert media.read_video(film, size=16, seconds=0.5).video_TCHW.shape == (5, 3, 16, 16)
    assert media.read_video(film, size=(16, 24), seconds=0.5).video_TCHW.shape == (5, 3, 16, 24)
    with pytest.raises(MediaError, match="at least 1 px"):
        media.read_video(film, size=0)


def test_a_video_without_sound_names_its_tracks(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "mute.mp4", flashes(), None, fps=10)
    for read in (media.read_video, media.read_audio):
        with pytest.raises(MediaError, match=r"mute\.mp4: no audio track\. It has video 0: h264, 32×32$"):
            read(path)


def test_a_recording_is_no_video(tmp_path: Path) -> None:
    path = media.write_wav(tmp_path / "only.wav", tone())
    with pytest.raises(MediaError, match=r"only\.wav: no video track\. It has audio 0: pcm_s16le, 16000 Hz"):
        media.read_video(path)


def test_a_silent_track_is_refused_unless_allowed(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "hush.mp4", flashes(), torch.zeros(2 * SAMPLE_RATE), fps=10)
    with pytest.raises(MediaError, match=r"hush\.mp4: its sound is silent"):
        media.read_video(path)
    assert media.read_video(path, allow_silent=True).video_TCHW.shape[0] == 20


def test_a_cut_video_is_named(film: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.mp4"
    path.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    with pytest.raises(MediaError, match=r"half\.mp4: .*(cut off|damaged)"):
        media.read_video(path)


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv", ".webm", ".avi", ".flv", ".wmv"])
def test_a_video_says_that_it_is_cut_off(tmp_path: Path, ending: str) -> None:
    whole = clap.write(tmp_path / f"clap{ending}").read_bytes()
    for part in (0.5, 0.9):
        path = tmp_path / f"cut{ending}"
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(MediaError, match=rf"cut\{ending}: cut off"):
            media.read_video(path)


def test_pictures_that_change_their_size_take_that_of_the_first(tmp_path: Path) -> None:
    one = clap.write(tmp_path / "one.m2ts", 2.0, events=()).read_bytes()
    small = clap.write(tmp_path / "two.m2ts", 2.0, events=(0.5,), image=lambda white: clap.picture(white)[::2, ::2])
    clip = media.read_video(one + small.read_bytes(), fps=25)
    assert clip.video_TCHW.shape[1:] == (3, clap.HIGH, clap.WIDE)
    assert clap.noticed(clip)[0] == pytest.approx(2.5, abs=0.1)


def test_parts_that_are_not_there(film: Path) -> None:
    with pytest.raises(MediaError, match=r"film\.mp4: no frame between 9\.0 s"):
        media.read_video(film, start=9.0, seconds=1.0)
    with pytest.raises(MediaError, match="fps must be above 0"):
        media.read_video(film, fps=0)
    with pytest.raises(MediaError, match="start must be"):
        media.read_video(film, start=-1)


def test_videos_to_encode_are_checked(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="even sides"):
        media.write_video(tmp_path / "a.mp4", torch.zeros(2, 3, 31, 32), None, fps=10)
    with pytest.raises(MediaError, match="finite"):
        media.write_video(tmp_path / "a.mp4", torch.full((2, 3, 32, 32), float("nan")), None, fps=10)
    with pytest.raises(MediaError, match=r"unknown video format '\.avi'.*\.mp4"):
        media.write_video(tmp_path / "a.avi", flashes(), None, fps=10)
    for fps, rate in ((1e-9, SAMPLE_RATE), (1e12, SAMPLE_RATE), (10, 11_127)):
        with pytest.raises(MediaError, match=rf"a\.mp4: 32×32 px at .* {rate} Hz cannot be written"):
            media.write_video(tmp_path / "a.mp4", flashes(), tone(), fps, rate)
    with pytest.raises(MediaError, match="float"):
        media.write_video(tmp_path / "a.mp4", flashes(), tone().short(), 10)
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------ real clips


@pytest.mark.parametrize(("name", "side"), [("friday.mp4", (640, 480)), ("stream-of-water.mp4", (480, 360))])
def test_real_clips(real_data: Path, name: str, side: tuple[int, int]) -> None:
    clip = media.read_video(real_data / "clips" / name, fps=8, seconds=1.0)
    assert clip.video_TCHW.shape == (8, 3, side[1], side[0])
    assert clip.wave_S.shape == (SAMPLE_RATE,)
    assert 0 <= float(clip.video_TCHW.min()) < float(clip.video_TCHW.max()) <= 1
    assert float(clip.wave_S.abs().max()) > 0


def test_a_real_clip_whose_track_is_silent(real_data: Path) -> None:
    flower = real_data / "clips" / "flower.mp4"
    with pytest.raises(MediaError, match=r"flower\.mp4: its sound is silent"):
        media.read_video(flower, fps=2, size=32, seconds=1.0)
    clip = media.read_video(flower, fps=2, size=32, seconds=1.0, allow_silent=True)
    assert clip.video_TCHW.any()
    assert not clip.wave_S.any()


def test_a_real_clip_with_two_of_each(real_data: Path) -> None:
    path = real_data / "clips" / "nasa_13013.mp4"
    assert len(media.tracks(path)) == 4
    shapes = {media.read_video(path, seconds=0.5, video_stream=v).video_TCHW.shape[-2:] for v in (0, 1)}
    assert shapes == {(180, 320), (270, 480)}
    first_S, second_S = (media.read_audio(path, track=a)[: 2 * SAMPLE_RATE] for a in (0, 1))
    assert not torch.equal(first_S, second_S)
    with pytest.raises(MediaError, match=r"no audio track 2\. It has video 0.*video 1.*audio 0.*audio 1"):
        media.read_video(path, audio_stream=2)
    with pytest.raises(MediaError, match="no video track 5"):
        media.read_video(path, video_stream=5)


def test_a_real_clip_cut_off(real_data: Path, tmp_path: Path) -> None:
    whole = (real_data / "clips" / "friday.mp4").read_bytes()
    for part in (0.05, 0.5, 0.9):
        path = tmp_path / f"part{part}.mp4"
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(MediaError, match=rf"part{part}\.mp4"):
            media.read_video(path, fps=4, size=32)


# ------------------------------------------------------------------------------------------------ pictures


def test_pictures_read_back() -> None:
    image_CHW = torch.rand(4, 20, 30)
    again = media.read_image(media.encode_png(image_CHW))
    torch.testing.assert_close(again.float() / 255, image_CHW, atol=0.5 / 255 + 1e-6, rtol=0)
    smooth = torch.linspace(0, 1, 30).expand(3, 20, 30).contiguous()
    again = media.read_image(media.encode_jpeg(smooth, quality=95))
    assert again.shape == (4, 20, 30)
    assert bool((again[3] == 255).all())
    torch.testing.assert_close(again[:3].float() / 255, smooth, atol=0.03, rtol=0)


def test_see_through_pictures_lie_on_white_in_a_jpeg() -> None:
    again = media.read_image(media.encode_jpeg(torch.zeros(4, 8, 8)))
    assert int(again[:3].min()) >= 253


def test_pictures_are_turned_as_their_camera_noted() -> None:
    image, file = Image.new("RGB", (20, 10), "red"), io.BytesIO()
    exif = image.getexif()
    exif[0x0112] = 6  # a quarter turn
    image.save(file, "JPEG", exif=exif)
    assert media.read_image(file.getvalue()).shape == (4, 20, 10)


@pytest.mark.parametrize(("kind", "white"), [(np.uint16, 65_535), (np.float32, 1.0)])
def test_deep_grey_keeps_its_ramp(tmp_path: Path, kind: type, white: float) -> None:
    path = tmp_path / ("ramp.tif" if kind is np.float32 else "ramp.png")
    Image.fromarray((np.linspace(0, 1, 64) * white).astype(kind)[None].repeat(8, 0)).save(path)
    again = media.read_image(path)
    assert again.shape == (4, 8, 64)
    torch.testing.assert_close(again[1, 0].float() / 255, torch.linspace(0, 1, 64), atol=0.003, rtol=0)
    assert bool((again[3] == 255).all())


def test_grey_of_an_unknown_range_is_named(tmp_path: Path) -> None:
    for name, grey in (("heat.tif", np.float32([[20.0, 35.0]])), ("nan.tif", np.float32([[0.5, np.nan]]))):
        Image.fromarray(grey).save(tmp_path / name)
        with pytest.raises(MediaError, match=rf"{name}: its grey goes from"):
            media.read_image(tmp_path / name)


def test_lab_becomes_rgb(tmp_path: Path) -> None:
    path = tmp_path / "lab.tif"
    Image.merge("LAB", [Image.new("L", (8, 8), value) for value in (136, 208, 195)]).save(path)  # red
    red, green, blue, alpha = media.read_image(path)[:, 4, 4].tolist()
    assert red > 200
    assert max(green, blue) < 60
    assert alpha == 255


def test_pictures_to_encode_are_checked() -> None:
    with pytest.raises(MediaError, match="3 or 4 channels"):
        media.encode_png(torch.zeros(2, 8, 8))
    with pytest.raises(MediaError, match="NaN"):
        media.encode_jpeg(torch.full((3, 8, 8), float("nan")))


def test_a_cut_picture_is_named(tmp_path: Path) -> None:
    whole = media.encode_jpeg(torch.rand(3, 64, 64))
    path = tmp_path / "cut.jpg"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MediaError, match=r"cut\.jpg: .*cut off"):
        media.read_image(path)


def test_frames_of_a_video_are_read_with_and_without_its_sound(tmp_path: Path) -> None:
    video_TCHW = torch.rand(9, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    mute = media.write_video(tmp_path / "mute.mp4", video_TCHW, None, 10)
    heard = media.write_video(tmp_path / "heard.mp4", video_TCHW, torch.rand(14_400) - 0.5, 10)
    with pytest.raises(media.MediaError, match="no audio track"):
        media.read_video(mute)
    assert media.read_frames(mute).shape == (9, 3, 32, 48) and media.read_frames(mute, size=16).shape == (9, 3, 16, 16)
    assert torch.equal(media.read_frames(heard), media.read_video(heard).video_TCHW)
    assert torch.equal(media.read_frames(heard, fps=5.0), media.read_video(heard, fps=5.0).video_TCHW)
    with pytest.raises(FileNotFoundError):
        media.read_frames(tmp_path / "none.mp4")
