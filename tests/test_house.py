"""The repository keeps its own rules: one lock, no addresses, short functions, documented names, a true README."""

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).resolve().parent.parent
AVLIB = sorted((REPO / "avlib").rglob("*.py"))
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


def tracked() -> list[Path]:
    """The files that git tracks (all files outside of build folders where there is no git)."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPO, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [REPO / name for name in listed.stdout.split("\0") if name and (REPO / name).is_file()]


def text_of(path: Path) -> str:
    """A file's text, empty for a binary file."""
    data = path.read_bytes()
    return "" if b"\0" in data[:4096] else data.decode("utf-8", errors="replace")


def names_in(requirements: list[str]) -> set[str]:
    """Normalised package names of requirement strings."""
    return {re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;]", r.strip())[0]).lower() for r in requirements}


def locked() -> set[str]:
    """Normalised names of the packages in the lock."""
    return names_in(re.findall(r"^([A-Za-z0-9][\w.-]*)==", (REPO / "requirements.lock").read_text(), re.MULTILINE))


def project() -> dict:
    return tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]


# --- environment ---------------------------------------------------------------------------------------------------


def test_the_lock_holds_every_declared_package_with_hashes() -> None:
    extras = project()["optional-dependencies"]
    declared = names_in(project()["dependencies"] + extras["book"] + extras["data"] + extras["dev"])
    assert declared - locked() == set()
    pins = re.findall(r"^[A-Za-z0-9][^\n]*==[^\n]*(?:\n {4}[^\n]*)*", (REPO / "requirements.lock").read_text(), re.M)
    assert [p.split("==")[0] for p in pins if "--hash=sha256:" not in p] == []


def test_the_lock_satisfies_the_declared_bounds() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    extras = project()["optional-dependencies"]
    pins: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", (REPO / "requirements.lock").read_text(), re.M):
        pins.setdefault(canonicalize_name(name), []).append(version)
    for text in project()["dependencies"] + extras["book"] + extras["data"] + extras["dev"]:
        wanted = Requirement(text)
        for version in pins[canonicalize_name(wanted.name)]:
            assert wanted.specifier.contains(version, prereleases=True), f"{text}, but {version} is locked"


def test_packages_without_a_stated_licence_stay_out_of_the_lock() -> None:
    assert names_in(project()["optional-dependencies"]["teacher"]) & locked() == set()


def test_licences_agree_that_pictures_of_drawings_are_share_alike() -> None:
    for name in ("README.md", "LICENSE-text", "ATTRIBUTIONS.md", "book/attributions.md"):
        assert "CC BY-SA" in (REPO / name).read_text(encoding="utf-8"), name


def test_chapters_whose_outputs_hold_photographs_are_named_in_the_attributions() -> None:
    said = (REPO / "book" / "attributions.md").read_text(encoding="utf-8")
    holding = set()
    for path in (REPO / "notebooks").rglob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            pages = ["".join(output.get("data", {}).get("text/html", "")) for output in cell.get("outputs", [])]
            if any("Caltech-101" in page for page in pages):
                holding.add(path.relative_to(REPO).as_posix())
    assert holding and [name for name in sorted(holding) if f"(/{name})" not in said] == []


