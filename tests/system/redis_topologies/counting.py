"""Keys that are on the three servers of a cluster, and a command whose results show how often it was executed."""

from tests.support.redis_servers.cluster import SLOTS, key_in

THIRDS = [range(SLOTS * number // 3, SLOTS * (number + 1) // 3) for number in range(3)]
KEYS = [key_in(third) for third in THIRDS]


def counted(connection, keys):
    """Return how often each key was counted so far, or why it was not."""
    return connection.transactions([[("INCR", key)] for key in keys])
