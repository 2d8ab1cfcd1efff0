"""The script for a GPU runs dry on a CPU, with nothing but the packages it says, and stops itself."""

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from avlib.world import library, packs

ALLOWED = ("torch", "torchvision", "torchaudio", "numpy", "pandas", "scikit-learn", "safetensors", "tabulate", "tqdm")
"""The last two only because PyTorch looks for them wherever they are installed."""
BLOCK = """
import runpy, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
sys.argv = ["bench/on_gpu.py", "--device", "cpu", *{arguments}]
runpy.run_path({script!r}, run_name="__main__")
"""


def needed(names: tuple[str, ...]) -> set[str]:
    """Distributions with all that they require here, by normalised name."""
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if name in found:
            continue
        try:
            required = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        found.add(name)
        todo += [re.split(r"[\s\[<>=!~;(]", text)[0] for text in required if "extra ==" not in text]
    return found


def others() -> set[str]:
    """Every importable name that none of the allowed distributions brings."""
    there = {
        name: {re.sub(r"[-_.]+", "-", d).lower() for d in who}
        for name, who in metadata.packages_distributions().items()
    }
    allowed = needed(ALLOWED)
    return {name for name, who in there.items() if not who & allowed and name not in ("avlib", "_distutils_hack")}


def run(repo: Path, out: Path, *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, lines of the report, and what was printed."""
    blocked = others()
    assert {"soundfile", "av", "matplotlib", "skimage", "pretty_midi", "seaborn"} <= blocked and "scipy" not in blocked
    code = BLOCK.format(
        blocked=blocked, arguments=["--out", str(out), *arguments], script=str(repo / "bench/on_gpu.py")
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=out)
    report = out / "report.jsonl"
    lines = [json.loads(line) for line in report.read_text().splitlines()] if report.exists() else []
    return done.returncode, lines, done.stdout + done.stderr


def test_every_method_agrees_with_itself_in_other_precisions_and_layouts(repo: Path, tmp_path: Path) -> None:
    code, lines, said = run(repo, tmp_path, "--minutes", "30", "--sections", "agreement")
    of_methods = {line["name"].partition(":")[0]: line["status"] for line in lines if "channels_last" in line["name"]}
    assert code == 0 and {line["status"] for line in lines} == {"good", "done"}, said
    assert {"l3", "soundnet", "dsol", "xdc"} <= of_methods.keys()


@pytest.mark.slow
def test_a_dry_run_needs_only_the_packages_it_says(repo: Path, tmp_path: Path) -> None:
    pack = packs.save(library.load("orchestra"), tmp_path / "orchestra.safetensors")
    limits = ["--minutes", "30", "--seeds", "1", "--methods", "l3", "--arms", "untrained"]
    code, lines, said = run(repo, tmp_path, "--pack", str(pack), *limits)
    assert code == 0 and {line["status"] for line in lines} == {"good", "done"}, said
    assert list(dict.fromkeys(line["section"] for line in lines)) == [
        "machine", "agreement", "speed", "training", "claims",
    ]  # fmt: skip
    mfu = [line["MFU"] for line in lines if "MFU" in line]
    assert len(mfu) == 2 and set(mfu) == {0.0}  # a CPU's peak is not known
    record = json.loads((tmp_path / "results" / "smoke" / "l3.json").read_text())
    assert [(cell["arm"], cell["seed"]) for cell in record["cells"]] == [("untrained", 0)]
    table = (tmp_path / "report.md").read_text()
    assert table.count("\n| ") >= len(lines) and "## l3" in table


@pytest.mark.slow
def test_without_time_it_says_so_of_everything(repo: Path, tmp_path: Path) -> None:
    code, lines, said = run(repo, tmp_path, "--minutes", "0", "--methods", "l3,dsol", "--seeds", "1")
    assert code == 0 and len(lines) > 20 and {line["status"] for line in lines} == {"no time"}, said
    assert (tmp_path / "report.md").exists() and not (tmp_path / "results").exists()
