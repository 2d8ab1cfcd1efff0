"""What is said about a scene: a small grammar, its sentences written and spoken, and the talk of heads.

A sentence is a row of chunks ("here is", "a red", "trumpet", "before", "the temple"); each voice of a pack has recorded
each chunk, so that what is spoken is what is written, and every word's time is known. A sentence tells only what is
seen, never what is heard. Beside the names of things, colours and places it holds content words that name nothing
visible: whoever finds the words of the visible things must not find these.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from avlib.text import Vocabulary, split
from avlib.types import SAMPLE_RATE, Word
from avlib.world import speech
from avlib.world.colours import NAMES as COLOURS
from avlib.world.packs import Pack, SoundBank, bank, level

CONTROLS = (
    "Tuesday", "memory", "promise", "tomorrow", "opinion", "ability", "truth", "hope", "decision", "chance",
)  # fmt: skip
"""Nouns that name nothing visible, about as long as the names of things."""
PERSON = "person"
"""What a sentence calls a talking head: the class after the last one of the pack."""
_THINGS, _PLACE, _CONTROL = "{things}", "{place}", "{control}"
_SLOT = {_THINGS: -1, _PLACE: -2, _CONTROL: -3}
PATTERNS = (
    ("here is", _THINGS, "before", _PLACE),
    ("in front of", _PLACE, "there is", _THINGS),
    (_PLACE, "is behind", _THINGS),
    (_CONTROL, "brings us", _THINGS),
    ("thanks to", _CONTROL, "we see", _THINGS),
    ("instead of", _CONTROL, "here is", _THINGS),
    ("there is", _THINGS, "and", _CONTROL),
    ("we see", _THINGS, "despite", _CONTROL),
)
JOINS = ("and", "with", "beside")
"""What may stand between two things."""
PLAIN = "a plain wall"
"""What a sentence calls a backdrop without a photograph."""
COLOURED = 0.4
"""How often the colour of a thing is told, where it has one."""
GAP = (0.0, 0.04)
"""Silence between two chunks, s."""
PAUSE = (0.2, 0.5)
"""Silence between two sentences of a talking head, s."""
_WITHOUT = ("maracas", "wind", "laundry")
"""Names that take no article, though they look as if they did."""
_log = logging.getLogger(__name__)
Draw = Callable[..., Tensor]
"""``draw(name, *shape)``: uniform numbers in [0, 1) that depend on the clip and the name alone, (B, *shape)."""


# ------------------------------------------------------------------------------------------------------- the grammar


def readable(name: str) -> str:
    """The name of a class as it is written and spoken: "acoustic_guitar" is an "acoustic guitar"."""
    return " ".join(re.split(r"[_\s]+", name)).strip() or "thing"


def article(words: str) -> str:
    """ "a" or "an", by the sound that ``words`` begin with."""
    first = words.split()[0]
    if first.isupper() and first[0].isalpha():  # "R&B" is spelled: an ar and bee
        return "an" if first[0] in "AEFHILMNORSX" else "a"
    if re.match(r"(?i)(uni|uku|use|eu|one)|1\d\d", first):
        return "a"
    return "an" if re.match(r"(?i)[aeiou]|hour|honest|heir|8|11$|18$", first) else "a"


def doing(name: str) -> bool:
    """Is it the name of something that one does, as "clapping", and not of a "ring"?"""
    return re.search(r"(?i)[aeiouy]\w*ing$", name) is not None


def countable(name: str) -> bool:
    """Does a thing of that name take an article? Not "clapping", "maracas" or "church bells"."""
    last = name.lower().split()[-1]
    plural = last.endswith("s") and not last.endswith(("ss", "us", "is", "as"))
    return not (plural or doing(last) or last in _WITHOUT)


def with_article(name: str) -> str:
    """How a sentence calls a thing: "a dog", "an acoustic guitar", "maracas"."""
    name = readable(name)
    return f"{article(name)} {name}" if countable(name) else name


def _described(name: str, colour: str | None) -> tuple[str, ...]:
    """The chunks that name a thing; clapping, which is not a thing, has no colour."""
    name = readable(name)
    if colour is None or doing(name):
        return (with_article(name),)
    return (f"{article(colour)} {colour}" if countable(name) else colour, name)


def _function_words() -> list[str]:
    return [part for pattern in PATTERNS for part in pattern if part not in _SLOT] + list(JOINS)


@dataclass(frozen=True)
class Grammar:
    """Every chunk of the sentences about a pack's things and places, and which chunks name what.

    Attributes:
        chunks: all chunks, each once.
        patterns: the chunks of each pattern, with -1 for its things, -2 for the place and -3 for the control word.
        things: for each class, and last for a person, its chunks without a colour, then with each of `COLOURS`.
        places: the chunk of each place, last that of the plain wall.
        controls, joins: the chunk of each.
    """

    chunks: tuple[str, ...]
    patterns: tuple[tuple[int, ...], ...]
    things: tuple[tuple[tuple[int, ...], ...], ...]
    places: tuple[int, ...]
    controls: tuple[int, ...]
    joins: tuple[int, ...]


@lru_cache(maxsize=16)
def grammar(classes: tuple[str, ...], places: tuple[str, ...]) -> Grammar:
    """The grammar of sentences about these classes and places."""
    where = (*(f"the {readable(place)}" for place in places), PLAIN)
    things = [[_described(name, colour) for colour in (None, *COLOURS)] for name in (*classes, PERSON)]
    named = [chunk for forms in things for form in forms for chunk in form]
    chunks = tuple(dict.fromkeys((*_function_words(), *CONTROLS, *where, *named)))
    number = {chunk: n for n, chunk in enumerate(chunks)} | _SLOT
    return Grammar(
        chunks=chunks,
        patterns=tuple(tuple(number[part] for part in pattern) for pattern in PATTERNS),
        things=tuple(tuple(tuple(number[chunk] for chunk in form) for form in forms) for forms in things),
        places=tuple(number[place] for place in where),
        controls=tuple(number[word] for word in CONTROLS),
        joins=tuple(number[word] for word in JOINS),
    )


def vocabulary(pack: Pack) -> Vocabulary:
    """All words of the sentences about a pack.

    >>> from avlib.world import library
    >>> vocabulary(library.load("orchestra")).encode(["here is a trumpet"]).shape
    torch.Size([1, 4])
    """
    return Vocabulary.of(grammar(pack.classes, pack.places).chunks)


def roles(pack: Pack) -> dict[str, str]:
    """What each word of the vocabulary is: ``"thing"``, ``"colour"``, ``"place"``, ``"control"`` or ``"function"``."""
    groups = {
        "function": ["a an the", *_function_words()],
        "thing": [readable(name) for name in (*pack.classes, PERSON)],
        "colour": COLOURS,
        "place": [readable(place) for place in (*pack.places, PLAIN)],
        "control": CONTROLS,
    }
    found: dict[str, str] = {}
    for role, texts in groups.items():
        for text in texts:
            for word in split(text):
                found.setdefault(word, role)
    return found


# ------------------------------------------------------------------------------------------------ sentences, written


def compose(
    draw: Draw, pack: Pack, category_BN: Tensor, visible_BN: Tensor, colour_BN: Tensor, place_B: Tensor, plain_B: Tensor
) -> Tensor:
    """The chunks of one sentence about each scene, int64 (B, E), -1 after its end.

    Args:
        draw: the clip's random numbers; the phrasing is drawn under names of its own.
        category_BN, visible_BN: the things in the picture; all that are visible are named, in their order.
        colour_BN: index into `COLOURS`, -1 where a thing has no one colour.
        place_B, plain_B: the place, and whether a plain wall hides it.
    """
    whole = grammar(pack.classes, pack.places)
    things = category_BN.shape[1]
    where_B = place_B.masked_fill(plain_B, len(whole.places) - 1)
    told_BN = colour_BN.masked_fill(draw("caption colour", things) >= COLOURED, -1)
    join_BN = (draw("caption join", things) * len(JOINS)).long()
    pattern_B = (draw("caption pattern") * len(PATTERNS)).long()
    control_B = (draw("caption control") * len(CONTROLS)).long()
    each = (t.tolist() for t in (category_BN, visible_BN, told_BN, join_BN, where_B, control_B, pattern_B))
    longest = max(map(len, PATTERNS)) - 1 + 3 * things
    rows = []
    for category, visible, told, join, where, control, pattern in zip(*each, strict=True):
        named: list[int] = []
        for n in (n for n in range(things) if visible[n]):
            named += [whole.joins[join[n]]] if named else []
            named += whole.things[category[n]][told[n] + 1]
        parts = {-1: named, -2: [whole.places[where]], -3: [whole.controls[control]]}
        row = [chunk for part in whole.patterns[pattern] for chunk in parts.get(part, [part])]
        rows.append(row + [-1] * (longest - len(row)))
    return torch.tensor(rows)


def captions(chunk_BE: Tensor, pack: Pack) -> tuple[str, ...]:
    """The sentences that :func:`compose` made, as text: small letters, no punctuation, one space between words."""
    chunks = grammar(pack.classes, pack.places).chunks
    return tuple(" ".join(chunks[n] for n in row if n >= 0) for row in chunk_BE.tolist())


# ------------------------------------------------------------------------------------------------- sentences, spoken


@lru_cache(maxsize=4)
def spoken(
    classes: tuple[str, ...], places: tuple[str, ...]
) -> tuple[SoundBank, Tensor, tuple[str, ...], tuple[tuple[Word, ...], ...]]:
    """speech, voice_M, phrases and words: every chunk of the grammar, said by every speaker.

    A chunk that espeak-ng cannot say is silent and has no words; a warning names it. Of "a ★" it would say the "a".
    """
    chunks = grammar(classes, places).chunks
    names = [(name, {name, with_article(name)}) for name in map(readable, classes)]
    names += [(name, {f"the {name}"}) for name in map(readable, places)]
    # the names by themselves come last, where they change nothing of what is said before
    lines = [(chunk, who) for who in speech.SPEAKERS for chunk in chunks]
    spoken = speech.say_all(lines + [(name, speech.SPEAKERS[0]) for name, _ in names])
    said, alone = spoken[: len(lines)], spoken[len(lines) :]
    silent = {chunk for chunk, (_, words) in zip(chunks, said, strict=False) if not words}
    for (_, own), (_, words) in zip(names, alone, strict=True):
        silent |= set() if words else own
    if silent:
        listed = ", ".join(repr(chunk) for chunk in chunks if chunk in silent)
        _log.warning("nothing can be spoken of %s: it stays silent in spoken captions", listed)
    said = [(np.zeros(1), ()) if chunks[n % len(chunks)] in silent else row for n, row in enumerate(said)]
    rows = [
        (level(wave, fade=(0.002, 0.01)), n % len(chunks), speech.SPEAKER_SPLIT[n // len(chunks)])
        for n, (wave, _) in enumerate(said)
    ]
    voice_M = torch.arange(len(speech.SPEAKERS)).repeat_interleave(len(chunks))
    return bank(rows), voice_M, chunks, tuple(words for _, words in said)


def _in_a_row(row_BE: Tensor, pack: Pack, start_B: Tensor, gap_BE: Tensor) -> Tensor:
    """When each recording begins (s) if one follows the other; ``gap_BE`` is the silence after each."""
    length_BE = pack.speech.length_M[row_BE] / SAMPLE_RATE + gap_BE
    return start_B[:, None] + length_BE.cumsum(1) - length_BE


def _rows(chunk_BE: Tensor, row_KV: Tensor, pack: Pack, voice_B: Tensor) -> Tensor:
    """Rows of the speech bank in which each clip's voice says its chunks; 0 where there is none."""
    if pack.phrases != grammar(pack.classes, pack.places).chunks:
        raise ValueError(f"the speech of pack {pack.name!r} is not that of this grammar: build the pack again")
    return row_KV[chunk_BE.clamp(min=0), voice_B[:, None]].masked_fill(chunk_BE < 0, 0)


