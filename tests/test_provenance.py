"""Which definitions code reaches, what changes a hash, and the reasons given for staleness."""

import json
import sys
from pathlib import Path

import pytest

from avlib import fingerprint as fingerprints
from avlib import meaning, provenance
from tests import edits

PACKAGE = {
    "__init__.py": '"""A package."""\n__version__ = "1"\n',
    "errors.py": "def unknown(kind, name):\n    return ValueError(kind + name)\n",
    "losses.py": """
'''Losses.'''
import math
from .errors import unknown
SCALE = 2.0
SPARE = 3.0
def info_nce(x):
    '''Doc.'''
    # why
    return _shared(x) * SCALE
def margin(x):
    return math.sqrt(x)
def _shared(x):
    if x is None:
        raise unknown("x", "y")
    return x
""",
    "world/__init__.py": """
from avlib.world.presets import preset
class World:
    def __init__(self, name='solo'):
        self.preset = preset(name)
""",
    "world/presets.py": """
def dial(x):
    return x
_DUET = dial(2)
PRESETS = {'solo': dial(1), 'duet': _DUET, 'rare': dial(9)}
def preset(name):
    return PRESETS[name]
""",
    "methods/__init__.py": "",
    "methods/toy.py": """
from typing import TYPE_CHECKING
from avlib import losses
if TYPE_CHECKING:
    from avlib.world import World
class Toy:
    def loss(self, world: "World"):
        from avlib.errors import unknown
        return losses.info_nce(1)
""",
    "recipes/__init__.py": """
import importlib
def load(name):
    return importlib.import_module(f'avlib.recipes.{name}')
""",
    "recipes/toy.py": "from avlib.methods.toy import Toy\nARMS = ('trained',)\ndef train():\n    return Toy()\n",
    "tables/__init__.py": """
from importlib.resources import files
def rows():
    return [e for e in files(__name__).iterdir() if e.name.endswith('.csv')]
def other():
    return 1
def style():
    return files(__name__).joinpath('a.css').read_text()
""",
    "tables/a.csv": "x\n1\n",
    "tables/a.css": "p { color: red }\n",
    "act.py": "import math\nmath.pi\ndef quiet():\n    return 1\n",
}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "avlib"
    for name, text in PACKAGE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def change(root: Path, name: str, old: str, new: str) -> None:
    path = root / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def about(root: Path, code: str) -> dict:
    return provenance.describe(code, profile="cpu", seed=0, root=root)


def reasons(root: Path, code: str, name: str, old: str, new: str) -> list[str]:
    before = about(root, code)
    change(root, name, old, new)
    return provenance.compare(before, about(root, code))


USE = "from avlib.losses import info_nce\ninfo_nce(1)"


@pytest.mark.parametrize(
    ("code", "reached"),
    [
        (USE, {"info_nce", "_shared", "SCALE"}),
        ("import avlib.losses as l\nl.info_nce(1)", {"info_nce", "_shared", "SCALE"}),
        ("import avlib.losses\navlib.losses.info_nce(1)", {"info_nce", "_shared", "SCALE"}),
        ("import avlib\nprint(avlib.losses.margin)", {"margin"}),
        ("from avlib import losses as l\ndef f():\n    return [l.margin(x) for x in l.SPARE]", {"margin", "SPARE"}),
        ("def f():\n    from avlib.losses import margin as m\n    return m(1)", {"margin"}),
        ("from avlib import losses\ngetattr(losses, 'margin')", {"info_nce", "_shared", "SCALE", "SPARE", "margin"}),
        ("from avlib import losses\nlosses.nothing", {"info_nce", "_shared", "SCALE", "SPARE", "margin"}),
        ("from avlib.losses import info_nce", set()),
        ("from avlib import losses\ndef f(losses):\n    return losses.margin", set()),
        ("from avlib import losses\nf = lambda losses: losses.margin", set()),
        ("from avlib import losses\n[losses.margin for losses in ()]", set()),
        ("from avlib.methods.toy import Toy\nToy().loss(1)", {"info_nce", "_shared", "SCALE"}),
    ],
)
def test_reached_definitions(root: Path, code: str, reached: set[str]) -> None:
    assert set(provenance.parts(code, root=root).get("avlib/losses.py", {})) == reached


