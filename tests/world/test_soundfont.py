"""The soundfont's notes: pitch, loops, envelopes, and what is wrong with a file."""

import numpy as np
import pytest

from avlib.types import SAMPLE_RATE
from avlib.world import orchestra, sounds
from avlib.world.soundfont import SoundFont, Zone, general_midi, play


def strongest(wave: np.ndarray) -> float:
    """Frequency of the strongest partial, Hz."""
    size = 1 << 18
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), size))
    return float(spectrum.argmax() * SAMPLE_RATE / size)


def tone(rate: float = 44_100.0, hertz: float = 441.0, **changes: object) -> Zone:
    """A recorded sine at A4 (nearly), which may be looped without a seam."""
    wave = np.sin(2 * np.pi * hertz * np.arange(4000) / rate)
    fields = {"wave_S": wave, "name": "sine", "rate": rate, "keys": range(128), "root": 69.0, "scale": 1.0, "gain": 1.0}
    fields |= {"loop": (1000, 2000), "envelope": (0.0, 0.0, 0.0, 0.0, 0.0), "cutoff": (20_000.0, 20_000.0)}
    return Zone(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("key", [45, 57.5, 69, 81, 93])
def test_a_note_has_the_pitch_of_its_key(key: float) -> None:
    wave = play(tone(), key, 0.8)
    assert strongest(wave) == pytest.approx(441 * 2 ** ((key - 69) / 12), rel=2e-3)
    assert len(wave) == round(0.8 * SAMPLE_RATE)


def test_the_font_is_in_tune() -> None:
    for key in (60, 69, 81):
        (zone,) = (z for z in general_midi().zones(0, 73) if key in z.keys)
        ratio = strongest(play(zone, key, 0.8)) / (440 * 2 ** ((key - 69) / 12))
        assert ratio == pytest.approx(max(1, round(ratio)), rel=0.02)


def test_partials_beyond_the_band_do_not_fold_back() -> None:
    loud = play(tone(hertz=9000.0, loop=None), 69, 0.08)
    assert np.abs(loud[200:-200]).max() < 0.02


def test_a_recording_without_a_loop_ends_by_itself() -> None:
    assert len(play(tone(loop=None), 69, 2.0)) == pytest.approx(4000 / 44_100 * SAMPLE_RATE, abs=2)
    assert len(play(tone(), 69, 2.0)) == 2 * SAMPLE_RATE


def test_an_effect_may_follow_the_keys_less_than_a_semitone_a_key() -> None:
    (zone,) = general_midi().zones(0, 125)
    assert zone.scale == pytest.approx(0.1) and zone.loop is not None


def test_the_envelope_rises_holds_and_falls_100_decibels_a_decay_time() -> None:
    flat = tone(wave_S=np.ones(4000), loop=(1000, 3000), envelope=(0.1, 0.1, 0.2, 2.0, 20.0))
    wave = play(flat, 69, 1.4)
    assert np.abs(wave[: round(0.1 * SAMPLE_RATE)]).max() == 0
    assert wave[round(0.15 * SAMPLE_RATE)] == pytest.approx(0.5, abs=0.02)
    assert wave[round(0.3 * SAMPLE_RATE)] == pytest.approx(1.0, abs=0.02)
    assert wave[round(0.6 * SAMPLE_RATE)] == pytest.approx(10 ** (-10 / 20), abs=0.02)
    assert wave[round(1.2 * SAMPLE_RATE)] == pytest.approx(0.1, abs=0.01)  # it stops 20 dB down


def test_a_soft_touch_is_duller() -> None:
    (zone, *_) = (z for z in general_midi().zones(0, 0) if 60 in z.keys)

    def brightness(wave: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(wave)) ** 2
        return float((power * np.arange(len(power))).sum() / power.sum())

    assert brightness(play(zone, 60, 0.5, touch=0.0)) < brightness(play(zone, 60, 0.5, touch=1.0))


def test_a_file_of_another_kind_and_an_unknown_program_are_named(tmp_path) -> None:
    file = tmp_path / "not.sf2"
    file.write_bytes(b"RIFF\0\0\0\0WAVE")
    with pytest.raises(ValueError, match=r"not\.sf2 is not a SoundFont"):
        SoundFont(file)
    with pytest.raises(ValueError, match="no program 500 in bank 0"):
        general_midi().zones(0, 500)


def test_every_thing_of_the_orchestra_is_heard_at_one_level_and_length() -> None:
    for name, thing in orchestra.THINGS.items():
        made = sounds.notes(thing.voice, (3, 1, 2), np.random.default_rng(3))
        assert [split for _, split in made] == [0, 0, 0, 1, 2, 2]
        for wave, _ in made:
            assert np.isfinite(wave).all() and 0.03 * SAMPLE_RATE < len(wave) <= 0.81 * SAMPLE_RATE, name
            loud = np.abs(wave) > 0.05 * np.abs(wave).max()
            assert np.sqrt(np.mean(wave[loud] ** 2)) == pytest.approx(0.1, rel=0.01), name


def test_the_splits_of_a_thing_share_no_pitch(monkeypatch) -> None:
    heard: list[float] = []
    monkeypatch.setattr(sounds, "note", lambda voice, key, seconds, generator: heard.append(key) or np.zeros(1))
    for name, thing in orchestra.THINGS.items():
        heard.clear()
        voice = thing.voice
        splits = np.array([split for _, split in sounds.notes(voice, (60, 15, 25), np.random.default_rng(0))])
        step = 1.0 if voice.high - voice.low >= 10 else 0.5
        cells = np.round((np.array(heard) - voice.low) / step)
        sets = [set(cells[splits == split]) for split in range(3)]
        assert all(sets) and not sets[0] & sets[1] and not sets[0] & sets[2] and not sets[1] & sets[2], name