def speak(draw: Draw, pack: Pack, row_KV: Tensor, chunk_BE: Tensor, slots: int) -> tuple[Tensor, Tensor]:
    """The sentences spoken, each in one voice, by the unseen source: note_BNE and onset_BNE, the last slot filled.

    Args:
        draw: the clip's random numbers.
        pack: whose speech.
        row_KV: the row of the speech bank in which a voice says a chunk.
        chunk_BE: the sentences, from :func:`compose`.
        slots: N, the things and the unseen source.

    Raises:
        ValueError: the pack's speech is not of this grammar.
    """
    clips, events = chunk_BE.shape
    row_BE = _rows(chunk_BE, row_KV, pack, (draw("voice") * row_KV.shape[1]).long())
    gap_BE = GAP[0] + (GAP[1] - GAP[0]) * draw("speech gap", events)
    begin_BE = _in_a_row(row_BE, pack, 0.05 + 0.1 * draw("speech start"), gap_BE)
    note_BNE = torch.zeros(clips, slots, events, dtype=torch.int64)
    onset_BNE = torch.full((clips, slots, events), float("nan"))
    note_BNE[:, -1], onset_BNE[:, -1] = row_BE, begin_BE.masked_fill(chunk_BE < 0, float("nan"))
    return note_BNE, onset_BNE


