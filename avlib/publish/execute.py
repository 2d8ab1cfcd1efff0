"""Run chapters in fresh kernels; put the result in its place only when the whole chapter ran."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avlib import files, folders
from avlib.publish import chapters, children, kernel, record
from avlib.publish.chapters import Chapter, ChapterError, Notebook

ROOM = 64 * 2**20
"""Free space without which nothing is started, bytes."""

WORKER = "avlib.publish.worker:main"
"""What runs one chapter."""

CELL_TIMEOUT = 1800
"""Time after which a cell is given up, s."""


class Busy(RuntimeError):
    """Another execution is at work in the same folder."""


@dataclass(frozen=True)
class Plan:
    """One chapter about to be run: all that could be checked beforehand was."""

    chapter: Chapter
    out: Path | None
    notebook: Notebook
    given: dict[str, Any]
    profile: str
    seed: int

    @property
    def name(self) -> str:
        """Of the executed notebook within ``out``."""
        return f"{self.chapter.part}/{self.chapter.path.name}"

    @property
    def target(self) -> Path:
        """Where the executed notebook goes."""
        return self.chapter.path if self.out is None else self.out / self.name


@dataclass
class Outcome:
    """How a chapter fared: ``outcome`` is "done", "fresh" (not run: nothing is stale) or "failed"."""

    chapter: str
    outcome: str
    seconds: float = 0.0
    peak: int = 0
    error: str = ""


@dataclass
class _Running:
    """The worker processes alive now, so that an interruption can end them."""

    processes: set[subprocess.Popen[str]] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopped: bool = False

    @contextmanager
    def holding(self, process: subprocess.Popen[str]) -> Iterator[None]:
        """Within, `stop` ends this worker; at once, where it was called before."""
        assert process.stdin is not None
        with self.lock:
            self.processes.add(process)
            if self.stopped:
                process.stdin.close()
        try:
            yield
        finally:
            with self.lock:
                self.processes.discard(process)

    def stop(self) -> None:
        with self.lock:
            self.stopped = True
            for process in self.processes:
                if process.stdin:
                    process.stdin.close()  # the worker ends its kernel and itself


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for one execution; the system lets go of it when the process ends, however it ends.

    Raises:
        Busy: another process holds it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise Busy(f"another 'avlib book execute' is at work in {folder}; nothing was started") from error
    try:
        yield
    finally:
        os.close(handle)


def plan(chapter: Chapter, profile: str | None, seed: int | None, out: Path | None, settings: dict[str, Any]) -> Plan:
    """Read a chapter and check everything that can be checked before its first cell runs.

    Raises:
        ChapterError, ValueError, ModuleNotFoundError: what is wrong, with the chapter's name.
    """
    notebook = chapters.read(chapter.path)
    kernel.check(notebook, chapter.where)
    asked = {"profile": profile, "seed": seed, **settings}
    given = {name: value for name, value in asked.items() if value is not None}
    chapters.check_parameters(notebook, given, chapter.where)
    final = {**chapters.parameters(notebook, chapter.where), **given}
    missing = [name for name in ("profile", "seed") if name not in final]
    if missing:
        raise ChapterError(f"{chapter.where}: its parameters cell has no {' and no '.join(missing)}")
    return Plan(chapter, out, notebook, given, str(final["profile"]), int(final["seed"]))


def check_room(places: Sequence[Path]) -> None:
    """Raise OSError when one of these folders has too little space or cannot be written; nothing is left behind."""
    for folder in places:
        if shutil.disk_usage(folder).free < ROOM:
            raise OSError(errno.ENOSPC, f"no space: {folder} has less than {ROOM >> 20} MB free; nothing was started")
        files.check_writable(folder, "notebooks", "nothing was started")


def default_jobs() -> int:
    """Chapters run side by side when nobody says how many: one on two cores or fewer, else one for every two cores."""
    return max((os.cpu_count() or 1) // 2, 1)


def execute(
    root: Path,
    names: Sequence[str] = (),
    *,
    profile: str | None = None,
    seed: int | None = None,
    settings: dict[str, Any] | None = None,
    stale: bool = False,
    out: Path | None = None,
    jobs: int | None = None,
    timeout: int = CELL_TIMEOUT,
    say: Callable[[str], None] = print,
) -> list[Outcome]:
    """Run chapters, each in a kernel of its own, and put each that ran to its end in its place.

    Args:
        root, names: the folder that holds ``notebooks/``; chapters, parts or paths in it (all when empty).
        profile, seed, settings: parameters; None leaves the notebook's own.
        stale: run only what is out of date at the target.
        out: write here, as ``<part>/<name>.ipynb``, instead of over the committed notebooks; only over what an
            execution wrote and nobody changed since.
        jobs, timeout: chapters side by side; s that a cell may take.
        say: called with each line of progress.

    Raises:
        Busy, ChapterError, ValueError, OSError, ModuleNotFoundError: before the first cell of the first chapter.
    """
    if profile == "smoke" and out is None:
        raise ValueError(
            "profile 'smoke' only asks whether chapters run: give --out DIR, so that the book is not touched"
        )
    if out is not None and out.resolve().is_relative_to(root.resolve() / "notebooks"):
        raise ValueError(f"--out {out} lies among the book's own notebooks; give a folder elsewhere")
    plans = [plan(chapter, profile, seed, out, settings or {}) for chapter in chapters.find(root, names)]
    todo = [p for p in plans if not stale or not record.is_fresh(p.target, p.notebook, root, p.profile, p.seed)]
    if out is not None:
        folders.check_files(out, [p.name for p in todo])
    outcomes = [Outcome(p.chapter.name, "fresh") for p in plans if p not in todo]
    if todo:
        jobs, folder = min(jobs or default_jobs(), len(todo)), out or root / "notebooks"
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder), kernel.environment(root, jobs) as environment:
            _prepare(sorted({p.target.parent for p in todo}))
            outcomes += _run_all(todo, environment, jobs, timeout, say)
    order = [p.chapter.name for p in plans]
    return sorted(outcomes, key=lambda outcome: order.index(outcome.chapter))


def _prepare(places: Sequence[Path]) -> None:
    for folder in places:
        folder.mkdir(exist_ok=True)
    check_room(places)
    for folder in places:
        files.sweep(folder)


def _run_all(
    todo: list[Plan], environment: dict[str, str], jobs: int, timeout: int, say: Callable[[str], None]
) -> list[Outcome]:
    running = _Running()
    counter = iter(range(1, len(todo) + 1))

    def one(p: Plan) -> Outcome:
        mark = f"[{next(counter)}/{len(todo)}] {p.chapter.name}"
        try:
            return _run(p, environment, timeout, running, lambda text: say(f"{mark}: {text}"))
        except (OSError, ChapterError) as error:
            say(f"{mark}: failed: {error}")
            return Outcome(p.chapter.name, "failed", error=str(error))

    with ThreadPoolExecutor(jobs) as pool:
        try:
            return list(pool.map(one, todo))
        except BaseException:
            running.stop()
            pool.shutdown(cancel_futures=True)
            raise


def _run(p: Plan, environment: dict[str, str], timeout: int, running: _Running, say: Callable[[str], None]) -> Outcome:
    try:
        before = record.now(p.notebook, p.chapter.root, p.profile, p.seed)
    except ValueError as wrong:
        raise ChapterError(f"{p.chapter.where}: {wrong}") from wrong
    with files.scratch("run") as folder:
        source, result = folder / "source.ipynb", folder / "result.ipynb"
        source.write_text(chapters.dumps(_fresh(chapters.with_parameters(p.notebook, p.given))), encoding="utf-8")
        with (folder / "stderr").open("w+", encoding="utf-8", errors="replace") as stderr:
            event = _watch(
                p, [str(source), str(result), str(p.target.parent), str(timeout)], environment, stderr, running, say
            )
            stderr.seek(0)
            crash = stderr.read()
        ran = chapters.read(result) if result.exists() else None
    if running.stopped:
        return Outcome(p.chapter.name, "failed", error="interrupted")
    if "done" not in event:
        kept = _keep_failed(p, ran)
        error = _explain(p, event.get("failed"), crash) + (f"\nWhat it had reached: {kept}" if kept else "")
        say(f"failed\n{error}")
        return Outcome(p.chapter.name, "failed", error=error)
    assert ran is not None
    outcome = Outcome(p.chapter.name, "done", float(event["done"]["seconds"]), int(event["done"]["peak"]))
    _put(p, ran, outcome, before)
    say(f"done in {outcome.seconds:.0f} s")
    return outcome


def _fresh(notebook: Notebook) -> Notebook:
    return {**notebook, "cells": [chapters.cleared(cell) for cell in notebook["cells"]]}


def _watch(
    p: Plan,
    arguments: list[str],
    environment: dict[str, str],
    stderr: Any,
    running: _Running,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Start the worker, pass on its progress, and give back its last word."""
    event: dict[str, Any] = {}
    began = told = time.monotonic()
    with children.child(WORKER, arguments, environment, stderr) as process, running.holding(process):
        assert process.stdout is not None
        for line in process.stdout:
            try:
                event = json.loads(line)
            except json.JSONDecodeError:
                continue
            if "cell" in event and (event["cell"] == 0 or time.monotonic() - told >= 5):
                told = time.monotonic()
                say(f"cell {event['cell'] + 1} of {event['cells']}, {told - began:.0f} s")
        process.wait()
    return event