def test_conda_users_get_the_same_lock() -> None:
    environment = yaml.safe_load((REPO / "environment.yml").read_text())
    pip = next(d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    assert "-r requirements.lock" in pip and "--require-hashes" in pip
    python = next(d for d in environment["dependencies"] if isinstance(d, str) and d.startswith("python"))
    assert project()["requires-python"] in python


def test_the_readers_container_and_binder_use_the_lock() -> None:
    assert (REPO / ".binder/requirements.txt").read_text().split() == ["-r", "../requirements.lock"]
    assert "make env" in json.loads((REPO / ".devcontainer/devcontainer.json").read_text())["postCreateCommand"]


def test_no_address_of_a_registry_and_no_path_of_a_machine() -> None:
    registries = [
        "pypi" + ".org",
        "pythonhosted" + ".org",
        "registry." + "npmjs",
        "deb." + "debian",
        "--index" + "-url",
    ]
    paths = ["/ro" + "ot/", "/tmp/" + "w/", "/wo" + "rk/"]
    found = []
    for path in tracked():
        text = text_of(path)
        found += [f"{path.relative_to(REPO)}: {word}" for word in registries + paths if word in text]
    assert found == []


def test_no_secret_is_asked_for() -> None:
    for path in (REPO / ".github/workflows").glob("*.yml"):
        workflow = yaml.safe_load(path.read_text())
        assert "jobs" in workflow, path.name
        assert "secrets." not in path.read_text(), path.name


def workflows() -> list[tuple[str, dict]]:
    """Name and content of each workflow."""
    return [(path.name, yaml.safe_load(path.read_text())) for path in (REPO / ".github/workflows").glob("*.yml")]


def test_each_job_of_a_workflow_may_do_just_what_it_must() -> None:
    writing = {
        "pages.yml": {"notebooks": {"contents"}, "deploy": {"pages", "id-token"}},
        "weekly.yml": {"report": {"issues"}},
    }
    for name, workflow in workflows():
        assert workflow["permissions"] == {}, name
        for job, what in workflow["jobs"].items():
            may = {key for key, value in what["permissions"].items() if value != "read"}
            assert may == writing.get(name, {}).get(job, set()), f"{name}: {job}"


def test_actions_are_pinned_by_commit() -> None:
    steps = [(name, step) for name, w in workflows() for job in w["jobs"].values() for step in job["steps"]]
    used = [(name, step["uses"]) for name, step in steps if "uses" in step]
    assert used and [each for each in used if not re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", each[1])] == []


def test_ci_runs_what_the_readme_names() -> None:
    script = (REPO / ".ci/run").read_text()
    assert script.index("make test") < script.index("make book")
    assert (REPO / ".ci/run").stat().st_mode & 0o111


# --- README and site -----------------------------------------------------------------------------------------------


def makefile_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (REPO / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "book/instructors.md", "book/researchers.md"])
def test_make_commands_in_the_prose_exist(name: str) -> None:
    used = set(re.findall(r"`?\bmake ([a-z-]+)\b`?", "\n".join(code_in((REPO / name).read_text()))))
    assert used <= makefile_targets()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "book/instructors.md", "book/researchers.md"])
def test_avlib_commands_in_the_prose_exist(name: str) -> None:
    from avlib.cli import parser

    pieces = [line for block in code_in((REPO / name).read_text()) for line in block.split("\n")]
    for line in pieces:
        match = re.match(r"(?:torchrun .*-m |\.venv/bin/)?avlib ([a-z][^#`]*)", line.strip())
        if match:
            words = match.group(1).split()
            if len(words) < 3 and not any(w.startswith("-") for w in words):
                words.append("--help")  # a command named in passing, without its arguments
            try:
                parser().parse_args(words)
            except SystemExit as end:
                assert end.code == 0, f"{name}: avlib {' '.join(words)}"


