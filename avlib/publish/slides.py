"""One deck a chapter, from the cells tagged ``slide``: a single HTML file that needs no network and no kernel."""

from __future__ import annotations

import html
import re
from functools import cache
from importlib.resources import files
from typing import Any

from avlib.publish import chapters, prose
from avlib.publish.chapters import Cell, Notebook, tags


@cache
def _static(name: str) -> str:
    return files("avlib.publish").joinpath(name).read_text(encoding="utf-8")


def deck(notebook: Notebook) -> str | None:
    """The whole page, or None where no cell is tagged ``slide``.

    A slide begins at each tagged Markdown cell; the tagged code cells that follow stand on it, code first, then what
    came out.
    """
    slides: list[list[str]] = []
    for _, cell in chapters.tagged(notebook, "slide"):
        if not slides or cell["cell_type"] == "markdown":
            slides.append([])
        slides[-1].append(_cell(cell))
    if not slides:
        return None
    title = html.escape(chapters.opening(notebook)[0] or "Slides")
    body = "".join(
        f'<section aria-label="slide {n} of {len(slides)}">{"".join(s)}</section>' for n, s in enumerate(slides, 1)
    )
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += f"<title>{title}</title><style>{_static('slides.css')}</style>"
    bar = '<nav aria-label="slides"><button id="back" aria-label="previous">◀</button><span id="at"></span>'
    bar += '<button id="on" aria-label="next">▶</button></nav>'
    script = f"<script>{_static('slides.js')}</script>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}{bar}{script}</body></html>\n'


def _cell(cell: Cell) -> str:
    if cell["cell_type"] == "markdown":
        return _markdown(cell["source"])
    hidden = {"hide-input", "remove-input"} & set(tags(cell))
    code = "" if hidden else f"<pre><code>{html.escape(cell['source'])}</code></pre>"
    alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
    return code + "".join(_output(output, alt) for output in cell.get("outputs", []))


def _output(output: dict[str, Any], alt: str) -> str:
    data = output.get("data", {})
    if output.get("name") == "stderr" or output["output_type"] == "error":
        return ""
    if "text/html" in data:
        return f"<div>{data['text/html']}</div>"
    for kind in ("image/png", "image/jpeg"):
        if kind in data:
            return f'<img alt="{html.escape(alt)}" src="data:{kind};base64,{"".join(data[kind].split())}">'
    if "image/svg+xml" in data:
        return f'<div role="img" aria-label="{html.escape(alt)}">{data["image/svg+xml"]}</div>'
    text = output.get("text") or data.get("text/plain", "")
    return f"<pre>{html.escape(text)}</pre>" if text else ""


def _markdown(text: str) -> str:
    """CommonMark with tables; directives lose their fence, roles keep their text, formulas become drawings."""
    from markdown_it import MarkdownIt

    formulas: list[str] = []

    def keep(match: re.Match[str]) -> str:
        formulas.append(match[0])
        return f"\x02{len(formulas) - 1}\x03"

    text = prose.LABEL.sub("", prose.COMMENT.sub("", text))
    text = prose.FENCE.sub(lambda m: _directive(m), text)
    text = re.sub(r"\{cite(?::\w+)?\}`[^`]*`", "", text)
    text = re.sub(r"\{[\w:+-]+\}`([^`<]*?)\s*(?:<[^`]*>)?`", r"\1", text)
    text = prose.MATH.sub(keep, text)
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    return re.sub("\x02(\\d+)\x03", lambda m: _formula(formulas[int(m[1])]), page)


def _directive(match: re.Match[str]) -> str:
    info = match["info"].strip()
    if not info.startswith("{"):
        return match[0]
    name = info[1 : info.find("}")]
    body = re.sub(r"\A(?:[ \t]*:[\w-]+:[^\n]*\n)+", "", match["body"])
    return f"$${body.strip()}$$" if name == "math" else body


def _formula(tex: str) -> str:
    """A formula as a drawing, or as TeX where matplotlib cannot set it."""
    display = tex.startswith(("$$", "\\begin"))
    inner = tex.strip("$").strip()
    drawn = _drawn(inner)
    shown = drawn or f'<code class="tex">{html.escape(inner)}</code>'
    return f'<div style="text-align:center">{shown}</div>' if display else shown


def _drawn(tex: str) -> str | None:
    """SVG of a formula, as high as the text around it; None for TeX that matplotlib's mathtext does not know."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    tex = re.sub(r"\\(?:text|operatorname)\*?\{", r"\\mathrm{", tex).replace("\\lVert", "\\|").replace("\\rVert", "\\|")
    tex = " ".join(re.sub(r"\\(?:tag|label)\{[^}]*\}", "", tex).split())
    try:
        path = TextPath((0, 0), f"${tex}$", size=20, prop=FontProperties(math_fontfamily="stix"))
    except (ValueError, RuntimeError):
        return None
    box = path.get_extents()
    if not box.width:
        return None
    shape = _outline(path)
    size = f"width:{box.width / 20:.2f}em;height:{box.height / 20:.2f}em;vertical-align:{box.y0 / 20:.2f}em"
    view = f"{box.x0:.1f} {-box.y1:.1f} {box.width:.1f} {box.height:.1f}"
    words = f'role="img" aria-label="{html.escape(tex)}"'
    drawn = f'<path transform="scale(1,-1)" fill="currentColor" d="{shape}"/>'
    return f'<svg {words} style="{size}" viewBox="{view}" overflow="visible">{drawn}</svg>'


def _outline(path: Any) -> str:
    letters = {path.MOVETO: "M", path.LINETO: "L", path.CURVE3: "Q", path.CURVE4: "C"}
    pieces = []
    for vertices, code in path.iter_segments(simplify=False):
        pieces.append("Z" if code == path.CLOSEPOLY else letters[code] + " ".join(f"{v:.1f}" for v in vertices))
    return "".join(pieces)
