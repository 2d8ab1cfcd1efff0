"""nbval's silent passes: nbval lets each of these notebooks through, and the guard names what is wrong with it."""

from pathlib import Path

import pytest

from avlib.publish import chapters, nbcheck
from tests.publish.sample import PNG, code, notebook, shown, small, stream

MARK = nbcheck.MARK
COMPARED = code("print(1)", MARK, outputs=[stream("1\n")])
FIGURE = "from IPython.display import Image\nimport base64\nImage(base64.b64decode('" + PNG + "'))"
PICTURE = {**shown(image_png=PNG, text_plain="<IPython.core.display.Image object>"), "output_type": "execute_result"}

SILENT = {
    "never_ran": ([COMPARED, {**code("print(2)", MARK), "execution_count": None}], "no execution count"),
    "picture": ([COMPARED, code(FIGURE, MARK, outputs=[{**PICTURE, "execution_count": 3}])], "shows no text"),
    "no_exception": ([COMPARED, code("1", "raises-exception")], "shows no exception"),
    "nothing_marked": ([code("print(2)", outputs=[stream("3\n")])], "no cell is tagged"),
    "empty": ([COMPARED, code("x = 1", MARK)], "shows no text"),
}
LOUD = {
    "good": ([COMPARED, code("assert profile == 'smoke'"), code("1 / 0", "raises-exception", outputs=[])], None),
    "differs": ([code("print(2)", MARK, outputs=[stream("3\n")])], "Cell outputs differ"),
    "fails": ([COMPARED, code("1 / 0")], "ZeroDivisionError"),
}
STDERR = code("import sys\nx = sys.stderr.write('0.1 s')", MARK, outputs=[stream("0.1 s", "stderr")])


def fresh(cells):
    """A notebook of copies of ``cells``."""
    return notebook(*small(*({**cell, "metadata": dict(cell["metadata"])} for cell in cells)))


def found(made) -> str:
    return "; ".join(message for _, message in nbcheck.traps(made))


@pytest.mark.parametrize(("cells", "message"), SILENT.values(), ids=SILENT)
def test_the_guard_names_what_nbval_would_not_compare(cells, message):
    assert message in found(fresh(cells))


def test_the_guard_names_stderr_and_marks_in_comments():
    assert "writes to stderr" in found(fresh([STDERR]))
    assert "in a comment" in found(fresh([COMPARED, code("# NBVAL_IGNORE_OUTPUT\nprint(1)")]))
    assert found(fresh([COMPARED])) == ""


@pytest.mark.slow
def test_nbval_passes_in_silence_and_the_verdict_does_not(tmp_path, repo):
    error = {"output_type": "error", "ename": "ZeroDivisionError", "evalue": "x", "traceback": []}
    paths = []
    for name, (cells, _) in (SILENT | LOUD).items():
        made = fresh(cells)
        made["metadata"]["avlib"] = {"profile": "smoke", "seed": 0}
        if name == "good":
            made["cells"][-1]["outputs"] = [error]
        paths.append(tmp_path / "1_part" / f"{name}.ipynb")
        chapters.write(paths[-1], made)
    verdicts = {v.chapter: v for v in nbcheck.compare(repo, paths, jobs=2)}
    for name, (_, message) in SILENT.items():
        problems = verdicts[name].problems
        assert problems and message in problems[0]
        assert not any("failure" in p for p in problems), "nbval itself saw nothing"
    for name, (_, message) in LOUD.items():
        problems = verdicts[name].problems
        assert problems == () if message is None else any(message in p for p in problems), problems


@pytest.mark.parametrize("jobs", [2, 8])
def test_xdist_gets_whole_files(jobs):
    line = nbcheck.arguments(Path("a"), Path("b"), jobs)
    assert line[line.index("-n") : line.index("-n") + 4] == ["-n", str(jobs), "--dist", "loadfile"]
    assert "no:xdist" in nbcheck.arguments(Path("a"), Path("b"), 1)
