"""Records: what each arm of a method reached with each seed, on disk in ``results/<profile>/<method>.json``.

A file holds cells and nothing else. A cell is written into it as soon as it is measured, with the key of its code and
with where it came from, and stays untouched when others are added. Claims, chance and verdicts are not stored: they
follow from today's recipe whenever a record is read.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import reprlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from multiprocessing import get_context, parent_process
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from avlib import claims, files, provenance, recipes
from avlib.claims import CHANCE, AnyClaim, Verdict
from avlib.errors import unknown
from avlib.profiles import Profile
from avlib.profiles import profile as find_profile

if TYPE_CHECKING:
    import pandas as pd

    from avlib.experiment import Run

Say = Callable[[str], None]


@dataclass(frozen=True)
class Cell:
    """What one arm reached with one seed.

    Attributes:
        arm, seed, metrics: who, and what was measured.
        seconds: how long it took.
        key: fingerprint of the code, arm, budget and seed that made it, see `avlib.provenance.cell_key`.
        origin: lock, versions, device, threads, commit and date of its run, and the file of its weights where they were
            kept; never rewritten.
        seals: later keys that were proved to give the same, each with its ``key``, ``commit`` and ``date``.
        witness: what the proof compares, see `avlib.seal.witness`.
    """

    arm: str
    seed: int
    metrics: dict[str, float]
    seconds: float
    key: str
    origin: dict[str, Any]
    seals: tuple[dict[str, str | None], ...] = ()
    witness: dict[str, Any] = field(default_factory=dict)

    def stands_for(self, key: str) -> bool:
        """Would the code of this key measure the same?"""
        return key in (self.key, *(seal["key"] for seal in self.seals))


@dataclass(frozen=True)
class Record:
    """What is recorded of a method under a profile, with the claims that its recipe makes today.

    Attributes:
        method, profile: whose it is.
        cells: one for each arm and seed, in the recipe's order.
        stated: the recipe's claims.
        chance: metric → what luck reaches.
        files: those of the newest cells' code, see `avlib.provenance.cell_files`.
    """

    method: str
    profile: str
    cells: tuple[Cell, ...]
    stated: tuple[AnyClaim, ...]
    chance: dict[str, float]
    files: dict[str, str] = field(default_factory=dict)

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

    @functools.cached_property
    def judged(self) -> tuple[Verdict, ...]:
        """The verdict on each claim, by the rule of `avlib.claims.judge`."""
        scores: dict[str, dict[int, dict[str, float]]] = {}
        for cell in self.cells:
            scores.setdefault(cell.arm, {})[cell.seed] = cell.metrics
        return claims.judge(self.stated, scores, self.chance)

    def claims(self) -> pd.DataFrame:
        """One row a claim with its grade, see `avlib.claims.table`."""
        return claims.table(self.judged)

    def verdicts(self) -> str:
        """The claims to read, see `avlib.claims.text`."""
        return claims.text(self.judged)

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
        return f"{text}\n{self._means_over()}"

    def _means_over(self) -> str:
        """Which seeds the means are over, and which arms have fewer."""
        groups: dict[tuple[int, ...], list[str]] = {}
        for arm in self.arms:
            groups.setdefault(tuple(sorted(c.seed for c in self.cells if c.arm == arm)), []).append(arm)
        fewer = [f"over {_list(seeds)}: {_list(arms)}" for seeds, arms in groups.items() if seeds != self.seeds]
        return f"means over the seeds {_list(self.seeds)}" + (f" ({'; '.join(fewer)})" if fewer else "")

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

    def stale(self) -> list[str]:
        """Which cells today's code would measure anew, and why, a line an arm; empty where all still stand."""
        try:
            keys = _keys(self.method, self.profile, [(cell.arm, cell.seed) for cell in self.cells])
        except ValueError as error:
            return [str(error)]
        found: dict[tuple[str, str], list[int]] = {}
        for cell in self.cells:
            if not cell.stands_for(keys[cell.arm, cell.seed]):
                why = f"code, arm or budget changed since {cell.origin.get('commit') or 'it was measured'}"
                why += self._where
                found.setdefault((cell.arm, why if cell.key else "made before cells had keys"), []).append(cell.seed)
        return [
            f"{arm}, seed{'s' if len(seeds) > 1 else ''} {_list(seeds)}: {why}" for (arm, why), seeds in found.items()
        ]

    @functools.cached_property
    def _where(self) -> str:
        """In which files the code changed since the newest cells, in words; nothing where it did not."""
        now = provenance.cell_files(self.method, self.arms[0], self.profile) if self.files else {}
        changed = [file for file in self.files | now if self.files.get(file) != now.get(file)]
        return f" (in {_list(changed)})" if changed else ""


