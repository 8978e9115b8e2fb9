"""Runs a benchmark in a network of its own, for servers that listen on every address."""

import os
import sys


def in_own_network(module: str) -> None:
    """Run this program again with `--inside`, in a network that has only the loopback device.

    Its processes have numbers of their own too, so that however it ends, all of them end with it.

    Args:
        module: the program's own.
    """
    again = [sys.executable, "-m", module, *sys.argv[1:], "--inside"]
    script = 'ip link set lo up && exec "$@"'
    apart = ["unshare", "-rn", "--pid", "--fork", "--kill-child", "--mount-proc"]
    os.execvp(apart[0], [*apart, "sh", "-c", script, "sh", *again])  # noqa: S606