def test_a_star_import_counts_the_whole_module(root: Path) -> None:
    found = provenance.parts("from avlib.losses import *\nmargin(1)", root=root)
    assert set(found["avlib/losses.py"]) == {"info_nce", "_shared", "SCALE", "SPARE", "margin"}


def test_sources_are_transitive(root: Path) -> None:
    found = provenance.sources("from avlib.recipes import toy\ntoy.train()", root=root)
    assert {"avlib", "avlib.recipes.toy", "avlib.methods.toy", "avlib.losses", "avlib.errors"} <= set(found)
    assert "avlib.world" not in found  # named in an annotation only
    assert found["avlib.losses"] == root / "losses.py"


def test_a_used_function_is_named(root: Path) -> None:
    assert reasons(root, USE, "losses.py", "return x\n", "return x + 1\n") == ["avlib/losses.py: _shared changed"]


def test_a_function_of_another_file_is_named(root: Path) -> None:
    assert reasons(root, USE, "errors.py", "ValueError", "KeyError") == ["avlib/errors.py: unknown changed"]


def test_a_changed_constant_is_named(root: Path) -> None:
    assert reasons(root, USE, "losses.py", "SCALE = 2.0", "SCALE = 2.5") == ["avlib/losses.py: SCALE changed"]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("losses.py", "math.sqrt(x)", "math.sqrt(x) + 1"),
        ("losses.py", "SPARE = 3.0", "SPARE = 4.0"),
        ("losses.py", "'''Doc.'''", "'''Another.'''"),
        ("losses.py", "# why", "# because"),
        ("losses.py", "return _shared(x) * SCALE", "return (\n        _shared(x)\n        * SCALE\n    )"),
        ("losses.py", "'''Losses.'''", ""),
        ("methods/toy.py", "info_nce(1)", "info_nce(2)"),
        ("errors.py", "kind + name", "name"),
    ],
)
def test_what_is_not_used_ages_nothing(root: Path, name: str, old: str, new: str) -> None:
    assert reasons(root, USE, name, old, new) == []


def test_another_library_behind_the_same_name_is_a_change(root: Path) -> None:
    code = "from avlib.losses import margin\nmargin(1)"
    assert reasons(root, code, "losses.py", "import math", "import cmath as math") == [
        "avlib/losses.py: margin changed"
    ]


def test_statements_that_run_on_import_always_count(root: Path) -> None:
    code = "from avlib.act import quiet\nquiet()"
    assert reasons(root, code, "act.py", "math.pi", "math.e") == ["avlib/act.py changed"]


def test_only_named_entries_of_a_table_count(root: Path) -> None:
    code = "from avlib.world import World\nWorld('duet')"
    rows = provenance.parts(code, root=root)["avlib/world/presets.py"]
    assert set(rows) == {"PRESETS['duet']", "PRESETS['solo']", "_DUET", "dial", "preset"}
    assert reasons(root, code, "world/presets.py", "dial(9)", "dial(10)") == []
    assert reasons(root, code, "world/presets.py", "dial(1)", "dial(3)") == [
        "avlib/world/presets.py: PRESETS['solo'] changed"
    ]


def test_a_table_that_is_read_directly_counts_whole(root: Path) -> None:
    code = "from avlib.world.presets import PRESETS\nlist(PRESETS)"
    assert reasons(root, code, "world/presets.py", "dial(9)", "dial(10)") == ["avlib/world/presets.py: PRESETS changed"]


def test_words_stand_for_text_in_the_code(root: Path) -> None:
    found = provenance.parts("from avlib.world import World\nWorld(name)", ["rare"], root)
    assert "PRESETS['rare']" in found["avlib/world/presets.py"]


def test_a_computed_import_reaches_all_it_may_mean(root: Path) -> None:
    found = provenance.parts("from avlib import recipes\nrecipes.load('toy').train()", root=root)
    assert "train" in found["avlib/recipes/toy.py"] and "info_nce" in found["avlib/losses.py"]


def test_data_beside_a_module_count_where_they_are_read(root: Path) -> None:
    used = "from avlib.tables import rows\nrows()"
    assert reasons(root, used, "tables/a.csv", "1", "2") == ["avlib/tables/a.csv changed"]
    assert reasons(root, "from avlib.tables import other\nother()", "tables/a.csv", "2", "3") == []