def talk(draw: Draw, pack: Pack, row_KV: Tensor, slots: int, seconds: float, lead: float) -> tuple[Tensor, Tensor]:
    """Heads that talk all the time, sentence after sentence, each in one voice: note_BNE and onset_BNE.

    Two heads of a clip have two voices, as long as there are so many. They begin ``lead`` to 2 × ``lead`` before the
    clip and go on until ``lead`` after it. What they say has nothing to do with what is seen.

    Args:
        draw, pack, row_KV: as in :func:`speak`.
        slots: N, the heads and the unseen source.
        seconds: length of a clip.
        lead: how long (s) before and after a clip there is talk.
    """
    clips, voices_here = len(draw("voice")), row_KV.shape[1]
    voice_BN = draw("voice", voices_here).argsort(1)[:, torch.arange(slots) % voices_here]
    chunk_RE, ends_RE = _monologues(draw, pack, slots, math.ceil(seconds + 3 * lead) + 1)
    row_RE = _rows(chunk_RE, row_KV, pack, voice_BN.flatten())
    silence = {name: draw(f"talk {name}", slots, chunk_RE.shape[1]).flatten(0, 1) for name in ("gap", "pause")}
    gap_RE, pause_RE = GAP[0] + (GAP[1] - GAP[0]) * silence["gap"], PAUSE[0] + (PAUSE[1] - PAUSE[0]) * silence["pause"]
    start_R = -lead * (1 + draw("talk start", slots).flatten())
    begin_RE = _in_a_row(row_RE, pack, start_R, torch.where(ends_RE, pause_RE, gap_RE))
    begin_RE = begin_RE.masked_fill((chunk_RE < 0) | (begin_RE > seconds + lead), float("nan"))
    return row_RE.view(clips, slots, -1), begin_RE.view(clips, slots, -1)


