"""Sphinx extension of the book: pages that are written from the library, and a site that needs no network.

A Markdown page may hold ``<!-- avlib:NAME ARGUMENT -->`` on a line of its own. It is replaced, before the page is
parsed, by what the generator NAME returns: so the map of methods, the assets' licences and the index of the library can
never be out of date.
"""

import ast
import fnmatch
import html
import json
import re
import shutil
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from avlib.publish.launch import repository

PLACEHOLDER = re.compile(r"^<!-- avlib:(\w+) ?(.*?) ?-->$", re.MULTILINE)
PARTS = ("transfer", "scenes", "objects")
PACKS = ("orchestra",)
SCENE_BYTES = 170_000
"""A scene on a page of text is squeezed to this, so that the page stays light."""
MATHJAX_FILES = ("tex-chtml.js", "input/tex/extensions", "output/chtml/fonts")


def package_root() -> Path:
    """The folder of the installed library."""
    spec = find_spec("avlib")
    if spec is None or not spec.submodule_search_locations:
        raise ExtensionError("avlib is not installed in this environment: run `make env`")
    return Path(next(iter(spec.submodule_search_locations)))


def chapter_link(source: Path, chapter: str) -> str:
    """A link to the chapter, or words where its notebook is left out, or does not exist yet."""
    path = source / f"{chapter}.ipynb"
    if chapter in repository(source).get("left_out", ()):
        return "*not in this edition*"
    return f"[{notebook_title(path)}](/{chapter}.ipynb)" if path.exists() else "*planned*"


def notebook_title(path: Path) -> str:
    """The first heading of a notebook."""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        match = re.search(r"^# (.+)$", "".join(cell["source"]), re.MULTILINE)
        if cell["cell_type"] == "markdown" and match:
            return match.group(1).strip()
    raise ExtensionError(f"{path} has no heading")


def methods(source: Path) -> list[dict[str, str]]:
    """The list of methods in ``book/methods.yml``."""
    return yaml.safe_load((source / "book/methods.yml").read_text(encoding="utf-8"))


def method_table(source: Path, part: str) -> str:
    """The map of methods: one row a method of ``part``."""
    if part not in PARTS:
        raise ExtensionError(f"unknown part {part!r}; there are: {', '.join(PARTS)}")
    rows = ["| method | what supervises | the question | chapter |", "|---|---|---|---|"]
    for m in methods(source):
        if m["part"] == part:
            name = f"**{m['name']}** {{cite:p}}`{m['cite']}`"
            rows.append(f"| {name} | {m['signal']} | {m['question']} | {chapter_link(source, m['chapter'])} |")
    return "\n".join(rows)


def part_list(source: Path, part: str) -> str:
    """The methods of a part as questions, each with its paper, for the part's introduction."""
    rows = [m for m in methods(source) if m["part"] == part]
    return "\n".join(f"* *{m['question']}* {m['name']} {{cite:p}}`{m['cite']}`." for m in rows)


def licences(source: Path, _: str) -> str:
    """The licences that the packs themselves state."""
    from avlib.world import library

    blocks = []
    for name in PACKS:
        lines = "\n".join(f"* {escape(line)}" for line in library.load(name).licences)
        blocks.append(f"## The `{name}` pack\n\n{lines}")
    return "\n\n".join(blocks)


def scene(source: Path, argument: str) -> str:
    """A playable scene of two things, heard together or one at a time: ``avlib:scene PRESET INDEX``."""
    from avlib.figures.player import player
    from avlib.world import World

    preset, index = argument.split()
    dials = {"things": (2, 2), "sounding": (2, 2), "side": (0.34, 0.44)}
    world = World("orchestra", preset, split="test", seed=0, size=160, seconds=2.0, **dials)
    batch = world.batch([int(index)])
    names = [world.classes[k] for k in batch.truth.category_BN[0].tolist() if k >= 0]
    sources = dict(zip(names, batch.truth.stem_BNS[0], strict=False))
    caption = f"One made-up scene: {' and '.join(names)}. Press play, then listen to each alone."
    alt = f"A drawn scene with {' and '.join(names)}, playable, above the spectrogram of its sound."
    element = player(batch, 0, sources=sources, caption=caption, alt=alt, side=160, budget=SCENE_BYTES)
    return f"```{{raw}} html\n{element._repr_html_()}\n```"


@cache
def modules() -> dict[str, tuple[Path, ast.Module]]:
    """Each public module of the library, parsed."""
    root = package_root()
    found = {}
    for path in sorted(root.rglob("*.py")):
        names = ["avlib", *path.relative_to(root).with_suffix("").parts]
        if names[-1] == "__init__":
            names.pop()
        if not any(part.startswith("_") for part in names):
            found[".".join(names)] = (path, ast.parse(path.read_text(encoding="utf-8")))
    return found


