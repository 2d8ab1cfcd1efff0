"""The ``avlib`` command."""

from __future__ import annotations

import argparse
import functools
import io
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import avlib
from avlib.errors import unknown

if TYPE_CHECKING:
    import pandas as pd

    from avlib.results import Record

EXAMPLES = """examples:
  avlib train l3                          train Look, Listen and Learn on this machine's processor
  avlib train l3 --profile gpu            the same on a GPU, larger; torchrun -m avlib train … for several
  avlib claims l3                         run every arm over several seeds, test the paper's claims, record them
  avlib world list                        what scenes there are
  avlib world show duet --out shown       a contact sheet and the sounds of one kind of scene
  avlib pack build esc --folder ~/data    compile a pack of pictures and sounds into one file
  avlib published esc50                   what the papers report
  avlib book check                        which chapters are out of date, and why

`avlib COMMAND --help` says more about each."""

USER_ERROR, INTERRUPTED, FAILED, PIPE_CLOSED = 2, 130, 1, 141

_help = functools.partial(argparse.RawDescriptionHelpFormatter, max_help_position=24, width=110)


def parser() -> argparse.ArgumentParser:
    """The parser of the command line. Importing nothing heavy: ``--help`` answers at once."""
    from avlib.publish import commands as book

    top = argparse.ArgumentParser(
        prog="avlib",
        description="Self-supervised audiovisual learning: train and judge methods, look at the world, make the book.",
        epilog=EXAMPLES,
        formatter_class=_help,
    )
    top.add_argument("--version", action="version", version=f"avlib {avlib.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    _add_train(commands)
    _add_claims(commands)
    _add_world(commands)
    _add_pack(commands)
    _add_published(commands)
    book.add_parser(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 failed, 2 a mistake in what was asked, 130 interrupted."""
    arguments = parser().parse_args(argv)
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # recipes of one's own lie here
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # where ± cannot be printed, a question mark is
    logging.basicConfig(format="%(message)s")
    logging.getLogger("avlib").setLevel(logging.INFO)
    try:
        _check_numbers(arguments)
        return _run(arguments)
    except (ValueError, FileNotFoundError) as error:
        code, message = USER_ERROR, str(error)
    except ModuleNotFoundError as error:
        code, message = FAILED, f"{error} (the optional parts come with avlib[book] and avlib[data])"
    except BrokenPipeError:  # the reader of a pipe (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except OSError as error:
        code, message = FAILED, str(error)
    except KeyboardInterrupt as error:
        code, message = INTERRUPTED, str(error) or "interrupted"
    print(f"avlib {arguments.command}: {message}", file=sys.stderr)
    return code


def _check_numbers(arguments: argparse.Namespace) -> None:
    """What every command takes."""
    seed, jobs = getattr(arguments, "seed", None), getattr(arguments, "jobs", None)
    if seed is not None and not 0 <= seed < 2**32:
        raise ValueError(f"--seed {seed}: a seed is a whole number from 0 to {2**32 - 1}")
    if jobs is not None and jobs < 1:
        raise ValueError(f"--jobs {jobs}: at least one is needed")


def _run(arguments: argparse.Namespace) -> int:
    try:
        return int(arguments.run(arguments) or 0)
    except Exception:
        if getattr(arguments, "debug", False):
            traceback.print_exc()
        raise
    finally:
        if "avlib.distributed" in sys.modules:
            sys.modules["avlib.distributed"].teardown()


def _command(
    commands: Any, name: str, run: Callable[[Any], int | None], text: str, examples: str
) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"examples:\n{examples}",
        formatter_class=_help,
    )
    made.add_argument("--debug", action="store_true", help="show the traceback of an error")
    made.set_defaults(run=run)
    return made


def _group(commands: Any, name: str, text: str) -> Any:
    description = text[0].upper() + text[1:] + "."
    group = commands.add_parser(name, help=text, description=description, formatter_class=_help)
    return group.add_subparsers(dest=f"{name}_command", required=True, metavar="COMMAND", title="commands")


def _add_method(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "method", metavar="METHOD", help="name of a recipe, e.g. l3; package.module takes one of your own"
    )
    made.add_argument("--profile", default="cpu", metavar="P", help="smoke, cpu (default) or gpu")
    made.add_argument(
        "--device", default="auto", metavar="D", help="auto (default: a GPU where there is one), cpu, cuda:1 …"
    )


def _check_device(name: str) -> None:
    import torch

    cards = torch.cuda.device_count()
    try:
        device = torch.device("cpu" if name == "auto" else name)
        if device.type != "cuda":
            torch.zeros(1, device=device)
        elif (device.index or 0) >= cards:
            raise RuntimeError("there is no such card")
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch raises one or the other
        raise unknown("device", name, ["auto", "cpu", *(f"cuda:{n}" for n in range(cards))]) from error


# --- train and claims ------------------------------------------------------------------------------------------------


def _add_train(commands: Any) -> None:
    made = _command(
        commands,
        "train",
        _train,
        "train one method",
        "  avlib train l3\n  avlib train l3 --profile gpu --seed 1 --out runs/mine\n"
        "  torchrun --nproc-per-node 4 -m avlib train l3 --profile gpu",
    )
    _add_method(made)
    made.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    made.add_argument("--arm", metavar="A", help="arm of the experiment (default: the method itself)")
    made.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="log and checkpoint (default: runs/train/METHOD/PROFILE/ARM-SEED); one found there is continued",
    )


def _train(arguments: argparse.Namespace) -> None:
    from avlib import experiment, files, recipes

    recipe = recipes.load(arguments.method)
    arm = arguments.arm or next(iter(recipe.ARMS))
    recipes.check_arm(recipe, arm)
    _check_device(arguments.device)
    out = arguments.out or Path("runs", "train", arguments.method, arguments.profile, f"{arm}-{arguments.seed}")
    files.check_writable(out, "log and checkpoint", "--out names another folder")
    run = experiment.open(arguments.method, arguments.profile, arguments.seed, arguments.device, out)
    run.trained(recipe, arm)
    history = run.history
    if os.environ.get("RANK", "0") != "0":
        return
    if not history.steps:
        print(f"{arguments.method}, arm {arm}: nothing to train")
        return
    last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in history.logs.items())
    done = f"{history.steps[-1]} steps in {history.seconds:.0f} s"
    print(f"{arguments.method}, arm {arm}, seed {arguments.seed}: {done}; {last}")
    print(f"log and weights: {out}")


def _add_claims(commands: Any) -> None:
    made = _command(
        commands,
        "claims",
        _claims,
        "run every arm of a method over several seeds, test the paper's claims, record them",
        "  avlib claims l3\n  avlib claims l3 --profile smoke --arms trained,untrained\n  avlib claims l3 --seal",
    )
    _add_method(made)
    made.add_argument(
        "--seeds",
        type=_seeds,
        metavar="N",
        help="how many, or which: 3, or 10,11,12 (default: the profile's, and 5 for the arms of primary claims)",
    )
    made.add_argument("--arms", metavar="A,B", help="only these arms; the record keeps the others")
    made.add_argument("--jobs", type=int, default=1, metavar="N", help="processes side by side (default: 1)")
    made.add_argument("--fresh", action="store_true", help="measure again what could be kept")
    made.add_argument(
        "--seal",
        action="store_true",
        help="where only code changed: keep a cell whose first batches, losses and scores are still the same",
    )


def _seeds(text: str) -> int | list[int]:
    try:
        return [int(seed) for seed in text.split(",") if seed.strip()] if "," in text else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of seeds nor a list such as 10,11,12") from None


def _claims(arguments: argparse.Namespace) -> None:
    from avlib import results

    _check_device(arguments.device)
    method, profile = arguments.method, arguments.profile
    arms = None if arguments.arms is None else [arm.strip() for arm in arguments.arms.split(",") if arm.strip()]
    if arms == []:
        raise ValueError(f"--arms {arguments.arms!r} names no arm")
    how = {"jobs": arguments.jobs, "device": arguments.device, "fresh": arguments.fresh, "seal": arguments.seal}
    record = results.run_claims(method, profile, arguments.seeds, arms=arms, say=_say, **how)
    print(f"\n{side_by_side(record)}\n\n{record.verdicts()}\n")
    for line in record.stale():
        print(f"stale: {line}")
    print(f"recorded in {results.path_of(method, profile)}")


def _say(line: str) -> None:
    print(line, flush=True)


def side_by_side(record: Record) -> str:
    """Arms as columns, metrics as rows, mean ± standard deviation over the seeds."""
    table = record.table()
    metrics = list(dict.fromkeys(metric for _, metric in table.index))
    rows = [["", *record.arms, *(["chance"] if record.chance else [])]]
    for metric in metrics:
        row = [metric]
        for arm in record.arms:
            row.append(_spread(table, arm, metric))
        rows.append(
            row + ([f"{record.chance[metric]:.3f}" if metric in record.chance else "–"] if record.chance else [])
        )
    return _columns(rows)


def _spread(table: pd.DataFrame, arm: str, metric: str) -> str:
    if (arm, metric) not in table.index:
        return "–"
    mean, sd, n = table.loc[(arm, metric)]
    return f"{mean:.3f} ± {sd:.3f}" if n > 1 else f"{mean:.3f}"


def _columns(rows: Sequence[Sequence[str]]) -> str:
    width = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, width, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "─" * max(map(len, lines)), *lines[1:]])


# --- the world -------------------------------------------------------------------------------------------------------


def _add_world(commands: Any) -> None:
    world = _group(commands, "world", "look at and listen to the world that the methods learn in")
    _command(world, "list", _world_list, "list the presets: named kinds of scenes", "  avlib world list")
    made = _command(
        world,
        "show",
        _world_show,
        "write a contact sheet (PNG) and the sounds (WAV) of a preset",
        "  avlib world show duet\n  avlib world show cocktail --pack photos --count 16 --out shown",
    )
    made.add_argument("preset", metavar="PRESET", help="see `avlib world list`")
    made.add_argument(
        "--pack",
        default="orchestra",
        metavar="P",
        help="orchestra (default), esc, photos, folder:PATH or a .safetensors file",
    )
    made.add_argument("--split", default="train", metavar="S", help="train (default), val or test")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    made.add_argument("--count", type=int, default=12, metavar="N", help="scenes (default: 12)")
    made.add_argument("--size", type=int, default=128, metavar="PX", help="side of a picture (default: 128)")
    made.add_argument("--seconds", type=float, default=2.0, metavar="S", help="length of a clip (default: 2)")
    made.add_argument("--out", type=Path, metavar="DIR", help="default: runs/world/PRESET")


def _world_list(arguments: argparse.Namespace) -> None:
    from avlib.world.presets import PRESETS

    print(_columns([["preset", "what for"], *([name, preset.about] for name, preset in PRESETS.items())]))


def _world_show(arguments: argparse.Namespace) -> None:
    from avlib.world.presets import PRESETS

    if arguments.preset not in PRESETS:
        raise unknown("preset", arguments.preset, PRESETS)
    if arguments.count < 1:
        raise ValueError(f"--count {arguments.count}: at least one scene is needed")
    from avlib import figures, folders, media
    from avlib.world import World

    out = arguments.out or Path("runs", "world", arguments.preset)
    folders.check_files(out, ["contact_sheet.png", *(f"{i:02d}.wav" for i in range(arguments.count))])
    world = World(arguments.pack, arguments.preset, arguments.split, arguments.seed, arguments.size, arguments.seconds)
    batch = world.batch(range(arguments.count))
    sheet = io.BytesIO()
    figures.contact_sheet(batch, world.classes).savefig(sheet, format="png", dpi=150, bbox_inches="tight")
    sounds = {f"{i:02d}.wav": media.encode_wav(wave_S) for i, wave_S in enumerate(batch.wave_BS)}
    folders.put(out, {"contact_sheet.png": sheet.getvalue()} | sounds)
    for i, caption in enumerate(batch.truth.caption or ()):
        print(f"{i:02d}  {caption}")
    print(f"{out / 'contact_sheet.png'} and {arguments.count} sounds beside it")


# --- packs -----------------------------------------------------------------------------------------------------------


def _add_pack(commands: Any) -> None:
    pack = _group(commands, "pack", "compile and inspect packs: what things look and sound like")
    made = _command(
        pack,
        "build",
        _pack_build,
        "compile a pack into one .safetensors file, which needs no other files and travels to any machine",
        "  avlib pack build orchestra\n  avlib pack build esc --folder ~/data --out esc.safetensors\n"
        "  avlib pack build folder:my_things      (my_things/images/<class>/*, my_things/sounds/<class>/*)",
    )
    made.add_argument("name", metavar="NAME", help="orchestra, esc, photos or folder:PATH")
    made.add_argument("--out", type=Path, metavar="FILE", help="default: NAME.safetensors")
    made.add_argument(
        "--folder",
        type=Path,
        metavar="DIR",
        help="where the real data are (default: $AVLIB_DATA, else they are downloaded)",
    )
    made.add_argument(
        "--shortest", type=float, metavar="S", help="folder:PATH: the shortest sound that is used (default: 0.1 s)"
    )
    made = _command(
        pack,
        "show",
        _pack_show,
        "say what is in a pack",
        "  avlib pack show orchestra\n  avlib pack show esc.safetensors",
    )
    made.add_argument(
        "name", nargs="?", default="orchestra", metavar="NAME", help="a pack or a compiled file (default: orchestra)"
    )


def _pack_build(arguments: argparse.Namespace) -> None:
    from avlib import files
    from avlib.world import library, packs

    options = {} if arguments.shortest is None else {"shortest": arguments.shortest}
    if options and not arguments.name.startswith("folder:"):
        raise ValueError(f"--shortest goes with folder:PATH, not with {arguments.name}")
    kind, _, path = arguments.name.partition(":")
    name = Path(path).expanduser().resolve().name if kind == "folder" else arguments.name
    out = arguments.out or Path(f"{name}.safetensors")
    if out.is_dir() or (out.is_file() and not packs.is_pack(out)):
        raise FileExistsError(f"{out} is there and is no pack; name another file with --out")
    files.check_writable(out.parent, "the pack", "--out names another file")
    pack = library.build(arguments.name, arguments.folder, **options)
    packs.save(pack, out)
    print(f"{out}: {len(pack.classes)} classes, {out.stat().st_size / 1e6:.1f} MB, sha256 {pack.sha256[:16]}")


def _pack_show(arguments: argparse.Namespace) -> None:
    from avlib.world import library

    pack = library.load(arguments.name)
    rows = [["class", "drawings: train", "val", "test", "sounds: train", "val", "test"]]
    for k, name in enumerate(pack.classes):
        drawn = pack.drawings(pack.picture_label_M == k)
        heard = [int(((pack.sounds.label_M == k) & (pack.sounds.split_M == split)).sum()) for split in range(3)]
        rows.append([name, *map(str, (*drawn, *heard))])
    print(f"pack {pack.name}, sha256 {pack.sha256[:16]}\n\n{_columns(rows)}\n")
    hands = [
        f"{hand} {'/'.join(map(str, pack.drawings(pack.picture_hand_M == n)))}" for n, hand in enumerate(pack.hands)
    ]
    print(f"{len(pack.picture_label_M)} pictures by {', '.join(hands)} (drawings in train/val/test)")
    print(f"{len(pack.backdrop_label_M)} backdrops of {len(pack.places)} kinds: {', '.join(pack.places)}")
    print("\n".join(["", "sources and licences", *(f"  {line}" for line in pack.licences)]))


# --- published numbers -----------------------------------------------------------------------------------------------


def _add_published(commands: Any) -> None:
    made = _command(
        commands,
        "published",
        _published,
        "print what the papers report",
        "  avlib published           the names of the tables\n  avlib published esc50",
    )
    made.add_argument("table", nargs="?", metavar="TABLE", help="a table or a benchmark; all names without one")


def _published(arguments: argparse.Namespace) -> None:
    from avlib import published

    if arguments.table is None:
        print("tables:", ", ".join(published.names()))
        print("benchmarks:", ", ".join(published.benchmarks()))
        return
    frame = published.table(arguments.table)
    columns = ["system", "variant", "training_data", "benchmark", "metric", "value", "source"]
    rows = [[str(value) if value == value else "" for value in row] for row in frame[columns].itertuples(index=False)]
    print(_columns([[name.replace("_", " ") for name in columns], *rows]))