def _put(p: Plan, ran: Notebook, outcome: Outcome, before: dict[str, Any]) -> None:
    """Move the executed notebook into its place, unless somebody changed the chapter while it ran."""
    committed = p.out is None
    if committed and chapters.read(p.chapter.path)["cells"] != p.notebook["cells"]:
        kept = _keep_failed(p, ran)
        raise ChapterError(
            f"{p.chapter.where} was changed while it ran, and is left as it is now; the outputs are in {kept}"
        )
    home = os.path.expanduser("~")
    places = [(f"{p.chapter.root}/", ""), (str(p.chapter.root), "."), *([(home, "~")] if len(home) > 5 else [])]
    notebook = chapters.normalise(ran, places)
    for index, (cell, original) in enumerate(zip(notebook["cells"], p.notebook["cells"], strict=True)):
        cell["id"] = original.get("id", f"cell-{index:02d}")
        if committed:  # outputs are new, the source is the author's
            cell["source"] = original["source"]
    before = {**before, "packs": record.packs(p.notebook, before)}
    made = record.make(before, p.chapter.root, p.profile, p.seed, outcome.seconds, outcome.peak)
    notebook["metadata"][record.KEY] = {**made, **record.shown_by(notebook)}
    if p.out is None:
        chapters.write(p.target, notebook)
    else:
        folders.put(p.out, {p.name: chapters.dumps(notebook)})