def test_a_style_sheet_ages_nothing(root: Path) -> None:
    assert reasons(root, "from avlib.tables import style\nstyle()", "tables/a.css", "red", "blue") == []


def test_names_of_modules_count_whole(root: Path) -> None:
    found = provenance.parts(["avlib.recipes.toy"], root=root)
    assert set(found["avlib/recipes/toy.py"]) == {"ARMS", "train"} and "info_nce" in found["avlib/losses.py"]
    with pytest.raises(ValueError, match=r"no module avlib\.nothing"):
        provenance.parts(["avlib.nothing"], root=root)


def notebook(path: Path, *cells: dict) -> Path:
    path.write_text(json.dumps({"cells": list(cells), "nbformat": 4, "nbformat_minor": 5, "metadata": {}}))
    return path


def cells(path: Path, *sources: str, injected: str = "profile = 'smoke'") -> Path:
    made = [{"cell_type": "code", "metadata": {}, "source": source} for source in sources]
    given = {"cell_type": "code", "metadata": {"tags": ["injected-parameters"]}, "source": injected}
    return notebook(path, {"cell_type": "markdown", "source": "from avlib.act import quiet"}, given, *made)


def test_a_notebook_counts_by_its_code_and_magics(tmp_path: Path, root: Path) -> None:
    sources = ["%matplotlib inline\n!ls\nfrom avlib.losses import margin", "%%bash\nls", "%%time\nmargin(1)  # one"]

    def digest(*changed: str, **injected: str) -> str:
        return provenance.code_digest(cells(tmp_path / "a.ipynb", *changed, **injected))

    before = digest(*sources)
    assert set(provenance.parts(tmp_path / "a.ipynb", root=root)) == {"avlib/losses.py"}
    assert digest(*sources, injected="profile = 'gpu'") == before
    assert digest(*sources, "# nothing") == before
    for old, new, same in (
        ("# one", "# another", True),
        ("margin(1)", "margin( 1 )", True),
        ("margin(1)", "margin(2)", False),
        ("%%time", "%%timeit", False),
        ("%%bash\nls", "%%bash\nls -l", False),
        ("!ls", "!ls -l", False),
        ("inline", "widget", False),
    ):
        assert (digest(*(source.replace(old, new) for source in sources)) == before) == same, old
    assert digest(*sources[:2], "%%time", "margin(1)") != before  # what a cell ends with is shown


@pytest.mark.parametrize(
    ("cell", "python"),
    [
        ("x = (1\n  % 2)", "x = (1\n  % 2)"),
        ("if x:\n    !ls\n    y = 1", "if x:\n    pass\n    y = 1"),
        ("files = !ls\nx = 1", "files = None\nx = 1"),
        ("t = %timeit -o f()", "t = None"),
        ("margin?\n?margin", "pass\npass"),
        ("%%capture out\nf()", "pass\nf()"),
        ("\n%%html\n<b>", ""),
        ("", ""),
        ("def (:", "def (:"),
    ],
)
def test_the_python_of_a_cell(cell: str, python: str) -> None:
    assert provenance.python_of(cell)[0] == python


def test_a_cell_that_shows_text_counts(tmp_path: Path) -> None:
    assert provenance.code_digest("'a'") != provenance.code_digest("'b'")


def test_bad_notebooks_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.ipynb"):
        provenance.code_cells(tmp_path / "absent.ipynb")
    (tmp_path / "bad.ipynb").write_text("no json")
    with pytest.raises(ValueError, match=r"bad\.ipynb is not a notebook"):
        provenance.code_cells(tmp_path / "bad.ipynb")
    with pytest.raises(ValueError, match=r"this code, line 2, is not Python \(.*\): 'def \(:'"):
        provenance.parts("x = 1\ndef (:")
    with pytest.raises(ValueError, match=r"cell 4, line 1, is not Python"):
        provenance.parts(cells(tmp_path / "b.ipynb", "x = 1", "x ="))


