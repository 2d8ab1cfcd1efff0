"""An edition written out: notebooks, site and slides; and its exercises, tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avlib import folders
from avlib.publish import chapters, hosting, nbgrader, qti
from avlib.publish.build import build
from avlib.publish.chapters import Chapter, Notebook
from avlib.publish.editions import ExerciseError, edition, solution_pairs, stub
from avlib.publish.session import run, run_cell, session, sized
from avlib.publish.slides import deck


def release(
    root: Path,
    name: str,
    out: Path,
    names: Sequence[str] = (),
    *,
    site: bool = True,
    slides: bool = False,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Write the edition ``name`` to ``out``: ``notebooks/``, ``site/``, ``slides/``; returns what was written.

    The student's has a README, requirements and licences too: it can be a repository of its own.

    Everything is made before it takes the place of the last release, so that whatever fails leaves ``out`` as it was.

    Raises:
        ExerciseError, ValueError: an unknown edition, or a chapter that cannot be cut; the message names it.
        FileExistsError, NotADirectoryError: ``out`` holds something else than an earlier release that is as it was.
    """
    folders.check(out)
    cut = _cut(root, names, edition(name))
    written: list[Path] = []
    with folders.replaced(out) as fresh:
        written += _notebooks(root, name, cut, fresh, site and name != "recall")
        if slides:
            written += _decks(cut, fresh / "slides", say)
        if site and name != "recall":
            written.append(build(root, names, edition=name, out=fresh / "site", say=say))
    return [out / path.relative_to(fresh) for path in written]


def _notebooks(root: Path, name: str, cut: list[tuple[Chapter, Notebook]], out: Path, site: bool) -> list[Path]:
    """Write the notebooks with links that lead somewhere; beside a student's, what they need to stand alone."""
    front = hosting.front(root, cut, site) if name == "student" else {}
    for file, content in front.items():
        (out / file).write_bytes(content)
    present = {chapter.where for chapter, _ in cut} | set(front)
    written = []
    for chapter, notebook in cut:
        page = hosting.student_notebook(notebook, root) if name == "student" else notebook
        written.append(out / "notebooks" / chapter.part / chapter.path.name)
        chapters.write(
            written[-1], hosting.with_links(page, hosting.in_release(f"notebooks/{chapter.part}", present, site))
        )
    return [*written, *(out / file for file in front)]


def assignments(root: Path, out: Path, names: Sequence[str] = ()) -> list[Path]:
    """Write a course folder for nbgrader: ``source/NAME/NAME.ipynb`` a chapter, and its settings.

    Raises:
        ExerciseError: a chapter that cannot be cut; the message names it.
        FileExistsError, NotADirectoryError: ``out`` holds something else than an earlier release that is as it was.
    """
    folders.check(out)
    made = _cut(root, names, nbgrader.assignment)
    with folders.replaced(out) as fresh:
        for chapter, notebook in made:
            chapters.write(fresh / "source" / chapter.name / f"{chapter.name}.ipynb", notebook)
        (fresh / "nbgrader_config.py").write_text(nbgrader.CONFIG, encoding="utf-8")
    return [out / "source" / chapter.name / f"{chapter.name}.ipynb" for chapter, _ in made]


def quizzes(root: Path, out: Path, names: Sequence[str] = ()) -> list[Path]:
    """Write the quizzes as QTI 1.2, one ``NAME.zip`` a chapter that has one.

    Raises:
        ChapterError: a quiz that cannot be read; the message names its chapter.
        FileExistsError, NotADirectoryError: ``out`` holds something else than an earlier release that is as it was.
    """
    folders.check(out)
    made = {}
    for chapter in chapters.find(root, names):
        notebook = chapters.read(chapter.path)
        if found := qti.quiz_of(notebook, chapter.where):
            made[f"{chapter.name}.zip"] = qti.package(
                found, chapter.name, chapters.opening(notebook)[0] or chapter.name
            )
    with folders.replaced(out) as fresh:
        for name, content in made.items():
            (fresh / name).write_bytes(content)
    return [out / name for name in made]


def _cut(root: Path, names: Sequence[str], make: Callable[[Notebook], Notebook]) -> list[tuple[Chapter, Notebook]]:
    """Chapters, and what ``make`` makes of each."""
    cut = []
    for chapter in chapters.find(root, names):
        try:
            cut.append((chapter, make(chapters.read(chapter.path))))
        except ExerciseError as error:
            raise ExerciseError(f"{chapter.where}, cell {error.cell + 1}: {error}", error.cell) from error
    return cut


def _decks(cut: list[tuple[Chapter, Notebook]], folder: Path, say: Callable[[str], None]) -> list[Path]:
    written = []
    folder.mkdir(exist_ok=True)
    for chapter, notebook in cut:
        page = deck(notebook)
        if page is None:
            say(f"{chapter.name}: no cell is tagged 'slide', so it has no deck")
            continue
        written.append(folder / f"{chapter.name}.html")
        written[-1].write_text(page, encoding="utf-8")
    return written


@dataclass(frozen=True)
class Exercise:
    """One exercise, tried: the stub must fail its checks, the solution must pass them."""

    cell: int
    id: str
    stub_error: str
    solution_error: str

    @property
    def problem(self) -> str:
        """What is wrong, or nothing."""
        if self.solution_error:
            return f"cell {self.cell + 1} ({self.id}): the solution fails: {self.solution_error}"
        return (
            ""
            if self.stub_error
            else f"cell {self.cell + 1} ({self.id}): the stub passes every check, so the checks test nothing"
        )


def exercise_report(
    notebook: Notebook, root: Path, *, profile: str = "smoke", seed: int = 0, timeout: int = 600
) -> list[Exercise]:
    """Run a chapter in one kernel; at each exercise try first the stub, then the solution, against the visible checks.

    Raises:
        ExerciseError: see :func:`solution_pairs`.
        RuntimeError: a cell that belongs to no exercise fails.
    """
    checks = dict(solution_pairs(notebook))
    skip = {index for indices in checks.values() for index in indices}
    fresh = sized(notebook, profile, seed)
    found: list[Exercise] = []
    with session(fresh, root, timeout) as client:
        for index, cell in chapters.code_cells(fresh):
            if index in checks:
                found.append(_try(client, fresh, index, checks[index]))
            elif index not in skip and (error := run_cell(client, cell)):
                raise RuntimeError(f"cell {index + 1} ({cell['id']}): {error}")
    return found


def _try(client: Any, notebook: Notebook, at: int, checks: list[int]) -> Exercise:
    cell = notebook["cells"][at]

    def attempt(source: str) -> str:
        errors = (run(client, text) for text in (source, *(notebook["cells"][i]["source"] for i in checks)))
        return next((error for error in errors if error), "")

    return Exercise(at, cell["id"], attempt(stub(cell["source"])), attempt(cell["source"]))
