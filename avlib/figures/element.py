"""A piece of page that carries everything it needs: pictures, sounds, style and script in one HTML element."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from avlib import files
from avlib.figures.encode import Strip, name_of

BUDGET = 300_000
"""Bytes that a playable figure should not exceed."""

QUALITIES = (86, 76, 66, 54, 42, 30)
"""JPEG qualities to try, best first, until an element fits its budget."""


@dataclass(frozen=True)
class Element:
    """One playable figure. Shows itself in a notebook; on a page it needs neither a kernel nor a network.

    Attributes:
        html: the whole element.
        alt: what there is to see and hear, in words.
    """

    html: str
    alt: str

    def __len__(self) -> int:
        return len(self.html.encode())

    def __repr__(self) -> str:
        return f"<playable figure: {self.alt}>"

    def _repr_html_(self) -> str:
        return self.html

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": repr(self)}

    def save(self, path: str | Path) -> Path:
        """Write a page that holds only this figure (HTML, UTF-8); returns its path.

        Raises:
            OSError: it cannot be written; the page that stood there is untouched.
        """
        head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{text(self.alt)}</title>'
        view = (
            '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"></head>'
        )
        return files.write(path, f"{head}{view}<body>{self.html}</body></html>\n", "the page")


def text(words: str) -> str:
    """``words`` safe inside HTML text and attributes."""
    return html.escape(str(words), quote=True)


@cache
def static(name: str) -> str:
    """A style sheet or script of this package, without its indentation and line ends."""
    lines = resources.files("avlib.figures").joinpath(name).read_text(encoding="utf-8").split("\n")
    return "\n".join(line.strip() for line in lines if line.strip())


def assemble(kind: str, body: str, alt: str, caption: str, data: str = "") -> Element:
    """Wrap ``body`` with style, script, caption and a name made of its content."""
    said = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    name = name_of(kind, body, said, alt, data)
    script = "(function(){" + static("core.js").replace("@NAME@", name) + "\n" + static(f"{kind}.js") + "})();"
    page = (
        f'<figure class="av av-{kind}" data-av="{name}" role="group" aria-label="{text(alt)}"{data}>'
        f"<style>{static('player.css')}</style>{body}{said}<script>{script}</script></figure>"
    )
    return Element(page, alt)


def film(strip: Strip, kind: str = "av-film", first: int = 0, hidden: bool = False) -> str:
    """The image of a strip, placed so that its picture ``first`` shows."""
    x = -(first % strip.columns) * 100 / strip.columns
    y = -(first // strip.columns) * 100 / strip.rows
    place = f"width:{strip.columns * 100}%;height:{strip.rows * 100}%;transform:translate({x:g}%,{y:g}%)"
    data = f'data-n="{strip.count}" data-c="{strip.columns}" data-r="{strip.rows}"'
    gone = " hidden" if hidden else ""
    return f'<img class="{kind} dark-light" alt="" {data} style="{place}" src="{strip.src}"{gone}>'


def screen(films: str, strip: Strip, alt: str, over: str = "") -> str:
    """A window on one picture of a strip, with what is laid ``over`` it."""
    shape = f"aspect-ratio:{strip.width}/{strip.height}"
    zoom = f'<div class="av-zoom">{films}</div>{over}'
    return f'<div class="av-screen" role="img" aria-label="{text(alt)}" style="{shape}">{zoom}</div>'


def fit(make: Callable[[int], Element], budget: int) -> Element:
    """The best element within ``budget`` bytes: tries :data:`QUALITIES` from the best; the last one if none fits."""
    for quality in QUALITIES:
        element = make(quality)
        if len(element) <= budget:
            break
    return element