def test_description_and_reasons(root: Path) -> None:
    lock = root.parent / "requirements.lock"
    lock.write_text("torch==1")
    old = provenance.describe(
        USE, profile="cpu", seed=0, seconds=1.23, packs={"orchestra": "aa"}, files={"results.json": "1"}, root=root
    )
    assert old["seconds"] == 1.2 and old["versions"]["torch"] and "CPU" in old["device"]
    assert json.loads(json.dumps(old)) == old
    assert provenance.compare(old, old) == []
    lock.write_text("torch==2")
    now = provenance.describe(
        USE + "\nx = 1", profile="gpu", seed=0, packs={"orchestra": "bb"}, files={"results.json": "2"}, root=root
    )
    assert provenance.compare(old, now) == [
        "code cells changed",
        "requirements.lock changed",
        "pack orchestra changed",
        "results.json changed",
        "profile was cpu, is gpu",
    ]


def _described(**names: str) -> dict:
    return {"sources": {"a.py": {name: value[0] * 12 + value[1] * 12 for name, value in names.items()}}}


def test_additions_are_named_when_nothing_else_explains_them() -> None:
    one, none = _described(f="11") | {"sources_sha256": "1"}, _described() | {"sources_sha256": "2"}
    assert provenance.compare(none, one) == ["a.py: f is used now"]
    assert provenance.compare(one, none) == ["a.py: f is no longer used"]
    two = _described(f="22", g="33") | {"sources_sha256": "3"}
    assert provenance.compare(one, two) == ["a.py: f changed"]
    assert provenance.compare(one, one | {"sources_sha256": "4"}) == ["what its code reaches changed"]


def test_what_has_another_name_or_place_is_neither_gone_nor_new() -> None:
    old, now = _described(f="12") | {"sources_sha256": "1"}, _described(g="12", h="34") | {"sources_sha256": "2"}
    assert provenance.compare(old, now) == ["a.py: h is used now"]
    assert provenance.compare(now, old) == ["a.py: h is no longer used"]
    renamed = _described(g="12") | {"sources_sha256": "3"}
    assert provenance.compare(old, renamed) == ["what its code reaches changed"]


def test_what_only_reaches_a_change_is_not_named() -> None:
    old, now = (
        _described(f="11", g="11") | {"sources_sha256": "1"},
        _described(f="21", g="22") | {"sources_sha256": "2"},
    )
    assert provenance.compare(old, now) == ["a.py: g changed"]


def test_fingerprints_of_an_earlier_form_are_not_compared() -> None:
    now = {"form": provenance.FORM, "code": "a", "sources": {}, "sources_sha256": "1"}
    assert provenance.compare({"code": "b"}, now) == ["its fingerprints have the form of an earlier version"]


@pytest.mark.parametrize("edit", edits.EDITS, ids=lambda edit: edit.what)
def test_the_table_of_edits(tmp_path: Path, edit: edits.Edit) -> None:
    why, files = edits.outcome(tmp_path, edit)
    assert why == list(edit.chapter) and bool(files) == edit.cell


def test_the_table_can_be_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edits, "EDITS", [edit for edit in edits.EDITS if edit.what in ("docstring", "method changed")])
    docstring, method = edits.table().splitlines()[2:]
    assert docstring == "| docstring | – | – |"
    assert method == "| method changed | avlib/paint.py: Net changed | avlib/paint.py |"


