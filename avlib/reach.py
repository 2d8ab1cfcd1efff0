"""Which definitions of the package some code reaches, found by reading it: nothing is imported.

Code reaches the functions, classes and constants that it names, those that these name, and so on, plus the statements
that run when a module is imported. Where the reading is not sure it takes more: a module that is handed about as an
object, or an attribute that cannot be found, counts as the whole module. What an object's methods do belongs to its
class, and a class counts as soon as anything reached names it; annotations lead nowhere, because whoever makes an
object names its class.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

TABLES = {("avlib.profiles", "PROFILES"), ("avlib.world.presets", "PRESETS")}
"""Tables of which an entry counts only where its key stands as text in reached code: a new preset ages nobody else."""

MODULE_LEVEL = ""
"""Stands for the statements of a module that run on import and define nothing."""

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Target(NamedTuple):
    """What an imported name means: a module, or a name in one."""

    module: str
    name: str | None = None


class Ref(NamedTuple):
    """A definition of a module; ``*`` is the whole module."""

    module: str
    name: str


@dataclass
class Uses:
    """What a piece of code names."""

    targets: set[tuple[Target, tuple[str, ...]]] = field(default_factory=set)
    external: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    prefixes: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Module:
    """A parsed module: its imported names, its definitions, and the statements that always run."""

    name: str
    path: Path
    bindings: dict[str, Target]
    definitions: dict[str, list[ast.stmt]]
    always: list[ast.stmt]
    stars: tuple[str, ...]
    uses: dict[str, Uses] = field(default_factory=dict)
    """What each definition names, once it was asked for: the next chapter asks again."""
    hashes: dict[str, str] = field(default_factory=dict)

    @property
    def package(self) -> str:
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]


def is_bare_text(node: ast.AST) -> bool:
    """Is this statement nothing but a string, a docstring that stands alone?"""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_typing_only(node: ast.stmt) -> bool:
    if not isinstance(node, ast.If):
        return False
    test = node.test
    name = test.id if isinstance(test, ast.Name) else test.attr if isinstance(test, ast.Attribute) else ""
    return name == "TYPE_CHECKING"


def imported(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, Target]]:
    """Names that an import statement binds; ``*`` for a star import."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.asname:
                yield alias.asname, Target(alias.name)
            else:
                yield alias.name.partition(".")[0], Target(alias.name.partition(".")[0])
        return
    base = node.module or ""
    if node.level:
        parent = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*parent, base] if base else parent)
    for alias in node.names:
        yield (alias.asname or alias.name), Target(base, alias.name)


def _inner(node: ast.AST) -> Iterator[ast.AST]:
    """``node`` and what lies in its own scope: not the bodies of functions, classes and comprehensions in it."""
    yield node
    if isinstance(node, (*_FUNCTIONS, ast.ClassDef, ast.Lambda, *_COMPREHENSIONS)) or _is_typing_only(node):  # type: ignore[arg-type]
        return
    for child in ast.iter_child_nodes(node):
        yield from _inner(child)


