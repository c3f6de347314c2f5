"""A process that may open no more files."""

import contextlib
import os
import resource
from collections.abc import Iterator


@contextlib.contextmanager
def limit_of_files(pid: int, left: int) -> Iterator[None]:
    """``left``: how many more the process may have open."""
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    # The limit is of the numbers, and there are gaps between those in use.
    limit = 0
    while len(set(range(limit)) - used) < left:
        limit += 1
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
