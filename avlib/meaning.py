"""What a definition means, as text with holes: two ways to write the same thing give the same text.

Left out are layout, comments, docstrings, annotations, the messages of errors, and names that nobody outside can see:
local variables, arguments of lambdas and of inner and private functions. A hole stands where the code names something
of a module; who knows what that is fills it (`avlib.reach`, `avlib.provenance`).
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_NO_FIELDS = ("ctx", "type_comment", "annotation", "returns", "type_params")
_ERRORS = {name for name, item in vars(builtins).items() if isinstance(item, type) and issubclass(item, Exception)}
_ERRORS -= {"StopIteration", "StopAsyncIteration"}  # these carry a value
_BY_NAME = {"locals", "vars", "eval", "exec", "dir"}  # functions that see the names of local variables
_ATTRIBUTES = {"getattr", "setattr", "hasattr", "delattr"}


class Target(NamedTuple):
    """What an imported name means: a module, or a name in one."""

    module: str
    name: str | None = None


class Hole(NamedTuple):
    """``target.a.b`` where the chain is ``("a", "b")``."""

    target: Target
    chain: tuple[str, ...]


class Hidden(NamedTuple):
    """A parameter or a private attribute that may be called anything, unless somebody elsewhere says its name."""

    kind: str
    name: str
    number: int


class Spare(NamedTuple):
    """A field at the end of a dataclass whose default is a constant: nothing, as long as nobody names it."""

    name: str
    text: str


Piece = str | Hole | Hidden | Spare


@dataclass
class Meaning:
    """The text of some code with its holes, and all that it mentions.

    Attributes:
        pieces: text, holes and names that may turn out to be nobody's business.
        holes: the holes among them.
        words: text constants.
        attributes, keywords: names of attributes, and of arguments in calls, that it mentions.
        prefixes: beginnings of the names of modules that it imports while it runs.
        bases: base classes that are imported.
        opaque: does it look up attributes by computed names, or inherit from something built in?
    """

    pieces: list[Piece] = field(default_factory=list)
    holes: set[Hole] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    keywords: set[str] = field(default_factory=set)
    prefixes: set[str] = field(default_factory=set)
    bases: set[Hole] = field(default_factory=set)
    opaque: bool = False

    def text(self) -> str:
        """The text with what the holes are called."""
        return "".join(_called(piece) for piece in self.pieces)


def _called(piece: Piece) -> str:
    if isinstance(piece, Hole):
        return ".".join((*filter(None, piece.target), *piece.chain))
    return piece if isinstance(piece, str) else piece.name


def is_bare_text(node: ast.AST) -> bool:
    """Is this statement nothing but a string, a docstring that stands alone?"""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def is_typing_only(node: ast.AST) -> bool:
    """Is this ``if TYPE_CHECKING:``?"""
    if not isinstance(node, ast.If):
        return False
    test = node.test
    return (test.id if isinstance(test, ast.Name) else getattr(test, "attr", "")) == "TYPE_CHECKING"


def is_private(name: str) -> bool:
    """Does the name begin with one underscore (and end without)?"""
    return name.startswith("_") and not name.startswith("__") and not name.endswith("_")


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
    if isinstance(node, (*_FUNCTIONS, ast.ClassDef, ast.Lambda, *_COMPREHENSIONS)) or is_typing_only(node):
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
        elif isinstance(node, ast.MatchMapping) and node.rest:
            names.setdefault(node.rest, None)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            outside.update(node.names)
    return {name: target for name, target in names.items() if name not in outside}


class _Scope(NamedTuple):
    number: int
    kind: str  # "module", "class" or "function"
    names: Mapping[str, Target | None]


def read(nodes: Iterable[ast.AST], package: str, names: Mapping[str, Target | None], own: str = "") -> Meaning:
    """The meaning of statements (or of one expression) of a module.

    Args:
        nodes: what to read.
        package: the package that relative imports start from.
        names: what the module's names mean.
        own: the name that these statements define, where they define one.
    """
    nodes = list(nodes)
    reader = _Reader(package, names, own, nodes)
    reader.each(nodes)
    return reader.meaning


class _Reader:
    """Writes pieces while it walks through a syntax tree, respecting Python's scopes."""

    def __init__(self, package: str, names: Mapping[str, Target | None], own: str, nodes: list[ast.AST]):
        self.package, self.own = package, own
        self.scopes = [_Scope(0, "module", names)]
        self.opened = 1
        self.numbers: dict[tuple[int, str], int] = {}
        self.hidden: dict[tuple[str, str], int] = {}
        self.meaning = Meaning()
        inside = [inner for node in nodes for inner in ast.walk(node)]
        self.literal = any(isinstance(node, ast.Name) and node.id in _BY_NAME for node in inside)
        self.private = {name for node in inside if isinstance(node, ast.ClassDef) for name in _own_attributes(node)}

    def put(self, piece: Piece) -> None:
        self.meaning.pieces.append(piece)

    # --- names

    def _find(self, name: str) -> tuple[_Scope | None, Target | None]:
        for depth, scope in enumerate(reversed(self.scopes)):
            if name in scope.names and (depth == 0 or scope.kind != "class"):
                return scope, scope.names[name]
        return None, None

    def hole(self, target: Target, chain: tuple[str, ...]) -> Hole:
        hole = Hole(target, chain)
        self.meaning.holes.add(hole)
        self.meaning.attributes.update(chain)
        self.put(hole)
        return hole

    def name(self, name: str) -> None:
        scope, target = self._find(name)
        if target is not None:
            self.hole(target, ())
        elif scope is None or scope.kind == "module" or self.literal:
            self.put(name)
        elif scope.kind == "class":
            self.attribute(name)
        else:
            self.put(f"%{self.numbers.setdefault((scope.number, name), len(self.numbers))}")

    def attribute(self, name: str) -> None:
        self.meaning.attributes.add(name)
        self.put(self._hide("attribute", name) if name in self.private else name)

    def _hide(self, kind: str, name: str) -> Hidden:
        return Hidden(kind, name, self.hidden.setdefault((kind, name), len(self.hidden)))

    # --- anything

    def visit(self, node: Any) -> None:
        special = getattr(self, f"_{type(node).__name__}", None)
        if special:
            special(node)
            return
        self.put(f"({type(node).__name__}")
        for name in node._fields:
            item = getattr(node, name, None)
            if item is not None and item != [] and name not in _NO_FIELDS:
                self.put(f" {name}=")
                self.value(item)
        self.put(")")

    def value(self, item: Any) -> None:
        if isinstance(item, ast.AST):
            self.visit(item)
        elif isinstance(item, list):
            self.each(item)
        else:
            self.put(repr(item))

    def each(self, items: Iterable[Any]) -> None:
        self.put("[")
        for item in items:
            self._one(item)
        self.put("]")

    def _one(self, item: Any) -> None:
        if is_typing_only(item):
            for child in item.orelse:
                self._one(child)
        elif not self._silent(item):
            self.value(item)
            self.put(",")

    def _silent(self, item: Any) -> bool:
        bare = isinstance(item, ast.AnnAssign) and item.value is None and self.scopes[-1].kind != "class"
        nothing = isinstance(item, ast.Pass | ast.Import | ast.ImportFrom | ast.Global | ast.Nonlocal)
        return bare or nothing or (isinstance(item, ast.AST) and is_bare_text(item))

    # --- expressions

    def _Constant(self, node: ast.Constant) -> None:
        self.put(f"{type(node.value).__name__}:{node.value!r}")
        if isinstance(node.value, str):
            self.meaning.words.add(node.value)

    def _Name(self, node: ast.Name) -> None:
        if self.own and len(self.scopes) == 1 and not isinstance(node.ctx, ast.Load):
            self.put("@" if node.id == self.own else "@other")
        else:
            self.name(node.id)

    def _Attribute(self, node: ast.Attribute) -> None:
        chain: list[str] = []
        value: ast.expr = node
        while isinstance(value, ast.Attribute):
            chain.insert(0, value.attr)
            value = value.value
        target = self._find(value.id)[1] if isinstance(value, ast.Name) else None
        if target is not None:
            self.hole(target, tuple(chain))
            return
        self.visit(value)
        for name in chain:
            self.put(".")
            self.attribute(name)

    def _Call(self, node: ast.Call) -> None:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in _ERRORS and isinstance(node.func, ast.Name) and self._find(called) == (None, None):
            self.put(f"{called}()")  # its arguments make a message
            return
        if called in ("import_module", "__import__") and node.args:
            self._import(node.args[0])
        if called in _ATTRIBUTES and len(node.args) > 1 and not isinstance(node.args[1], ast.Constant):
            self.meaning.opaque = True
        self.put("(Call ")
        self.visit(node.func)
        self.each(node.args)
        self.each(node.keywords)
        self.put(")")

    def _import(self, argument: ast.expr) -> None:
        first = argument.values[0] if isinstance(argument, ast.JoinedStr) and argument.values else argument
        prefix = str(first.value) if isinstance(first, ast.Constant) else ""
        if prefix.startswith("."):
            prefix = f"{self.package}.{prefix.lstrip('.')}"
        if prefix:
            self.meaning.prefixes.add(prefix)

    def _keyword(self, node: ast.keyword) -> None:
        if node.arg:
            self.meaning.keywords.add(node.arg)
        self.put(f"{node.arg or '**'}=")
        self.visit(node.value)

    def _Lambda(self, node: ast.Lambda) -> None:
        self._function(node, [node.body], True)

    def _comprehension(self, node: Any) -> None:
        self.put(f"({type(node).__name__} ")
        self.visit(node.generators[0].iter)  # the first iterable belongs to the scope outside
        self._open("function", bound([generator.target for generator in node.generators], self.package))
        for place, generator in enumerate(node.generators):
            self.put(" async for " if generator.is_async else " for ")
            self.visit(generator.target)
            if place:
                self.visit(generator.iter)
            self.each(generator.ifs)
        for part in [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]:
            self.visit(part)
        self.scopes.pop()
        self.put(")")

    _ListComp = _SetComp = _DictComp = _GeneratorExp = _comprehension

    # --- statements

    def _AnnAssign(self, node: ast.AnnAssign) -> None:
        if self.scopes[-1].kind != "class":
            self.put("(Assign targets=[")
            self.visit(node.target)
            self.put(",] value=")
            self.visit(node.value)
            self.put(")")
            return
        kind = ast.unparse(node.annotation)
        self.put("(field " + (kind if any(word in kind for word in ("ClassVar", "InitVar", "KW_ONLY")) else ""))
        self.visit(node.target)
        if node.value is not None:
            self.put("=")
            self.visit(node.value)
        self.put(")")

    def _Raise(self, node: ast.Raise) -> None:
        self.put("(Raise ")
        if node.exc is not None:
            self.visit(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)
        self.put(")")

    def _Assert(self, node: ast.Assert) -> None:
        self.put("(Assert ")
        self.visit(node.test)
        self.put(")")

    def _named(self, node: Any) -> None:
        """``except … as name`` and the patterns of ``match``."""
        self.put(f"({type(node).__name__}")
        for name in node._fields:
            item = getattr(node, name, None)
            if item is not None and item != []:
                self.put(f" {name}=")
                self.name(item) if name in ("name", "rest") else self.value(item)
        self.put(")")

    _ExceptHandler = _MatchAs = _MatchStar = _MatchMapping = _named

    def _FunctionDef(self, node: Any) -> None:
        self.put(f"({type(node).__name__} ")
        inner = self.scopes[-1].kind
        if inner != "module":
            self.name(node.name)
        self.each(node.decorator_list)
        self._function(node, node.body, inner == "function" or is_private(node.name))
        self.put(")")

    _AsyncFunctionDef = _FunctionDef

    def _function(self, node: Any, body: list[Any], hidden: bool) -> None:
        arguments = node.args
        self.each(arguments.defaults)
        for default in arguments.kw_defaults:
            self.value(default)
        groups = [
            ("/", arguments.posonlyargs), ("", arguments.args), ("*", [arguments.vararg]),
            ("=", arguments.kwonlyargs), ("**", [arguments.kwarg]),
        ]  # fmt: skip
        names: dict[str, Target | None] = dict.fromkeys((a.arg for _, group in groups for a in group if a), None)
        self._open("function", {**names, **bound(body, self.package), **names})
        for mark, group in groups:
            for argument in group:
                if argument:
                    self.put(f" {mark}")
                    self.put(self._hide("parameter", argument.arg) if hidden else argument.arg)
                    self.put(":")
                    self.name(argument.arg)
        self.each(body)
        self.scopes.pop()

    def _ClassDef(self, node: ast.ClassDef) -> None:
        self.put("(ClassDef ")
        if self.scopes[-1].kind != "module":
            self.name(node.name)
        elif not is_private(node.name):
            self.put(node.name)
        self.each(node.decorator_list)
        for base in node.bases:
            start = len(self.meaning.pieces)
            self.visit(base)
            holes = [piece for piece in self.meaning.pieces[start:] if isinstance(piece, Hole)]
            self.meaning.bases.update(holes)
            self.meaning.opaque |= not holes and getattr(base, "id", "") != "object"
        self.each(node.keywords)
        self._open("class", bound(node.body, self.package))
        spare = _spare(node)
        for item in node.body:
            if item in spare:
                assert isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.value
                self.put(Spare(item.target.id, repr(ast.literal_eval(item.value))))
            else:
                self._one(item)
        self.scopes.pop()
        self.put(")")

    def _open(self, kind: str, names: Mapping[str, Target | None]) -> None:
        self.scopes.append(_Scope(self.opened, kind, names))
        self.opened += 1


def _own_attributes(node: ast.ClassDef) -> Iterator[str]:
    """Private names that a class defines, in its body or on ``self``."""
    for statement in node.body:
        for name in bound([statement], ""):
            if is_private(name):
                yield name
    stored = (
        inner for inner in ast.walk(node) if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store)
    )
    for inner in stored:
        if is_private(inner.attr) and isinstance(inner.value, ast.Name) and inner.value.id == "self":
            yield inner.attr


def _spare(node: ast.ClassDef) -> list[ast.stmt]:
    """The last fields of a dataclass, as far as their defaults are constants."""
    found: list[ast.stmt] = []
    for item in reversed([item for item in node.body if isinstance(item, ast.AnnAssign)]):
        if not node.decorator_list or not isinstance(item.target, ast.Name) or not _is_constant(item.value):
            break
        found.append(item)
    return found


def _is_constant(node: ast.expr | None) -> bool:
    try:
        ast.literal_eval(node)  # type: ignore[arg-type]
    except (ValueError, TypeError, AttributeError):
        return False
    return True
