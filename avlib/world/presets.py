"""Named scene distributions: every dial of the world, and the settings the chapters use."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from avlib.errors import unknown


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
        zipf: class k is drawn with weight 1/(k+1)**zipf; 0 draws evenly.
        twins: may two things be of the same class?
        video: frames over time, or one picture?
        motion: how strongly a thing moves with its own loudness, 0…1.
        mime: do silent things move as if they played a phrase that nobody hears?
        drift: how far things wander whatever they sound like, fraction of the frame.
        shift: the sound comes up to this much (s) early or late.
        shift_from: …and at least this much, when ``shift`` is above 0.
        side: side of a thing, fraction of the frame.
        tilt: largest rotation at rest, degrees.
        tempo: notes a second.
        gain: level of a thing, dB about the pack's own level.
        backdrop: probability of a photograph behind the things (a plain colour otherwise).
        light: brightness of the whole picture, a factor.
        ambience: level of the backdrop's own sound below the things, dB; None for none.
        noise: level of white noise below the things, dB; None for none.
        speech: is the sound a voice that names the things, and not the things themselves?
        faces: are the things talking heads?
    """

    about: str = ""
    things: tuple[int, int] = (1, 1)
    sounding: tuple[int, int] = (1, 1)
    offscreen: float = 0.0
    voiceover: float = 0.0
    classes: int = 0
    zipf: float = 0.0
    twins: bool = False
    video: bool = False
    motion: float = 0.0
    mime: bool = True
    drift: float = 0.0
    shift: float = 0.0
    shift_from: float = 0.0
    side: tuple[float, float] = (0.36, 0.56)
    tilt: float = 15.0
    tempo: tuple[float, float] = (1.5, 4.0)
    gain: tuple[float, float] = (-6.0, 6.0)
    backdrop: float = 1.0
    light: tuple[float, float] = (0.75, 1.05)
    ambience: float | None = None
    noise: float | None = None
    speech: bool = False
    faces: bool = False

    def __post_init__(self) -> None:
        for name in ("things", "sounding", "side", "tempo", "gain", "light"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}={low, high}: the first number must not exceed the second")
        for name in ("offscreen", "voiceover", "backdrop", "motion", "drift"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name}={getattr(self, name)} must lie within 0…1")
        if self.things[0] < 1 or self.things[1] > 4:
            raise ValueError(f"things={self.things}: a scene holds 1 to 4 things")
        if not 0 <= self.sounding[0] or not self.shift_from <= max(self.shift, 0.0) <= 1.0:
            raise ValueError(
                f"sounding={self.sounding}, shift={self.shift_from, self.shift}: out of range (shift ≤ 1 s)"
            )

    def with_dials(self, **dials: object) -> Preset:
        """A copy with some dials turned; an unknown dial is an error that lists the right ones."""
        names = [f.name for f in fields(self)]
        for name in dials:
            if name not in names:
                raise unknown("dial", name, names)
        return replace(self, **dials)  # type: ignore[arg-type]


_DUET = Preset(things=(2, 2), sounding=(2, 2), side=(0.3, 0.44))
_MOVING = Preset(video=True, motion=1.0, drift=0.08)

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
    "faces": Preset(
        "Two heads; one talks, the other moves its mouth to words that nobody hears.",
        things=(2, 2), video=True, motion=1.0, drift=0.03, side=(0.4, 0.48), tilt=6.0, tempo=(0.36, 0.42), faces=True,
    ),
}  # fmt: skip


def named(name: str) -> Preset:
    """The preset of that name; an unknown name is an error that lists the right ones."""
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return PRESETS[name]
