"""Chapters on disk: find, read, change and write them.

The conventions of a chapter, ``notebooks/<part>/<name>.ipynb`` (``avlib book check`` keeps them):

* The first cell is Markdown: ``# Title``, then one paragraph that says in a sentence or two what the chapter shows.
  That paragraph becomes the page's description.
* The first code cell installs the library where it is missing (`avlib.publish.launch`).
* Tags of cells:

  - ``parameters``: exactly one code cell; only ``name: type = literal`` lines, among them ``profile`` and ``seed``.
  - ``nbval-check-output``: text output that must come out the same on every machine (claims, rounded values); one or
    more.
  - ``solution``: the answer of an exercise, between ``### BEGIN SOLUTION`` and ``### END SOLUTION``; what stands
    outside the two lines (imports, a ``def`` line) is kept in the student edition.
  - ``check``: the visible asserts of the ``solution`` cell before it: they fail on the stub and pass on the solution.
    Each has a message that says what is wrong, with a first hint.
  - ``hidden-check``: more asserts of the same exercise, which no student is given.
  - ``exercise``: the Markdown cell with the ``{exercise}`` directive (the directive alone will do).
  - ``answer``: a Markdown cell that gives an answer away; it is left out of the student edition, as is a cell with a
    ``{solution}`` directive.
  - ``quiz``: the cell that calls ``avlib.publish.quiz.show``; it may be long. Its code holds the answers: the site
    leaves it out, and Jupyter opens it folded.
  - ``slide``: a cell that goes into the deck; each such Markdown cell starts a slide. Where no code cell carries it,
    the deck chooses (`avlib.publish.slides`).
  - ``claims``: the cell that shows the recorded claims of a method.
  - ``typed-number``: a Markdown cell that quotes numbers of others; each such sentence cites its source.
  - ``hide-input``: the site folds the code (never for a cell that holds the lesson).
  - ``raises-exception``: the cell must raise, and its committed output shows that it did.

* A figure's alternative text is the cell's metadata ``mystnb.image.alt``; a player carries its own in its HTML.
* What a run leaves about itself is the notebook's metadata key ``avlib`` (see ``avlib.publish.record``).
"""

from __future__ import annotations

import ast
import copy
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avlib import files

Notebook = dict[str, Any]
Cell = dict[str, Any]

MARK = "nbval-check-output"
"""The tag of a cell whose output must come out the same on every machine."""

SPLIT = ("application/javascript", "image/svg+xml")
"""What Jupyter writes line by line, besides text."""

TRY = "try"
"""The metadata in which a cell lists other values for readers to try, see `avlib.publish.trying`."""

CELL_KEYS = ("tags", "mystnb", "slideshow", "jupyter", "name", TRY)
NOTEBOOK_KEYS = ("avlib", "mystnb", "myst", "description")
LANGUAGE = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python", "pygments_lexer": "ipython3"}
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


class ChapterError(ValueError):
    """A notebook that cannot be used as a chapter; the message names the file and what is wrong."""


@dataclass(frozen=True)
class Chapter:
    """One notebook of the tree ``root``."""

    root: Path
    path: Path

    @property
    def name(self) -> str:
        """The file's name without its ending; unique within the book."""
        return self.path.stem

    @property
    def part(self) -> str:
        """The folder, ``3_scenes``."""
        return self.path.parent.name

    @property
    def where(self) -> str:
        """The path from the root, as messages and links say it."""
        return self.path.relative_to(self.root).as_posix()


def project(start: Path | None = None) -> Path:
    """The folder that holds the book: the nearest at or above ``start`` with ``notebooks/``, else avlib's checkout.

    Raises:
        FileNotFoundError: neither is there.
    """
    here = (start or Path.cwd()).resolve()
    package = Path(__file__).resolve().parents[2]
    for folder in (here, *here.parents, package):
        if (folder / "notebooks").is_dir():
            return folder
    raise FileNotFoundError(f"no folder with notebooks/ at or above {here}, nor beside the installed avlib ({package})")


def find(root: Path, names: Sequence[str] = ()) -> list[Chapter]:
    """The chapters of ``root`` in reading order, or those of ``names``: a name, a part (``3_scenes``) or a path.

    Raises:
        ValueError: a name that is none of these; the message lists the right ones.
    """
    from avlib.errors import unknown

    paths = sorted(p for p in (root / "notebooks").glob("*/*.ipynb") if not p.name.startswith("."))
    every = [Chapter(root, path) for path in paths]
    if not names:
        return every
    picked: list[Chapter] = []
    for name in names:
        path = Path(name)
        hits = [
            c
            for c in every
            if name.rstrip("/") in (c.name, c.part, c.where) or path.resolve() in (c.path, c.path.parent)
        ]
        if not hits:
            raise ValueError(f"{unknown('chapter', name, [c.name for c in every])}{_about(root, name)}")
        picked += [c for c in hits if c not in picked]
    return picked


