"""What an examination may cost its user."""

import ipaddress
import socket

from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.http.request import HttpRequest
from flask_sluice.doctor.options import Depth

_MOST_ANSWERS = {Depth.QUICK: 6, Depth.USUAL: 15, Depth.THOROUGH: 75}
"""How many answers of a model the groups ask for altogether, at most; tests count them."""


def is_paid(examination: Examination) -> bool:
    """Whether each answer may cost: a model answers, and not on this machine or in its own network."""
    return bool(examination.preset.tokens_per_request) and not is_private(examination.preset.target)


def is_private(request: HttpRequest) -> bool:
    """Whether the server is on this machine or in a private network."""
    try:
        found = socket.getaddrinfo(request.host, request.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    return all(address.is_private or address.is_loopback for address in addresses)


def expected_cost(examination: Examination) -> str:
    """Return in a sentence what the examination may cost; "" if nothing."""
    if not is_paid(examination):
        return ""
    answers = _MOST_ANSWERS[examination.depth]
    tokens = examination.preset.tokens_per_request
    less = (
        ""
        if examination.depth is Depth.QUICK
        else f" --quick asks for {_MOST_ANSWERS[Depth.QUICK]}."
    )
    return (
        f"The examination asks for up to {answers} answers of up to {tokens} tokens each "
        f"({answers * tokens} tokens), which the server may charge.{less}"
    )
