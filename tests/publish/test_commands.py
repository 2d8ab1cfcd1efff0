"""The command line of ``avlib book``."""

import argparse
import json

import pytest

from avlib.publish import commands
from tests.publish.sample import good, small, tree


def call(capsys, *words):
    """Exit code, stdout and stderr of a command."""
    parser = argparse.ArgumentParser(prog="avlib")
    commands.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["book", *map(str, words)])
    code = arguments.run(arguments)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("command", ["execute", "check", "test", "verify", "build", "release"])
def test_help_reads_well(capsys, command):
    with pytest.raises(SystemExit) as left:
        call(capsys, command, "--help")
    assert left.value.code == 0 and "--root" in capsys.readouterr().out


def test_check_says_what_is_wrong_to_people_and_programs(capsys, tmp_path):
    root = tree(tmp_path, one=good(), other=good())
    code, out, _ = call(capsys, "check", "--root", root)
    assert (
        code == 1 and "/one.ipynb\n  stale: it was never executed" in out and "2 chapters: 2 problems, 0 notes" in out
    )
    code, out, _ = call(capsys, "check", "--json", "one", "--root", root)
    assert code == 1 and [p["rule"] for p in json.loads(out)["problems"]] == ["stale"]


def test_check_annotates_a_pull_request(capsys, tmp_path):
    cells = good()
    cells[3]["metadata"] = {}
    root = tree(tmp_path, one=cells)
    code, out, _ = call(capsys, "check", "--github", "--root", root)
    lines = (root / "notebooks" / "1_part" / "one.ipynb").read_text().split("\n")
    at = next(n for n, line in enumerate(lines, 1) if '"id": "c4"' in line)
    first = "::error file=notebooks/1_part/one.ipynb,title=stale::it was never executed"
    assert code == 1 and out.startswith(first) and "1 chapter: " in out.split("\n")[-2]
    assert f"::error file=notebooks/1_part/one.ipynb,line={at},title=alt::cell 4 (c4): the figure's" in out
    (root / "book" / "a,b.md").write_text("# A\n\nIt is right in 87 % of cases.\n")
    _, out, _ = call(capsys, "check", "--github", "--root", root)
    assert "::error file=book/a%2Cb.md,line=3,title=typed-number::line 3: '87 %25': " in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "oen"], "unknown chapter 'oen'; did you mean 'one'"),
        (["execute", "--profile", "huge"], "unknown profile 'huge'. There are: smoke, cpu, gpu"),
        (["execute", "--set", "steps"], "--set takes NAME=VALUE"),
        (["execute", "--set", "steps=3"], "unknown parameter"),
        (["execute", "--profile", "smoke"], "--out DIR"),
        (["release", "--edition", "pupil", "--out", "x"], "unknown edition 'pupil'"),
        (["build", "--edition", "recall"], "unknown edition of the site"),
        (["verify", "--stale", "--all"], "exclude"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(capsys, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    root = tree(tmp_path / "book", one=small())
    code, _, err = call(capsys, *words, "--root", root)
    assert code == 2 and message in err and err.startswith("avlib book: ") and err.count("\n") == 1
