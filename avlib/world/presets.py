"""Named scene distributions: every dial of the world, and the settings the chapters use."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

from avlib.errors import unknown

WHOSE = ("own", "known", "new")
"""Drawings or voices of the split itself, of training, of test."""
_BOUNDS: dict[str, tuple[float, float]] = {
    "offscreen": (0, 1), "voiceover": (0, 1), "classes": (0, math.inf), "class_seed": (0, math.inf),
    "zipf": (0, math.inf), "mute": (0, math.inf), "forms": (0, 1), "hue": (0, 1), "warp": (0, 0.5), "motion": (0, 1),
    "drift": (0, 0.5), "shift": (0, 1), "shift_from": (0, 1), "onset_from": (0, 10), "backdrop": (0, 1),
}  # fmt: skip


@dataclass(frozen=True)
class Preset:
    """The dials of a scene distribution. A pair is a range that is drawn from evenly; a probability is within 0…1.

    Attributes:
        about: what this preset is for, one sentence.
        things: how many things are in the picture.
        sounding: how many of them are heard (never more than are there).
        offscreen: probability that a thing outside the picture is heard as well.
        voiceover: probability that the sound is replaced by that of an unseen thing (the *faulty positive*).
        classes: how many classes of the pack take part, 0 for all (few classes make *faulty negatives* frequent).
        class_seed: in which order classes are counted, by the other dials: 0 for the pack's, else a random one.
        zipf: class k is drawn with weight 1/(k+1)**zipf; 0 draws evenly.
        mute: the last so many classes never sound, wherever they are.
        twins: may two things be of the same class?
        companion: does each thing come with a silent second one, whose class is that which follows its own?
        hands: whose drawings (of things and heads): ``"own"``, those of the split; ``"known"``, those of training;
            ``"new"``, those of test, whatever the recordings' split.
        forms: probability that a thing is shown as a silhouette or an outline, in one colour.
        hue: colours are turned by up to this part of the whole wheel.
        warp: things are stretched by up to ± this (log of width over height) and sheared as much.
        video: frames over time, or one picture?
        motion: how strongly a thing moves with its own loudness, 0…1.
        mime: do silent things move as if they played a phrase that nobody hears?
        drift: how far things wander whatever they sound like, fraction of the frame.
        shift: the sound comes up to this much (s) early or late.
        shift_from: …and at least this much, when ``shift`` is above 0.
        side: side of a thing, fraction of the frame.
        tilt: largest rotation at rest, degrees.
        tempo: notes a second.
        steady: do all notes fall on even beats, at one tempo (the middle of the range), all things together?
        onset_from: phrases are anchored to a note this long (s) before the clip. 0 binds one to its first 0.35 s, by
            which sound alone may tell that it was shifted; from 1 s on nothing is left of that.
        gain: level of a thing, dB about the pack's own level.
        backdrop: probability of a photograph behind the things (a plain colour otherwise).
        light: brightness of the whole picture, a factor.
        ambience: level of the backdrop's own sound below the things, dB; None for none.
        noise: level of white noise below the things, dB; None for none.
        speech: is the sound a voice that names the things, and not the things themselves?
        faces: are the things talking heads?
        voices: who speaks: ``"own"``, ``"known"`` or ``"new"`` voices, as ``hands``.
        captioned: is there a text about the picture, as an input?
    """

    about: str = ""
    things: tuple[int, int] = (1, 1)
    sounding: tuple[int, int] = (1, 1)
    offscreen: float = 0.0
    voiceover: float = 0.0
    classes: int = 0
    class_seed: int = 0
    zipf: float = 0.0
    mute: int = 0
    twins: bool = False
    companion: bool = False
    hands: str = "own"
    forms: float = 0.0
    hue: float = 1.0
    warp: float = 0.0
    video: bool = False
    motion: float = 0.0
    mime: bool = True
    drift: float = 0.0
    shift: float = 0.0
    shift_from: float = 0.0
    side: tuple[float, float] = (0.36, 0.56)
    tilt: float = 15.0
    tempo: tuple[float, float] = (1.5, 4.0)
    steady: bool = False
    onset_from: float = 0.0
    gain: tuple[float, float] = (-6.0, 6.0)
    backdrop: float = 1.0
    light: tuple[float, float] = (0.75, 1.05)
    ambience: float | None = None
    noise: float | None = None
    speech: bool = False
    faces: bool = False
    voices: str = "own"
    captioned: bool = False

    def __post_init__(self) -> None:
        for name in ("things", "sounding", "side", "tempo", "gain", "light"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}={low, high}: the first number must not exceed the second")
        for name, (low, high) in _BOUNDS.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}={getattr(self, name)} must lie within {low:g}…{high:g}")
        for name in ("hands", "voices"):
            if getattr(self, name) not in WHOSE:
                raise unknown(name, getattr(self, name), WHOSE)
        if self.things[0] < 1 or self.slots > 4:
            raise ValueError(f"things={self.things}: a scene holds 1 to 4 things{', companions too' * self.companion}")
        if self.tempo[0] <= 0:
            raise ValueError(f"tempo={self.tempo}: notes a second are above 0")
        if self.sounding[0] < 0:
            raise ValueError(f"sounding={self.sounding}: no fewer than 0 things can be heard")
        if self.shift_from > self.shift:
            raise ValueError(f"shift_from={self.shift_from} must not exceed shift={self.shift}")
        if self.faces and self.companion:
            raise ValueError("companion=True: talking heads have no companion, they are all of one class")

    @property
    def slots(self) -> int:
        """The most things that a scene of this kind shows, companions among them."""
        return self.things[1] * (2 if self.companion else 1)

    def with_dials(self, **dials: object) -> Preset:
        """A copy with some dials turned; an unknown dial is an error that lists the right ones."""
        names = [f.name for f in fields(self)]
        for name in dials:
            if name not in names:
                raise unknown("dial", name, names)
        return replace(self, **dials)  # type: ignore[arg-type]


_DUET = Preset(things=(2, 2), sounding=(2, 2), side=(0.3, 0.44))
_MOVING = Preset(video=True, motion=1.0, drift=0.08)
_HEADS = Preset(
    things=(2, 2),
    video=True,
    motion=1.0,
    drift=0.1,
    side=(0.36, 0.44),
    tilt=6.0,
    tempo=(0.36, 0.42),
    faces=True,
)

PRESETS: dict[str, Preset] = {
    "solo": Preset("One thing, in the picture and in the sound."),
    "silent": Preset("One thing sounds; up to two others only stand there.", things=(2, 3), side=(0.28, 0.42)),
    "duet": _DUET.with_dials(about="Two things, both heard."),
    "cocktail": _DUET.with_dials(
        about="A cocktail party: four things, two of them silent, and sometimes a sound from outside the picture.",
        things=(4, 4), offscreen=0.3, side=(0.26, 0.4),
    ),
    "offscreen": Preset("One thing sounds, and half of the time something unseen does too.", offscreen=0.5),
    "voiceover": Preset("Half of the clips were dubbed: their sound belongs to something else.", voiceover=0.5),
    "zipf": Preset("A few classes are everywhere, most are rare.", zipf=1.2),
    "static": Preset("A video in which nothing moves: only its sound changes.", video=True),
    "moving": _MOVING.with_dials(about="A thing that moves as it sounds, and wanders a little besides."),
    "sync": _MOVING.with_dials(
        about="Sound that comes early or late against the picture, beside a silent thing that moves just as much.",
        things=(2, 2), side=(0.3, 0.44), motion=0.7, drift=0.15, shift=0.8, shift_from=0.35, noise=-20.0,
    ),
    "twins": _MOVING.with_dials(
        about="Two things of one class; only the motion tells which is heard.",
        things=(2, 2), side=(0.3, 0.44), twins=True,
    ),
    "ambient": Preset("Each place has a sound of its own behind the thing.", ambience=-8.0),
    "noisy": Preset("The thing is heard through noise.", noise=-3.0),
    "speech": Preset(
        "A voice names what is in the picture.", things=(1, 2), sounding=(0, 0), side=(0.3, 0.46), speech=True,
    ),
    "faces": _HEADS.with_dials(
        about="Two heads; one talks, the other moves its mouth to words that nobody hears.",
    ),
    "crossing": _HEADS.with_dials(
        about="Two heads that pass in front of each other while one of them talks.", drift=0.28, side=(0.3, 0.38),
    ),
}  # fmt: skip


def named(name: str) -> Preset:
    """The preset of that name; an unknown name is an error that lists the right ones."""
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return PRESETS[name]
