"""Results on disk, and claims: orderings that a paper makes, tested over several seeds and kept with their provenance.

Each cell of the grid arm × seed is stored as soon as it ends (in ``runs/claims``), so an interrupted run goes on where
it stopped; the record of all of them goes to ``results/<profile>/<method>.json``.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avlib import provenance, recipes
from avlib.errors import unknown
from avlib.profiles import Profile
from avlib.profiles import profile as find_profile

if TYPE_CHECKING:
    import pandas as pd

CHANCE = "chance"
HOLDS, FAILS, FEW, MISSING = "holds", "not reproduced", "too few seeds", "not measured"
LEAST_SEEDS = 3


@dataclass(frozen=True)
class Claim:
    """An ordering that a paper makes, or a control.

    Attributes:
        text: the claim in one sentence.
        metric: what is compared.
        better, worse: names of arms, or ``"chance"``.
        source: paper and table.
        margin: how much the difference must exceed.
        tag: a short name to find it by.
        equal: claims that the two differ by no more than ``margin`` (a control that falls to chance).
        higher: is more of the metric better?
    """

    text: str
    metric: str
    better: str
    worse: str
    source: str = ""
    margin: float = 0.0
    tag: str = ""
    equal: bool = False
    higher: bool = True

    def __post_init__(self) -> None:
        if self.margin < 0 or (self.equal and self.margin == 0):
            raise ValueError(
                f"claim {self.text!r}: margin={self.margin} must not be negative, nor 0 where equality is claimed"
            )


@dataclass(frozen=True)
class Cell:
    """What one arm reached with one seed, and how long it took (s)."""

    arm: str
    seed: int
    metrics: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class Record:
    """The recorded claims of a method under a profile.

    Attributes:
        method, profile: whose they are.
        cells: one for each arm and seed.
        tested: one row for each claim, see `claims`.
        chance: metric → what luck reaches.
        provenance: what it was made with, see `avlib.provenance.describe`; ``budget`` is the profile's numbers.
    """

    method: str
    profile: str
    cells: tuple[Cell, ...]
    tested: tuple[dict[str, Any], ...]
    chance: dict[str, float]
    provenance: dict[str, Any]

    @property
    def arms(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cell.arm for cell in self.cells))

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(sorted({cell.seed for cell in self.cells}))

    def values(self, arm: str, metric: str) -> list[float]:
        """A metric of an arm, one number a seed, in order of the seeds.

        Raises:
            ValueError: unknown arm or metric; the right names are listed.
        """
        if arm == CHANCE:
            if metric not in self.chance:
                raise unknown(f"metric with a chance level in {self.method}", metric, self.chance)
            return [self.chance[metric]] * len(self.seeds)
        cells = sorted((cell for cell in self.cells if cell.arm == arm), key=lambda cell: cell.seed)
        if not cells:
            raise unknown(f"arm of {self.method}", arm, (*self.arms, CHANCE))
        if any(metric not in cell.metrics for cell in cells):
            raise unknown(f"metric of {self.method}, arm {arm}", metric, cells[0].metrics)
        return [cell.metrics[metric] for cell in cells]

    def value(self, arm: str, metric: str) -> float:
        """The mean of a metric of an arm over the seeds."""
        values = self.values(arm, metric)
        return sum(values) / len(values)

    def table(self) -> pd.DataFrame:
        """Arm × metric: ``mean``, ``sd`` (NaN for one seed) and ``n``."""
        import pandas as pd

        rows = [{"arm": c.arm, "metric": m, "value": v} for c in self.cells for m, v in c.metrics.items()]
        grouped = pd.DataFrame(rows, columns=["arm", "metric", "value"]).groupby(["arm", "metric"], sort=False)["value"]
        return grouped.agg(mean="mean", sd="std", n="count")

    def summary(self, metrics: Sequence[str] | None = None) -> str:
        """The mean of each arm over the seeds, to read; every metric or those named.

        Raises:
            ValueError: an unknown metric; the right names are listed.
        """
        known = list(dict.fromkeys(metric for cell in self.cells for metric in cell.metrics))
        for metric in metrics or ():
            if metric not in known:
                raise unknown(f"metric of {self.method}", metric, known)
        table = self.table()["mean"].unstack().loc[list(self.arms), list(metrics or known)]
        text = table.round(3).rename_axis(index=None, columns=None).to_string(na_rep="")
        return f"{text}\nmeans over the seeds {', '.join(map(str, self.seeds))}"

    def beside(self, scores: dict[str, float], arm: str) -> str:
        """One line a score of a single run, beside the least and the greatest that the seeds of ``arm`` reached.

        Raises:
            ValueError: unknown arm or metric; the right names are listed.
        """
        width = max(map(len, scores), default=0)
        lines = []
        for metric, value in scores.items():
            values = self.values(arm, metric)
            lines.append(f"{metric:>{width}}: here {value:.3f}, recorded {min(values):.3f} to {max(values):.3f}")
        return "\n".join(lines)

    def claims(self) -> pd.DataFrame:
        """One row a claim: what was compared, ``difference``, ``lo``, ``hi``, ``holds`` and where the claim stands.

        The difference is better minus worse, paired by seed, with Student's 90 % interval.
        """
        import pandas as pd

        columns = ["claim", "metric", "better", "worse", "difference", "lo", "hi", "holds", "source", "tag"]
        return pd.DataFrame(list(self.tested), columns=columns)

    def verdicts(self) -> str:
        """The claims to read: verdict, metric, difference and interval; seed by seed where one is not reproduced."""
        lines = []
        for row in self.tested:
            lines.append(f"{row['holds']:>14}: {row['claim']}")
            if row["difference"] is not None:
                interval = "" if row["lo"] is None else f" [{row['lo']:+.3f}, {row['hi']:+.3f}]"
                lines.append(f"{'':>14}  {row['metric']}, {row['difference']:+.3f}{interval}")
            if row["holds"] == FAILS:
                lines.append(f"{'':>14}  seed by seed: " + " ".join(f"{value:+.3f}" for value in row["each"]))
        return "\n".join(lines)

    def stale(self) -> list[str]:
        """Why the record no longer stands for today's code; empty where it does."""
        try:
            now = _describe(self.method, self.profile)
        except ValueError as error:
            return [str(error)]
        return provenance.compare(self.provenance, now) + _compare_budget(
            self.provenance.get("budget", {}), now["budget"]
        )


