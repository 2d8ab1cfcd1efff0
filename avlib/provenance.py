"""What a result was made with, and whether that has changed since.

A chapter or a cell of a record depends on the definitions that its code reaches (see `avlib.reach`), each with its
fingerprint (see `avlib.fingerprint`). Nothing changes one that cannot change a result: comments, docstrings, layout,
annotations, texts of errors, names that nobody else sees, the place of a definition, a function that nobody reaches,
style sheets.
"""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import avlib
from avlib import meaning
from avlib.errors import unknown
from avlib.fingerprint import Prints, sha
from avlib.meaning import Hole, Meaning, Target, bound, imported, is_bare_text
from avlib.reach import MODULE_LEVEL, WHOLE, Closure, Ref

ROOT = Path(avlib.__file__).resolve().parent
"""The package's own folder."""

FORM = 2
"""Changes when fingerprints come to mean something else, so that old ones are not compared with new ones."""

Source = str | Path | Mapping[str, str] | Iterable[str]
Parts = dict[str, dict[str, str]]

_PYTHON_MAGICS = ("%%time", "%%timeit", "%%capture", "%%prun")
PACK = ".safetensors"
_LOOKS = ".css"  # style sheets change how a result looks, and never what it says
_LENGTH = 12  # digits that are kept of a hash


# --- code cells


