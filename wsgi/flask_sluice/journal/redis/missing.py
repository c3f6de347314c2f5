"""What is said where redis-py is not installed."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def telling_what_to_install(what: str) -> Iterator[None]:
    """Have an import that needs redis-py raise an ImportError that says how to get it.

    what: what is to be kept in Redis
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "redis":
            raise
        raise ImportError(
            f"{what} in Redis need redis-py: pip install 'flask-sluice[redis]'", name="redis"
        ) from error
