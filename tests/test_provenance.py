"""Which definitions code reaches, what changes a hash, and the reasons given for staleness."""

import json
from pathlib import Path

import pytest

from avlib import provenance

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
""",
    "tables/a.csv": "x\n1\n",
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


def reasons(root: Path, code: str, name: str, old: str, new: str) -> list[str]:
    before = {"sources": provenance.parts(code, root=root)}
    change(root, name, old, new)
    return provenance.compare(before, {"sources": provenance.parts(code, root=root)})


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
    assert reasons(root, USE, "errors.py", "kind + name", "name") == ["avlib/errors.py: unknown changed"]


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


def test_names_of_modules_count_whole(root: Path) -> None:
    found = provenance.parts(["avlib.recipes.toy"], root=root)
    assert set(found["avlib/recipes/toy.py"]) == {"ARMS", "train"} and "info_nce" in found["avlib/losses.py"]
    with pytest.raises(ValueError, match=r"no module avlib\.nothing"):
        provenance.parts(["avlib.nothing"], root=root)


def notebook(path: Path, *cells: dict) -> Path:
    path.write_text(json.dumps({"cells": list(cells), "nbformat": 4, "nbformat_minor": 5, "metadata": {}}))
    return path


def test_notebooks_without_magics_and_injected_parameters(tmp_path: Path, root: Path) -> None:
    path = notebook(
        tmp_path / "a.ipynb",
        {"cell_type": "markdown", "source": "from avlib.act import quiet"},
        {
            "cell_type": "code",
            "metadata": {},
            "source": ["%matplotlib inline\n", "!ls\n", "from avlib.losses import margin"],
        },
        {"cell_type": "code", "metadata": {}, "source": "%%bash\nls"},
        {"cell_type": "code", "metadata": {"tags": ["injected-parameters"]}, "source": "profile = 'smoke'"},
        {"cell_type": "code", "metadata": {}, "source": "margin(1)  # a comment"},
    )
    assert set(provenance.parts(path, root=root)) == {"avlib/losses.py"}
    before = provenance.code_digest(path)
    path.write_text(path.read_text().replace("a comment", "another").replace("'smoke'", "'gpu'"))
    assert provenance.code_digest(path) == before
    path.write_text(path.read_text().replace("margin(1)", "margin(2)"))
    assert provenance.code_digest(path) != before


def test_bad_notebooks_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.ipynb"):
        provenance.code_cells(tmp_path / "absent.ipynb")
    (tmp_path / "bad.ipynb").write_text("no json")
    with pytest.raises(ValueError, match=r"bad\.ipynb is not a notebook"):
        provenance.code_cells(tmp_path / "bad.ipynb")
    with pytest.raises(ValueError, match="not Python"):
        provenance.parts("def (:")


def test_description_and_reasons(root: Path) -> None:
    lock = root.parent / "requirements.lock"
    lock.write_text("torch==1")
    record = root.parent / "results.json"
    record.write_text("{}")
    old = provenance.describe(
        USE, profile="cpu", seed=0, seconds=1.23, packs={"orchestra": "aa"}, files=[record], root=root
    )
    assert old["seconds"] == 1.2 and old["versions"]["torch"] and "CPU" in old["device"]
    assert json.loads(json.dumps(old)) == old
    assert provenance.compare(old, old) == []
    lock.write_text("torch==2")
    record.write_text("{1}")
    now = provenance.describe(
        USE + "\nx = 1", profile="gpu", seed=0, packs={"orchestra": "bb"}, files=[record], root=root
    )
    assert provenance.compare(old, now) == [
        "code cells changed",
        "requirements.lock changed",
        "pack orchestra changed",
        "results.json changed",
        "profile was cpu, is gpu",
    ]


def test_additions_are_named_when_nothing_else_explains_them() -> None:
    assert provenance.compare({"sources": {}}, {"sources": {"a.py": {"f": "1"}}}) == ["a.py: f is used now"]
    assert provenance.compare({"sources": {"a.py": {"f": "1"}}}, {"sources": {}}) == ["a.py: f is no longer used"]
    old, now = {"sources": {"a.py": {"f": "1"}}}, {"sources": {"a.py": {"f": "2", "g": "1"}}}
    assert provenance.compare(old, now) == ["a.py: f changed"]


def test_digest_is_one_hash(root: Path) -> None:
    before = provenance.digest(USE, root=root)
    assert len(before) == 64
    change(root, "losses.py", "return x\n", "return x + 1\n")
    assert provenance.digest(USE, root=root) != before


def test_repository_is_found_from_below(repo: Path) -> None:
    assert provenance.repository(repo / "tests") == repo