def _list(items: Sequence[Any]) -> str:
    return ", ".join(map(str, items))


# --- on disk ---------------------------------------------------------------------------------------------------------


def folder() -> Path:
    """Where records are written: ``$AVLIB_RESULTS``, else ``results`` of the repository around here, else of here."""
    if "AVLIB_RESULTS" in os.environ:
        return Path(os.environ["AVLIB_RESULTS"])
    return (provenance.repository() or Path.cwd()) / "results"


def path_of(method: str, profile: str) -> Path:
    """The file of a record: in `folder`, or, where there is none, the one that came with the installed package."""
    own, packed = (place / profile / f"{method}.json" for place in (folder(), provenance.ROOT / "_results"))
    return packed if packed.exists() and not own.exists() else own


def read(method: str, profile: str = "cpu") -> Record:
    """The record of a method under a profile, judged by today's recipe; cells of arms that it lost are left out.

    Raises:
        FileNotFoundError: there is none; says how to make it.
        ValueError: the file is damaged; there is no such recipe; the recipe makes an impossible claim.
    """
    path = path_of(method, find_profile(profile).name)
    if not path.exists():
        raise FileNotFoundError(
            f"no recorded claims {path}: make them with `avlib claims {method} --profile {profile}`"
        )
    cells, code = _content(path)
    recipe = recipes.load(method)
    stated, chance = _stated(recipe, method)
    kept = [cell for cell in cells.values() if cell.arm in recipe.ARMS]
    return Record(method, profile, tuple(sorted(kept, key=_order(recipe))), stated, chance, code)


def _stated(recipe: ModuleType, name: str) -> tuple[tuple[AnyClaim, ...], dict[str, float]]:
    """A recipe's claims and chances, checked."""
    chance = {metric: float(value) for metric, value in getattr(recipe, "CHANCE", {}).items()}
    stated = tuple(recipe.CLAIMS)
    claims.check(stated, list(recipe.ARMS), chance, name)
    return stated, chance


def _order(recipe: ModuleType) -> Callable[[Cell], tuple[int, int]]:
    place = {arm: at for at, arm in enumerate(recipe.ARMS)}
    return lambda cell: (place.get(cell.arm, len(place)), cell.seed)


def _content(path: Path) -> tuple[dict[tuple[str, int], Cell], dict[str, str]]:
    """The cells of a file, and the files of the newest cells' code; none where there is no file."""
    if not path.exists():
        return {}, {}
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        cells, code = [_cell(row) for row in whole["cells"]], whole.get("files", {})
        _check_kinds("the record", {"files": code}, {"files": dict})
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged ({type(error).__name__}: {error}): mend it or move it away, "
            f"then make it again with `avlib claims {path.stem}`"
        ) from error
    return {(cell.arm, cell.seed): cell for cell in cells}, code


def _cell(row: Any) -> Cell:
    """A row of a file. Raises TypeError where a value is of another kind than it should be."""
    cell = Cell(**{**row, "seals": tuple(row.get("seals", ()))})
    name = f"arm {reprlib.repr(cell.arm)}"
    kinds = {"arm": str, "seed": int, "metrics": dict, "seconds": (int, float), "key": str}
    _check_kinds(name, vars(cell), {**kinds, "origin": dict, "witness": dict})
    for metric, value in cell.metrics.items():
        _check_kinds(name, {metric: value}, {metric: (int, float)})
        if not abs(value) < 1e300:
            raise TypeError(f"{metric} of {name} is {reprlib.repr(value)}, not a finite number")
    for seal in cell.seals:
        _check_kinds(name, {"a seal": seal}, {"a seal": dict})
        _check_kinds(name, {"the key of a seal": seal.get("key")}, {"the key of a seal": str})
    return cell