def escape(text: str) -> str:
    """Plain text as Markdown: everything outside of code spans keeps its characters."""
    pieces = re.split(r"(``.+?``|`.+?`)", text)
    return "".join(p if i % 2 else re.sub(r"([\\*_\[\]<>$|{}#])", r"\\\1", p) for i, p in enumerate(pieces))


def first_line(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> str:
    """The first paragraph of a docstring, on one line."""
    text = ast.get_docstring(node) or ""
    return escape(re.sub(r":\w+:`~?([^`]+)`", r"`\1`", " ".join(text.split("\n\n")[0].split())))


def signature(node: ast.ClassDef | ast.FunctionDef) -> str:
    """``name(arguments)``; a class shows its constructor's, or its fields."""
    if isinstance(node, ast.FunctionDef):
        return f"{node.name}({ast.unparse(node.args)})"
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return f"{node.name}({ast.unparse(item.args).removeprefix('self').removeprefix(', ')})"
    names = [i.target.id for i in node.body if isinstance(i, ast.AnnAssign) and isinstance(i.target, ast.Name)]
    return f"{node.name}({', '.join(names)})" if names else node.name


def anchor(module: str) -> str:
    """The label of a module's section on the library page."""
    return "api-" + module.replace(".", "-").replace("_", "-")


def used_by(source: Path) -> dict[str, list[str]]:
    """Which chapters import each module directly."""
    table: dict[str, list[str]] = {}
    for path in sorted((source / "notebooks").rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in path.parts:
            for module in imported(path.read_text(encoding="utf-8")):
                table.setdefault(module, []).append(path.relative_to(source).as_posix())
    return table


def imported(notebook: str) -> list[str]:
    """The library's modules that a notebook's code cells import, by name."""
    names = set()
    for cell in json.loads(notebook)["cells"]:
        if cell["cell_type"] == "code":
            names |= imports_of("".join(cell["source"]))
    return sorted(names & set(modules()) - {"avlib"})


def imports_of(code: str) -> set[str]:
    """All dotted names that a piece of code imports (lines of magic are left out)."""
    lines = [line for line in code.split("\n") if not line.lstrip().startswith(("%", "!"))]
    try:
        tree = ast.parse("\n".join(lines))
    except SyntaxError:
        return set()
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def within(name: str, places: list[str]) -> bool:
    """Is the module one of ``places``, or inside of one? (``avlib`` is that module alone.)"""
    return any(name == place or (place != "avlib" and name.startswith(f"{place}.")) for place in places)


def library(source: Path, argument: str) -> str:
    """The index of a part of the library: each module, its public names, and the chapters that use it.

    ``avlib:library MODULE MODULE …`` takes packages with all that is in them; ``*`` stands for any letters, and what
    begins with ``-`` is left out.
    """
    places = argument.split()
    if missing := [place for place in places if not fnmatch.filter(modules(), place.removeprefix("-"))]:
        raise ExtensionError(f"avlib:library names {', '.join(missing)}, and there is no such module")
    left = [name for place in places if place[0] == "-" for name in fnmatch.filter(modules(), place[1:])]
    taken = [name for place in places for name in fnmatch.filter(modules(), place)]
    chapters = used_by(source)
    chosen = [name for name in modules() if within(name, taken) and not within(name, left)]
    entries = [entry(source, name, chapters.get(name, [])) for name in chosen]
    return "\n".join(filter(None, entries))


def entry(source: Path, name: str, chapters: list[str]) -> str:
    """The section of one module; empty where it has neither a public name nor a chapter that uses it."""
    path, tree = modules()[name]
    public = [n for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef) and not n.name.startswith("_")]
    if not public and not chapters:
        return ""
    place = repository(source)
    files = place.get("library") or f"{place['url']}/blob/{place['branch']}"
    where = f"{files}/avlib/{path.relative_to(package_root()).as_posix()}"
    lines = [f"({anchor(name)})=\n## `{name}`\n\n{first_line(tree)}\n"]
    if chapters:
        links = ", ".join(f"[{notebook_title(source / c)}](/{c})" for c in chapters)
        lines.append(f"Used in: {links}.\n")
    lines += [f"[`{signature(n)}`]({where}#L{n.lineno})\n: {first_line(n)}\n" for n in public]
    return "\n".join(lines)


GENERATORS: dict[str, Callable[[Path, str], str]] = {
    "methods": method_table,
    "part": part_list,
    "licences": licences,
    "scene": scene,
    "library": library,
}


def fill(text: str, source: Path) -> str:
    """``text`` with every placeholder replaced; an unknown name is an error."""

    def replace(match: re.Match[str]) -> str:
        name, argument = match.groups()
        if name not in GENERATORS:
            raise ExtensionError(f"unknown placeholder avlib:{name}; there are: {', '.join(GENERATORS)}")
        return GENERATORS[name](source, argument)

    return PLACEHOLDER.sub(replace, text)


def with_library_links(notebook: str) -> str:
    """A notebook's text with a last cell that links to the library's modules it uses."""
    names = imported(notebook)
    if not names:
        return notebook
    links = ", ".join(f"{{ref}}`{n} <{anchor(n)}>`" for n in names)
    book = json.loads(notebook)
    source = f":::{{admonition}} The library behind this chapter\n:class: seealso\n{links}\n:::"
    cell = {"cell_type": "markdown", "id": "library-links", "metadata": {}, "source": source}
    book["cells"].append(cell)
    return json.dumps(book)


def source_read(app: Sphinx, docname: str, content: list[str]) -> None:
    """Fill the placeholders of a page; link a chapter to the library."""
    if str(app.env.doc2path(docname)).endswith(".ipynb"):
        content[0] = with_library_links(content[0])
    else:
        content[0] = fill(content[0], Path(app.srcdir))


def generated_pages(app: Sphinx, env: Any, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    """Pages with placeholders are read anew in every build: what they show lies outside of them."""
    return [
        name
        for name in env.found_docs
        if (path := Path(env.doc2path(name))).suffix == ".md" and PLACEHOLDER.search(path.read_text(encoding="utf-8"))
    ]


def number_by_chapter(app: Sphinx, env: Any) -> list[str]:
    """Count the exercises of each chapter from one; Sphinx has just counted them through the whole book."""
    for numbers in env.toc_fignumbers.values():
        if "exercise" in numbers:
            numbers["exercise"] = {name: (number,) for number, name in enumerate(numbers["exercise"], 1)}
    return []


def every_page(app: Sphinx, env: Any) -> list[str]:
    """Each build writes all pages: the search index forgets the glossary of a page that is not written."""
    return sorted(env.found_docs)


def describe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Give each page without a description its first paragraph as one."""
    if doctree is None or 'name="description"' in context.get("metatags", ""):
        return
    paragraph = next((p for p in doctree.findall(nodes.paragraph) if len(p.astext()) > 40), None)
    if paragraph is not None:
        text = html.escape(" ".join(paragraph.astext().split())[:300])
        context["metatags"] = context.get("metatags", "") + f'\n<meta name="description" content="{text}" />'


def drop_scripts(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Leave out scripts that a page has no use for.

    These are the live kernel's, which name a host to load from, and MathJax, over a megabyte, where no equation stands:
    Sphinx gives it to each page that lists one with equations.
    """
    kinds = (nodes.math, nodes.math_block)
    equations = doctree is not None and any(isinstance(node, kinds) for node in doctree.findall())
    unused = ("thebe",) if equations else ("thebe", "mathjax/", "window.MathJax")

    def used(file: Any) -> bool:
        return not any(word in f"{file.filename} {file.attributes.get('body', '')}" for word in unused)

    for kind in ("script_files", "css_files"):
        context[kind] = [file for file in context.get(kind, []) if used(file)]


def listed_entries(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Entries of the bibliography are items of their list: the role that docutils gives them is out of use."""
    context["body"] = context.get("body", "").replace('role="doc-biblioentry"', 'role="listitem"')


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    """Put the part of MathJax that the book needs beside the pages, from the installed package that carries it."""
    if error is not None or app.builder.format != "html":
        return
    spec = find_spec("sphinx-mathjax-offline")
    if spec is None or spec.origin is None:
        raise ExtensionError("sphinx-mathjax-offline is not installed: run `make env`")
    source, target = Path(spec.origin).parent / "static/mathjax", Path(app.outdir) / "_static/mathjax"
    for name in MATHJAX_FILES:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, dirs_exist_ok=True)
        else:
            shutil.copy2(source / name, target / name)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension to Sphinx."""
    app.connect("source-read", source_read)
    app.connect("env-get-outdated", generated_pages)
    app.connect("env-get-updated", number_by_chapter, priority=900)
    app.connect("env-updated", every_page)
    app.connect("html-page-context", describe)
    app.connect("html-page-context", drop_scripts, priority=900)
    app.connect("html-page-context", listed_entries)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
