"""Keys in URLs, which are not for log files."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

HIDDEN = "(hidden)"

# Such as ticket, api_key, X-Amz-Signature, access_token.
_SECRET_NAME = re.compile(r"(?i)auth|code|credential|jwt|key|pass|secret|session|sig|ticket|token")
_USER = re.compile(r"(?<=//)[^/?#]*@")


def hide_secrets_in_target(target: str) -> str:
    """Return a request's target, or a URL, without the values of query parameters that may be secret, and without a user."""
    path, mark, query = target.partition("?")
    return _USER.sub(f"{HIDDEN}@", path) + mark + hide_secrets_in_query(query)


def hide_secrets_in_query(query: str) -> str:
    """Return the query without the values of parameters whose name sounds like a secret."""
    if not query:
        return query
    # A server may take both for what divides parameters.
    return "".join(map(_without_secret, re.split("([&;])", query)))


def environ_for_log(environ: Mapping[str, Any]) -> dict[str, Any]:
    """Return a WSGI environment of which gunicorn's access log may print everything it prints by default."""
    hidden = dict(environ)
    for name, hide in (
        ("RAW_URI", hide_secrets_in_target),
        ("QUERY_STRING", hide_secrets_in_query),
        ("HTTP_REFERER", hide_secrets_in_target),
    ):
        if name in hidden:
            hidden[name] = hide(hidden[name])
    return hidden


def _without_secret(parameter: str) -> str:
    name, mark, _ = parameter.partition("=")
    return f"{name}={HIDDEN}" if mark and _SECRET_NAME.search(unquote_plus(name)) else parameter
