"""An installed wheel finds its records and its trained weights, far from any repository."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from avlib import experiment, pretrained, profiles, recipes, results

ASK = """
import avlib
from avlib import results
assert results.read("l3").values("trained", "accuracy") == [0.25], results.read("l3")
net = avlib.load("l3")
print(avlib.__file__, net.card["exam"]["accuracy"])
"""


@pytest.mark.slow
def test_an_installed_wheel_has_records_and_weights(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, installed, elsewhere = (tmp_path / name for name in ("source", "installed", "elsewhere"))
    elsewhere.mkdir()
    shutil.copytree(repo / "avlib", source / "avlib", ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-text"):
        shutil.copy(repo / name, source / name)
    monkeypatch.setenv("AVLIB_RESULTS", str(source / "results"))
    results.put("l3", "cpu", [results.Cell("trained", 0, {"accuracy": 0.25}, 1.0, "key", {})])
    net = recipes.load("l3").build(experiment.open("l3", "smoke", device="cpu"))
    pretrained.save("l3", net, profiles.profile("smoke", "l3"), {"seed": 0, "exam": {"accuracy": 0.25}})
    shutil.copytree(source / "results" / "weights", source / "avlib" / "weights", dirs_exist_ok=True)

    quiet = ["-q", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *quiet, "-w", tmp_path, source], check=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(installed)
    clean = {key: value for key, value in os.environ.items() if key != "AVLIB_RESULTS"} | {"PYTHONPATH": str(installed)}
    done = subprocess.run([sys.executable, "-c", ASK], cwd=elsewhere, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(installed / "avlib" / "__init__.py"), "0.25"]