def fingerprint(root: Path, module: str, code: str = "from avlib import a\na.f()") -> str:
    (root / "a.py").write_text(module)
    return provenance.digest(code, root=root)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def f():\n    x, y = 1, 2\n    return x - y", "def f():\n    a, b = 1, 2\n    return a - b"),
        ("def f():\n    for i in (): print(i)", "def f():\n    for k in (): print(k)"),
        ("def f(x):\n    x: int = 1\n    y: int\n    return x", "def f(x):\n    x = 1\n    return x"),
        ("def f():\n    g = lambda u: u\n    return g", "def f():\n    h = lambda v: v\n    return h"),
        ("def f():\n    def g(u): return u\n    return g(1)", "def f():\n    def h(v): return v\n    return h(1)"),
        (
            "def f():\n    try: pass\n    except OSError as e: print(e)",
            "def f():\n    try: pass\n    except OSError as x: print(x)",
        ),
        (
            "def f(p):\n    match p:\n        case [a, *b]: return a, b",
            "def f(p):\n    match p:\n        case [c, *d]: return c, d",
        ),
        ("import math\ndef f(): return math.pi", "from math import pi\ndef f(): return pi"),
        ("def f(): return _g()\ndef _g(): return f()", "def f(): return _h()\ndef _h(): return f()"),
        ("def f(x):\n    assert x, 'one'\n    return x", "def f(x):\n    assert x, 'two'\n    return x"),
        ("A, _B = 1, 2\ndef f(): return _B", "A, _C = 1, 2\ndef f(): return _C"),
        ("class _P:\n    pass\ndef f(): return _P", "class _Q:\n    pass\ndef f(): return _Q"),
        ("def f(): return (y for y in ())", "def f(): return (z for z in ())"),
    ],
)  # fmt: skip
def test_names_that_nobody_sees_do_not_count(root: Path, old: str, new: str) -> None:
    assert fingerprint(root, old) == fingerprint(root, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def f():\n    x, y = 1, 2\n    return x - y", "def f():\n    x, y = 1, 2\n    return y - x"),
        ("def f(x, y): return x - y", "def f(y, x): return x - y"),
        ("def f(x): return x", "def f(y): return y"),
        (
            "def f(): return _g(x=1, y=2)\ndef _g(x, y): return x",
            "def f(): return _g(x=1, y=2)\ndef _g(y, x): return y",
        ),
        ("def f(): return _g()\ndef _g(): return f()", "def f(): return _g()\ndef _g(): return f"),
        (
            "def f(): return _g(), _h()\ndef _g(): return f\ndef _h(): return 1",
            "def f(): return _g(), _h()\ndef _g(): return 1\ndef _h(): return f",
        ),
        ("A, _B = 1, 2\ndef f(): return A", "A, _B = 1, 2\ndef f(): return _B"),
        ("class P: pass\nclass Q: pass\ndef f(): return P", "class P: pass\nclass Q: pass\ndef f(): return Q"),
        (
            "class P:\n    _a, _b = 1, 2\ndef f(p): return P, p._a",
            "class P:\n    _a, _b = 1, 2\ndef f(p): return P, p._b",
        ),
        (
            "class P:\n    _a, _b = 1, 2\ndef f(): return getattr(P, '_a')",
            "class P:\n    _b, _a = 1, 2\ndef f(): return getattr(P, '_a')",
        ),
        ("import math\ndef f(): return math.pi", "import math\ndef f(): return math.e"),
        ("def f():\n    x = 1\n    return locals()", "def f():\n    y = 1\n    return locals()"),
        ("def f():\n    raise OSError", "def f():\n    raise ValueError"),
        ("def f(x):\n    assert x\n    return x", "def f(x):\n    assert not x\n    return x"),
        (
            "import enum\nclass P(enum.Enum):\n    _a = 1\n    _b = 2\ndef f(): return list(P)",
            "import enum\nclass P(enum.Enum):\n    _b = 1\n    _a = 2\ndef f(): return list(P)",
        ),
        ("def f(x): return [y for y in x if y]", "def f(x): return [y for y in x]"),
        ("def f(): return SystemExit(1)", "def f(): return SystemExit(2)"),
    ],
)  # fmt: skip
def test_whatever_may_change_a_result_counts(root: Path, old: str, new: str) -> None:
    assert fingerprint(root, old) != fingerprint(root, new)


DIALS = """
from dataclasses import dataclass
@dataclass
class Dials:
    size: int = 1
    zoom: float = 1.0
def f(): return Dials()
"""
MORE = DIALS.replace("zoom: float = 1.0", "zoom: float = 1.0\n    blur: float = 0.0")


def test_a_dial_counts_as_soon_as_anybody_names_it(root: Path) -> None:
    plain = fingerprint(root, DIALS)
    assert fingerprint(root, MORE) == plain
    assert fingerprint(root, MORE.replace("blur: float", "size2: float")) == plain
    assert fingerprint(root, MORE + "def g(): return f().blur\n", "from avlib.a import g") != plain
    for use in ("a.f().blur", "a.Dials(blur=1)", "'blur'"):
        code = f"from avlib import a\na.f(), {use}"
        assert fingerprint(root, DIALS, code) != fingerprint(root, MORE, code), use
    assert fingerprint(root, DIALS.replace("size: int = 1", "blur: int = 1\n    size: int = 1")) == plain


def test_a_field_before_one_in_use_counts(root: Path) -> None:
    code = "from avlib import a\na.f().zoom"
    before = fingerprint(root, DIALS, code)
    assert fingerprint(root, DIALS.replace("zoom:", "blur: float = 0.0\n    zoom:"), code) != before  # places shift
    assert fingerprint(root, DIALS.replace("zoom: float = 1.0", "zoom: float = 2.0"), code) != before