def _monologues(draw: Draw, pack: Pack, heads: int, sentences: int) -> tuple[Tensor, Tensor]:
    """For each head the chunks of some sentences about anything, and which of them end one: (B × heads, E)."""

    def one(name: str, *shape: int) -> Tensor:
        return draw(f"talk {name}", heads, sentences, *shape).flatten(0, 2)

    thing_B1 = (one("thing", 1) * len(pack.classes)).long()
    colour_B1 = (one("hue", 1) * len(COLOURS)).long()
    place_B = (one("place") * (len(pack.places) + 1)).long()
    yes_B1, no_B = torch.ones_like(thing_B1, dtype=torch.bool), torch.zeros_like(place_B, dtype=torch.bool)
    chunk_BE = compose(one, pack, thing_B1, yes_B1, colour_B1, place_B, no_B)
    ends_BE = (chunk_BE >= 0) & (chunk_BE.roll(-1, 1) < 0)
    chunk_RE, ends_RE = (part_BE.view(-1, sentences * chunk_BE.shape[1]) for part_BE in (chunk_BE, ends_BE))
    order_RE = (chunk_RE < 0).int().argsort(dim=1, stable=True)
    return chunk_RE.gather(1, order_RE), ends_RE.gather(1, order_RE)


def voices(note_BNE: Tensor, onset_BNE: Tensor, pack: Pack) -> Tensor:
    """Whose voice each slot speaks with, int64 (B, N), -1 for a slot that says nothing."""
    there_BNE = ~onset_BNE.isnan()
    first_BN1 = there_BNE.int().argmax(2, keepdim=True)
    voice_BN = pack.voice_M[note_BNE.gather(2, first_BN1).squeeze(2)]
    return voice_BN.masked_fill(~there_BNE.any(2), -1)
