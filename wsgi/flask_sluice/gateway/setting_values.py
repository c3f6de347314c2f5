"""Parsers of settings' values. Each takes a variable's text and raises ValueError for text that it does not accept."""

import ipaddress
import math
import os
import re
from urllib.parse import urlsplit

from flask_sluice.journal.redis.servers.access.tls import check_tls
from flask_sluice.journal.redis.servers.redis_url import read_url

_MAX_UNIX_PATH_BYTES = 107
"""A longer path does not fit into the kernel's address structure (unix(7))."""

# For one hop only (RFC 9110, section 7.6.1), or made anew by the relay.
NEVER_PASSED_UP = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

KEY_HEADERS = ("auto", "authorization", "api-key", "x-api-key", "x-goog-api-key")


def parse_number(text: str) -> float:
    # float() would also take "inf", "1_0" and "٣".
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise ValueError
    return float(text)


def parse_positive_number(text: str) -> float:
    if not (number := parse_number(text)):
        raise ValueError
    return number


def parse_speed(text: str) -> float:
    return math.inf if text == "max" else parse_positive_number(text)


def parse_count(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text) or not int(text):
        raise ValueError
    return int(text)


def parse_health_path(text: str) -> str:
    # Visible ASCII, and no fragment: it stands in the request as it is.
    if text and not re.fullmatch(r"/[!-\"$-~]*", text):
        raise ValueError
    return text


def parse_switch(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError
    return text == "1"


def parse_client(text: str) -> str:
    if text not in ("user", "address", "key"):
        raise ValueError
    return text


def parse_path(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError
    return text


def parse_names(text: str) -> tuple[str, ...]:
    names = tuple(name for part in text.split(",") if (name := part.strip()))
    if not names:
        raise ValueError
    return names


def parse_urls(text: str) -> tuple[str, ...]:
    urls = tuple(url.rstrip("/") for url in parse_names(text))
    for url in urls:
        parts = urlsplit(url)
        # ``port`` raises ValueError for a port that is not a number.
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError
        # A user and a password have a setting of their own, the key.
        if parts.query or parts.fragment or parts.username is not None:
            raise ValueError
    return urls


def parse_key(text: str) -> str:
    if not re.fullmatch("[!-~]+", text):
        raise ValueError
    return text


def parse_key_header(text: str) -> str:
    if text.lower() not in KEY_HEADERS:
        raise ValueError
    return text.lower()


def parse_header_names(text: str) -> tuple[str, ...]:
    """Return the names in lower case; one with ``*`` at its end stands for all that begin so."""
    names = parse_names(text.lower())
    for name in names:
        # A token (RFC 9110, section 5.6.2).
        if not re.fullmatch(r"[!#$%&'+.^_`|~0-9a-z-]+\*?", name) or name in NEVER_PASSED_UP:
            raise ValueError
    return names


def parse_redis_url(text: str) -> str:
    """Return the URL. Raises RedisUrlError, which says what is wrong with it and shows nothing of it."""
    check_tls(read_url(text))
    return text


def parse_rate_limit(text: str) -> str:
    # Imported here because it takes a twentieth of a second, and only a server with limits needs it.
    from limits import parse_many  # noqa: PLC0415

    # "0/minute" would refuse every request. The parser makes 60/minute of "60/0 minutes".
    if any(item.amount == 0 for item in parse_many(text)) or re.search(r"(/|per)\s*0", text, re.I):
        raise ValueError
    return text


def parse_origins(text: str) -> tuple[str, ...]:
    names = parse_names(text)
    return names if names == ("*",) else tuple(_parse_origin(name.lower()) for name in names)


def _parse_origin(text: str) -> str:
    # Browsers send neither a path nor the scheme's default port, so an origin with one would never match.
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*://([\w.-]+|\[[0-9a-f:.]+\])(:[0-9]+)?", text, re.ASCII):
        raise ValueError
    parts = urlsplit(text)
    if parts.port in (0, {"http": 80, "https": 443}.get(parts.scheme, 0)):
        raise ValueError
    return text


def parse_hosts(text: str) -> tuple[str, ...]:
    names = parse_names(text)
    return names if names == ("*",) else tuple(_parse_host(name.lower()) for name in names)


def _parse_host(text: str) -> str:
    if text.startswith("["):
        return str(ipaddress.IPv6Address(text.removeprefix("[").removesuffix("]")))
    if ":" in text:
        return str(ipaddress.IPv6Address(text))
    if not re.fullmatch(r"[\w-]+(\.[\w-]+)*\.?", text, re.ASCII):
        raise ValueError
    return text.removesuffix(".")


def parse_proxies(text: str) -> tuple[str, ...]:
    names = parse_names(text)
    for name in names:
        if name != "unix":
            ipaddress.ip_network(name)
    return names


def parse_address(text: str) -> str:
    if text.startswith("unix:"):
        if not 0 < len(os.fsencode(text.removeprefix("unix:"))) <= _MAX_UNIX_PATH_BYTES:
            raise ValueError
        return text
    # A name, an IPv4 address, or an IPv6 address in brackets.
    match = re.fullmatch(r"(?:[\w.-]+|\[[0-9a-fA-F:.]+\]):([0-9]{1,5})", text, re.ASCII)
    if match is None or not 0 < int(match[1]) < 65536:
        raise ValueError
    return text
