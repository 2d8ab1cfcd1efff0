"""nbval, guarded: what it passes without comparing anything is found and named here.

nbval runs a notebook again and compares the outputs of the cells tagged ``nbval-check-output``. By itself it says
nothing when

* a marked cell was never executed (``execution_count: null``): its output is not compared;
* a marked cell shows only a picture: image/png and image/jpeg are skipped;
* a cell tagged ``raises-exception`` no longer raises;
* a marked cell also carries a tag that calls the comparison off, such as ``nbval-ignore-output``;
* there is no marked cell at all.

And it compares stderr, which differs from machine to machine, and with pytest-xdist it must get whole files (``--dist
loadfile``), because the cells of a notebook need each other.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from avlib import files
from avlib.publish import chapters, children, kernel
from avlib.publish.chapters import Notebook, tags

MARK = chapters.MARK
SKIPPED = ("image/png", "image/jpeg")
CELL_TIMEOUT = 1800


@dataclass(frozen=True)
class Verdict:
    """What became of one notebook: ``problems`` is empty when every marked cell came out the same."""

    chapter: str
    compared: int
    problems: tuple[str, ...] = ()


def traps(notebook: Notebook) -> Iterator[tuple[int | None, str]]:
    """(position of the cell or None, what is wrong) where nbval would pass in silence, or fail without a reason."""
    marked = 0
    for index, cell in chapters.code_cells(notebook):
        found = cell.get("outputs", [])
        if "raises-exception" in tags(cell) and not any(o["output_type"] == "error" for o in found):
            yield index, "is tagged raises-exception, and its output shows no exception: nbval passes either way"
        if re.search(r"^\s*#\s*(?:NBVAL_|PYTEST_VALIDATE_)\w+\s*$", cell["source"], re.M):
            yield index, f"marks itself for nbval in a comment; use the tag {MARK!r}"
        for tag in tags(cell):
            if tag != MARK and tag.startswith(("nbval-", "pytest-validate-")):
                yield index, f"is tagged {tag!r}: nbval would not compare it; the only tag for nbval is {MARK!r}"
        if MARK not in tags(cell):
            continue
        marked += 1
        if cell.get("execution_count") is None:
            yield index, "is marked for comparison and has no execution count: nbval would not compare it"
            continue
        if any(o["output_type"] == "stream" and o.get("name") == "stderr" for o in found):
            yield index, "is marked for comparison and writes to stderr: nbval would compare that too"
        if not any(_comparable(output) for output in found):
            yield index, "is marked for comparison and shows no text: nbval would compare nothing"
    if not marked:
        yield None, f"no cell is tagged {MARK!r}: nbval would compare nothing"


def _comparable(output: dict) -> bool:
    if output["output_type"] == "stream":
        return output.get("name") != "stderr" and bool(output["text"].strip())
    data = output.get("data", {})
    pictured = any(mime in SKIPPED for mime in data)  # then text/plain is only the figure's name
    return any(
        str(value).strip()
        for mime, value in data.items()
        if mime not in SKIPPED and not (pictured and mime == "text/plain")
    )


def arguments(folder: Path, report: Path, jobs: int) -> list[str]:
    """The arguments of pytest: nothing of the project's own settings, and whole files a process."""
    spread = ["-n", str(jobs), "--dist", "loadfile"] if jobs > 1 else ["-p", "no:xdist"]
    own = [
        "-c",
        str(folder / "pytest.ini"),
        "--rootdir",
        str(folder),
        "-p",
        "no:cacheprovider",
        "-p",
        "avlib.publish.sockets",
        "-q",
        "--tb=short",
        "--color=no",
    ]
    chosen = ["--nbval-lax", "--nbval-current-env", f"--nbval-cell-timeout={CELL_TIMEOUT}", f"--junitxml={report}"]
    return [*own, *chosen, *spread, str(folder)]


def compare(root: Path, paths: Sequence[Path], jobs: int = 1) -> list[Verdict]:
    """Run each executed notebook again, with the parameters it was made with, and compare its marked cells.

    Raises:
        RuntimeError: pytest itself failed; its output is the message.
    """
    if not paths:
        return []
    with files.scratch("nbval") as folder, kernel.environment(root, jobs) as environment:
        (folder / "pytest.ini").write_text("[pytest]\n")
        report = folder / "report.xml"
        notebooks = {path: chapters.read(path) for path in paths}
        for path, notebook in notebooks.items():
            staged = folder / path.parent.name / path.name
            chapters.write(staged, as_run(notebook))
        with children.child("pytest:console_main", arguments(folder, report, jobs), environment, cwd=folder) as ran:
            assert ran.stdout is not None
            said = ran.stdout.read()
            code = ran.wait()
        if code not in (0, 1) or not report.exists():
            raise RuntimeError(f"nbval did not run:\n{said}")
        cases = list(ElementTree.parse(report).iter("testcase"))
        return [_verdict(path, notebook, cases) for path, notebook in notebooks.items()]


def as_run(notebook: Notebook) -> Notebook:
    """The notebook with the profile and seed of its last run written into its parameters cell."""
    made = notebook["metadata"].get("avlib", {})
    given = {key: made[key] for key in ("profile", "seed") if key in made}
    return chapters.with_parameters(notebook, given) if given else notebook


def _verdict(path: Path, notebook: Notebook, cases: list[ElementTree.Element]) -> Verdict:
    mine = [case for case in cases if _belongs(case, path)]
    problems = [f"cell {at + 1}: {text}" if at is not None else text for at, text in traps(notebook)]
    places = [index for index, _ in chapters.code_cells(notebook)]
    if len(mine) != len(places):
        problems.append(f"nbval ran {len(mine)} of {len(places)} code cells")
    for case in mine:
        for kind in ("failure", "error", "skipped"):
            for node in case.findall(kind):
                number = int(case.get("name", "Cell 0").split()[-1])
                problems.append(
                    f"cell {places[number] + 1}: {kind}: {(node.text or node.get('message') or '').strip()}"
                )
    return Verdict(path.stem, sum(1 for _ in chapters.tagged(notebook, MARK)), tuple(problems))


def _belongs(case: ElementTree.Element, path: Path) -> bool:
    name = case.get("classname", "").removesuffix(".ipynb").replace("\\", "/")
    return re.split(r"[./]", name)[-2:] == [path.parent.name, path.stem] or name.endswith(
        f"{path.parent.name}/{path.stem}"
    )
