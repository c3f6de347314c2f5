"""What to change, and where."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Remedy:
    """A change that mends a fault.

    where: the product and the place in it, such as "nginx, in the location of the stream"
    line: the exact configuration or code; several lines are separated by newlines
    """

    where: str
    line: str
