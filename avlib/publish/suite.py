"""What ``make test`` and ``make verify`` ask of the chapters."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from avlib.publish import chapters, children, nbcheck, record, trying
from avlib.publish.chapters import Chapter
from avlib.publish.execute import default_jobs, execute
from avlib.publish.release import exercise_report

Say = Callable[[str], None]


def test(
    root: Path,
    names: Sequence[str] = (),
    *,
    profile: str = "smoke",
    out: Path,
    jobs: int | None = None,
    say: Say = print,
) -> list[str]:
    """Run chapters at ``profile`` into ``out``, again to compare marked outputs, and try exercises and other values.

    Returns what is wrong, a line (or a traceback) each. The committed notebooks are not touched.

    Raises:
        Busy, ChapterError, ValueError, OSError: see :func:`avlib.publish.execute.execute`.
    """
    jobs = jobs or os.cpu_count() or 1
    outcomes = execute(root, names, profile=profile, out=out, jobs=jobs, say=say)
    problems = [f"{o.chapter}: {o.error}" for o in outcomes if o.outcome == "failed"]
    ran = {o.chapter for o in outcomes if o.outcome == "done"}
    picked = [chapter for chapter in chapters.find(root, names) if chapter.name in ran]
    say(f"nbval: {len(picked)} chapters once more")
    for verdict in nbcheck.compare(root, [out / c.part / c.path.name for c in picked], min(jobs, max(len(picked), 1))):
        problems += [f"{verdict.chapter}: nbval: {problem}" for problem in verdict.problems]
    say(f"exercises: {len(picked)} chapters, each stub and each solution; and the values that readers may try")
    with ProcessPoolExecutor(jobs, get_context("spawn"), children.follow_pool) as pool:
        for ask in (_exercises, _tried):
            for found in pool.map(partial(ask, root, profile), picked):
                problems += found
    return problems


def _exercises(root: Path, profile: str, chapter: Chapter) -> list[str]:
    try:
        tried = exercise_report(chapters.read(chapter.path), root, profile=profile)
    except (ValueError, RuntimeError) as error:
        return [f"{chapter.name}: exercises: {error}"]
    return [f"{chapter.name}: exercises: {exercise.problem}" for exercise in tried if exercise.problem]


def _tried(root: Path, profile: str, chapter: Chapter) -> list[str]:
    try:
        found = trying.report(chapters.read(chapter.path), root, profile=profile)
    except (ValueError, RuntimeError) as error:
        return [f"{chapter.name}: values to try: {error}"]
    return [f"{chapter.name}: {problem}" for problem in found]


def verify(
    root: Path, names: Sequence[str] = (), *, stale: bool = False, jobs: int | None = None, say: Say = print
) -> list[str]:
    """Run committed chapters again, as they were run, and compare marked outputs; ``stale``: only those out of date.

    Returns what is wrong, a line (or nbval's report) each.
    """
    picked = chapters.find(root, names)
    if stale:
        picked = [c for c in picked if record.is_stale(chapters.read(c.path), root)]
    say(f"nbval: {len(picked)} committed chapters")
    verdicts = nbcheck.compare(root, [c.path for c in picked], jobs or default_jobs())
    return [f"{verdict.chapter}: nbval: {problem}" for verdict in verdicts for problem in verdict.problems]