def _compare_budget(old: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [f"profile: {k} was {old.get(k)}, is {now[k]}" for k in now if k != "seeds" and old.get(k) != now[k]]


def folder() -> Path:
    """Where results are: ``$AVLIB_RESULTS``, else ``results`` of the repository around this folder or the package."""
    if "AVLIB_RESULTS" in os.environ:
        return Path(os.environ["AVLIB_RESULTS"])
    return (provenance.repository() or provenance.ROOT.parent) / "results"


def path_of(method: str, profile: str) -> Path:
    """The file of a record."""
    return folder() / profile / f"{method}.json"


def read(method: str, profile: str = "cpu") -> Record:
    """The record of a method under a profile.

    Raises:
        FileNotFoundError: there is none; says how to make it.
        ValueError: the file is damaged.
    """
    path = path_of(method, find_profile(profile).name)
    if not path.exists():
        raise FileNotFoundError(
            f"no recorded claims {path}: make them with `avlib claims {method} --profile {profile}`"
        )
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        cells = tuple(Cell(**cell) for cell in data["cells"])
        return Record(data["method"], data["profile"], cells, tuple(data["claims"]), data["chance"], data["provenance"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): make it again with `avlib claims {method}`") from error


def run_claims(
    name: str,
    profile: str = "cpu",
    seeds: int | Sequence[int] | None = None,
    jobs: int = 1,
    arms: Sequence[str] | None = None,
    device: str = "auto",
    say: Callable[[str], None] = print,
) -> Record:
    """Run every arm of a method with every seed, test its claims, and write the record.

    Args:
        name, profile: the method's recipe, and how large.
        seeds: how many, or which; the profile's number where left out.
        jobs, device: processes side by side, and where.
        arms: only these (what is recorded of the others stays, while it is not stale).
        say: called with a line for each cell.

    Raises:
        ValueError: unknown method, profile or arm; a metric that is not finite (names arm and seed).
    """
    recipe, budget = recipes.load(name), find_profile(profile, name)
    for arm in arms or ():
        recipes.check_arm(recipe, arm)
    chosen = seeds if isinstance(seeds, Sequence) else range(budget.seeds if seeds is None else seeds)
    if not chosen or jobs < 1:
        raise ValueError(f"seeds={seeds} and jobs={jobs}: at least one of each is needed")
    begun, about = time.monotonic(), _describe(name, profile)
    stamp = _stamp(about)
    asked = [(arm, seed) for arm in arms or recipe.ARMS for seed in chosen]
    cells = _kept_cells(name, profile, stamp, asked, say)
    todo = [(name, budget, seed, arm, device) for arm, seed in asked if (arm, seed) not in cells]
    for cell in _run_cells(todo, jobs):
        _write(_cell_path(name, profile, cell.arm, cell.seed), asdict(cell) | {"stamp": stamp})
        cells[cell.arm, cell.seed] = cell
        say(f"{cell.arm}, seed {cell.seed}: {cell.seconds:.0f} s, {_line(cell.metrics)}")
    order = list(recipe.ARMS)
    wanted = sorted((c for c in cells.values() if c.arm in order), key=lambda c: (order.index(c.arm), c.seed))
    return _keep(name, profile, recipe, wanted, about | {"seconds": round(time.monotonic() - begun, 1)}, device)


def _line(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())


def _run_cells(todo: list[tuple[str, Profile, int, str, str]], jobs: int) -> Iterator[Cell]:
    if jobs == 1 or len(todo) < 2:
        yield from (_run_cell(*job) for job in todo)
        return
    threads = max(1, (os.cpu_count() or 1) // jobs)
    # A forked process would inherit PyTorch's threads and CUDA context, which do not survive a fork.
    with ProcessPoolExecutor(jobs, get_context("spawn"), _limit_threads, (threads,)) as pool:
        running = [pool.submit(_run_cell, *job) for job in todo]
        try:
            yield from (future.result() for future in as_completed(running))
        finally:
            pool.shutdown(cancel_futures=True)


def _limit_threads(threads: int) -> None:
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def _run_cell(name: str, budget: Profile, seed: int, arm: str, device: str) -> Cell:
    from avlib.experiment import Run, run_cell

    begun = time.monotonic()
    metrics = run_cell(recipes.load(name), Run(budget, seed, device), arm)
    bad = [f"{metric} is {value}" for metric, value in metrics.items() if not math.isfinite(value)]
    if bad or not metrics:
        raise ValueError(f"{name}, arm {arm}, seed {seed}: {'; '.join(bad) or 'no metric was measured'}")
    plain = {metric: round(float(value), 6) for metric, value in metrics.items()}
    return Cell(arm, seed, plain, round(time.monotonic() - begun, 1))


def _describe(name: str, profile: str) -> dict[str, Any]:
    """Provenance of a recipe and the numbers of its profile: it is handed those, its code does not name them."""
    budget = find_profile(profile, name)
    about = provenance.describe(_source(name), profile=profile, seed=0, words=[name])
    code = about.pop("code")
    del about["seed"]
    if "." in name:  # a recipe outside the package: none of the sources
        about["files"] = {name: code}
    return about | {"budget": asdict(budget)}


def _source(name: str) -> Path | list[str]:
    if "." not in name:
        if name not in recipes.names():
            raise unknown("method", name, recipes.names())
        return [f"avlib.recipes.{name}"]
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ValueError(f"there is no module {name!r}")
    return Path(spec.origin)


def _stamp(about: dict[str, Any]) -> str:
    """What must be the same for a cell to be kept. Not the lock file: most of its changes have no effect here."""
    budget = {k: v for k, v in about["budget"].items() if k != "seeds"}
    return json.dumps([about["sources_sha256"], about["files"], budget], sort_keys=True)


def _kept_cells(
    name: str, profile: str, stamp: str, asked: Sequence[tuple[str, int]], say: Callable[[str], None]
) -> dict[tuple[str, int], Cell]:
    """Cells that today's code made before: those of the record, and those asked for that an interrupted run left."""
    cells = {(cell.arm, cell.seed): cell for cell in _recorded(name, profile, stamp)}
    for arm, seed in asked:
        left = _read_cell(_cell_path(name, profile, arm, seed), stamp)
        if left and (arm, seed) not in cells:
            cells[arm, seed] = left
        if (arm, seed) in cells:
            say(f"{arm}, seed {seed}: kept from before")
    return cells


def _recorded(name: str, profile: str, stamp: str) -> Sequence[Cell]:
    try:
        record = read(name, profile)
        return record.cells if _stamp(record.provenance) == stamp else ()
    except (FileNotFoundError, ValueError, KeyError):
        return ()


def _cell_path(name: str, profile: str, arm: str, seed: int) -> Path:
    return folder().parent / "runs" / "claims" / profile / name / f"{arm}-{seed}.json"


def _read_cell(path: Path, stamp: str) -> Cell | None:
    """A cell of an earlier run, unless there is none, it was made with other code, or it is damaged."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Cell(**data) if data.pop("stamp") == stamp else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, data: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _keep(name: str, profile: str, recipe: Any, cells: Sequence[Cell], about: dict[str, Any], device: str) -> Record:
    used = "cuda" if _on_gpu(device) else "cpu"
    about = about | {"device": provenance.device_name(used)}
    chance = {metric: float(value) for metric, value in getattr(recipe, "CHANCE", {}).items()}
    bare = Record(name, profile, tuple(cells), (), chance, about)
    record = Record(name, profile, tuple(cells), tuple(judge(bare, claim) for claim in recipe.CLAIMS), chance, about)
    data: dict[str, Any] = {"method": name, "profile": profile, "arms": record.arms, "seeds": record.seeds}
    data |= {"cells": [asdict(cell) for cell in cells], "claims": record.tested, "chance": chance, "provenance": about}
    _write(path_of(name, profile), data)
    return record


def _on_gpu(device: str) -> bool:
    import torch

    return torch.cuda.is_available() if device == "auto" else device.startswith("cuda")


def judge(record: Record, claim: Claim) -> dict[str, Any]:
    """Compare the two sides of a claim seed by seed: Student's interval of the paired difference, and a verdict.

    Returns:
        The claim, ``difference``, ``lo``, ``hi`` (None for a single seed), ``each`` seed's difference and ``holds``:
        ``"holds"``, ``"not reproduced"``, ``"too few seeds"`` (fewer than three) or ``"not measured"`` (an arm was
        not run).
    """
    from avlib.evaluate import stats

    row: dict[str, Any] = {"claim": claim.text, "metric": claim.metric, "better": claim.better, "worse": claim.worse}
    row |= {"source": claim.source, "tag": claim.tag, "margin": claim.margin}
    measured = {claim.better, claim.worse} <= {CHANCE, *record.arms}
    better, worse = _pairs(record, claim) if measured else ([], [])
    if not better:
        return row | {"difference": None, "lo": None, "hi": None, "each": [], "holds": MISSING}
    row["each"] = [round(b - w, 6) for b, w in zip(better, worse, strict=True)]
    found = stats.difference(better, worse, 0.0 if claim.equal else claim.margin)
    verdict = found.holds
    if claim.equal:
        verdict = -claim.margin < found.low and found.high < claim.margin
    few = found.count < LEAST_SEEDS
    limits = (
        {"lo": None, "hi": None} if math.isnan(found.low) else {"lo": round(found.low, 6), "hi": round(found.high, 6)}
    )
    return row | {"difference": round(found.mean, 6)} | limits | {"holds": FEW if few else HOLDS if verdict else FAILS}


def _pairs(record: Record, claim: Claim) -> tuple[list[float], list[float]]:
    """Both sides of a claim for the seeds that both have; signs turned where less is better."""
    sides = []
    for arm in (claim.better, claim.worse):
        values = record.values(arm, claim.metric)
        seeds = record.seeds if arm == CHANCE else sorted(cell.seed for cell in record.cells if cell.arm == arm)
        sides.append(dict(zip(seeds, values, strict=True)))
    shared = sorted(sides[0].keys() & sides[1].keys())
    sign = 1.0 if claim.higher else -1.0
    return [sign * sides[0][seed] for seed in shared], [sign * sides[1][seed] for seed in shared]
