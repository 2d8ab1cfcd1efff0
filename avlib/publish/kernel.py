"""The kernel that chapters run in: this interpreter, whatever is installed for the user or the system."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from avlib import files
from avlib.publish.chapters import ChapterError, Notebook

NAME = "python3"
MANAGER = "avlib.publish.sockets.AsyncManager"
"""What starts it for nbclient and papermill, as they want it named."""

HOME = "AVLIB_KERNEL"
"""The environment variable with the folder that a kernel may put files in."""


def check(notebook: Notebook, where: str) -> None:
    """Refuse a notebook in another language, or an interpreter that has no kernel.

    Raises:
        ChapterError: the notebook is not in Python.
        ModuleNotFoundError: ipykernel is missing here; the message says how to get it.
    """
    language = notebook["metadata"].get("kernelspec", {}).get("language", "python")
    if language != "python":
        raise ChapterError(f"{where}: its kernel speaks {language!r}, and chapters are in Python")
    if importlib.util.find_spec("ipykernel") is None:
        raise ModuleNotFoundError(
            f"no kernel: ipykernel is not installed for {sys.executable}; pip install 'avlib[book]'"
        )


@contextmanager
def environment(root: Path, jobs: int = 1) -> Iterator[dict[str, str]]:
    """Environment variables under which ``python3`` is this interpreter and ``import avlib`` finds this avlib.

    The user's own kernels, IPython profile and start-up files have no say; progress bars, which would end up in the
    outputs, are off. Each of ``jobs`` kernels gets its share of the cores.
    """
    with files.scratch("kernel") as folder:
        spec = folder / "jupyter" / "kernels" / NAME
        spec.mkdir(parents=True)
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        (spec / "kernel.json").write_text(
            json.dumps({"argv": command, "display_name": "Python 3", "language": "python"})
        )
        package = Path(__file__).resolve().parents[2]
        here = [str(root)] if (root / "avlib").is_dir() and root != package else []
        paths = [*here, str(package), os.environ.get("PYTHONPATH", "")]
        changes = {
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            "JUPYTER_PATH": str(folder / "jupyter"),
            "JUPYTER_PLATFORM_DIRS": "1",
            HOME: str(folder),
            "IPYTHONDIR": str(folder / "ipython"),
            "PYTHONHASHSEED": "0",
            "TQDM_DISABLE": "1",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        if jobs > 1 and "OMP_NUM_THREADS" not in os.environ:
            changes["OMP_NUM_THREADS"] = str(max((os.cpu_count() or 1) // jobs, 1))
        inherited = {
            name: value for name, value in os.environ.items() if name != "MPLBACKEND"
        }  # figures are shown inline
        yield {**inherited, **changes}
