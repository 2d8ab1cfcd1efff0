"""One deck a chapter: a single HTML file that needs no network and no kernel.

Each Markdown cell tagged ``slide`` starts a slide. What else is shown is decided by the code cells tagged ``slide``;
where a chapter tags none, the deck takes every figure and player, with the words right before it, and the short code
that directly follows a slide's words.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from functools import cache
from importlib.resources import files
from typing import Any

from avlib.publish import chapters, prose
from avlib.publish.chapters import Cell, Notebook, tags
from avlib.publish.formulas import formula
from avlib.publish.sanitise import clean

SHORT = 8
"""Lines of code that can be read from the last row."""

NEVER = {"install", "parameters", "solution", "stub", "check", "hidden-check", "quiz", "remove-cell"}
PLAYERS = ("player", "gallery", "matrix")


def deck(notebook: Notebook) -> str | None:
    """The whole page, or None where no cell is tagged ``slide``.

    Nothing of the notebook can run in it: its HTML is cleaned (:func:`avlib.publish.sanitise.clean`), and the page
    allows the scripts of the library alone, by their digests.
    """
    slides = _slides(notebook)
    if not slides:
        return None
    title = html.escape(chapters.opening(notebook)[0] or "Slides")
    body = "".join(
        f'<section aria-label="slide {n} of {len(slides)}">{"".join(s)}</section>' for n, s in enumerate(slides, 1)
    )
    style, scripts = _static("publish/slides.css"), [_static("publish/slides.js")]
    if kinds := [kind for kind in PLAYERS if f'class="av av-{kind}"' in body]:
        style += _static("figures/player.css")
        scripts += [_script(kind) for kind in kinds]
    policy = (
        "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; base-uri 'none'; script-src"
    )
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy} {_digests(scripts)}">'
    head += f'<meta name="viewport" content="width=device-width"><title>{title}</title><style>{style}</style>'
    bar = '<nav aria-label="slides"><button id="back" aria-label="previous">◀</button><span id="at"></span>'
    bar += '<button id="on" aria-label="next">▶</button></nav>'
    run = "".join(f"<script>{script}</script>" for script in scripts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}{bar}{run}</body></html>\n'


def _slides(notebook: Notebook) -> list[list[str]]:
    """What stands on each slide."""
    by_tag = any("slide" in tags(cell) for _, cell in chapters.code_cells(notebook))
    slides: list[list[str]] = []
    words: Cell | None = None  # the Markdown before a code cell, until some slide shows it
    full, heading = False, ""
    for before, cell in zip([None, *notebook["cells"]], notebook["cells"]):
        marked = "slide" in tags(cell)
        if cell["cell_type"] == "markdown":
            words = None if marked else cell
            if marked:
                slides.append([_markdown(cell["source"])])
                full, heading = False, next(iter(prose.HEADING.findall(cell["source"])), heading)
        elif by_tag or not slides:
            if marked:
                slides = slides or [[]]
                slides[-1].append(_cell(cell))
        elif NEVER.isdisjoint(tags(cell)):
            if _pictured(cell):
                if words is not None or full:
                    slides.append([_continued(words, heading)])
                slides[-1].append(_outputs(cell))
                words, full = None, True
            elif before and "slide" in tags(before) and len(cell["source"].split("\n")) <= SHORT:
                slides[-1].append(_cell(cell))
    return slides


def _continued(words: Cell | None, heading: str) -> str:
    """The head of a slide that goes on where the one before ended."""
    source = words["source"] if words else ""
    above = "" if prose.HEADING.search(source) else f'<p class="part">{html.escape(re.sub(r"[*_`$]", "", heading))}</p>'
    return above + _markdown(source)


def _pictured(cell: Cell) -> bool:
    data = [output.get("data", {}) for output in cell.get("outputs", [])]
    return any(
        any(mime.startswith("image/") for mime in each)
        or re.search(r"<(?:img|audio|video)\b", each.get("text/html", ""))
        for each in data
    )


def _cell(cell: Cell) -> str:
    if cell["cell_type"] == "markdown":
        return _markdown(cell["source"])
    hidden = {"hide-input", "remove-input"} & set(tags(cell))
    return ("" if hidden else f"<pre><code>{html.escape(cell['source'])}</code></pre>") + _outputs(cell)


def _outputs(cell: Cell) -> str:
    alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
    return "".join(_output(output, alt) for output in cell.get("outputs", []))


def _output(output: dict[str, Any], alt: str) -> str:
    data = output.get("data", {})
    if output.get("name") == "stderr" or output["output_type"] == "error":
        return ""
    if "text/html" in data:
        return f"<div>{clean(data['text/html'])}</div>"
    for kind in ("image/png", "image/jpeg", "image/svg+xml"):
        if kind in data:
            drawn = kind == "image/svg+xml"  # as a picture, in which no script runs
            inside = base64.b64encode(data[kind].encode()).decode() if drawn else "".join(data[kind].split())
            return clean(f'<img alt="{html.escape(alt)}" src="data:{kind};base64,{html.escape(inside)}">')
    text = output.get("text") or data.get("text/plain", "")
    return f"<pre>{html.escape(text)}</pre>" if text else ""


@cache
def _parser() -> Any:
    """CommonMark with tables and formulas; a formula is a mark in the text until the page around it is clean."""
    from markdown_it import MarkdownIt
    from mdit_py_plugins.amsmath import amsmath_plugin
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    def mark(renderer: Any, tokens: Any, at: int, options: Any, env: Any) -> str:
        display = tokens[at].type != "math_inline"
        env["formulas"].append(formula(tokens[at].content, display))
        return f"\ue000{len(env['formulas']) - 1}\ue001"

    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    parser.use(dollarmath_plugin, allow_space=False, double_inline=True).use(amsmath_plugin)
    for kind in ("math_inline", "math_inline_double", "math_block", "math_block_label", "amsmath"):
        parser.add_render_rule(kind, mark)
    return parser


def _markdown(text: str) -> str:
    """CommonMark with tables; directives lose their fence, roles keep their text, formulas become drawings."""
    text = prose.LABEL.sub("", prose.COMMENT.sub("", text))
    text = prose.FENCE.sub(_directive, text)
    text = re.sub(r"\{cite(?::\w+)?\}`[^`]*`", "", text)
    text = re.sub(r"\{[\w:+-]+\}`([^`<]*?)\s*(?:<[^`]*>)?`", r"\1", text)
    kept: dict[str, list[str]] = {"formulas": []}
    page = _without_pictures(clean(_parser().render(text.translate({0xE000: None, 0xE001: None}), kept)))
    return re.sub("\ue000(\\d+)\ue001", lambda m: kept["formulas"][int(m[1])], page)


def _without_pictures(page: str) -> str:
    """A picture that the page does not carry is told in words."""
    return re.sub(r'<img(?![^>]*\ssrc=)[^>]*?(?:\salt="([^"]*)")?[^>]*>', lambda m: f"<i>{m[1] or ''}</i>", page)


def _directive(match: re.Match[str]) -> str:
    info = match["info"].strip()
    if not info.startswith("{"):
        return match[0]
    name = info[1 : info.find("}")]
    body = re.sub(r"\A(?:[ \t]*:[\w-]+:[^\n]*\n)+", "", match["body"])
    return f"$$\n{body.strip()}\n$$\n" if name == "math" else body


@cache
def _static(name: str) -> str:
    """A file of the library by its place in it; read without importing what lies beside it."""
    return files("avlib").joinpath(*name.split("/")).read_text(encoding="utf-8")


def _script(kind: str) -> str:
    """What makes the players of one kind play, as they carry it themselves, for all of the page."""
    core = _static("figures/core.js").replace('[data-av="@NAME@"]', f".av-{kind}")
    return f"(function(){{{core}\n{_static(f'figures/{kind}.js')}}})();"


def _digests(scripts: list[str]) -> str:
    found = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    return " ".join(f"'sha256-{digest}'" for digest in found)