def _keep_failed(p: Plan, ran: Notebook | None) -> Path | None:
    """Write what a failed run had reached to ``runs/book/``, where it can be looked at and git does not see it."""
    if ran is None:
        return None
    path = p.chapter.root / "runs" / "book" / p.chapter.path.name
    try:
        chapters.write(path, chapters.normalise(ran))
    except OSError:
        return None
    return path


def _explain(p: Plan, failed: dict[str, Any] | None, crash: str) -> str:
    if failed is None:
        return f"{p.chapter.where}: the process that ran it ended without a word\n{crash[-2000:]}".rstrip()
    trace = re.sub(r"\x1b\[[0-9;]*m", "", failed["traceback"])
    first = failed["source"].strip().split("\n")[0]
    return f"{p.chapter.where}, cell {failed['index'] + 1} (id {failed['id']}, {first!r}):\n{trace}"


def table(outcomes: Sequence[Outcome]) -> str:
    """Chapter, time, peak memory and outcome of each, as text."""
    rows = [("chapter", "time", "peak memory", "outcome")]
    for o in outcomes:
        ran = o.outcome == "done"
        rows.append(
            (o.chapter, f"{o.seconds:.1f} s" if ran else "–", f"{o.peak / 1e9:.2f} GB" if ran else "–", o.outcome)
        )
    width = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join(f"{r[0]:<{width[0]}}  {r[1]:>{width[1]}}  {r[2]:>{width[2]}}  {r[3]}" for r in rows)
