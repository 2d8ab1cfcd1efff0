"""One chapter in one process, whose command line is NOTEBOOK RESULT CWD TIMEOUT.

It runs the notebook with papermill and prints one JSON object a line: ``{"cell": …}`` before each cell, then
    ``{"done": …}`` or ``{"failed": …}``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from avlib.publish import kernel

_PEAK: dict[int, int] = {}
_AT: list[int] = [0]


def _say(**event: Any) -> None:
    print(json.dumps(event), flush=True)


def _measure() -> None:
    """Note the peak resident memory of the kernel and its children so far, bytes (without /proc: their memory now)."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        try:
            lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
            now = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
        except (OSError, StopIteration):
            try:
                now = child.memory_info().rss
            except psutil.Error:
                continue
        _PEAK[child.pid] = max(now, _PEAK.get(child.pid, 0))


def _engine() -> Any:
    from papermill.engines import NBClientEngine

    class Telling(NBClientEngine):
        """Papermill's engine; it says which cell is next and watches the memory."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
            start, complete = nb_man.cell_start, nb_man.cell_complete

            def cell_start(cell: Any, cell_index: int | None = None, **more: Any) -> None:
                _AT[0] = cell_index or 0
                _say(cell=cell_index, cells=len(nb_man.nb.cells))
                start(cell, cell_index, **more)

            def cell_complete(cell: Any, cell_index: int | None = None, **more: Any) -> None:
                _measure()
                complete(cell, cell_index, **more)

            nb_man.cell_start, nb_man.cell_complete = cell_start, cell_complete
            return super().execute_managed_notebook(nb_man, kernel_name, **options)

    return Telling


def _failure(notebook: Any) -> dict[str, Any] | None:
    """The first cell that went wrong. A cell tagged ``raises-exception`` goes wrong by *not* raising."""
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        errors = [output for output in cell.outputs if output.output_type == "error"]
        meant = "raises-exception" in cell.metadata.get("tags", [])
        about = {"index": index, "id": cell.get("id", ""), "source": cell.source}
        if errors and not meant:
            return {**about, "name": errors[0].ename, "traceback": "\n".join(errors[0].traceback)}
        if meant and not errors and cell.execution_count is not None:
            return {
                **about,
                "name": "NothingRaised",
                "traceback": "the cell is tagged raises-exception, and raised nothing",
            }
    return None


def _crash(notebook: Any, error: Exception, timeout: str) -> dict[str, Any]:
    cell, name = notebook.cells[_AT[0]], type(error).__name__
    texts = {
        "CellTimeoutError": f"gave up: the cell took longer than {timeout} s",
        "DeadKernelError": "the kernel died (was there too little memory?)",
    }
    about = {"index": _AT[0], "id": cell.get("id", ""), "source": cell.source}
    return {**about, "name": name, "traceback": texts.get(name, f"{name}: {error}")}


def main() -> int:
    """Run the notebook of the first argument and write what came out to the second, also when a cell fails."""
    source, result, cwd, timeout = sys.argv[1:]
    from papermill.engines import papermill_engines
    from papermill.iorw import load_notebook_node, write_ipynb
    from papermill.utils import chdir

    papermill_engines.register("avlib", _engine())
    notebook = load_notebook_node(source)
    crash = None
    with chdir(cwd):
        try:
            notebook = papermill_engines.execute_notebook_with_engine(
                "avlib",
                notebook,
                kernel.NAME,
                progress_bar=False,
                execution_timeout=int(timeout),
                start_timeout=120,
                kernel_manager_class=kernel.MANAGER,
            )
        except Exception as error:  # a dead kernel, a time-out: the notebook still holds what was reached
            crash = _crash(notebook, error, timeout)
    write_ipynb(notebook, result)
    failed = crash or _failure(notebook)
    if failed:
        _say(failed=failed)
        return 1
    _say(done={"seconds": notebook.metadata.papermill["duration"], "peak": sum(_PEAK.values())})
    return 0
