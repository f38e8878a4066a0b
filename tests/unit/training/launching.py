"""Several processes of a test that train together."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

PROCESSES = 2


def launched(*command, **more):
    """Run Python in two processes that find each other as `torchrun` lets them; return what each printed.

    Args:
        command: What follows ``python``.
        more: Further variables of the environment.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(PROCESSES):
        environment = {
            **os.environ,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(PROCESSES),
            "LOCAL_WORLD_SIZE": str(PROCESSES),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            **more,
        }
        python = [sys.executable, "-W", "error", *map(str, command)]
        started.append(subprocess.Popen(python, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    printed = [process.communicate(timeout=120)[0].decode() for process in started]
    assert [process.returncode for process in started] == [0] * PROCESSES, printed
    return printed