def _check_kinds(of: str, values: dict[str, Any], kinds: dict[str, Any]) -> None:
    for name, kind in kinds.items():
        if not isinstance(values[name], kind) or isinstance(values[name], bool):
            raise TypeError(f"{name} of {of} is {reprlib.repr(values[name])}")


def put(name: str, profile: str, cells: Sequence[Cell], drop: Sequence[str] = ()) -> None:
    """Write cells into a record, in place of those of the same arm and seed; another process may do so meanwhile.

    Args:
        name, profile: the record, in `folder`.
        cells: what to write.
        drop: arms whose cells leave it.

    Raises:
        OSError: it cannot be written (the file is then as it was).
        ValueError: the file is damaged.
    """
    path, order = folder() / profile / f"{name}.json", _order(recipes.load(name))
    with _alone(path.parent):
        merged = _content(path)[0] | {(cell.arm, cell.seed): cell for cell in cells}
        rows = [_row(cell) for cell in sorted(merged.values(), key=order) if cell.arm not in drop]
        code = provenance.cell_files(name, next(iter(recipes.load(name).ARMS)), profile)
        head = f'{{"method": {json.dumps(name)}, "profile": {json.dumps(profile)}, "files": {json.dumps(code)}, '
        head += '"cells": [\n'
        files.write(path, head + ",\n".join(rows) + "\n]}\n", f"the record of {name}")


def _row(cell: Cell) -> str:
    return json.dumps(asdict(cell), ensure_ascii=False, allow_nan=False)


@contextlib.contextmanager
def _alone(place: Path) -> Iterator[None]:
    """No other process of avlib writes into the folder meanwhile (where the system can lock, so not on Windows)."""
    place.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


# --- runs ------------------------------------------------------------------------------------------------------------


def run_claims(
    name: str,
    profile: str = "cpu",
    seeds: int | Sequence[int] | None = None,
    jobs: int = 1,
    arms: Sequence[str] | None = None,
    device: str = "auto",
    fresh: bool = False,
    seal: bool = False,
    say: Say = print,
) -> Record:
    """Measure the arms of a method with several seeds, and record each cell as it comes.

    Cells that today's code would give again are kept, so an interrupted call goes on where it stopped.

    Args:
        name, profile: the method's recipe, and how large.
        seeds: how many, or which. Left out: as many as the profile says, and at least five for the arms of primary
            claims (unless the profile asks for fewer than three of all).
        jobs, device: processes side by side (a seed each), and where.
        arms: only these.
        fresh: measure again what could be kept.
        seal: where only the code changed, prove that a cell still stands (see `avlib.seal`) instead of measuring it;
            with ``seeds`` left out, also the cells of other seeds that the record has.
        say: called with a line for each cell; with ``jobs > 1`` in other processes, so a function of a module.

    Raises:
        ValueError: unknown method, profile, arm or seed; an impossible claim; a damaged record; a metric that is not
            finite (names arm and seed).
        OSError: the record cannot be written; said before anything runs.
    """
    recipe, budget = recipes.load(name), find_profile(profile, name)
    _stated(recipe, name)
    asked = _asked(recipe, budget, seeds, arms)
    if jobs < 1:
        raise ValueError(f"jobs={jobs}: at least one is needed")
    _check_place(folder() / profile)
    before = _content(path_of(name, profile))[0]
    if seal and seeds is None:  # whatever seeds it has
        asked += [at for at in before if at not in asked and at[0] in (arms or recipe.ARMS)]
    keys = _keys(name, profile, asked)
    if seal:
        before |= _sealed(name, budget, {at: before[at] for at in asked if at in before}, keys, device, say)
    kept = {at: before[at] for at in asked if not fresh and at in before and before[at].stands_for(keys[at])}
    lost = sorted({arm for arm, _ in before if arm not in recipe.ARMS})
    if kept or lost:  # they may come from the installed package, whose files stay as they are
        put(name, profile, list(kept.values()), lost)
    for line in [f"{arm}: the recipe has no such arm any more, dropped" for arm in lost]:
        say(line)
    todo: dict[int, dict[str, str]] = {}
    for arm, seed in asked:
        if (arm, seed) in kept:
            say(f"{arm}, seed {seed}: kept from before")
        else:
            todo.setdefault(seed, {})[arm] = keys[arm, seed]
    _run([(name, budget, seed, keyed, device, say) for seed, keyed in todo.items()], jobs)
    return read(name, profile)


