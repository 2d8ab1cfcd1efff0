"""Two kernels that start side by side are never given the same port, because they have none."""

import sys
import tempfile

import pytest

from avlib.publish import chapters, execute, nbcheck, session, sockets
from tests.publish.sample import code, notebook, small, stream, tree

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such sockets; ports are used there")

ASKED = "import json, ipykernel.connect as connect\nhow = json.loads(connect.get_connection_info())['transport']\n"
SHOWN = code(f"{ASKED}print(how)", nbcheck.MARK, outputs=[stream("ipc\n")])


def test_code_that_is_handed_over(tmp_path):
    with session.session(notebook(code("")), tmp_path, timeout=60) as client:
        assert session.run(client, f"{ASKED}assert how == 'ipc', how") == ""


def test_a_folder_too_deep_for_a_socket_leaves_ports(tmp_path, monkeypatch):
    deep = tmp_path / ("d" * sockets.LONGEST)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with session.session(notebook(code("")), tmp_path, timeout=60) as client:
        assert session.run(client, f"{ASKED}assert how == 'tcp', how") == ""


@pytest.mark.slow
def test_a_chapter_and_nbval(tmp_path):
    root = tree(tmp_path, one=small(SHOWN))
    (outcome,) = execute.execute(root, say=lambda _: None)
    assert outcome.outcome == "done"
    path = chapters.find(root)[0].path
    assert chapters.read(path)["cells"][-1]["outputs"][0]["text"] == "ipc\n"
    assert [verdict.problems for verdict in nbcheck.compare(root, [path])] == [()]