def test_names_that_torch_calls_itself() -> None:
    from torch import nn

    private = {name for name in dir(nn.Module()) if meaning.is_private(name)}
    assert private <= fingerprints.MODULE


def test_digest_is_one_hash(root: Path) -> None:
    before = provenance.digest(USE, root=root)
    assert len(before) == 64
    change(root, "losses.py", "return x\n", "return x + 1\n")
    assert provenance.digest(USE, root=root) != before


def test_repository_is_found_from_below(repo: Path) -> None:
    assert provenance.repository(repo / "tests") == repo


OWN = {
    "mine/__init__.py": "",
    "mine/two.py": """
from mine.parts import grow
import helpers
ARMS = {'a': dict(), 'b': dict(like='a'), 'c': dict()}
CLAIMS = ()
def train(run, arm):
    return grow(ARMS[arm]), helpers.rate()
def measure(method, run, arm):
    return {'x': 'folder:things'}
""",
    "mine/parts.py": "def grow(x):\n    return x\ndef other():\n    return 1\n",
    "helpers.py": "def rate():\n    return 1\n",
    "things/a.txt": "1",
}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    edits.write(tmp_path / "place", OWN)
    edits.write(tmp_path / "place" / "library" / "avlib", edits.LIBRARY)
    monkeypatch.chdir(tmp_path / "place")
    monkeypatch.syspath_prepend(str(tmp_path / "place"))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return tmp_path / "place"


def own_key(arm: str = "a", seed: int = 0, name: str | Path = "mine.two", **budget: int) -> str:
    root = Path.cwd() / "library" / "avlib"
    return provenance.cell_key(name, arm, seed, {"steps": 4, "seeds": 3} | budget, root=root)


@pytest.mark.parametrize(
    ("file", "old", "new", "ages"),
    [
        ("mine/two.py", "grow(ARMS[arm])", "grow(ARMS[arm], 1)", True),
        ("mine/two.py", "CLAIMS = ()", "CLAIMS = (1,)", False),
        ("mine/two.py", "'c': dict()", "'c': dict(x=1)", False),
        ("mine/two.py", "'a': dict()", "'a': dict(x=1)", True),
        ("mine/parts.py", "return x", "return 2 * x", True),
        ("mine/parts.py", "return 1", "return 2", False),
        ("helpers.py", "return 1", "return 2", True),
        ("helpers.py", "return 1", "return 1  # a comment", False),
        ("things/a.txt", "1", "2", True),
    ],
)
def test_a_recipe_of_ones_own_with_all_it_imports(own: Path, file: str, old: str, new: str, ages: bool) -> None:
    before = own_key()
    change(own, file, old, new)
    assert (own_key() != before) == ages


def test_a_folder_whose_path_is_put_together(own: Path) -> None:
    change(own, "mine/two.py", "'folder:things'", "f'folder:{HERE / \"things\"}'")
    edits.write(own, {"mine/things/a.txt": "1"})
    before = own_key()
    edits.write(own, {"mine/things/b.txt": "1"})
    assert own_key() != before


def test_an_arm_like_another_counts_with_it(own: Path) -> None:
    before = own_key("b"), own_key("c")
    change(own, "mine/two.py", "'a': dict()", "'a': dict(x=1)")
    assert own_key("b") != before[0] and own_key("c") == before[1]


def test_a_key_belongs_to_an_arm_a_seed_and_a_budget(own: Path) -> None:
    assert own_key() == own_key(seeds=5) == own_key(name=own / "mine" / "two.py")
    assert len({own_key(), own_key("c"), own_key(seed=1), own_key(steps=5)}) == 4
    assert set(provenance.cell_parts("mine.two", "a")) >= {"mine/two.py", "mine/parts.py", "helpers.py"}


def test_what_is_no_recipe_is_named(own: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown arm of mine\.two 'd'"):
        own_key("d")
    with pytest.raises(ValueError, match=r"mine\.parts is not a recipe: it lacks train, measure"):
        own_key(name="mine.parts")
    with pytest.raises(ValueError, match=r"no module 'mine\.three'"):
        own_key(name="mine.three")
    with pytest.raises(ValueError, match="no recipe 'nothing'"):
        own_key(name="nothing")
