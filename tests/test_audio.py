"""Sound features against loops, torchaudio and librosa, and the closed forms of the texture statistics."""

from __future__ import annotations

import math
from collections.abc import Callable

import librosa
import numpy as np
import pytest
import torch
import torchaudio
from torch import Tensor

from avlib import audio
from avlib.audio import LogMel
from tests.reference import audio as reference


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_log_mel_equals_the_loop() -> None:
    wave = noise(2, 400)
    ours = LogMel(bands=6, rate=1000, n_fft=64, window=50, hop=40)(wave)
    for row, clip in zip(ours, wave, strict=True):
        loop = reference.log_mel(clip.numpy(), 6, 1000, 64, 50, 40, 1e-6)
        assert np.abs(row.numpy() - loop).max() < 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_mel_equals_torchaudio_and_librosa(dtype: torch.dtype) -> None:
    wave = noise(5, 16_000).to(dtype)
    ours = LogMel().to(dtype).power(wave)
    assert ours.shape == (5, 64, 100) and ours.dtype == dtype
    theirs = torchaudio.transforms.MelSpectrogram(16_000, n_fft=512, win_length=400, hop_length=160, n_mels=64).to(
        dtype
    )
    settings = {
        "sr": 16_000,
        "n_fft": 512,
        "win_length": 400,
        "hop_length": 160,
        "n_mels": 64,
        "dtype": ours.numpy().dtype,
    }
    other = librosa.feature.melspectrogram(y=wave.numpy(), htk=True, norm=None, pad_mode="reflect", **settings)
    peer, exact = theirs(wave)[..., :-1], torch.from_numpy(other)[..., :-1]
    # torchaudio computes its triangles in single precision, and there a cell near zero keeps the rounding of loud ones.
    assert torch.allclose(ours, peer, rtol=1e-5, atol=1e-5 * float(peer.max()))
    slack = 1e-5 * float(exact.max()) if dtype == torch.float32 else 0.0
    assert torch.allclose(ours, exact, rtol=1e-5, atol=slack)


def test_slaney_mels_equal_librosas() -> None:
    ours = audio.mel_filters(40, 44_100, 512, scale="slaney", normalise=True)
    theirs = librosa.filters.mel(sr=44_100, n_fft=512, n_mels=40, dtype=np.float64)
    assert np.abs(ours.numpy() - theirs).max() < 1e-12
    for scale in ("htk", "slaney"):
        hz = torch.tensor([0.0, 20.0, 999.0, 1000.0, 4321.0, 22_050.0], dtype=torch.float64)
        assert torch.allclose(audio.mel_to_hz(audio.hz_to_mel(hz, scale), scale), hz)  # type: ignore[arg-type]


def test_one_band_is_one_triangle_over_all_of_the_spectrum() -> None:
    (gain_G,) = audio.mel_filters(1, 1000, 64)
    hz_G = torch.arange(33).double() * 1000 / 64
    peak = 700 * (math.sqrt(1 + 500 / 700) - 1)
    assert torch.allclose(gain_G, torch.minimum(hz_G / peak, (500 - hz_G) / (500 - peak)))


def test_log_mel_in_parts_silence_and_gradient() -> None:
    wave = noise(40, 8000)
    mel = LogMel()
    alone = torch.cat([mel(wave[i : i + 1]) for i in range(40)])
    assert torch.allclose(mel(wave), alone, atol=1e-4)
    assert torch.allclose(mel(torch.zeros(1, 8000)), torch.full((1, 64, 50), mel.silence))
    leaf = wave[:2].clone().requires_grad_()
    mel(leaf).sum().backward()
    assert leaf.grad is not None and bool(leaf.grad.isfinite().all())
    assert not mel.state_dict()


def test_log_mel_keeps_full_precision_under_autocast() -> None:
    wave, mel = noise(2, 8000), LogMel()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(mel(wave), mel(wave.clone()))
        mixed = mel(wave)
    assert mixed.dtype == torch.float32 and torch.equal(mixed, mel(wave))


