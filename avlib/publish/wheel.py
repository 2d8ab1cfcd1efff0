"""What a wheel holds beside the code: the records of claims, so that chapters find them wherever the package lies."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools.command.build_py import build_py


class WithRecords(build_py):
    """Builds the package with ``results/`` as ``avlib/_results``; an editable install reads the repository's own."""

    def run(self) -> None:
        super().run()
        results = Path("results")
        if not self.editable_mode and results.is_dir():
            shutil.copytree(results, Path(self.build_lib, "avlib", "_results"), dirs_exist_ok=True)