def _about(root: Path, name: str) -> str:
    """What to add where somebody names a method instead of its chapter; the map of the methods knows it."""
    import yaml

    path = root / "book" / "methods.yml"
    try:
        rows = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else []
        told = {Path(row["module"]).stem: root / f"{row['chapter']}.ipynb" for row in rows}
    except (yaml.YAMLError, KeyError, TypeError):
        return ""
    if name not in told:
        return ""
    if not told[name].exists():
        return f". {name!r} is a method, and its chapter ({told[name].stem}) is not written yet"
    return f". {name!r} is a method; the chapter {told[name].stem!r} tells of it"


def read(path: Path) -> Notebook:
    """Read a notebook (format 4) with each cell's source, stream and data joined to one string.

    Raises:
        ChapterError: not JSON, or JSON that is no notebook of format 4.
        FileNotFoundError: no such file.
    """
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ChapterError(f"{path}: not a notebook, because it is not JSON ({error})") from error
    if not isinstance(notebook, dict) or notebook.get("nbformat") != 4 or not isinstance(notebook.get("cells"), list):
        raise ChapterError(f"{path}: JSON, but not a notebook of format 4 (it needs nbformat 4 and a list of cells)")
    notebook.setdefault("metadata", {})
    for cell in notebook["cells"]:
        cell["source"] = _joined(cell.get("source", ""))
        cell.setdefault("metadata", {})
        for output in cell.get("outputs", []):
            _join_output(output)
    return notebook


def _joined(text: Any) -> Any:
    return "".join(text) if isinstance(text, list) and all(isinstance(line, str) for line in text) else text


def _join_output(output: dict[str, Any]) -> None:
    if "text" in output:
        output["text"] = _joined(output["text"])
    if "data" in output:
        output["data"] = {mime: _joined(value) for mime, value in output["data"].items()}


