"""The limit of open files, raised to what a server's connections need."""

import resource

_OTHER_FILES = 1024


def raise_file_limit(files: int) -> None:
    """Let this process, and those that it forks, have so many files and a thousand besides, as far as the hard limit goes.

    The usual soft limit of 1024 is for programs that use select(). Each connection of a client is a file.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
