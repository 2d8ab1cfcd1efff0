"""Notes of a SoundFont 2 file: its recordings, tuned, looped and shaped as the file says (its specification, 2.01)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy import fft, signal

from avlib.types import SAMPLE_RATE

# generators of the specification, §8.1.2, that are followed here
_START, _END, _LOOP_START, _LOOP_END = (0, 4), (1, 12), (2, 45), (3, 50)
_CUTOFF, _CUTOFF_ENVELOPE = 8, 11
_DELAY, _ATTACK, _HOLD, _DECAY, _SUSTAIN = 33, 34, 35, 36, 37
_INSTRUMENT, _KEYS, _VELOCITIES, _QUIETER, _COARSE, _FINE, _SAMPLE, _MODE, _SCALE, _ROOT = (
    41,
    43,
    44,
    48,
    51,
    52,
    53,
    54,
    56,
    58,
)
_ABSENT = {_CUTOFF: 13_500, _DELAY: -12_000, _ATTACK: -12_000, _HOLD: -12_000, _DECAY: -12_000, _SCALE: 100, _ROOT: -1}
_NOT_ADDED = {_KEYS, _VELOCITIES, _SAMPLE, _MODE, _ROOT, _INSTRUMENT, *_START, *_END, *_LOOP_START, *_LOOP_END}

_HEADER = np.dtype([("name", "S20"), ("preset", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("rest", "<u4", 3)])
_INST = np.dtype([("name", "S20"), ("bag", "<u2")])
_BAG = np.dtype([("gen", "<u2"), ("mod", "<u2")])
_GEN = np.dtype([("oper", "<u2"), ("amount", "<i2")])
_SHDR = np.dtype(
    [("name", "S20"), ("start", "<u4"), ("end", "<u4"), ("loop_start", "<u4"), ("loop_end", "<u4"), ("rate", "<u4"),
     ("pitch", "u1"), ("correction", "i1"), ("link", "<u2"), ("type", "<u2")]
)  # fmt: skip


@dataclass(frozen=True)
class Zone:
    """One recording of a program and the keys that it serves.

    Attributes:
        wave_S: float, −1…1, at ``rate`` Hz.
        name: of the recording.
        keys: MIDI numbers.
        root: the key at which it sounds as recorded, in semitones; ``scale`` semitones a key away from it.
        loop: first sample of the part that is repeated, and the one after its end, or None.
        envelope: delay, attack, hold, decay to −100 dB (s), and the level that the decay stops at (dB below full).
        cutoff: of the low-pass for the softest and the hardest touch, Hz.
        gain: factor.
    """

    wave_S: np.ndarray
    name: str
    rate: float
    keys: range
    root: float
    scale: float
    loop: tuple[int, int] | None
    envelope: tuple[float, float, float, float, float]
    cutoff: tuple[float, float]
    gain: float


def _chunks(data: bytes, start: int, end: int) -> dict[str, slice]:
    """Where the chunks of a RIFF list lie."""
    found: dict[str, slice] = {}
    while start + 8 <= end:
        size = int.from_bytes(data[start + 4 : start + 8], "little")
        name = data[start : start + 4].decode("latin1")
        if name == "LIST":
            found |= _chunks(data, start + 12, start + 8 + size)
        found[name] = slice(start + 8, start + 8 + size)
        start += 8 + size + size % 2
    return found


class SoundFont:
    """A .sf2 file.

    Raises:
        ValueError: not a SoundFont.
    """

    def __init__(self, path: Path | str):
        data = Path(path).read_bytes()
        if data[:4] != b"RIFF" or data[8:12] != b"sfbk":
            raise ValueError(f"{path} is not a SoundFont 2 file")
        parts = _chunks(data, 12, len(data))
        tables = {"phdr": _HEADER, "pbag": _BAG, "pgen": _GEN, "inst": _INST, "ibag": _BAG, "igen": _GEN, "shdr": _SHDR}
        self._table = {name: np.frombuffer(data[parts[name]], kind) for name, kind in tables.items()}
        self._wave_S = np.frombuffer(data[parts["smpl"]], "<i2")

    def programs(self) -> dict[tuple[int, int], str]:
        """Name of each (bank, program)."""
        rows = self._table["phdr"][:-1]
        return {(int(r["bank"]), int(r["preset"])): r["name"].split(b"\0")[0].decode("latin1") for r in rows}

    def zones(self, bank: int, program: int) -> tuple[Zone, ...]:
        """All recordings of a program.

        Raises:
            ValueError: there is no such program.
        """
        header = self._table["phdr"]
        rows = [n for n in range(len(header) - 1) if (header[n]["bank"], header[n]["preset"]) == (bank, program)]
        if not rows:
            raise ValueError(f"the soundfont has no program {program} in bank {bank}")
        made = []
        for preset in self._bags("p", rows[0], _INSTRUMENT):
            for part in self._bags("i", preset[_INSTRUMENT], _SAMPLE):
                made.append(self._zone(preset, part))
        return tuple(zone for zone in made if len(zone.keys))

    def _bags(self, kind: str, row: int, link: int) -> list[dict[int, int]]:
        """Generators of the zones of a preset or an instrument, those of its global zone included."""
        header, bag, gen = (
            self._table[name] for name in ("phdr" if kind == "p" else "inst", f"{kind}bag", f"{kind}gen")
        )
        zones = []
        for n in range(int(header[row]["bag"]), int(header[row + 1]["bag"])):
            part = gen[int(bag[n]["gen"]) : int(bag[n + 1]["gen"])]
            zones.append({int(g["oper"]): int(g["amount"]) for g in part})
        common = zones[0] if zones and link not in zones[0] else {}
        return [common | zone for zone in zones if link in zone]

    def _zone(self, preset: dict[int, int], part: dict[int, int]) -> Zone:
        def value(number: int) -> int:
            own = part.get(number, _ABSENT.get(number, 0))
            return own if number in _NOT_ADDED else own + preset.get(number, 0)

        def offset(pair: tuple[int, int]) -> int:
            return value(pair[0]) + 32_768 * value(pair[1])

        def seconds(number: int) -> float:
            return 0.0 if value(number) <= -12_000 else 2 ** (value(number) / 1200)

        head = self._table["shdr"][part[_SAMPLE]]
        start, end = int(head["start"]) + offset(_START), int(head["end"]) + offset(_END)
        loop = int(head["loop_start"]) + offset(_LOOP_START) - start, int(head["loop_end"]) + offset(_LOOP_END) - start
        looped = value(_MODE) & 1 and 0 <= loop[0] < loop[1] <= end - start
        low, high = max(_span(preset)[0], _span(part)[0]), min(_span(preset)[1], _span(part)[1])
        pitch = value(_ROOT) if value(_ROOT) >= 0 else int(head["pitch"])
        tune = value(_COARSE) + (value(_FINE) + int(head["correction"])) / 100
        envelope = (seconds(_DELAY), seconds(_ATTACK), seconds(_HOLD), seconds(_DECAY), max(0, value(_SUSTAIN)) / 10)
        return Zone(
            wave_S=self._wave_S[start:end].astype(np.float64) / 32_768,
            name=head["name"].split(b"\0")[0].decode("latin1"), rate=float(head["rate"]), keys=range(low, high + 1),
            root=pitch - tune / (value(_SCALE) / 100 or 1), scale=value(_SCALE) / 100,
            loop=loop if looped else None, envelope=envelope,
            cutoff=(_hertz(value(_CUTOFF)), _hertz(value(_CUTOFF) + value(_CUTOFF_ENVELOPE))),
            gain=10 ** (-max(0, value(_QUIETER)) / 200),
        )  # fmt: skip


def _hertz(cents: int) -> float:
    return 8.176 * 2 ** (cents / 1200)


def _span(zone: dict[int, int]) -> tuple[int, int]:
    keys = zone.get(_KEYS, 127 << 8) & 0xFFFF
    return keys & 0xFF, keys >> 8


@lru_cache(maxsize=1)
def general_midi() -> SoundFont:
    """The font that ``pretty_midi`` brings, found without importing that package."""
    spec = find_spec("pretty_midi")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the sounds of the default pack come with pretty_midi, which is not installed")
    return SoundFont(Path(spec.origin).parent / "TimGM6mb.sf2")


def play(zone: Zone, key: float, seconds: float, touch: float = 1.0) -> np.ndarray:
    """The zone's recording at ``key``, (S,) at `SAMPLE_RATE`: for ``seconds``, or until one without a loop ends.

    Args:
        key: MIDI number; it may lie between two keys.
        touch: 0 soft and dull, 1 hard and bright, where the font makes a difference.
    """
    ratio = 2 ** ((key - zone.root) * zone.scale / 12) * zone.rate / SAMPLE_RATE
    wanted = round(seconds * SAMPLE_RATE)
    wave = _unrolled(zone, int(np.ceil((wanted + SAMPLE_RATE // 20) * ratio)))
    lead = 64  # zeros before the note keep the band-limited interpolation from wrapping its end into its start
    size, resampled = _quick_sizes(len(wave) + 2 * lead, ratio)
    padded = np.concatenate([np.zeros(lead), wave, np.zeros(size - len(wave) - lead)])
    made = signal.resample(padded, resampled)
    made = made[round(lead / ratio) :][: min(wanted, round(len(wave) / ratio))]
    cutoff = zone.cutoff[0] * (zone.cutoff[1] / zone.cutoff[0]) ** touch
    if cutoff < 0.45 * SAMPLE_RATE:
        made = signal.sosfilt(_lowpass(round(6 * np.log2(cutoff))), made)
    return made * _envelope(zone, len(made)) * zone.gain


@cache
def _lowpass(sixths: int) -> np.ndarray:
    """A second-order low-pass at 2^(sixths / 6) Hz."""
    return signal.butter(2, 2 ** (sixths / 6), fs=SAMPLE_RATE, output="sos")


def _quick_sizes(least: int, ratio: float) -> tuple[int, int]:
    """Lengths before and after resampling whose Fourier transforms are quick, a few cents off ``ratio`` at most."""
    after, pairs = max(32, int(np.ceil(least / ratio))), []
    for _ in range(48):
        after = fft.next_fast_len(after)
        before = fft.next_fast_len(int(np.ceil(after * ratio)))
        pairs.append((abs(before / after / ratio - 1), before, after))
        after += 1
    return min(pairs)[1:]


def _unrolled(zone: Zone, count: int) -> np.ndarray:
    """The first ``count`` samples, with the loop repeated as often as it takes."""
    if zone.loop is None:
        return zone.wave_S[:count]
    start, end = zone.loop
    index = np.arange(count)
    over = index >= end
    index[over] = start + (index[over] - start) % (end - start)
    return zone.wave_S[index]


def _envelope(zone: Zone, count: int) -> np.ndarray:
    """Gain of each sample while the key is held: linear attack, hold, then a fall of 100 dB a decay time (§9.5)."""
    delay, attack, hold, decay, floor = zone.envelope
    t = np.arange(count) / SAMPLE_RATE - delay
    fall = np.clip((t - attack - hold) * 100 / max(decay, 1e-3), 0, min(floor, 100))
    rise = np.clip(t / max(attack, 1e-3), 0, 1)
    return rise * 10 ** (-fall / 20)