def dumps(notebook: Notebook) -> str:
    """The notebook as Jupyter itself saves it: keys sorted, indent 1, one source line a line, newline at the end."""
    split = copy.deepcopy(notebook)
    for cell in split["cells"]:
        cell["source"] = cell["source"].splitlines(keepends=True)
        for output in cell.get("outputs", []):
            if isinstance(output.get("text"), str):
                output["text"] = output["text"].splitlines(keepends=True)
            for mime, value in output.get("data", {}).items():
                if isinstance(value, str) and (mime.startswith("text/") or mime in SPLIT):
                    output["data"][mime] = value.splitlines(keepends=True)
    return json.dumps(split, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write(path: Path, notebook: Notebook) -> None:
    """Put the notebook at ``path`` whole or not at all.

    Raises:
        OSError: no space, or a folder that cannot be written; the notebook that was there stays.
    """
    files.write(path, dumps(notebook), "the notebook")


def tags(cell: Cell) -> list[str]:
    """The cell's tags."""
    return list(cell["metadata"].get("tags", []))


def tagged(notebook: Notebook, tag: str) -> Iterator[tuple[int, Cell]]:
    """The cells that carry ``tag``, with their positions."""
    return ((i, cell) for i, cell in enumerate(notebook["cells"]) if tag in tags(cell))


def code_cells(notebook: Notebook) -> Iterator[tuple[int, Cell]]:
    """The code cells, with their positions."""
    return ((i, cell) for i, cell in enumerate(notebook["cells"]) if cell["cell_type"] == "code")


def code(notebook: Notebook) -> dict[str, str]:
    """The notebook's own code: what to call each cell, and its source (without the cell that installs the library)."""
    cells = ((i, cell) for i, cell in code_cells(notebook) if "install" not in tags(cell))
    return {f"cell {i + 1} (id {cell.get('id', '?')})": cell["source"] for i, cell in cells}


def opening(notebook: Notebook) -> tuple[str, str]:
    """Title and description, each empty where the first cell does not hold it."""
    first = notebook["cells"][0] if notebook["cells"] else {"cell_type": "", "source": ""}
    text = re.sub(r"^\([\w-]+\)=\s*\n", "", first["source"].lstrip())
    title = re.match(r"# +(.+)", text)
    if first["cell_type"] != "markdown" or title is None:
        return "", ""
    paragraphs = [p.strip() for p in text[title.end() :].split("\n\n") if p.strip()]
    plain = paragraphs and not re.match(r"[#`:>|\-*<$!\[({]", paragraphs[0])
    return title[1].strip(), " ".join(paragraphs[0].split()) if plain else ""


def _parameter_cell(notebook: Notebook, where: str) -> tuple[int, ast.Module]:
    found = list(tagged(notebook, "parameters"))
    if len(found) != 1:
        raise ChapterError(f"{where}: {len(found) or 'no'} cells are tagged 'parameters', and there must be one")
    index, cell = found[0]
    try:
        return index, ast.parse(cell["source"])
    except SyntaxError as error:
        raise ChapterError(f"{where}: the parameters cell is not Python: {error}") from error


def _assignments(tree: ast.Module, where: str) -> dict[str, ast.expr]:
    found: dict[str, ast.expr] = {}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            found[node.target.id] = node.value
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node.value
        else:
            raise ChapterError(
                f"{where}: the parameters cell holds more than 'name: type = literal' lines ({ast.unparse(node)!r})"
            )
    return found


def parameters(notebook: Notebook, where: str = "the notebook") -> dict[str, Any]:
    """Names and defaults of the parameters.

    Raises:
        ChapterError: no such cell, several, or one that holds more than literals.
    """
    _, tree = _parameter_cell(notebook, where)
    values = {}
    for name, node in _assignments(tree, where).items():
        try:
            values[name] = ast.literal_eval(node)
        except ValueError as error:
            raise ChapterError(f"{where}: parameter {name!r} is not a literal ({ast.unparse(node)})") from error
    return values


def check_parameters(notebook: Notebook, given: dict[str, Any], where: str) -> None:
    """Refuse parameters that the notebook does not have or that are of another type, and unknown profiles.

    Raises:
        ChapterError, ValueError: which one, and what there is.
    """
    from avlib.errors import unknown
    from avlib.profiles import profile

    defaults = parameters(notebook, where)
    for name, value in given.items():
        if name not in defaults:
            raise unknown(f"parameter of {where}", name, list(defaults))
        wanted = type(defaults[name])
        fits = isinstance(value, wanted) and (wanted is bool) == isinstance(value, bool)
        if not fits and not (wanted is float and type(value) is int):
            raise ChapterError(f"{where}: parameter {name!r} is {wanted.__name__}, and {value!r} is not")
    chosen = {**defaults, **given}.get("profile")
    if chosen is not None:
        profile(str(chosen))


def with_parameters(notebook: Notebook, given: dict[str, Any], where: str = "the notebook") -> Notebook:
    """A copy whose parameters cell holds the values ``given``; everything else, comments included, stays as it is."""
    changed = copy.deepcopy(notebook)
    index, tree = _parameter_cell(changed, where)
    lines = [line.encode() for line in changed["cells"][index]["source"].split("\n")]
    for name, node in reversed(_assignments(tree, where).items()):
        if name in given:
            first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
            after = lines[last][node.end_col_offset :]
            lines[first : last + 1] = [lines[first][: node.col_offset] + _literal(given[name]).encode() + after]
    changed["cells"][index]["source"] = b"\n".join(lines).decode()
    return changed


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def normalise(notebook: Notebook, places: Iterable[tuple[str, str]] = ()) -> Notebook:
    """A copy fit to be committed: no metadata of tools, stable ids, counts in order, no paths of this machine.

    ``places`` are pairs (path, what to print instead), longest first.
    """
    clean = copy.deepcopy(notebook)
    drop = ("injected-parameters", "papermill-error-cell-tag")
    clean["cells"] = [cell for cell in clean["cells"] if not any(tag in tags(cell) for tag in drop)]
    clean["metadata"] = {key: clean["metadata"][key] for key in NOTEBOOK_KEYS if key in clean["metadata"]}
    clean["metadata"] |= {"kernelspec": dict(KERNEL), "language_info": dict(LANGUAGE)}
    clean |= {"nbformat": 4, "nbformat_minor": 5}
    count = 0
    for index, cell in enumerate(clean["cells"]):
        cell["metadata"] = {key: cell["metadata"][key] for key in CELL_KEYS if cell["metadata"].get(key)}
        if "quiz" in tags(cell):
            cell["metadata"] |= without_code(cell)
        cell.setdefault("id", f"cell-{index:02d}")
        cell.pop("attachments", None) if not cell.get("attachments") else None
        if cell["cell_type"] == "code":
            ran = cell.get("execution_count") is not None
            count += ran
            cell["execution_count"] = count if ran else None
            cell["outputs"] = [
                _clean_output(output, cell["execution_count"], places) for output in cell.get("outputs", [])
            ]
    return clean


def _clean_output(output: dict[str, Any], count: int | None, places: Iterable[tuple[str, str]]) -> dict[str, Any]:
    def plain(text: Any) -> Any:
        if isinstance(text, str):
            for path, shown in places:
                text = text.replace(path, shown)
        return text

    output = {key: value for key, value in output.items() if key != "transient"}
    if output["output_type"] == "execute_result":
        output["execution_count"] = count
    if "text" in output:
        output["text"] = plain(output["text"])
    if "data" in output:
        output["data"] = {m: plain(v) if m.startswith("text/") else v for m, v in output["data"].items()}
    return output


def without_code(cell: Cell) -> dict[str, Any]:
    """Metadata of a cell whose code nobody should read first: left out by the site, folded by Jupyter."""
    kept = [tag for tag in tags(cell) if tag not in ("hide-input", "remove-input")]
    return {**cell["metadata"], "tags": [*kept, "remove-input"], "jupyter": {"source_hidden": True}}


def cleared(cell: Cell) -> Cell:
    """The cell without outputs."""
    return {**cell, "outputs": [], "execution_count": None} if cell["cell_type"] == "code" else cell