def bound(body: Iterable[ast.AST], package: str) -> dict[str, Target | None]:
    """Names that statements bind in their scope: to an import, or (None) to something of their own."""
    names: dict[str, Target | None] = {}
    outside: set[str] = set()
    for node in (inner for statement in body for inner in _inner(statement)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names.update(imported(node, package))
        elif isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            names.setdefault(node.name, None)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.setdefault(node.id, None)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            names.setdefault(node.name, None)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            outside.update(node.names)
    return {name: target for name, target in names.items() if name not in outside}


def _assigned(node: ast.stmt) -> list[str]:
    """Names that a plain assignment (or a definition) gives; empty for any other statement."""
    if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
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
        if _is_typing_only(statement) or is_bare_text(statement):
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


class Reader(ast.NodeVisitor):
    """Collect what a piece of code names, respecting Python's scopes."""

    def __init__(self, package: str, names: Mapping[str, Target | None]):
        self.package = package
        self.scopes: list[tuple[bool, Mapping[str, Target | None]]] = [(False, names)]
        self.uses = Uses()

    def _lookup(self, name: str) -> Target | None:
        for depth, (is_class, names) in enumerate(reversed(self.scopes)):
            if name in names and (depth == 0 or not is_class):
                return names[name]
        return None

    def _note(self, name: str, chain: tuple[str, ...]) -> None:
        target = self._lookup(name)
        if target is None:
            return
        if target.module.partition(".")[0] == "avlib":
            self.uses.targets.add((target, chain))
        else:
            self.uses.external.add(f"{name}={target.module}:{target.name}")

    def visit_Name(self, node: ast.Name) -> None:
        self._note(node.id, ())

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain: list[str] = []
        value: ast.expr = node
        while isinstance(value, ast.Attribute):
            chain.append(value.attr)
            value = value.value
        if isinstance(value, ast.Name):
            self._note(value.id, tuple(reversed(chain)))
        else:
            self.visit(value)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.uses.words.add(node.value)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not is_bare_text(node):
            self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        for child in node.orelse if _is_typing_only(node) else ast.iter_child_nodes(node):
            self.visit(child)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.target)
        if node.value is not None:
            self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in ("import_module", "__import__") and node.args:
            first = node.args[0].values[0] if isinstance(node.args[0], ast.JoinedStr) else node.args[0]
            prefix = str(first.value) if isinstance(first, ast.Constant) else ""
            if prefix.startswith("."):
                prefix = f"{self.package}.{prefix.lstrip('.')}"
            if prefix.startswith("avlib"):
                self.uses.prefixes.add(prefix)
        self.generic_visit(node)

    def _function(self, node: Any, body: list[Any]) -> None:
        arguments = node.args
        for child in (*getattr(node, "decorator_list", ()), *arguments.defaults, *arguments.kw_defaults):
            if child is not None:
                self.visit(child)
        every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg)
        names: dict[str, Target | None] = {a.arg: None for a in every if a is not None}
        names.update(bound(body, self.package))
        self._within(False, names, body)

    def _within(self, is_class: bool, names: Mapping[str, Target | None], nodes: Iterable[ast.AST]) -> None:
        self.scopes.append((is_class, names))
        for node in nodes:
            self.visit(node)
        self.scopes.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node, node.body)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node, node.body)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node, [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for child in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(child)
        self._within(True, bound(node.body, self.package), node.body)

    def _comprehension(self, node: Any) -> None:
        self.visit(node.generators[0].iter)  # the first iterable belongs to the scope outside
        names = bound([generator.target for generator in node.generators], self.package)
        self._within(False, names, ast.iter_child_nodes(node))

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension


class Closure:
    """Everything that some code reaches in the package that lies in ``root``."""

    def __init__(self, root: Path):
        self.root = root
        self.loaded: dict[str, Module] = {}
        self.reached: set[Ref] = set()
        self.tables: set[Ref] = set()
        self.words: dict[str, set[str]] = {}  # module (or "" for the code itself) → text in reached code
        self.modules: dict[str, Module | None] = {}
        self.todo: list[Ref] = []
        self.visited: set[Ref] = set()

    def module(self, name: str) -> Module | None:
        """The module of that name, where it is a file of the package."""
        if name not in self.modules:
            self.modules[name] = self._find(name)
        return self.modules[name]

    def _find(self, name: str) -> Module | None:
        inside = name.split(".")[1:]
        for path in (self.root.joinpath(*inside, "__init__.py"), self.root.joinpath(*inside).with_suffix(".py")):
            if path.is_file() and (inside or path.name == "__init__.py"):
                stat = path.stat()
                return _parse(name, path, (stat.st_mtime_ns, stat.st_size))
        return None

    def exists(self, name: str) -> bool:
        """Is there a module or a folder of that name?"""
        return self.module(name) is not None or self.root.joinpath(*name.split(".")[1:]).is_dir()

    def resolve(self, module: str, chain: tuple[str, ...], seen: frozenset[Target] = frozenset()) -> list[Ref]:
        """The definitions that ``module.a.b.c`` means."""
        if not chain:
            return [Ref(module, "*")]
        found, head = self.module(module), chain[0]
        here = Target(module, head)
        if found and head in found.definitions:
            return [Ref(module, head)]
        if found and head in found.bindings and here not in seen:
            target = found.bindings[head]
            if target.module.partition(".")[0] != "avlib":
                return []
            return self.resolve(target.module, (*([target.name] if target.name else []), *chain[1:]), seen | {here})
        if self.exists(f"{module}.{head}"):
            return self.resolve(f"{module}.{head}", chain[1:], seen)
        for star in found.stars if found else ():
            if star.partition(".")[0] == "avlib":
                return self.resolve(star, chain, seen)
        return [Ref(module, "*")]

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
        self.todo += [Ref(star, "*") for star in found.stars if star.partition(".")[0] == "avlib"]
        self.take(Ref(name, MODULE_LEVEL), found.always)

    def load_target(self, target: Target) -> None:
        if target.module.partition(".")[0] == "avlib":
            self.load(target.module)
            if target.name and self.exists(f"{target.module}.{target.name}"):
                self.load(f"{target.module}.{target.name}")

    def take(self, ref: Ref, nodes: list[Any]) -> None:
        """Follow what the nodes of a definition name."""
        found = self.loaded[ref.module]
        if ref.name not in found.uses:
            names: dict[str, Target | None] = {**found.bindings}
            names.update({name: Target(found.name, name) for name in found.definitions})
            reader = Reader(found.package, names)
            for node in nodes:
                reader.visit(node)
            found.uses[ref.name] = reader.uses
        self.follow(found.uses[ref.name], ref.module)

    def follow(self, uses: Uses, module: str) -> None:
        """Reach all that some code names."""
        self.words.setdefault(module, set()).update(uses.words)
        for target, chain in uses.targets:
            self.load_target(target)
            for ref in self.resolve(target.module, (*([target.name] if target.name else []), *chain)):
                own_table = ref in TABLES and ref.module == module and self._rows(ref)
                (self.tables if own_table else self.reached).add(ref)
                self.todo.append(ref)
        for prefix in uses.prefixes:
            self.todo += [Ref(name, "*") for name in self.names() if name == prefix or name.startswith(prefix)]

    def names(self) -> list[str]:
        """Names of all modules of the package."""
        found = [path.relative_to(self.root.parent).with_suffix("").parts for path in sorted(self.root.rglob("*.py"))]
        return [".".join(parts[:-1] if parts[-1] == "__init__" else parts) for parts in found]

    def _rows(self, ref: Ref) -> dict[str, ast.expr]:
        """The entries of a table that is written as a literal dictionary with text as its keys."""
        found = self.module(ref.module)
        nodes = found.definitions.get(ref.name, []) if found else []
        value = getattr(nodes[0], "value", None) if len(nodes) == 1 else None
        if not isinstance(value, ast.Dict):
            return {}
        keys = [key.value for key in value.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
        return dict(zip(keys, value.values, strict=True)) if len(keys) == len(value.keys) else {}

    def run(self) -> dict[Ref, list[Any]]:
        """Follow everything to its end; the nodes of each definition that was reached."""
        done: dict[Ref, list[Any]] = {}
        while True:
            while self.todo:
                self._visit(self.todo.pop(), done)
            words = set().union(*self.words.values())
            for table in self.tables - self.reached:
                for key, node in self._rows(table).items():
                    if key in words:
                        self._once(Ref(table.module, f"{table.name}[{key!r}]"), [node], done)
            if not self.todo:
                return done | {
                    Ref(name, MODULE_LEVEL): found.always for name, found in self.loaded.items() if found.always
                }

    def _visit(self, ref: Ref, done: dict[Ref, list[Any]]) -> None:
        self.load(ref.module)
        found = self.loaded.get(ref.module)
        if found is None or ref in self.visited or (ref in self.tables and ref not in self.reached):
            return
        self.visited.add(ref)
        if ref.name != "*":
            self._once(ref, found.definitions[ref.name], done)
            return
        for name, nodes in found.definitions.items():
            self._once(Ref(ref.module, name), nodes, done)
        if found.path.name == "__init__.py":  # a package that is handed about: all that it offers
            for target in found.bindings.values():
                if target.module.partition(".")[0] == "avlib":
                    self.todo += self.resolve(target.module, (target.name,) if target.name else ())

    def _once(self, ref: Ref, nodes: list[Any], done: dict[Ref, list[Any]]) -> None:
        if ref not in done:
            done[ref] = nodes
            self.take(ref, nodes)
