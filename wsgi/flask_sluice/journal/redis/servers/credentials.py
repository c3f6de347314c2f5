"""The user and the password that Redis is given, which may change while a process runs."""

from typing import Protocol


class RedisCredentials(Protocol):
    """What ``redis.credentials.CredentialProvider`` is."""

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return (password,) or (user, password)."""
        ...