def python_of(cell: str) -> tuple[str, str]:
    """The Python of a code cell, with line for line what it was, and its magics and shell lines.

    Examples:
        >>> python_of("%%time\\nx = 1")
        ('pass\\nx = 1', '%%time')
        >>> python_of("!ls\\nx = 1")
        ('pass\\nx = 1', '!ls')
        >>> python_of("%%bash\\nls")
        ('', '%%bash\\nls')
    """
    first = cell.lstrip().split(maxsplit=1)[0] if cell.strip() else ""
    if first.startswith("%%") and first not in _PYTHON_MAGICS:
        return "", cell
    if _parses(cell):
        return cell, ""
    lines, magics = [], []
    for line in cell.split("\n"):
        found = re.match(r"(\s*)(\w+\s*=\s*)?([%!].*|\?+\w.*|\w[\w.]*\?+)$", line)
        if found:
            magics.append(line)
            line = f"{found[1]}{found[2] or ''}{'None' if found[2] else 'pass'}"
        lines.append(line)
    return "\n".join(lines), "\n".join(magics)


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def code_cells(notebook: Path) -> dict[str, str]:
    """Sources of a notebook's code cells, by their places, without the parameters that papermill put in.

    Raises:
        FileNotFoundError: no such notebook.
        ValueError: not a notebook.
    """
    if not notebook.exists():
        raise FileNotFoundError(f"there is no notebook {notebook}")
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        return {
            f"cell {place}": "".join(cell["source"])
            for place, cell in enumerate(cells, 1)
            if cell["cell_type"] == "code" and "injected-parameters" not in cell.get("metadata", {}).get("tags", [])
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{notebook} is not a notebook: {error}") from error


def _pieces(source: Source) -> tuple[dict[str, str], list[str]]:
    """Pieces of code by their places, and names of modules, that a source stands for."""
    if isinstance(source, Path):
        whole = {str(source): source.read_text(encoding="utf-8")} if source.suffix != ".ipynb" else code_cells(source)
        return whole, []
    if isinstance(source, str):
        return {"this code": source}, []
    return (dict(source), []) if isinstance(source, Mapping) else ({}, list(source))


def _statements(pieces: Mapping[str, str]) -> list[ast.stmt]:
    return [statement for place, piece in pieces.items() for statement in _parsed(place, piece)]


def _parsed(place: str, piece: str) -> list[ast.stmt]:
    try:
        return ast.parse(python_of(piece)[0]).body
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise ValueError(f"{place}, line {error.lineno}, is not Python ({error.msg}): {line!r}") from error


# --- what code reaches


@dataclass(frozen=True)
class _Reached:
    """Some code, read, with the fingerprints of all that it reaches."""

    closure: Closure
    prints: Prints
    entry: Meaning
    wanted: tuple[Ref, ...] = ()

    def parts(self) -> Parts:
        found: Parts = {}
        for ref in self.closure.meanings:
            prints = self.prints.of(ref)[:_LENGTH] + self.prints.own(ref)[:_LENGTH]
            found.setdefault(self._place(self.closure.loaded[ref.module].path), {})[ref.name] = prints
        for file in _data_files(self.closure):
            found[self._place(file)] = {MODULE_LEVEL: sha(file.read_bytes())[: 2 * _LENGTH]}
        return {path: dict(sorted(found[path].items())) for path in sorted(found)}

    def _place(self, path: Path) -> str:
        base = self.closure.root.parent
        if not path.is_relative_to(base) and self.closure.beside:
            base = self.closure.beside
        return path.relative_to(base).as_posix()

    def digest(self) -> str:
        """One hash: of the code with all that it names, what imports run, entries of tables, and data."""
        always = {self.prints.of(ref) for ref in self.closure.meanings if ref.name == MODULE_LEVEL}
        rows = {ref.name + self.prints.of(ref) for ref in self.closure.meanings if ref.name.endswith("]")}
        data = {file.name + sha(file.read_bytes()) for file in _data_files(self.closure)}
        wanted = [self.prints.of(ref) for ref in self.wanted]
        return sha(json.dumps([self.prints.code(self.entry), wanted, *map(sorted, (always, rows, data))]))


def _follow(closure: Closure, entry: Meaning, wanted: Iterable[Ref]) -> _Reached:
    closure.follow(entry, "")
    closure.todo += wanted
    closure.run()
    return _Reached(closure, Prints(closure, entry), entry, tuple(wanted))


def _reach(source: Source, words: Iterable[str], root: Path) -> _Reached:
    pieces, modules = _pieces(source)
    closure = Closure(root)
    statements = _statements(pieces)
    entry = meaning.read(statements, "", _imports(statements))
    entry.words.update(words)
    for target in _every_import(statements):
        closure.load_target(target)
        if target.name == WHOLE and closure.inside(target.module):
            closure.todo.append(Ref(target.module, WHOLE))
    for module in modules:
        if closure.module(module) is None:
            raise ValueError(f"there is no module {module} in {root}")
    return _follow(closure, entry, [Ref(module, WHOLE) for module in modules])


def _every_import(statements: list[ast.stmt]) -> Iterator[Target]:
    for statement in statements:
        for node in ast.walk(statement):
            if isinstance(node, ast.Import):
                yield from (Target(alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from (target for _, target in imported(node, ""))


def sources(source: Source, words: Iterable[str] = (), root: Path = ROOT) -> dict[str, Path]:
    """The modules of avlib that some code imports, directly or not, and where they are.

    Args:
        source: a notebook or Python file (a path), code (text, or a mapping from a place to text), or names of
            modules (a list).
        words: text to be treated as if it stood in the code, e.g. the name of the profile it is run with.
        root: folder of the package.

    Examples:
        >>> sorted(sources("from avlib.errors import unknown"))
        ['avlib', 'avlib.errors']
    """
    closure = _reach(source, words, root).closure
    return {name: closure.loaded[name].path for name in sorted(closure.loaded)}


def parts(source: Source, words: Iterable[str] = (), root: Path = ROOT) -> Parts:
    """The definitions that some code reaches, for people: file → name → hashes; import-time statements have no name.

    The first twelve digits are the definition's fingerprint (see `avlib.fingerprint`), the others a hash of what it
    says itself. Arguments as for `sources`. Data beside a module (tables, scripts) count where the module's reached
    code names the file or its suffix.
    """
    return _reach(source, words, root).parts()


def _data_files(closure: Closure) -> list[Path]:
    found: set[Path] = set()
    for module in {ref.module for ref in closure.meanings}:
        words = closure.words.get(module, set())
        if any("." in word for word in words):
            beside = [path for path in closure.loaded[module].path.parent.iterdir() if path.is_file()]
            data = [path for path in beside if path.suffix not in (".py", ".pyc", _LOOKS)]
            found |= {path for path in data if path.name in words or path.suffix in words}
    return sorted(found)


def digest(source: Source, words: Iterable[str] = (), root: Path = ROOT) -> str:
    """One sha256 of what some code does, with all that it reaches; names and places do not count."""
    return _reach(source, words, root).digest()


def code_digest(source: Source) -> str:
    """sha256 of code by its meaning: comments and layout do not count, magics do. For names of modules, of these.

    Raises:
        ValueError: a piece of code is not Python; says where.
    """
    pieces, modules = _pieces(source)
    names = _imports(_statements(pieces))
    said = []
    for place, piece in pieces.items():
        statements, magics = _parsed(place, piece), python_of(piece)[1]
        shown = [str(node.value.value) for node in statements if is_bare_text(node)]  # type: ignore[attr-defined]
        if statements or magics:
            said.append([meaning.read(statements, "", names).text(), magics, shown])
    return sha(json.dumps([said, modules]))


def _imports(statements: list[ast.stmt]) -> dict[str, Target | None]:
    return {name: target for name, target in bound(statements, "").items() if target is not None}


# --- cells of a record


def cell_key(name: str | Path, arm: str, seed: int, budget: Any, profile: str = "cpu", root: Path = ROOT) -> str:
    """Fingerprint of all that a cell of a record follows from: equal keys, equal numbers (on one machine).

    It covers what the recipe's ``train`` and ``measure`` reach, the arm's own entry in ``ARMS`` (and that of the arm it
    is like), the budget, the seed, and real data that the recipe names. Claims, chance, other arms and the rule of the
    verdict stay outside, as does the lock file.

    Args:
        name: a recipe of the library, a module of one's own (``mine.two``), or its file; the modules beside it that it
            imports count.
        arm, seed: which cell.
        budget: the numbers of the run, a dataclass or a mapping; how many ``seeds`` there are does not count.
        profile: its name.
        root: folder of the package.

    Raises:
        ValueError: there is no such recipe or arm, or it is not Python.
    """
    numbers = dict(asdict(budget) if is_dataclass(budget) else budget)  # type: ignore[arg-type]
    numbers.pop("seeds", None)
    found = _cell(str(name), arm, profile, root)
    data = [(path.name, _content(path, _state(path))) for path in found.data]
    return sha(json.dumps([found.digest, data, arm, seed, profile, numbers], sort_keys=True, default=str))[:16]


def cell_parts(name: str | Path, arm: str, profile: str = "cpu", root: Path = ROOT) -> Parts:
    """The definitions that a cell follows from, for people; see `parts` and `cell_key`."""
    return _reach_cell(str(name), arm, profile, root).parts()


def cell_files(name: str | Path, arm: str, profile: str = "cpu", root: Path = ROOT) -> dict[str, str]:
    """The files that a cell follows from, each with a short hash of what the cell reaches of it: to name a change."""
    found = cell_parts(name, arm, profile, root)
    return {file: sha(json.dumps([own[_LENGTH:] for own in names.values()]))[:8] for file, names in found.items()}


class _Cell(NamedTuple):
    digest: str
    data: list[Path]
    files: dict[Path, int]  # what was read, and when it was written


_known: dict[tuple[Any, ...], _Cell] = {}
"""Fingerprints of cells, each good until a file that it was read from changes: a record asks for many."""


def _cell(name: str, arm: str, profile: str, root: Path) -> _Cell:
    at = (*_home(name), arm, profile, root)
    before = _known.get(at)
    if before is None or any(_written(path) != when for path, when in before.files.items()):
        reached = _reach_cell(name, arm, profile, root)
        closure = reached.closure
        read = [module.path for module in closure.loaded.values()] + _data_files(closure)
        _known[at] = _Cell(reached.digest(), _real_data(closure), {path: _written(path) for path in read})
    return _known[at]


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def _state(path: Path) -> tuple[tuple[str, int], ...]:
    return tuple((str(file), _written(file)) for file in _files(path))


@functools.lru_cache(maxsize=256)
def _content(path: Path, state: tuple[tuple[str, int], ...]) -> str:
    """sha256 of a file, or of all files in a folder, read once for each state of them."""
    return sha("".join(f"{file.relative_to(path)} {file_digest(file)}\n" for file in _files(path)))


def _real_data(closure: Closure) -> list[Path]:
    """Packs and folders of things that a recipe names (not the library below it), as far as they are here."""
    found: set[Path] = set()
    for name, words in closure.words.items():
        if name not in closure.loaded or (name.startswith("avlib.") and not name.startswith("avlib.recipes.")):
            continue
        beside = closure.loaded[name].path.parent
        named = {word.removeprefix("folder:") for word in words if word.startswith("folder:") or word.endswith(PACK)}
        found |= {base / each for base in (Path.cwd(), beside) for each in named if each}
        if "" in named:  # f"folder:{HERE / 'things'}"
            found |= {beside / word for word in words if re.fullmatch(r"\w[\w-]*", word)}
    return sorted(path for path in found if path.is_dir() or (path.is_file() and path.suffix == PACK))


def _reach_cell(name: str, arm: str, profile: str, root: Path) -> _Reached:
    module, beside = _home(name)
    arms = Ref(module, "ARMS")
    closure = Closure(root, beside, module.partition(".")[0])
    found = closure.module(module)
    if found is None:
        raise ValueError(f"there is no recipe {name!r}")
    rows = found.rows("ARMS")
    if rows:
        closure.picked[arms] = _like(rows, arm, name)
        closure.tables.add(arms)
    meant = {part: closure.meant(Hole(Target(module, part), ())).ref for part in ("train", "measure")}
    missing = [part for part, ref in meant.items() if ref is None or ref.name == WHOLE]
    if missing:
        raise ValueError(f"{name} is not a recipe: it lacks {', '.join(missing)}")
    wanted = [ref for ref in meant.values() if ref is not None]
    if closure.module("avlib.experiment"):
        wanted.append(Ref("avlib.experiment", "Run"))  # which train and measure are handed
    return _follow(closure, Meaning(words={profile}), wanted)


def _like(rows: Mapping[str, ast.expr], arm: str, name: str) -> set[str]:
    """An arm and the one whose net it has."""
    if arm not in rows:
        raise unknown(f"arm of {name}", arm, rows)
    keywords = getattr(rows[arm], "keywords", [])
    like = [word.value.value for word in keywords if word.arg == "like" and isinstance(word.value, ast.Constant)]
    return {arm, *(str(other) for other in like if other in rows)}


def _home(name: str) -> tuple[str, Path | None]:
    """The module of a recipe, and the folder whose modules count with it (None for one of the library)."""
    if name.endswith(".py"):
        path = Path(name).resolve()
        folder, module = path.parent, path.stem
        while (folder / "__init__.py").is_file():
            folder, module = folder.parent, f"{folder.name}.{module}"
        return module, folder
    if "." not in name or name.startswith("avlib."):
        return (name if "." in name else f"avlib.recipes.{name}"), None
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ValueError(f"there is no module {name!r}")
    path = Path(spec.origin).resolve()
    return name, path.parents[name.count(".") + (path.name == "__init__.py")]


def repository(start: Path | None = None) -> Path | None:
    """The nearest folder with ``pyproject.toml`` and ``avlib``, from ``start`` (or here) up; else the package's."""
    begin = (start or Path.cwd()).resolve()
    for folder in (begin, *begin.parents, ROOT.parent):
        if (folder / "pyproject.toml").is_file() and (folder / "avlib").is_dir():
            return folder
    return None


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    return sha(path.read_bytes())


def device_name(device: str = "cpu") -> str:
    """A device in words: the card's name, or the kind of processor and how many cores it has."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {os.cpu_count()} cores"


def commit(root: Path) -> str | None:
    """The short name of the commit that is checked out, with ``+`` where its code differs; None outside of git."""
    git = ["git", "-C", str(root)]
    try:
        name = subprocess.run(
            [*git, "rev-parse", "--short=7", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--", "avlib", ":!avlib/weights"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{name}+" if changed.strip() else name


def versions() -> dict[str, str]:
    """Versions of Python, torch, numpy and avlib; read from the package list, so nothing is imported."""
    return {
        "python": platform.python_version(),
        "torch": importlib.metadata.version("torch"),
        "numpy": importlib.metadata.version("numpy"),
        "avlib": avlib.__version__,
    }


def describe(
    source: Source,
    *,
    profile: str,
    seed: int | list[int],
    device: str = "cpu",
    seconds: float | None = None,
    packs: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
    words: Iterable[str] = (),
    root: Path = ROOT,
) -> dict[str, Any]:
    """All that should be kept beside a result, as plain values for JSON.

    Args:
        source: what made it, see `sources`.
        profile, seed, device, seconds: how it was run (``"cpu"`` or ``"cuda"``) and how long it took.
        packs: name → sha256 of the packs it used.
        files: name → hash of what it read of further files, e.g. results.
        words: text that selects entries of tables, as for `sources`; the profile's name always does.
        root: folder of the package.
    """
    lock = root.parent / "requirements.lock"
    reached = _reach(source, [profile, *words], root)
    return {
        "form": FORM,
        "code": code_digest(source),
        "sources": reached.parts(),
        "sources_sha256": reached.digest(),
        "lock": file_digest(lock) if lock.exists() else None,
        "packs": dict(packs or {}),
        "files": dict(files or {}),
        "profile": profile,
        "seed": seed,
        "device": device_name(device),
        "seconds": None if seconds is None else round(seconds, 1),
        "versions": versions(),
    }


def compare(old: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Why a result described by ``old`` is stale, given the description of today; empty where it is not.

    Device, duration and versions are not compared (versions are in the lock file), nor is a key that ``now`` lacks.

    Examples:
        >>> compare({"lock": "a"}, {"lock": "b"})
        ['requirements.lock changed']
    """
    reasons = []
    if old.get("form") != now.get("form"):
        reasons.append("its fingerprints have the form of an earlier version")
    else:
        if "code" in now and old.get("code") != now["code"]:
            reasons.append("code cells changed" if old.get("code") else "no hash of the code cells was kept")
        if old.get("sources_sha256") != now.get("sources_sha256"):
            reasons += _compare_parts(old.get("sources") or {}, now.get("sources") or {})
    if now.get("lock") and old.get("lock") != now["lock"]:
        reasons.append("requirements.lock changed")
    for key, what in (("packs", "pack "), ("files", "")):
        before, after = old.get(key) or {}, now.get(key) or {}
        reasons += [f"{what}{name} changed" for name in after if before.get(name) != after[name]]
    for key in ("profile", "seed"):
        if key in now and key in old and old[key] != now[key]:
            reasons.append(f"{key} was {old[key]}, is {now[key]}")
    if not reasons and old.get("sources_sha256") != now.get("sources_sha256"):
        return ["what its code reaches changed"]
    return reasons


def _compare_parts(old: Parts, now: Parts) -> list[str]:
    """Definitions that changed themselves, by name; what moved or was renamed has the fingerprint it had."""
    before, after = _flat(old), _flat(now)
    changed = [
        f"{where} changed"
        for where in sorted(before.keys() & after.keys())
        if all(a != b for a, b in zip(_halves(before[where]), _halves(after[where]), strict=True))
    ]
    known, kept = ({_halves(value)[0] for value in side.values()} for side in (before, after))
    gone = [where for where in before.keys() - after.keys() if _halves(before[where])[0] not in kept]
    new = [where for where in after.keys() - before.keys() if _halves(after[where])[0] not in known]
    # A changed function often reaches others than before; that it changed says enough.
    return changed or sorted([f"{w} is no longer used" for w in gone] + [f"{w} is used now" for w in new])


def _flat(found: Parts) -> dict[str, str]:
    return {
        f"{path}: {name}" if name else path: value for path, names in found.items() for name, value in names.items()
    }


def _halves(value: str) -> tuple[str, str]:
    return value[:_LENGTH], value[_LENGTH:]
