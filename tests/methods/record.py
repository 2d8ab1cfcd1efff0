"""Does what is measured of a recipe's arms hold what its claims ask for?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import ModuleType


def check_record(recipe: ModuleType, cells: Mapping[str, Mapping[str, float]]) -> None:
    """Assert it; of arms without a cell here, the first arm's cell must hold what is asked.

    Args:
        cells: by arm, the first one among them.
    """
    own = cells[next(iter(recipe.ARMS))]
    terms = [term for claim in recipe.CLAIMS for gap in claim.gaps() for term in gap.terms]
    assert {arm for _, arm, _ in terms} <= {*recipe.ARMS, "chance"}
    assert [metric for _, arm, metric in terms if metric not in cells.get(arm, own)] == []
    assert set(recipe.CHANCE) <= set(own)
    assert all(math.isfinite(value) for cell in cells.values() for value in cell.values())
