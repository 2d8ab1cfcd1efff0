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
    assert code == 1 and "one\n  stale: it was never executed" in out and "2 chapters: 2 problems, 0 notes" in out
    code, out, _ = call(capsys, "check", "--json", "one", "--root", root)
    assert code == 1 and [p["rule"] for p in json.loads(out)["problems"]] == ["stale"]


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