def _sealed(
    name: str,
    budget: Profile,
    cells: dict[tuple[str, int], Cell],
    keys: dict[tuple[str, int], str],
    device: str,
    say: Say,
) -> dict[tuple[str, int], Cell]:
    """The cells whose code changed and does the same, each with a seal; what the others lack is said."""
    from avlib import seal

    found = {}
    for (arm, seed), cell in cells.items():
        if cell.stands_for(keys[arm, seed]):
            continue
        why = "no witness was kept"
        if cell.witness:
            now = seal.witness(recipes.load(name), budget, seed, arm, device)
            why = "; ".join(_lacking(name, budget.name, cell, now, device)[:2])
        if why:
            say(f"{arm}, seed {seed}: not sealed: {why}")
            continue
        proof = {"key": keys[arm, seed], "commit": provenance.commit(provenance.ROOT.parent), "date": _today()}
        found[arm, seed] = replace(cell, seals=(*cell.seals, proof), witness=now)
        put(name, budget.name, [found[arm, seed]])
        say(f"{arm}, seed {seed}: sealed, other code and the same behaviour")
    return found


def _lacking(name: str, profile: str, cell: Cell, now: Mapping[str, Any], device: str) -> list[str]:
    """In what a cell's witness differs from today's, both taken on one machine."""
    from avlib import seal

    found = seal.differences(cell.witness, now)
    commit = cell.seals[-1]["commit"] if cell.seals else cell.origin.get("commit")
    elsewhere = "." in name  # a recipe of one's own is not in this repository
    if not found or not commit or elsewhere or not seal.same_clips(cell.witness, now):
        return found
    try:
        before = seal.earlier(commit, provenance.ROOT.parent, name, profile, cell.seed, cell.arm, device)
    except ValueError as error:
        return [*found[:1], str(error)]
    return seal.differences(before, now)


def _today() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _asked(
    recipe: ModuleType, budget: Profile, seeds: int | Sequence[int] | None, arms: Sequence[str] | None
) -> list[tuple[str, int]]:
    """Arms and seeds in the order of the work: seeds outermost; first the method, then the arms of primary claims."""
    for arm in arms or ():
        recipes.check_arm(recipe, arm)
    primary = {arm for claim in recipe.CLAIMS if claim.primary for arm in claims.arms_of(claim)}
    first, *others = recipe.ARMS
    order = [first, *sorted(others, key=lambda arm: arm not in primary)]
    if seeds is None:
        many = max(budget.seeds, claims.PRIMARY_SEEDS) if budget.seeds >= claims.LEAST_SEEDS else budget.seeds
        chosen = {arm: list(range(many if arm in primary else budget.seeds)) for arm in order}
    else:
        which = list(range(seeds)) if isinstance(seeds, int) else sorted(set(seeds))
        if not which or min(which) < 0:
            raise ValueError(f"seeds={seeds}: at least one of them is needed, and none is negative")
        chosen = dict.fromkeys(order, which)
    wanted = [arm for arm in order if arms is None or arm in arms]
    every = sorted({seed for arm in wanted for seed in chosen[arm]})
    return [(arm, seed) for seed in every for arm in wanted if seed in chosen[arm]]


def _check_place(place: Path) -> None:
    """Can records be written there, and can the folder be locked? Better said now than after hours."""
    advice = "AVLIB_RESULTS names another folder"
    files.check_writable(place, "results", advice)
    try:
        with _alone(place):
            pass
    except OSError as error:
        why = f"results cannot be kept in {place}, which this system cannot lock ({error.strerror}): {advice}"
        raise OSError(error.errno, why) from error