@pytest.mark.parametrize("name", ["README.md", "book/researchers.md"])
def test_python_in_the_prose_imports_what_there_is(name: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (REPO / name).read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        lines = [line for line in ast.parse(block).body if isinstance(line, ast.Import | ast.ImportFrom)]
        exec(compile(ast.Module(body=lines, type_ignores=[]), name, "exec"), {})


def code_in(text: str) -> list[str]:
    """Code blocks and code spans of a Markdown text."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    return blocks + re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def toc_files() -> list[str]:
    def walk(item: object) -> list[str]:
        if isinstance(item, dict):
            own = [item[k] for k in ("file", "root") if k in item]
            return own + [f for k, v in item.items() if k not in ("file", "root") for f in walk(v)]
        return [f for v in item for f in walk(v)] if isinstance(item, list) else []

    return walk(yaml.safe_load((REPO / "_toc.yml").read_text()))


def test_every_page_of_the_contents_exists_and_every_chapter_is_in_them() -> None:
    files = toc_files()
    missing = [f for f in files if not any((REPO / f"{f}{s}").is_file() for s in (".md", ".ipynb"))]
    assert missing == []
    here = {p.relative_to(REPO).with_suffix("").as_posix() for p in tracked() if p.match("notebooks/*/*.ipynb")}
    assert here == {f for f in files if f.startswith("notebooks/")}


def test_the_readme_lists_the_chapters_that_exist() -> None:
    linked = set(re.findall(r"\]\((notebooks/[^)]+)\.ipynb\)", (REPO / "README.md").read_text()))
    assert linked == {f for f in toc_files() if f.startswith("notebooks/")}


def test_local_links_of_the_readme_lead_somewhere() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "ATTRIBUTIONS.md"):
        for target in re.findall(r"\]\((?!http|#|mailto)([^)#]+)", (REPO / name).read_text()):
            assert (REPO / target).exists(), f"{name} links to {target}"


def test_each_method_of_the_map_has_a_paper_in_the_bibliography() -> None:
    known = set(re.findall(r"^@\w+\{([^,]+),", (REPO / "book/references.bib").read_text(), re.MULTILINE))
    methods = yaml.safe_load((REPO / "book/methods.yml").read_text())
    assert {key for m in methods for key in m["cite"].split(",")} <= known
    assert len({m["name"] for m in methods}) == len(methods) == 18


def test_licences_are_there() -> None:
    assert "MIT" in (REPO / "LICENSE").read_text()
    assert "CC BY 4.0" in (REPO / "LICENSE-text").read_text()
    for name in ("ATTRIBUTIONS.md", "CITATION.cff", "CONTRIBUTING.md", "CHANGELOG.md"):
        assert (REPO / name).stat().st_size > 200, name


def test_the_picture_of_the_readme_is_small_and_described() -> None:
    pictures = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", (REPO / "README.md").read_text())
    assert pictures
    for alt, target in pictures:
        assert len(alt) > 20 and (REPO / target).stat().st_size <= 200_000


# --- code ----------------------------------------------------------------------------------------------------------


def functions(tree: ast.Module) -> list[ast.FunctionDef]:
    return [n for n in ast.walk(tree) if isinstance(n, FUNCTION)]


@pytest.mark.parametrize("path", AVLIB, ids=lambda p: p.relative_to(REPO).as_posix())
def test_functions_are_short_and_public_names_documented(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    long = [f"{f.name} ({n} lines)" for f in functions(tree) if (n := code_lines(f)) > 40]
    assert long == []
    if path.stat().st_size:
        assert ast.get_docstring(tree), f"{path.name} says nothing about itself"
    bare = [n.name for n in public(tree) if not ast.get_docstring(n)]
    assert bare == []


def code_lines(function: ast.FunctionDef) -> int:
    """Lines of a function without its docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def public(tree: ast.Module) -> list:
    """Public functions and classes at the top of a module."""
    return [n for n in tree.body if isinstance(n, FUNCTION | ast.ClassDef) and not n.name.startswith("_")]


METHODS = sorted(p for p in (REPO / "avlib/methods").glob("*.py") if p.name != "__init__.py")


@pytest.mark.parametrize("path", METHODS, ids=lambda p: p.name)
def test_a_method_is_one_short_file(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert lines <= 120 or "lines" in docstring, f"{path.name} has {lines} lines and does not say why"


def imports(tree: ast.Module) -> list[str]:
    """Dotted names of the modules that a file imports."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
    return names


MODULES = {".".join(p.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__"): p for p in AVLIB}
LAYERS = [
    names.split()
    for names in (
        "files folders errors types meaning losses matching clustering published text",
        "reach fingerprint audio distributed checkpoints encoders",
        "media evaluate train rounds",
        "datasets methods figures claims provenance",
        "world",
        "recipes",  # the list of them alone, which names modules and imports none
        "profiles",
        "experiment",
        "recipes/ seal pretrained",
        "results",
        "publish",
        "cli __main__",
    )
]
"""What may import what: each part of the library imports from its own line and from those above it here."""


def layer(module: str) -> int:
    """The line of LAYERS that a module stands in; ``recipes`` is the package itself, ``recipes/`` are its modules."""
    _, part, *inner = module.split(".")
    names = [f"{part}/", part] if inner else [part]
    return next(n for name in names for n, line in enumerate(LAYERS) if name in line)


@lru_cache(maxsize=1024)
def arrows(module: str) -> frozenset[str]:
    """The modules of the library that a module imports, at its top or within functions, but for types alone.

    ``avlib`` itself is left out: it holds the version, and doors to what lies inside.
    """

    def walk(node: ast.AST) -> list[str]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return []
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            return [name if name in MODULES else str(node.module) for name in inner]
        return [name for child in ast.iter_child_nodes(node) for name in walk(child)]

    return frozenset(walk(ast.parse(MODULES[module].read_text(encoding="utf-8")))) & (set(MODULES) - {"avlib"})


def circle(graph: Mapping[str, frozenset[str] | set[str]]) -> list[str]:
    """A way along the arrows that ends where it began, or nothing."""
    left = dict(graph)
    while free := [name for name, aims in left.items() if not aims & set(left)]:
        left = {name: aims for name, aims in left.items() if name not in free}
    if not left:
        return []
    way = [next(iter(left))]
    while way[-1] not in way[:-1]:
        way.append(min(left[way[-1]] & set(left)))
    return way[way.index(way[-1]) :]


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == ["b", "c", "b"]


def test_no_import_runs_in_a_circle() -> None:
    assert " → ".join(circle({module: arrows(module) for module in MODULES})) == ""


def test_no_import_points_upwards() -> None:
    inner = [module for module in MODULES if module != "avlib"]
    up = [f"{m} imports {aim}" for m in inner for aim in sorted(arrows(m)) if layer(aim) > layer(m)]
    assert up == []


METHOD_NEEDS = {
    *("audio", "clustering", "distributed", "encoders", "errors", "losses", "matching", "methods", "rounds"),
    *("text", "types"),
}


@pytest.mark.parametrize("path", METHODS, ids=lambda p: p.name)
def test_a_method_imports_no_other_paper_and_no_tools_of_the_book(path: Path) -> None:
    """A paper of several stages has a module a stage, all under its name: ``dsol``, ``dsol_dictionary``."""
    aims = arrows(f"avlib.methods.{path.stem}")
    assert {aim.split(".")[1] for aim in aims} <= METHOD_NEEDS
    paper = path.stem.split("_")[0]
    assert [aim for aim in aims if aim.startswith("avlib.methods.") and aim.split(".")[2].split("_")[0] != paper] == []


def test_the_core_imports_nothing_of_the_tools() -> None:
    heavy = {
        "papermill",
        "nbval",
        "sphinx",
        "jupyter_book",
        "datasets",
        "librosa",
        "torchmetrics",
        "ot",
        "mir_eval",
        "pytest",
    }
    found = []
    for path in AVLIB:
        top = [
            n for n in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(n, ast.Import | ast.ImportFrom)
        ]
        names = {m.split(".")[0] for m in imports(ast.Module(body=top, type_ignores=[]))}
        if "publish" not in path.parts and names & heavy:
            found.append(f"{path.relative_to(REPO)}: {sorted(names & heavy)}")
    assert found == []


def test_dataclasses_are_frozen_but_for_those_that_are_filled_on_the_way() -> None:
    filled = {"Outcome", "_Running", "_Track", "Reader", "Meaning", "History", "_Keeper"}
    nodes = [node for path in AVLIB for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    kinds = [
        (node.name, ast.unparse(d)) for node in nodes if isinstance(node, ast.ClassDef) for d in node.decorator_list
    ]
    assert {name for name, said in kinds if said.startswith("dataclass") and "frozen=True" not in said} == filled


def test_pickles_are_not_loaded() -> None:
    for path in AVLIB:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
                assert keywords.get("weights_only") == "True", f"{path.name}:{node.lineno}"
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in ("pickle.load", "pickle.loads", "joblib.load"), path.name
