"""Which definitions some code reaches, found by reading it: nothing is imported.

Code reaches the functions, classes and constants that it names, those that these name, and so on, plus the statements
that run when a module is imported. Where the reading is not sure it takes more: a module that is handed about as an
object, or an attribute that cannot be found, counts as the whole module. What an object's methods do belongs to its
class, and a class counts as soon as anything reached names it; annotations lead nowhere, because whoever makes an
object names its class.
"""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from avlib import meaning
from avlib.meaning import Hole, Meaning, Target, bound, imported, is_bare_text, is_typing_only

TABLES = {("avlib.profiles", "PROFILES"), ("avlib.world.presets", "PRESETS")}
"""Tables of which an entry counts only where its key stands as text in reached code: a new preset ages nobody else."""

BUDGET = "BUDGET"
"""What each recipe calls its own table of this kind."""

MODULE_LEVEL = ""
"""Stands for the statements of a module that run on import and define nothing."""

WHOLE = "*"
"""Stands for a whole module."""

_DEFINING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Ref(NamedTuple):
    """A definition of a module; ``*`` is the whole module."""

    module: str
    name: str


class Meant(NamedTuple):
    """What a hole means: a definition (None outside of the code that is read), and what else stands there as text."""

    ref: Ref | None
    rest: str


@dataclass(frozen=True)
class Module:
    """A parsed module: its imported names, its definitions, and the statements that always run."""

    name: str
    path: Path
    bindings: dict[str, Target]
    definitions: dict[str, list[ast.stmt]]
    always: list[ast.stmt]
    stars: tuple[str, ...]
    meanings: dict[str, Meaning] = field(default_factory=dict)
    """The meaning of each definition, once it was asked for: the next chapter asks again."""

    @property
    def package(self) -> str:
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]

    def meaning(self, name: str, nodes: list[Any]) -> Meaning:
        """What a definition means."""
        if name not in self.meanings:
            names: dict[str, Target | None] = {**self.bindings}
            names.update({each: Target(self.name, each) for each in self.definitions})
            own = name if name in self.definitions else ""
            self.meanings[name] = meaning.read(nodes, self.package, names, own)
        return self.meanings[name]

    def rows(self, name: str) -> dict[str, ast.expr]:
        """The entries of a table that is written as a literal dictionary with text as its keys."""
        nodes = self.definitions.get(name, [])
        value = getattr(nodes[0], "value", None) if len(nodes) == 1 else None
        if not isinstance(value, ast.Dict):
            return {}
        keys = [key.value for key in value.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
        return dict(zip(keys, value.values, strict=True)) if len(keys) == len(value.keys) else {}


def _assigned(node: ast.stmt) -> list[str]:
    """Names that a plain assignment (or a definition) gives; empty for any other statement."""
    if isinstance(node, _DEFINING):
        return [node.name]
    if isinstance(node, ast.Assign):
        targets = [t for target in node.targets for t in (target.elts if isinstance(target, ast.Tuple) else [target])]
    elif isinstance(node, ast.AnnAssign | ast.AugAssign):
        targets = [node.target]
    else:
        return []
    return [t.id for t in targets if isinstance(t, ast.Name)] if all(isinstance(t, ast.Name) for t in targets) else []


@functools.lru_cache(maxsize=1024)
def _parse(name: str, path: Path, stamp: tuple[int, int]) -> Module:
    """Read a module once for each state of its file."""
    try:
        body = ast.parse(path.read_text(encoding="utf-8")).body
    except SyntaxError as error:
        raise ValueError(f"{path} is not Python: {error}") from error
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    bindings: dict[str, Target] = {}
    definitions: dict[str, list[ast.stmt]] = {}
    always: list[ast.stmt] = []
    stars: list[str] = []
    for statement in body:
        if is_typing_only(statement) or is_bare_text(statement):
            continue
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for alias, target in imported(statement, package):
                if alias == "*":
                    stars.append(target.module)
                else:
                    bindings[alias] = target
            continue
        names = _assigned(statement)
        for each in names:
            definitions.setdefault(each, []).append(statement)
        if not names:
            always.append(statement)
            bindings.update({k: v for k, v in bound([statement], package).items() if v is not None})
    definitions.pop("__all__", None)
    return Module(name, path, bindings, definitions, always, tuple(stars))


class Closure:
    """Everything that some code reaches in the package that lies in ``root``.

    Args:
        root: folder of the package.
        beside: a folder whose modules count too, as those of a recipe of one's own; where packages are installed, only
            those of the package ``top``.
    """

    def __init__(self, root: Path, beside: Path | None = None, top: str = ""):
        self.root, self.beside, self.top = root, beside, top
        self.picked: dict[Ref, set[str]] = {}  # tables of which only these entries count
        self.loaded: dict[str, Module] = {}
        self.reached: set[Ref] = set()
        self.tables: set[Ref] = set()
        self.words: dict[str, set[str]] = {}  # module (or "" for the code itself) → text in reached code
        self.prefixes: set[str] = set()
        self.modules: dict[str, Module | None] = {}
        self.meanings: dict[Ref, Meaning] = {}
        self.todo: list[Ref] = []
        self.visited: set[Ref] = set()

    # --- modules

    def inside(self, name: str) -> bool:
        """Does a module belong to the code that is read?"""
        top = name.partition(".")[0]
        if top == "avlib" or self.beside is None:
            return top == "avlib"
        if self.beside.name in ("site-packages", "dist-packages"):
            return top == self.top
        return (self.beside / top).is_dir() or (self.beside / f"{top}.py").is_file()

    def _place(self, name: str) -> Path:
        parts = name.split(".")
        if parts[0] == "avlib":
            return self.root.joinpath(*parts[1:])
        assert self.beside is not None
        return self.beside.joinpath(*parts)

    def module(self, name: str) -> Module | None:
        """The module of that name, where it is a file that counts."""
        if name not in self.modules:
            self.modules[name] = self._find(name) if name and self.inside(name) else None
        return self.modules[name]

    def _find(self, name: str) -> Module | None:
        place = self._place(name)
        for path in (place / "__init__.py", place.with_suffix(".py")):
            if path.is_file():
                stat = path.stat()
                return _parse(name, path, (stat.st_mtime_ns, stat.st_size))
        return None

    def exists(self, name: str) -> bool:
        """Is there a module or a folder of that name?"""
        return self.module(name) is not None or (self.inside(name) and self._place(name).is_dir())

    def beginning(self, prefix: str) -> list[str]:
        """Names of all modules of avlib that begin so."""
        found = [path.relative_to(self.root).with_suffix("").parts for path in sorted(self.root.rglob("*.py"))]
        names = [".".join(("avlib", *(parts[:-1] if parts[-1] == "__init__" else parts))) for parts in found]
        return [name for name in names if name.startswith(prefix)]

    # --- names

    def meant(self, hole: Hole) -> Meant:
        """What a hole means."""
        target = hole.target
        return self._resolve(target.module, (*([target.name] if target.name else []), *hole.chain))

    def _resolve(self, module: str, chain: tuple[str, ...], seen: frozenset[Target] = frozenset()) -> Meant:
        if not self.inside(module):
            return Meant(None, ".".join((module, *chain)))
        if not chain:
            return Meant(Ref(module, WHOLE), "")
        found, head, rest = self.module(module), chain[0], chain[1:]
        here = Target(module, head)
        if found and head in found.definitions:
            return Meant(Ref(module, head), "".join(f".{name}" for name in rest))
        if found and head in found.bindings and here not in seen:
            target = found.bindings[head]
            return self._resolve(target.module, (*([target.name] if target.name else []), *rest), seen | {here})
        if self.exists(f"{module}.{head}"):
            return self._resolve(f"{module}.{head}", rest, seen)
        for star in found.stars if found else ():
            if self.inside(star):
                return self._resolve(star, chain, seen)
        return Meant(Ref(module, WHOLE), "".join(f".{name}" for name in chain))

    def is_table(self, ref: Ref) -> bool:
        """Is this a table whose entries count one by one?"""
        found = self.module(ref.module)
        if ref not in self.picked and ref not in TABLES and ref.name != BUDGET:
            return False
        return found is not None and bool(found.rows(ref.name))

    # --- following

    def load(self, name: str) -> None:
        """What importing a module runs: its packages, the modules that it imports, its own statements."""
        parent = name.rpartition(".")[0]
        if parent:
            self.load(parent)
        found = self.module(name)
        if found is None or name in self.loaded:
            return
        self.loaded[name] = found
        for target in (*found.bindings.values(), *(Target(star) for star in found.stars)):
            self.load_target(target)
        self.todo += [Ref(star, WHOLE) for star in found.stars if self.inside(star)]
        if found.always:
            self._take(Ref(name, MODULE_LEVEL), found.always)

    def load_target(self, target: Target) -> None:
        """Import a module, or what a ``from`` import names."""
        if self.inside(target.module):
            self.load(target.module)
            if target.name and self.exists(f"{target.module}.{target.name}"):
                self.load(f"{target.module}.{target.name}")

    def _take(self, ref: Ref, nodes: list[Any]) -> None:
        if ref not in self.meanings:
            self.meanings[ref] = self.loaded[ref.module].meaning(ref.name, nodes)
            self.follow(self.meanings[ref], ref.module)

    def follow(self, found: Meaning, module: str) -> None:
        """Reach all that some code names."""
        self.words.setdefault(module, set()).update(found.words)
        self.prefixes |= found.prefixes
        for hole in found.holes:
            self.load_target(hole.target)
            ref = self.meant(hole).ref
            if ref is not None:
                own = ref.module == module and self.is_table(ref)
                (self.tables if own else self.reached).add(ref)
                self.todo.append(ref)

    def run(self) -> dict[Ref, Meaning]:
        """Follow everything to its end; the meaning of each definition that was reached."""
        while True:
            while self.todo:
                self._visit(self.todo.pop())
            words = self.every_word()
            for table in self.tables - self.reached:
                rows = self.loaded[table.module].rows(table.name)
                for key in rows.keys() & self.picked.get(table, words):
                    self._take(Ref(table.module, f"{table.name}[{key!r}]"), [rows[key]])
            computed = [ref for prefix in self.prefixes for ref in self._computed(prefix, words)]
            self.todo += [ref for ref in computed if ref not in self.visited]
            if not self.todo:
                return self.meanings

    def every_word(self) -> set[str]:
        """All text in reached code."""
        return set().union(*self.words.values())

    def _computed(self, prefix: str, words: set[str]) -> list[Ref]:
        """Modules that a computed import may mean: those whose names stand as text, or all where none does."""
        names = self.beginning(prefix) if prefix.startswith("avlib") else []
        said = [name for name in names if name == prefix or name[len(prefix) :] in words]
        return [Ref(name, WHOLE) for name in said or names]

    def _visit(self, ref: Ref) -> None:
        self.load(ref.module)
        found = self.loaded.get(ref.module)
        if found is None or ref in self.visited or (ref in self.tables and ref not in self.reached):
            return
        self.visited.add(ref)
        if ref.name != WHOLE:
            self._take(ref, found.definitions[ref.name])
            return
        for name, nodes in found.definitions.items():
            if self.is_table(Ref(ref.module, name)):
                self.tables.add(Ref(ref.module, name))
            else:
                self._take(Ref(ref.module, name), nodes)
        self.todo += self.offered(found)

    def offered(self, found: Module) -> list[Ref]:
        """What a package that is handed about offers of other modules."""
        if found.path.name != "__init__.py":
            return []
        meant = [self.meant(Hole(Target(found.name, name), ())).ref for name in sorted(found.bindings)]
        return [ref for ref in meant if ref is not None]
