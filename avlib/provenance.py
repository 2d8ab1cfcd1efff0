"""What a result was made with, and whether that has changed since.

A chapter or a record depends on the definitions that its code reaches (see `avlib.reach`), each with its own hash.
Changing a comment, a docstring, the layout or a function that nobody reaches changes no hash.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import avlib
from avlib.reach import MODULE_LEVEL, Closure, Reader, Ref, Target, bound, imported, is_bare_text

ROOT = Path(avlib.__file__).resolve().parent
"""The package's own folder."""

Source = str | Path | Iterable[str]
Parts = dict[str, dict[str, str]]


def _sha(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def _dump(value: Any, out: list[str]) -> None:
    """The meaning of a syntax tree as text: no positions, no docstrings, no empty fields (Pythons differ in those)."""
    if isinstance(value, ast.Constant):
        out.append(f"{type(value.value).__name__}:{value.value!r}")
    elif isinstance(value, ast.AST):
        out.append(f"({type(value).__name__}")
        for name in value._fields:
            item = getattr(value, name, None)
            if item is not None and item != [] and name not in ("ctx", "type_comment"):
                out.append(f" {name}=")
                _dump(item, out)
        out.append(")")
    elif isinstance(value, list):
        out.append("[")
        for item in value:
            if not is_bare_text(item):
                _dump(item, out)
                out.append(",")
        out.append("]")
    else:
        out.append(repr(value))


def _text(nodes: list[Any]) -> str:
    out: list[str] = []
    _dump(nodes, out)
    return "".join(out)


def code_cells(notebook: Path) -> list[str]:
    """Sources of a notebook's code cells, in order, without magics and without the parameters that papermill put in.

    Raises:
        FileNotFoundError: no such notebook.
        ValueError: not a notebook.
    """
    if not notebook.exists():
        raise FileNotFoundError(f"there is no notebook {notebook}")
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        kept = [
            "".join(cell["source"])
            for cell in cells
            if cell["cell_type"] == "code" and "injected-parameters" not in cell.get("metadata", {}).get("tags", [])
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{notebook} is not a notebook: {error}") from error
    return [_without_magics(source) for source in kept]


def _without_magics(source: str) -> str:
    if source.lstrip().startswith("%%"):
        return ""
    lines = source.splitlines()
    return "\n".join("pass" if line.startswith(("%", "!")) else line for line in lines)


def _pieces(source: Source) -> tuple[list[str], list[str]]:
    """Pieces of code, and names of modules, that a source stands for."""
    if isinstance(source, Path):
        return (code_cells(source) if source.suffix == ".ipynb" else [source.read_text(encoding="utf-8")]), []
    return ([_without_magics(source)], []) if isinstance(source, str) else ([], list(source))


def _reach(source: Source, words: Iterable[str], root: Path) -> tuple[Closure, dict[Ref, list[Any]]]:
    code, modules = _pieces(source)
    closure = Closure(root)
    statements: list[ast.stmt] = []
    for piece in code:
        try:
            statements += ast.parse(piece).body
        except SyntaxError as error:
            raise ValueError(f"this code is not Python ({error}):\n{piece[:200]}") from error
    names = {name: target for name, target in bound(statements, "").items() if target is not None}
    reader = Reader("", names)
    for statement in statements:
        reader.visit(statement)
    reader.uses.words.update(words)
    for target in _every_import(statements):
        closure.load_target(target)
        if target.name == "*" and target.module.partition(".")[0] == "avlib":
            closure.todo.append(Ref(target.module, "*"))
    closure.follow(reader.uses, "")
    for module in modules:
        if closure.module(module) is None:
            raise ValueError(f"there is no module {module} in {root}")
        closure.todo.append(Ref(module, "*"))
    return closure, closure.run()


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
        source: a notebook or Python file (a path), code (text), or names of modules (a list).
        words: text to be treated as if it stood in the code, e.g. the name of the profile it is run with.
        root: folder of the package.

    Examples:
        >>> sorted(sources("from avlib.errors import unknown"))
        ['avlib', 'avlib.errors']
    """
    closure, _ = _reach(source, words, root)
    return {name: closure.loaded[name].path for name in sorted(closure.loaded)}


def parts(source: Source, words: Iterable[str] = (), root: Path = ROOT) -> Parts:
    """Hashes of the definitions that some code reaches: file → name → hash; import-time statements have no name.

    Arguments as for `sources`. Data beside a module (tables, scripts) count where the module's reached code
    names the file or its suffix.
    """
    closure, nodes = _reach(source, words, root)
    found: Parts = {}
    for ref, body in nodes.items():
        module = closure.loaded[ref.module]
        if ref.name not in module.hashes:
            text = _text(body) + "|".join(sorted(module.uses[ref.name].external))
            module.hashes[ref.name] = _sha(text)[:16]
        path = module.path.relative_to(root.parent).as_posix()
        found.setdefault(path, {})[ref.name] = module.hashes[ref.name]
    for file in _data_files(closure, nodes):
        found[file.relative_to(root.parent).as_posix()] = {MODULE_LEVEL: _sha(file.read_bytes())[:16]}
    return {path: dict(sorted(found[path].items())) for path in sorted(found)}


def _data_files(closure: Closure, nodes: Mapping[Ref, Any]) -> list[Path]:
    found: set[Path] = set()
    for module in {ref.module for ref in nodes}:
        words = closure.words.get(module, set())
        if any("." in word for word in words):
            beside = [path for path in closure.loaded[module].path.parent.iterdir() if path.is_file()]
            found |= {p for p in beside if p.suffix not in (".py", ".pyc") and (p.name in words or p.suffix in words)}
    return sorted(found)


def digest(source: Source, words: Iterable[str] = (), root: Path = ROOT) -> str:
    """One sha256 over `parts`."""
    return _sha(json.dumps(parts(source, words, root), sort_keys=True))


def code_digest(source: Source) -> str:
    """sha256 of code by its meaning: comments and layout do not count. For names of modules, of the names."""
    code, modules = _pieces(source)
    return _sha("\n".join([_text(ast.parse(piece).body) for piece in code] + modules))


def repository(start: Path | None = None) -> Path | None:
    """The nearest folder with ``pyproject.toml`` and ``avlib``, from ``start`` (or here) up; else the package's."""
    begin = (start or Path.cwd()).resolve()
    for folder in (begin, *begin.parents, ROOT.parent):
        if (folder / "pyproject.toml").is_file() and (folder / "avlib").is_dir():
            return folder
    return None


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    return _sha(path.read_bytes())


def device_name(device: str = "cpu") -> str:
    """A device in words: the card's name, or the kind of processor and how many cores it has."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {os.cpu_count()} cores"


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
    files: Iterable[Path] = (),
    words: Iterable[str] = (),
    root: Path = ROOT,
) -> dict[str, Any]:
    """All that should be kept beside a result, as plain values for JSON.

    Args:
        source: what made it, see `sources`.
        profile, seed, device, seconds: how it was run (``"cpu"`` or ``"cuda"``) and how long it took.
        packs: name → sha256 of the packs it used.
        files: further files that it read, e.g. results.
        words: text that selects entries of tables, as for `sources`; the profile's name always does.
        root: folder of the package.
    """
    base = root.parent
    lock = base / "requirements.lock"
    found = parts(source, [profile, *words], root)
    relative = {f.resolve(): f for f in map(Path, files)}
    named = {(p.relative_to(base).as_posix() if p.is_relative_to(base) else f.name): p for p, f in relative.items()}
    return {
        "code": code_digest(source),
        "sources": found,
        "sources_sha256": _sha(json.dumps(found, sort_keys=True)),
        "lock": file_digest(lock) if lock.exists() else None,
        "packs": dict(packs or {}),
        "files": {name: file_digest(path) if path.exists() else None for name, path in sorted(named.items())},
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
    if "code" in now and old.get("code") != now["code"]:
        reasons.append("code cells changed" if old.get("code") else "no hash of the code cells was kept")
    if "sources" in now:
        reasons += _compare_parts(old.get("sources") or {}, now["sources"])
    if now.get("lock") and old.get("lock") != now["lock"]:
        reasons.append("requirements.lock changed")
    for key, what in (("packs", "pack "), ("files", "")):
        before, after = old.get(key) or {}, now.get(key) or {}
        reasons += [f"{what}{name} changed" for name in after if before.get(name) != after[name]]
    for key in ("profile", "seed"):
        if key in now and key in old and old[key] != now[key]:
            reasons.append(f"{key} was {old[key]}, is {now[key]}")
    return reasons


def _compare_parts(old: Parts, now: Parts) -> list[str]:
    changed, other = [], []
    for path in sorted(old.keys() | now.keys()):
        before, after = old.get(path, {}), now.get(path, {})
        for name in sorted(before.keys() | after.keys()):
            where = f"{path}: {name}" if name else path
            if name not in after:
                other.append(f"{where} is no longer used")
            elif name not in before:
                other.append(f"{where} is used now")
            elif before[name] != after[name]:
                changed.append(f"{where} changed")
    # A changed function often reaches others than before; that it changed says enough.
    return changed or other
