"""HTML from notebooks, reduced to what a page can show: no script, no style sheet, nothing loaded from elsewhere.

What stays of a playable figure is its markup; the page that shows it brings the library's own style and script.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

TAGS = (
    "a abbr b blockquote br button caption code col colgroup dd del div dl dt em figcaption figure h1 h2 h3 h4 h5 h6 hr"
    " i ins kbd li mark ol p pre q s samp small span strong sub summary details sup"
    " table tbody td tfoot th thead tr u ul var img audio video source"
)
PLAIN = (
    "class role title lang dir hidden tabindex colspan rowspan scope align width height start alt controls preload"
    " type open"
)
STYLES = (
    "width height min-width max-width text-align vertical-align color background background-color transform"
    " aspect-ratio --columns --t"
)
FUNCTIONS = {"translate", "rgb", "rgba", "calc"}
"""Those of style that load nothing."""

PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=\s]*")
RECORDING = re.compile(r"data:(?:audio|video)/[\w.+-]+(?:;[\w=.+-]+)*;base64,[A-Za-z0-9+/=\s]*")
WITHOUT_TEXT = re.compile(r"<(script|style|template|noscript|title|svg|math)\b.*?</\1\s*>", re.S | re.I)


def clean(html: str) -> str:
    """The part of ``html`` that is safe on a page of its own; text stays text, whatever it looks like.

    Links lead to the web or nowhere: those into the book lose their target, for a page by itself has no neighbours.

    Examples:
        >>> clean('<p onclick="x()">Hear<script>x()</script> <a href="other.ipynb">this</a></p>')
        '<p>Hear <a>this</a></p>'
    """
    return _cleaner().clean(WITHOUT_TEXT.sub("", html))


def _allowed(tag: str, name: str, value: str) -> bool:
    if name == "href":
        return tag == "a" and re.match(r"(?:https?://|mailto:)", value) is not None
    if name == "src":
        wanted = PICTURE if tag == "img" else RECORDING
        return tag in ("img", "audio", "video", "source") and wanted.fullmatch(value) is not None
    if name == "style":
        return "\\" not in value and set(re.findall(r"([\w-]*)\(", value)) <= FUNCTIONS
    return name in PLAIN.split() or re.fullmatch(r"(?:aria|data)-[\w-]+", name) is not None


@cache
def _cleaner() -> Any:
    from bleach.css_sanitizer import CSSSanitizer
    from bleach.sanitizer import Cleaner

    styles = CSSSanitizer(allowed_css_properties=STYLES.split())
    return Cleaner(
        tags=TAGS.split(),
        attributes=_allowed,
        protocols=["http", "https", "mailto", "data"],
        css_sanitizer=styles,
        strip=True,
    )
