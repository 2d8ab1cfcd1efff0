"""The ``avlib book`` commands."""

from __future__ import annotations

import argparse
import ast
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Handler = Callable[[argparse.Namespace], int]


def add_parser(subparsers: Any) -> None:
    """Add ``book`` and its commands to the parser of ``avlib``.

    Each sets ``run``, a function of the arguments that returns the exit code.
    """
    book = subparsers.add_parser(
        "book",
        help="execute, check, build and release the book",
        description="Execute, check, build and release the book.",
    )
    commands = book.add_subparsers(dest="book_command", required=True, metavar="COMMAND")

    def command(name: str, run: Handler, text: str, chapters: bool = True) -> argparse.ArgumentParser:
        parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if chapters:
            parser.add_argument(
                "chapters",
                nargs="*",
                metavar="CHAPTER",
                help="a chapter's name, a part (3_scenes) or a path; all without one",
            )
        parser.add_argument("--root", type=Path, help="the folder that holds notebooks/ (default: the nearest one)")
        parser.set_defaults(run=_guarded(run))
        return parser

    _add_running(command)
    _add_making(command)


def _add_running(command: Callable[..., argparse.ArgumentParser]) -> None:
    execute = command("execute", _execute, "run chapters in fresh kernels and keep their outputs")
    execute.add_argument("--stale", action="store_true", help="only those that are out of date")
    execute.add_argument(
        "--profile", metavar="P", help="smoke (with --out), cpu or gpu (default: what the notebook says, cpu)"
    )
    execute.add_argument("--seed", type=int, metavar="N", help="default: what the notebook says")
    execute.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="another parameter of the notebooks"
    )
    execute.add_argument("--out", type=Path, metavar="DIR", help="write here and leave the committed notebooks alone")
    _jobs(execute)
    execute.add_argument("--timeout", type=int, metavar="S", help="seconds that a cell may take (default: 1800)")

    check = command("check", _check, "name stale chapters and everything that breaks a rule; nothing is executed")
    form = check.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for programs")
    form.add_argument("--github", action="store_true", help="as annotations of a GitHub workflow")
    check.add_argument("--strict", action="store_true", help="stale claims and outputs without a fingerprint fail too")

    test = command(
        "test", _test, "run chapters small, try every exercise, and see that marked outputs come out the same twice"
    )
    test.add_argument("--profile", default="smoke", metavar="P", help="default: smoke")
    test.add_argument("--out", type=Path, metavar="DIR", help="keep the executed notebooks here")
    _jobs(test, "one for each core")

    verify = command("verify", _verify, "run committed chapters again and compare their marked outputs")
    verify.add_argument("--stale", action="store_true", help="only chapters that are out of date")
    verify.add_argument("--all", action="store_true", help="every chapter (this is the default)")
    _jobs(verify)

    grade = command("grade", _grade, "run the checks of handed-in notebooks and print a table each", chapters=False)
    grade.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK", help="what a student handed in")
    grade.add_argument("--chapter", metavar="NAME", help="the chapter they were made from (default: of that file name)")
    grade.add_argument("--profile", default="smoke", metavar="P", help="default: smoke")
    grade.add_argument("--timeout", type=int, default=600, metavar="S", help="seconds that a cell may take (600)")


def _add_making(command: Callable[..., argparse.ArgumentParser]) -> None:
    command("address", _address, "write the address of _config.yml wherever an earlier one stands")

    build = command("build", _build, "build the site at book/_build/html/index.html, of all chapters or some")
    build.add_argument("--edition", default="instructor", metavar="E", help="instructor (default) or student")
    build.add_argument(
        "--out", type=Path, metavar="DIR", help="where the site goes: a new or empty folder, or an unchanged site"
    )
    build.add_argument("--quiet", action="store_true", help="print warnings and the result only")

    release = command("release", _release, "write an edition: notebooks and site, and slides where asked")
    release.add_argument(
        "--edition",
        metavar="E",
        help="student (stubs), instructor (solutions) or recall (no prose; notebooks alone)",
    )
    release.add_argument("--nbgrader", action="store_true", help="a course folder of nbgrader instead of an edition")
    release.add_argument("--qti", action="store_true", help="the quizzes for a learning management system instead")
    release.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="a new or empty folder, or an unchanged earlier release"
    )
    release.add_argument("--slides", action="store_true", help="also one deck a chapter, from its cells tagged 'slide'")
    release.add_argument("--no-site", action="store_true", help="notebooks (and slides) alone")


def _jobs(parser: argparse.ArgumentParser, default: str = "one for every two cores") -> None:
    parser.add_argument("--jobs", type=int, metavar="N", help=f"chapters side by side (default: {default})")


