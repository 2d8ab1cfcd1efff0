"""Managers of kernels that are reached through files of their own, or through ports where files can't serve.

By default a manager looks for five free TCP ports and hands them to the kernel, which opens them seconds later. What
starts in between, another kernel above all, may be given one of them; then the kernel dies before its first word. A
file in the folder of :func:`avlib.publish.kernel.environment` is nobody else's. Windows has no such sockets, and the
system bounds the length of their paths.

The module is also a plugin of pytest, which lets nbval start its kernels in this way.
"""

from __future__ import annotations

import os
import secrets
import sys

from jupyter_client.connect import ConnectionFileMixin, localhost
from jupyter_client.manager import AsyncKernelManager, KernelManager
from traitlets import default

from avlib.publish.kernel import HOME

LONGEST = 90
"""Bytes of the folder's path: a socket's, with a name of its own and a number, has at most 104 (macOS), 108 (Linux)."""


def _folder() -> str:
    """Where such files may lie; nothing where ports have to do."""
    folder = os.environ.get(HOME, "")
    return folder if sys.platform != "win32" and len(os.fsencode(folder)) <= LONGEST else ""


class _Private(ConnectionFileMixin):
    @default("transport")
    def _files_or_ports(self) -> str:
        return "ipc" if _folder() else "tcp"

    @default("ip")
    def _own_file(self) -> str:
        return os.path.join(_folder(), secrets.token_hex(4)) if _folder() else localhost()


class Manager(_Private, KernelManager):
    """For nbval, which waits for answers."""


class AsyncManager(_Private, AsyncKernelManager):
    """For nbclient."""


def pytest_configure() -> None:
    """Let nbval use :class:`Manager`."""
    import nbval.kernel

    nbval.kernel.KernelManager = Manager
