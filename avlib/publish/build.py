"""The site.

Sources are staged under ``book/_build/stage``, where each chapter gains what only a build knows.
"""

from __future__ import annotations

import copy
import hashlib
import html
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from avlib import folders
from avlib.publish import chapters, children, hosting, record
from avlib.publish.chapters import Chapter, Notebook, tags
from avlib.publish.editions import edition as edition_of

OPTIONS = ("-W", "-n", "--keep-going")
"""Every warning is an error, missing references are warnings, and all of them are listed."""

EDITIONS = ("instructor", "student")


def staged(notebook: Notebook, chapter: Chapter, edition: str) -> Notebook:
    """The chapter as the site shows it.

    It has its provenance under the title, a description for searches, its solutions folded, and a quiz without code.
    """
    provenance = record.line(notebook, chapter)
    claims = record.stale_claims(notebook, chapter.root)
    page = edition_of(edition)(notebook)
    page = hosting.student_notebook(page, chapter.root) if edition == "student" else page
    title, description = chapters.opening(page)
    if title:
        lines = [provenance, *(f"Claims out of date: {line}" for line in claims)]
        small = "<br>".join(html.escape(line) for line in lines)
        first = page["cells"][0] = copy.deepcopy(page["cells"][0])
        first["source"] = re.sub(
            r"^(# .+)$",
            lambda m: f'{m[1]}\n\n<p class="avlib-provenance">{small}</p>',
            first["source"],
            count=1,
            flags=re.M,
        )
    kept = {key: value for key, value in page["metadata"].items() if key != record.KEY}
    if description:
        plain = re.sub(r"[*_`]|\{[\w:]+\}`[^`]*`|\$[^$]*\$|\[([^\]]*)\]\([^)]*\)", r"\1", description)
        kept["myst"] = {**kept.get("myst", {}), "html_meta": {"description": " ".join(plain.split())}}
    for _, cell in chapters.tagged(page, "quiz"):
        cell["metadata"] = chapters.without_code(cell)
    for data in (o.get("data", {}) for _, cell in chapters.code_cells(page) for o in cell["outputs"]):
        if "text/html" in data:  # pandas leaves the heading over its index empty
            data["text/html"] = data["text/html"].replace("<th></th>", "<td></td>")
    page["metadata"] = {**kept, "kernelspec": chapters.KERNEL, "language_info": chapters.LANGUAGE}
    return _folded(page)


def _folded(page: Notebook) -> Notebook:
    """Solutions that no directive folds away are folded by a tag."""
    inside = False
    for cell in page["cells"]:
        if cell["cell_type"] == "markdown":
            for word in re.findall(r"\{solution-(start|end)\}", cell["source"]):
                inside = word == "start"
        elif "solution" in tags(cell) and not inside:
            cell["metadata"]["tags"] = [*tags(cell), "hide-cell"]
            shown = {"code_prompt_show": "Show the solution", "code_prompt_hide": "Hide the solution"}
            cell["metadata"]["mystnb"] = {**shown, **cell["metadata"].get("mystnb", {})}
    return page


def _files(root: Path, edition: str, names: Sequence[str] = ()) -> Iterator[tuple[Path, bytes]]:
    """Every source of the site: path within the stage, and content."""
    picked = chapters.find(root, names)
    chosen = {chapter.where for chapter in picked}
    left_out = [c.where.removesuffix(".ipynb") for c in chapters.find(root) if c.where not in chosen]
    yield from _settings(root, edition, chosen, left_out)
    for path in sorted((root / "book").rglob("*")):
        relative = path.relative_to(root)
        if path.is_file() and not {"_build", "__pycache__"} & set(relative.parts):
            yield relative, _page(path, relative, chosen) if left_out and path.suffix == ".md" else path.read_bytes()
    for path in sorted((root / "notebooks").rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if path.is_file() and path.suffix != ".ipynb" and not hidden:
            yield path.relative_to(root), path.read_bytes()
    for chapter in picked:
        page = staged(chapters.read(chapter.path), chapter, edition)
        resolve = hosting.on_site(f"notebooks/{chapter.part}", chosen)
        yield chapter.path.relative_to(root), chapters.dumps(hosting.with_links(page, resolve)).encode()


def _page(path: Path, relative: Path, chosen: set[str]) -> bytes:
    """A page of prose without links to chapters that are left out."""
    resolve = hosting.on_site(relative.parent.as_posix(), chosen)
    return hosting.relinked(path.read_text(encoding="utf-8"), resolve).encode()


def _settings(root: Path, edition: str, chosen: set[str], left_out: list[str]) -> Iterator[tuple[Path, bytes]]:
    """Configuration and contents of the edition, as they stand where it is the whole book of the instructor."""
    import yaml

    for name in ("_config.yml", "_toc.yml"):
        text = (root / name).read_bytes()
        if left_out or (edition == "student" and name == "_config.yml"):
            data = yaml.safe_load(text)
            config = name == "_config.yml"
            data = hosting.configured(data, edition, left_out) if config else hosting.contents(data, chosen)
            text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True).encode()
        yield Path(name), text