def _guarded(run: Handler) -> Handler:
    """Errors that somebody can act on are printed as one message; anything else keeps its traceback."""

    def guarded(arguments: argparse.Namespace) -> int:
        try:
            with _interrupted_by_term():
                return run(arguments)
        except (ValueError, OSError, RuntimeError, ModuleNotFoundError) as error:
            print(f"avlib book: {_message(error)}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("\navlib book: interrupted; every notebook is whole, and --stale goes on from here", file=sys.stderr)
            return 130

    return guarded


@contextmanager
def _interrupted_by_term() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that children are ended and locks released in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _message(error: Exception) -> str:
    return (
        str(error.strerror) if isinstance(error, OSError) and error.filename is None and error.strerror else str(error)
    )


def _root(arguments: argparse.Namespace) -> Path:
    from avlib.publish.chapters import project

    return arguments.root.resolve() if arguments.root else project()


def _settings(pairs: Sequence[str]) -> dict[str, Any]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--set takes NAME=VALUE, not {pair!r}")
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[name] = value
    return found


def _execute(arguments: argparse.Namespace) -> int:
    from avlib.publish import execute

    outcomes = execute.execute(
        _root(arguments),
        arguments.chapters,
        profile=arguments.profile,
        seed=arguments.seed,
        settings=_settings(arguments.set),
        stale=arguments.stale,
        out=arguments.out.resolve() if arguments.out else None,
        jobs=arguments.jobs,
        timeout=arguments.timeout or execute.CELL_TIMEOUT,
        say=_say,
    )
    print(f"\n{execute.table(outcomes)}" if outcomes else "there are no chapters")
    return 1 if any(outcome.outcome == "failed" for outcome in outcomes) else 0


def _say(text: str) -> None:
    print(text, flush=True)


def _check(arguments: argparse.Namespace) -> int:
    from avlib.publish.check import check

    root = _root(arguments)
    report = check(root, arguments.chapters, strict=arguments.strict)
    print(report.json() if arguments.json else report.github(root) if arguments.github else report.text())
    return 1 if report.failures else 0


def _test(arguments: argparse.Namespace) -> int:
    from avlib import files
    from avlib.publish import suite

    with files.scratch("test") as folder:
        out = arguments.out.resolve() if arguments.out else folder
        problems = suite.test(
            _root(arguments), arguments.chapters, profile=arguments.profile, out=out, jobs=arguments.jobs, say=_say
        )
    return _tell(problems, "every chapter runs, every exercise holds, every marked output came out the same")


def _verify(arguments: argparse.Namespace) -> int:
    from avlib.publish import suite

    if arguments.stale and arguments.all:
        raise ValueError("--stale and --all exclude each other")
    problems = suite.verify(_root(arguments), arguments.chapters, stale=arguments.stale, jobs=arguments.jobs, say=_say)
    return _tell(problems, "every marked output came out the same")


def _grade(arguments: argparse.Namespace) -> int:
    from avlib.publish.grade import grade

    passed: list[bool] = []
    for path in arguments.notebooks:
        options = {"profile": arguments.profile, "timeout": arguments.timeout}
        sheet = grade(_root(arguments), path.resolve(), arguments.chapter, **options)
        print(("\n" if passed else "") + sheet.text(), flush=True)
        passed.append(sheet.passed)
    return 0 if all(passed) else 1


def _tell(problems: Sequence[str], good: str) -> int:
    print("\n".join(problems) if problems else good)
    return 1 if problems else 0


def _address(arguments: argparse.Namespace) -> int:
    from avlib.publish import chapters, launch

    root = _root(arguments)
    changed = launch.address(root, chapters.find(root, arguments.chapters))
    print(f"changed: {', '.join(changed)}" if changed else "this address stands everywhere already")
    return 0


def _build(arguments: argparse.Namespace) -> int:
    from avlib.publish.build import build

    say = (lambda text: None) if arguments.quiet else _say
    out = arguments.out.resolve() if arguments.out else None
    print(f"site: {build(_root(arguments), arguments.chapters, edition=arguments.edition, out=out, say=say)}")
    return 0


def _release(arguments: argparse.Namespace) -> int:
    from avlib.publish.release import assignments, quizzes, release

    out = arguments.out.resolve()
    if sum(map(bool, (arguments.edition, arguments.nbgrader, arguments.qti))) != 1:
        raise ValueError("release takes one of --edition E, --nbgrader (which makes the students' version) and --qti")
    if arguments.nbgrader:
        written = assignments(_root(arguments), out, arguments.chapters)
        print(f"nbgrader: {len(written)} assignments in {out}; there: nbgrader generate_assignment NAME")
        return 0
    if arguments.qti:
        print(f"QTI: {len(quizzes(_root(arguments), out, arguments.chapters))} quizzes in {out}")
        return 0
    options = {"site": not arguments.no_site, "slides": arguments.slides, "say": _say}
    written = release(_root(arguments), arguments.edition, out, arguments.chapters, **options)
    print(f"{arguments.edition} edition: {len(written)} files or sites in {out}")
    return 0
