"""How each paper's method is trained and judged here: its budget, the arms of its experiment, its claims.

A recipe is a module with

* ``ARMS``: name → `avlib.experiment.Arm`; the first one is the method itself;
* ``train(run, arm) -> nn.Module``: the trained net of one arm of an `avlib.experiment.Run`;
* ``measure(method, run, arm) -> dict[str, float]``: what is recorded of it;
* ``CLAIMS``: what the paper says of them, see `avlib.claims`;
* ``build(run) -> nn.Module`` (optional): the method's own net before training, for weights that come along;
* ``BUDGET`` (optional): profile → what it changes in it; ``CHANCE`` (optional): what each metric is worth by luck.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

from avlib.errors import unknown

PARTS = ("ARMS", "CLAIMS", "train", "measure")


def names() -> tuple[str, ...]:
    """Names of the recipes that come with the library; a module without ``CLAIMS`` only helps one."""
    folder = Path(__file__).parent
    found = sorted(module.name for module in pkgutil.iter_modules([str(folder)]))
    return tuple(name for name in found if "\nCLAIMS" in (folder / f"{name}.py").read_text(encoding="utf-8"))


def load(name: str) -> ModuleType:
    """The recipe of a method; a name with a dot is a module of your own, as Python would import it.

    Raises:
        ValueError: an unknown name (the right ones are listed), or a module that lacks a part of a recipe.
    """
    if "." in name:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"{name!r} is not the name of a module; a recipe of your own is named as package.module")
        try:
            recipe = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not f"{name}.".startswith(f"{error.name}."):
                raise  # the recipe is there, and something that it needs is not
            raise ValueError(f"there is no module {error.name!r} to take the recipe {name!r} from") from error
    elif name in names():
        recipe = importlib.import_module(f"avlib.recipes.{name}")
    else:
        raise unknown("method", name, names())
    missing = [part for part in PARTS if not hasattr(recipe, part)]
    if missing:
        raise ValueError(f"{recipe.__name__} is not a recipe: it lacks {', '.join(missing)}")
    return recipe


def check_arm(recipe: ModuleType, arm: str) -> None:
    """Raise ValueError, with the right names, where the recipe has no such arm."""
    if arm not in recipe.ARMS:
        raise unknown(f"arm of {recipe.__name__.rpartition('.')[2]}", arm, recipe.ARMS)