def _run(todo: list[tuple[str, Profile, int, dict[str, str], str, Say]], jobs: int) -> None:
    if jobs == 1 or len(todo) < 2:
        for job in todo:
            _run_seed(*job)
        return
    threads = max(1, (os.cpu_count() or 1) // jobs)
    # A forked process would inherit PyTorch's threads and CUDA context, which do not survive a fork.
    context = get_context("spawn")
    stop = context.Event()
    with ProcessPoolExecutor(min(jobs, len(todo)), context, _begin_worker, (threads, stop)) as pool:
        running = [pool.submit(_run_seed, *job) for job in todo]
        try:
            for future in as_completed(running):
                future.result()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


_stop: Any = None
"""In a worker: set when another one failed."""


def _begin_worker(threads: int, stop: Any) -> None:
    global _stop
    _stop = stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def _end_with_parent() -> None:
    """Nobody would hear of the rest once the process is killed that asked for it."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run_seed(name: str, budget: Profile, seed: int, keys: dict[str, str], device: str, say: Say) -> None:
    """Measure arms with one seed, each with its key, and record each as it comes."""
    from avlib import experiment, seal

    recipe, run = recipes.load(name), experiment.Run(budget, seed, device)
    for arm, key in keys.items():
        if _stop is not None and _stop.is_set():
            return
        begun = time.monotonic()
        metrics = experiment.run_cell(recipe, run, arm)
        bad = [f"{metric} is {value}" for metric, value in metrics.items() if not math.isfinite(value)]
        if bad or not metrics:
            raise ValueError(f"{name}, arm {arm}, seed {seed}: {'; '.join(bad) or 'no metric was measured'}")
        plain = {metric: round(value, 6) for metric, value in metrics.items()}
        cell = Cell(arm, seed, plain, round(time.monotonic() - begun, 1), key, _origin(device))
        if (arm, seed, budget.name) == (next(iter(recipe.ARMS)), 0, "cpu"):
            cell = _with_weights(name, run, cell, say)
        numbers = ", ".join(f"{metric} {value:.4g}" for metric, value in plain.items())
        say(f"{arm}, seed {seed}: {cell.seconds:.0f} s, {numbers}")  # before it is written: the disk may be full
        put(name, budget.name, [cell])
        try:
            put(name, budget.name, [replace(cell, witness=seal.witness(recipe, budget, seed, arm, device))])
        except (ValueError, RuntimeError) as error:  # a cell counts without it; it only cannot be sealed
            say(f"{arm}, seed {seed}: no witness, because {error}")


def _with_weights(name: str, run: Run, cell: Cell, say: Say) -> Cell:
    """Keep the net of a cell for `avlib.load`, where a recipe of the library can build it; the cell then names them."""
    from avlib import pretrained

    if name not in recipes.names() or not hasattr(recipes.load(name), "build") or run.method is None:
        return cell
    about = {"arm": cell.arm, "seed": cell.seed, "exam": cell.metrics}
    about |= {part: cell.origin[part] for part in ("commit", "date")}
    try:
        kept = pretrained.save(name, run.method, run.budget, about)
    except (OSError, ValueError) as error:  # the cell counts without them
        say(f"{name}: no weights were kept, because {error}")
        return cell
    return replace(cell, origin=cell.origin | {"weights": kept})


def _origin(device: str) -> dict[str, Any]:
    """With what a cell is made, at this moment."""
    import torch

    on_gpu = torch.cuda.is_available() if device == "auto" else device.startswith("cuda")
    lock = provenance.ROOT.parent / "requirements.lock"
    return {
        "lock": provenance.file_digest(lock) if lock.exists() else None,
        "versions": provenance.versions(),
        "device": provenance.device_name("cuda" if on_gpu else "cpu"),
        "threads": torch.get_num_threads(),
        "commit": provenance.commit(provenance.ROOT.parent),
        "date": _today(),
    }


def _keys(name: str, profile: str, cells: Sequence[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """The key that today's code gives each arm and seed."""
    budget = find_profile(profile, name)
    return {(arm, seed): provenance.cell_key(name, arm, seed, budget, profile) for arm, seed in cells}
