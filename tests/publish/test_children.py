"""Children end with their parent however it ends, and take their own children with them."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from avlib.publish import children

MODULE = """
import os, subprocess, sys, time

def wait():
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    print(*sys.argv[1:], os.getpgid(0), os.getpid(), grandchild.pid, flush=True)
    time.sleep(60)

def hello():
    print("größe ±", file=sys.stderr)
    return 3
"""
PARENT = """
import os
from avlib.publish import children
with children.child("waiting:wait", ["a"], os.environ) as process:
    print(process.stdout.readline(), flush=True)
    process.stdout.read()
"""


@pytest.fixture
def place(tmp_path, repo, monkeypatch):
    (tmp_path / "waiting.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", f"{repo}{os.pathsep}{tmp_path}")
    return tmp_path


def test_output_and_code_come_back_in_utf8_whatever_the_terminal_speaks(place, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    with children.child("waiting:hello", [], os.environ, cwd=place) as process:
        assert process.stdout.read() == "größe ±\n" and process.wait() == 3


@pytest.mark.parametrize("how", ["left", "parent killed", "child ended", "interrupt of the group"])
def test_however_it_ends_nobody_stays(place, how):
    if how == "left":
        with children.child("waiting:wait", ["a"], os.environ) as process:
            word, group, *pids = process.stdout.readline().split()
    else:
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        word, group, *pids = parent.stdout.readline().decode().split()
        assert int(group) == parent.pid
        if how == "parent killed":
            parent.kill()
        elif how == "child ended":
            os.kill(int(pids[0]), signal.SIGTERM)
        else:
            os.killpg(parent.pid, signal.SIGINT)
        parent.communicate()
    assert word == "a"
    still = [psutil.Process(int(pid)) for pid in pids if psutil.pid_exists(int(pid))]
    assert psutil.wait_procs(still, timeout=20)[1] == []
