"""Self-supervised audiovisual learning: a world with exact ground truth, the methods, one loop, one way of judging.

Importing ``avlib`` imports nothing else; take what you need from its modules, e.g. ``from avlib.world import World``.
"""

__version__ = "0.1.0"