def stage(root: Path, edition: str, folder: Path, names: Sequence[str] = ()) -> None:
    """Bring ``folder`` up to date with the sources, of the chapters ``names`` or all.

    An unchanged file keeps its time, so that its page is not rebuilt.

    Raises:
        FileNotFoundError: no ``_config.yml`` or ``_toc.yml``.
    """
    wanted = dict(_files(root, edition, names))
    for path, content in wanted.items():
        target = folder / path
        if not target.is_file() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    for target in [p for p in folder.rglob("*") if p.is_file()]:
        relative = target.relative_to(folder)
        if relative not in wanted and relative.parts[0] != "_build":
            target.unlink()


def _library_key(root: Path, names: Sequence[str]) -> str:
    """Changes when anything changes that pages are written from besides their own sources."""
    package = Path(__file__).resolve().parents[1]
    found = hashlib.sha256(" ".join(names).encode())
    places = [
        *package.rglob("*.py"),
        *(root / "book" / "_ext").rglob("*.py"),
        root / "_config.yml",
        root / "_toc.yml",
        root / "book" / "methods.yml",
    ]
    for path in sorted(p for p in places if p.is_file()):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


def build(
    root: Path,
    names: Sequence[str] = (),
    *,
    edition: str = "instructor",
    out: Path | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Build the site of an edition; returns its ``index.html``. A build that fails leaves the site that was there.

    Args:
        root: the folder that holds ``_config.yml``, ``_toc.yml``, ``book/`` and ``notebooks/``.
        names: the chapters that it holds, all when empty; links to others leave their words.
        edition: "instructor" or "student"; the student's points to its own repository (`avlib.publish.hosting`).
        out: where the site goes; ``book/_build/html`` for the instructor's, ``book/_build/student`` for the student's.
            A folder that is there must be empty, or a site that was built here and is as it was.
        say: called with each line that jupyter-book prints.

    Raises:
        ValueError: an unknown edition, or ``out`` lies among the sources.
        FileExistsError, NotADirectoryError: ``out`` holds something else; said before the build.
        RuntimeError: jupyter-book failed; the message holds its warnings.
    """
    from avlib.errors import unknown

    if edition not in EDITIONS:
        raise unknown("edition of the site", edition, EDITIONS)
    base = root / "book" / "_build"
    out = (out or base / ("html" if edition == "instructor" else edition)).resolve()
    _check_out(root.resolve(), out)
    folder = base / "stage" / edition
    stage(root, edition, folder, names)
    key, mark = _library_key(root, names), folder / "_build" / "key"
    again = [] if mark.exists() and mark.read_text() == key else ["--all"]
    mark.unlink(missing_ok=True)
    _jupyter_book(folder, again, say)
    mark.write_text(key)
    with folders.replaced(out) as fresh:
        shutil.copytree(folder / "_build" / "html", fresh, dirs_exist_ok=True)
    return out / "index.html"


def _check_out(root: Path, out: Path) -> None:
    """Refuse a place where the site would take the place of something, or be read as a source the next time."""
    sources = [root / "book", root / "notebooks"]
    if any(out.is_relative_to(place) for place in sources) and not out.is_relative_to(root / "book" / "_build"):
        raise ValueError(f"{out} lies among the sources of the book; the site needs a folder of its own elsewhere")
    folders.check(out)


def _jupyter_book(folder: Path, options: list[str], say: Callable[[str], None]) -> None:
    package = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(path for path in (package, os.environ.get("PYTHONPATH", "")) if path)
    environment = {**os.environ, "PYTHONPATH": paths, "NO_COLOR": "1"}
    arguments = ["build", str(folder), *OPTIONS, *options]
    warnings, lines = [], []
    with children.child("jupyter_book.cli.main:main", arguments, environment) as process:
        assert process.stdout is not None
        for coloured in process.stdout:
            line = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
            say(line.rstrip())
            lines.append(line.rstrip())
            if re.search(r"\b(WARNING|ERROR)\b", line):
                warnings.append(line.strip().replace(f"{folder}/", ""))
        code = process.wait()
    if code:
        what = "\n".join(warnings or [line for line in lines if line.strip("= ")][-20:])
        raise RuntimeError(
            f"the site has faults and did not replace the last one (see {folder / '_build' / 'html'}):\n{what}"
        )
