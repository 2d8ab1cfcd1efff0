"""Importing the package stays light."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import avlib

HEAVY = ("papermill", "sphinx", "datasets", "sklearn", "matplotlib", "torch", "pandas", "scipy")


def loaded(code: str) -> set[str]:
    """Which of the heavy packages a fresh interpreter has loaded after some code."""
    shown = f"import sys\n{code}\nprint(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    return set(done.stdout.split("\n")[-2].split())


def test_the_package_imports_nothing_heavy() -> None:
    assert loaded("import avlib") == set()


@pytest.mark.parametrize("module", ["errors", "profiles", "provenance", "results", "recipes", "cli"])
def test_light_modules_need_not_even_torch(module: str) -> None:
    assert loaded(f"import avlib.{module}") == set()


def test_help_needs_nothing_heavy() -> None:
    assert loaded("from avlib.cli import parser\nparser().format_help()") == set()


def test_the_loop_needs_torch_alone() -> None:
    assert loaded("import avlib.train") <= {"torch"}


def test_the_version_is_the_packages(repo: Path) -> None:
    assert avlib.__version__ == tomllib.loads((repo / "pyproject.toml").read_text())["project"]["version"]