@pytest.mark.parametrize(("n_fft", "hop", "samples"), [(512, 128, 16_000), (256, 128, 8001), (64, 16, 100)])
def test_stft_and_back(n_fft: int, hop: int, samples: int) -> None:
    wave = noise(3, samples)
    spectrum = audio.stft(wave, n_fft, hop)
    assert spectrum.shape == (3, n_fft // 2 + 1, samples // hop + 1)
    assert float((audio.istft(spectrum, hop, samples) - wave).abs().max()) < 1e-4


def test_masks_of_the_spectrum_add_up() -> None:
    wave = noise(1, 4000)
    spectrum = audio.stft(wave, 256, 64)
    mask = torch.rand(spectrum.shape)
    parts = audio.istft(spectrum * mask, 64, 4000) + audio.istft(spectrum * (1 - mask), 64, 4000)
    assert torch.allclose(parts, wave, atol=1e-5)


def test_resample_keeps_a_tone() -> None:
    tone = torch.sin(2 * math.pi * 440 * torch.arange(44_100) / 44_100)[None]
    short = audio.resample(tone, 44_100, 16_000)
    assert short.shape == (1, 16_000)
    expected = torch.sin(2 * math.pi * 440 * torch.arange(16_000) / 16_000)
    assert float((short[0] - expected)[200:-200].abs().max()) < 1e-2
    assert audio.resample(tone, 8000, 8000) is tone


@pytest.mark.parametrize("rate", [44_100, 44_099])
def test_resampling_goes_along_the_last_axis_alone(rate: int) -> None:
    wave = noise(6, 900).view(2, 3, 900)
    short = audio.resample(wave, rate, 16_000)
    assert short.shape == (2, 3, math.ceil(900 * 16_000 / rate))
    assert torch.allclose(short[1, 2], audio.resample(wave[1, 2], rate, 16_000), atol=1e-6)


def test_compander() -> None:
    wave = torch.linspace(-1, 1, 201, dtype=torch.float64)
    out = audio.compand(wave)
    assert out[0] == -1 and out[-1] == 1 and float(audio.compand(torch.zeros(1))) == 0
    assert torch.equal(out, -audio.compand(-wave)) and bool((out.diff() > 0).all())
    assert torch.allclose(audio.expand(out), wave)


def test_mfcc_and_crossings_equal_librosas() -> None:
    wave = noise(2, 22_050)
    theirs = librosa.feature.mfcc(y=wave.numpy(), sr=44_100, n_mfcc=13, n_fft=512, hop_length=512, n_mels=40)
    assert np.abs(audio.mfcc(wave, 44_100).numpy() - theirs[:, 1:]).max() < 1e-3
    assert np.abs(audio.mfcc(wave, 44_100, first=0).numpy() - theirs).max() < 1e-3
    crossings = audio.zero_crossing_rate(wave)
    other = librosa.feature.zero_crossing_rate(wave.numpy(), frame_length=512, hop_length=512)[:, 0]
    assert np.abs(crossings.numpy() - other).max() < 1e-6
    assert crossings[0].tolist() == pytest.approx(reference.zero_crossing_rate(wave[0].numpy(), 512, 512))


def test_padding_takes_the_value_of_silence() -> None:
    mel = LogMel()
    whole = mel(torch.cat([noise(1, 8000), torch.zeros(1, 8000)], 1))
    padded = audio.pad_frames(mel(noise(1, 8000)), 100, mel.silence)
    assert torch.equal(padded[..., 52:], whole[..., 52:]) and padded.shape == whole.shape
    assert audio.pad_frames(whole, 30, 0.0).shape[-1] == 30


def test_standardise() -> None:
    train = (
        torch.randn(50, 3, 7, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 5.0, 0.0])[:, None] + 4
    )
    scaler = audio.Standardise(3).fit(train)
    out = scaler(train)
    assert torch.allclose(out.mean((0, 2)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(out.std((0, 2), correction=0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-5)
    halved = audio.Standardise(3, (slice(0, 2),)).fit(train)(train)
    assert torch.allclose(halved[:, :2] * math.sqrt(2), out[:, :2], atol=1e-5)
    restored = audio.Standardise(3)
    restored.load_state_dict(scaler.state_dict())
    assert torch.equal(restored(train), out)
    with pytest.raises(ValueError, match="fitted"):
        audio.Standardise(3)(train)


RATE = 20_000


def statistics(wave: Tensor, **settings: bool) -> dict[str, Tensor]:
    found = audio.texture_statistics(audio.cochleagram(wave, RATE), **settings)
    return {name: found[0, where] for name, where in audio.texture_groups().items()}


def test_cochlear_filters() -> None:
    centre = audio.erb_centres(32, 20, 10_000)
    assert centre[:4].tolist() == pytest.approx([20.0, 51.7, 87.4, 127.7], abs=0.05)
    assert centre[-3:].tolist() == pytest.approx([7819.5, 8844.5, 10_000], abs=0.05)
    gain = audio.cochlear_filters(20_000, RATE)
    assert gain.shape == (32, 10_001)
    assert float((gain.square().sum(0) - 1).abs().max()) < 1e-12
    wave = noise(20_000).double()
    bands = torch.fft.irfft(torch.fft.rfft(wave) * gain.square(), n=20_000)
    assert torch.allclose(bands.sum(0), wave, atol=1e-12)


@pytest.mark.parametrize(("rate", "highest"), [(44_100, 10_000), (16_000, 8000)])
def test_cochlear_bands_end_at_ten_kilohertz_or_half_the_rate(rate: int, highest: int) -> None:
    wave = noise(1, rate // 4)
    assert torch.equal(audio.cochleagram(wave, rate, 8), audio.cochleagram(wave, rate, 8, fmax=highest))


def test_texture_statistics_are_502_numbers() -> None:
    found = audio.texture_statistics(audio.cochleagram(noise(2, 20_000), RATE))
    assert found.shape == (2, 502) and bool(found.isfinite().all())
    small = audio.cochleagram(noise(1, 32_000), 16_000, bands=16, envelope_rate=200)
    assert audio.texture_statistics(small, 200, 6, (1, 50)).shape == (1, 206)
    assert {n: s.stop - s.start for n, s in audio.texture_groups().items()} == {
        "mean": 32,
        "variation": 32,
        "correlation": 117,
        "modulation": 320,
        "loudness": 1,
    }


def test_texture_statistics_of_a_louder_sound() -> None:
    wave = noise(1, 20_000).double()
    plain, loud = statistics(wave, divide=False), statistics(3 * wave, divide=False)
    for name in ("mean", "loudness"):
        assert torch.allclose(loud[name], plain[name] * 3**0.3)
    for name in ("variation", "correlation", "modulation"):
        assert torch.allclose(loud[name], plain[name], atol=1e-6)


@pytest.mark.parametrize("gain", [1e-4, 100.0])
def test_divided_texture_statistics_change_in_their_loudness_alone(gain: float) -> None:
    wave = noise(1, 20_000).double()
    plain, other = statistics(wave), statistics(gain * wave)
    assert torch.allclose(other["loudness"], plain["loudness"] * gain**0.3)
    assert all(torch.allclose(other[name], plain[name], atol=1e-6) for name in plain.keys() - {"loudness"})


def test_texture_statistics_ignore_when() -> None:
    wave = noise(1, 20_000).double()
    plain = audio.texture_statistics(audio.cochleagram(wave, RATE))
    shifted = audio.texture_statistics(audio.cochleagram(wave.roll(50 * 7, 1), RATE))
    reversed_in_circle = audio.texture_statistics(audio.cochleagram(wave.flip(1).roll(1, 1), RATE))
    assert torch.allclose(shifted, plain, atol=1e-9) and torch.allclose(reversed_in_circle, plain, atol=1e-9)
    assert float((audio.texture_statistics(audio.cochleagram(wave.flip(1), RATE)) - plain).abs().max()) < 1e-3


def test_texture_statistics_of_tones_and_silence() -> None:
    time = torch.arange(80_000, dtype=torch.float64) / RATE
    centre = float(audio.erb_centres(32, 20, 10_000)[15])
    steady = statistics(torch.sin(2 * math.pi * round(centre * 4) / 4 * time)[None])
    assert float(steady["variation"][15]) < 1e-3
    beating = (1 + torch.sin(2 * math.pi * 7.2 * time)) * torch.sin(2 * math.pi * centre * time)
    modulation = statistics(beating[None])["modulation"].view(10, 32)
    assert int(modulation[:, 15].argmax()) == 4
    assert all(bool(part.isfinite().all()) for part in statistics(torch.zeros(1, 20_000)).values())


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: LogMel(rate=0), ValueError, "rate must be a positive number of Hz"),
        (lambda: LogMel(window=600), ValueError, "window <= n_fft"),
        (lambda: LogMel(floor=0.0), ValueError, "floor must be positive"),
        (lambda: LogMel(bands=0), ValueError, "bands must be at least 1, not 0"),
        (lambda: LogMel(fmax=9000), ValueError, "8000 Hz"),
        (lambda: LogMel()(torch.zeros(16_000)), ValueError, "LogMel needs wave_BS"),
        (lambda: LogMel()(torch.zeros(0, 16_000)), ValueError, "at least one clip"),
        (lambda: LogMel()(torch.zeros(1, 200)), ValueError, "at least 257 samples"),
        (lambda: LogMel()(torch.zeros(1, 1000, dtype=torch.int16)), TypeError, "wave_BS must be a floating-point"),
        (
            lambda: LogMel()(torch.tensor([[0.0] * 999, [NAN] + [0.0] * 998])),
            ValueError,
            "wave_BS holds 1 NaN.*rows .1.",
        ),
        (lambda: audio.check_wave(torch.tensor([INF, -INF]), "clip 7"), ValueError, "clip 7 holds 2 NaN or infinite"),
        (lambda: audio.check_wave(torch.zeros(0)), ValueError, "has no samples"),
        (lambda: audio.resample(torch.zeros(1, 9), 0, 16_000), ValueError, "from_rate must be"),
        (lambda: audio.resample(torch.zeros(1, 9), 16_000, 0), ValueError, "to_rate must be"),
        (lambda: audio.stft(torch.zeros(1, 100), 512, 128), ValueError, "more than 256 samples"),
        (lambda: audio.stft(torch.zeros(1, 1000), 512, 400), ValueError, "can be inverted"),
        (lambda: audio.stft(torch.zeros(1, 1000), 511, 128), ValueError, "even n_fft.*not 511"),
        (lambda: audio.istft(torch.zeros(1, 257, 3)), ValueError, "complex spectrum_BFL"),
        (lambda: audio.mfcc(torch.zeros(1, 1000), 0), ValueError, "rate must be"),
        (lambda: audio.mfcc(torch.zeros(1, 1000), 8000, last=40), ValueError, "last < bands"),
        (lambda: audio.cochleagram(torch.zeros(1, 4), 20_000), ValueError, "cannot make 0 frames"),
        (lambda: audio.cochlear_filters(100, 8000), ValueError, "at a rate of 8000 Hz"),
        (lambda: audio.texture_statistics(torch.zeros(1, 32, 9), 100), ValueError, "end at 50 Hz"),
        (lambda: audio.texture_statistics(torch.zeros(1, 32, 9), 100, 3, (0, 5)), ValueError, r"\(0, 5\) Hz must rise"),
        (lambda: audio.hz_to_mel(torch.ones(1), "bark"), ValueError, "htk, slaney"),  # type: ignore[arg-type]
        (lambda: audio.Standardise(2).fit(torch.full((3, 2), NAN)), ValueError, "NaN"),
    ],
)
def test_bad_input_is_named(call: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_a_huge_finite_wave_is_not_taken_for_infinite() -> None:
    wave = torch.full((1, 1000), 3e38)
    assert audio.check_wave(wave) is wave
