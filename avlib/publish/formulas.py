"""Formulas as drawings, which need neither a script nor a font: TeX, through matplotlib's mathtext, to SVG."""

from __future__ import annotations

import html
import re
from typing import Any

OTHER_NAMES = {
    r"\le": r"\leq", r"\ge": r"\geq", r"\ne": r"\neq", r"\to": r"\rightarrow", r"\gets": r"\leftarrow",
    r"\lVert": r"\|", r"\rVert": r"\|", r"\lvert": "|", r"\rvert": "|", r"\tfrac": r"\frac",
    r"\operatorname*": r"\mathrm", r"\operatorname": r"\mathrm",
    r"\displaystyle": "", r"\textstyle": "", r"\scriptstyle": "", r"\limits": "", r"\nolimits": "",
}  # fmt: skip
"""What mathtext calls otherwise, or does without."""

TAKES_ONE = "mathbf|mathrm|mathit|mathcal|mathbb|mathsf|boldsymbol|sqrt"
ROWS = re.compile(
    r"\\begin\{(?P<kind>aligned|align\*?|gathered|gather\*?|split|equation\*?)\}(.*?)\\end\{(?P=kind)\}", re.S
)
COLUMN = re.compile(r"\\begin\{([bp])matrix\}([^&]*?)\\\\([^&]*?)\\end\{\1matrix\}", re.S)
TOKEN = r"(\\[a-zA-Z]+|[^\s{\\\[])"


def formula(tex: str, display: bool = False) -> str:
    """TeX without its dollars as HTML: a drawing a row, or the TeX itself where mathtext cannot set it."""
    rows = [row for row in _rows(tex) if row.strip()]
    drawn = [_drawn(row) for row in rows]
    whole = f'<code class="tex">{html.escape(tex.strip())}</code>'
    shown = "<br>".join(row for row in drawn if row) if rows and all(drawn) else whole
    return f'<div class="display">{shown}</div>' if display else shown


def _rows(tex: str) -> list[str]:
    """The lines of a formula; alignment marks are dropped."""
    found = ROWS.fullmatch(tex.strip())
    return re.split(r"\\\\(?:\[[^\]]*\])?", found[2].replace("&", "")) if found else [tex]


def plain(tex: str) -> str:
    r"""TeX in the words of mathtext: arguments in braces, sizes of brackets left out.

    Examples:
        >>> plain(r"\tfrac12 \bigl(\mathbf x \le \sqrt W\bigr)")
        '\\frac{1}{2} (\\mathbf{x} \\leq \\sqrt{W})'
    """
    tex = re.sub(r"\\(?:tag|label)\{[^}]*\}|\\(?:big|Big|bigg|Bigg)[lrm]?(?![a-zA-Z])", "", tex)
    tex = COLUMN.sub(_column, tex)
    tex = re.sub(r"\\[a-zA-Z]+\*?", lambda m: OTHER_NAMES.get(m[0], m[0]), tex)
    tex = re.sub(rf"\\({TAKES_ONE})(?![a-zA-Z])\s*{TOKEN}", r"\\\1{\2}", tex)
    tex = re.sub(rf"\\frac\s*{TOKEN}\s*{TOKEN}", r"\\frac{\1}{\2}", tex)
    return " ".join(tex.split())


def _column(match: re.Match[str]) -> str:
    """A column of two entries as mathtext can set it: a fraction without a line."""
    left, right = "[]" if match[1] == "b" else "()"
    return rf"\genfrac{{{left}}}{{{right}}}{{0}}{{}}{{{match[2].strip()}}}{{{match[3].strip()}}}"


def _drawn(tex: str) -> str | None:
    """SVG of a formula, as high as the text around it; None for TeX that mathtext does not know."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    try:
        path = TextPath((0, 0), f"${plain(tex)}$", size=20, prop=FontProperties(math_fontfamily="stix"))
    except (ValueError, RuntimeError):
        return None
    box = path.get_extents()
    if not box.width:
        return None
    size = f"width:{box.width / 20:.2f}em;height:{box.height / 20:.2f}em;vertical-align:{box.y0 / 20:.2f}em"
    view = f"{box.x0:.1f} {-box.y1:.1f} {box.width:.1f} {box.height:.1f}"
    words = f'role="img" aria-label="{html.escape(" ".join(tex.split()))}"'
    drawn = f'<path transform="scale(1,-1)" fill="currentColor" d="{_outline(path)}"/>'
    return f'<svg {words} style="{size}" viewBox="{view}" overflow="visible">{drawn}</svg>'


def _outline(path: Any) -> str:
    letters = {path.MOVETO: "M", path.LINETO: "L", path.CURVE3: "Q", path.CURVE4: "C"}
    pieces = []
    for vertices, code in path.iter_segments(simplify=False):
        pieces.append("Z" if code == path.CLOSEPOLY else letters[code] + " ".join(f"{v:.1f}" for v in vertices))
    return "".join(pieces)
