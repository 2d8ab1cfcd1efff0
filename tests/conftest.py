"""Shared by all tests: the real data's folder, quiet threads, a seed."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "agg")

import torch

REPO = Path(__file__).resolve().parent.parent


def pytest_report_header() -> str:
    """Which instructions PyTorch uses: those of the processor, or those that the environment leaves it."""
    return f"torch {torch.__version__} with {torch.backends.cpu.get_cpu_capability()} instructions"


@pytest.fixture(scope="session")
def repo() -> Path:
    """The repository's root."""
    return REPO


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings, photographs, videos and annotations; the test is skipped where there is none."""
    folder = Path(os.environ.get("AVLIB_DATA", REPO.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data: set AVLIB_DATA to a folder of it (looked in {folder})")
    return folder


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Each test starts from the same global seed, on one thread, and leaves the thread count as it was."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)
