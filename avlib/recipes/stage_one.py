"""Stage one of Discriminative Sounding Objects Localisation: find what sounds, then name it (see `avlib.recipes.dsol`).

The net first learns where the sound of its clip is. Then what it found is cut out of the map and clustered, and heads
for picture and sound learn to name the cluster; clustering and naming take turns.
"""

from __future__ import annotations

import math
from functools import partial

from avlib.experiment import Run
from avlib.methods.dsol import SoundingObjects
from avlib.methods.dsol_dictionary import Recluster
from avlib.world import World

CLUSTERS, ROUNDS, HOP = 16, 3, 320
"""Entries of the dictionary, clusterings while naming, samples a frame of the small ear."""
RATES = {"localise": 1.2e-2, "name": 8e-3}
"""Largest learning rate of each phase."""


def build(run: Run, whole: bool = False) -> SoundingObjects:
    """The net of a run's profile before anything is learnt; its dictionary is of objects, or of ``whole`` pictures."""
    full = run.budget.full
    return run.build(SoundingObjects, run.budget.count, CLUSTERS, full=full, whole=whole, hop=160 if full else HOP)


def learn(run: Run, world: World, steps: dict[str, int], whole: bool, shuffled: bool) -> SoundingObjects:
    """A net after so many steps of ``localise`` and ``name`` on the clips of a world."""
    count, method = run.budget.count, build(run, whole)
    # The heads have as long after the last clustering as before it.
    hook = Recluster(partial(run.batches, world, count), max(1, math.ceil(steps["name"] / ROUNDS)), run.seed)
    if steps["localise"]:
        run.fit(method, run.stream(world, 0, shuffled), steps["localise"], RATES["localise"], part="localise")
    if steps["name"]:
        stream = run.stream(world, count, shuffled, seed=run.seed + 1)
        run.fit(method, stream, steps["name"], RATES["name"], hooks=(hook,), part="name")
    else:
        hook(method, run.batches(world, count)[0], 0)
    hook.finish(method)
    return method
