"""The names of channels' keys and pub/sub channels in Redis."""

MARKER_SECONDS = 24 * 3600
"""How long Redis knows a channel's last id after the channel was used last. Processes that have readers renew it."""


def _escaped(name: str) -> str:
    # In a Redis Cluster, what stands between the first braces decides about a key's place.
    return name.replace("%", "%25").replace("{", "%7B").replace("}", "%7D")


def events_key(name: str) -> str:
    return f"sluice:channel:{{{_escaped(name)}}}"


def marker_key(name: str) -> str:
    return f"sluice:channel:{{{_escaped(name)}}}:last"


def token_key(name: str, token: str) -> str:
    return f"sluice:channel:{{{_escaped(name)}}}:token:{token}"


def readers_key(name: str) -> str:
    return f"sluice:channel:{{{_escaped(name)}}}:readers"


def owners_key(name: str) -> str:
    return f"sluice:channel:{{{_escaped(name)}}}:owners"


def presence_keys(name: str) -> tuple[str, str]:
    return readers_key(name), owners_key(name)


WORKERS_KEY = "sluice:channels:workers"


def check_key(tag: str) -> str:
    """A key that does not exist, and belongs to none of the channels: what is tried there changes nothing."""
    return f"sluice:channels:{{{tag}}}"


def joined_key(worker_id: str) -> str:
    return f"sluice:channels:joined:{worker_id}"


def lease_key(worker_id: str) -> str:
    return f"sluice:channels:lease:{worker_id}"


def topic_of(name: str) -> bytes:
    """The pub/sub channel in which a channel's entries are published."""
    return f"sluice:channel:{name}".encode()


def worker_topic(worker_id: str) -> bytes:
    """The pub/sub channel that only this process subscribes to, so that others see whether it lives."""
    return f"sluice:channels:worker:{worker_id}".encode()
