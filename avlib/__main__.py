"""``python -m avlib`` and ``torchrun -m avlib``: the ``avlib`` command."""

import sys

from avlib.cli import main

if __name__ == "__main__":
    sys.exit(main())
