"""The user and the password that Redis is given, which may change while a process runs."""

import os
import stat
from collections.abc import Sequence
from typing import Protocol

_MAX_BYTES = 64 * 1024


class RedisCredentials(Protocol):
    """What ``redis.credentials.CredentialProvider`` is: asked whenever a connection is made, and every minute."""

    def get_credentials(self) -> Sequence[str]:
        """Return (password,) or (user, password). It may block."""
        ...


class NoCredentialsError(Exception):
    """There are no credentials now. The message is for operators, and has nothing secret."""


class PasswordFile:
    """A file with a password in its one line. Its user is that of the Redis URL.

    It is read whenever it is asked, so that a password that was changed needs no restart.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def get_credentials(self) -> tuple[str]:
        """Return the password. Raises NoCredentialsError."""
        try:
            # A pipe would wait for its writer.
            with open(self._path, "rb", opener=_open_without_waiting) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise NoCredentialsError(f"{self._path} is not a file")
                text = file.read(_MAX_BYTES).decode("utf-8-sig")
        except OSError as error:
            raise NoCredentialsError(f"{self._path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise NoCredentialsError(f"{self._path} is not text in UTF-8") from None
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if len(lines) != 1:
            raise NoCredentialsError(f"{self._path} has {len(lines)} lines with text, takes one")
        return (lines[0],)


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def check_needs_url(url: object, credentials: object) -> None:
    """Raise ValueError for credentials without a URL."""
    if url is None and credentials is not None:
        raise ValueError("credentials need the URL of a Redis, which holds no password")


def check_credentials(credentials: object) -> None:
    """Raise TypeError for what cannot be credentials. None can."""
    method = getattr(credentials, "get_credentials", None)
    if credentials is not None and (isinstance(credentials, type) or not callable(method)):
        got = credentials.__name__ if isinstance(credentials, type) else type(credentials).__name__
        kind = "the class " if isinstance(credentials, type) else ""
        raise TypeError(
            "credentials are an object with get_credentials(), such as a redis.credentials.CredentialProvider; "
            f"got {kind}{got}"
        )
