"""Looks at the certificates that a Redis URL names, at the start: redis-py reads them when it connects."""

import ssl
from typing import Any

from flask_sluice.journal.redis.servers.redis_url import RedisUrl, RedisUrlError


def check_tls(parts: RedisUrl) -> None:
    """Raise RedisUrlError, which names the options, for certificates that cannot be used."""
    options = parts.options
    given = [name for name in options if name.startswith("ssl_")]
    if given and not parts.has_tls:
        raise RedisUrlError(
            f"the option {given[0]} only with rediss://, rediss+cluster:// and rediss+sentinel://"
        )
    _check_own_certificate(options)
    places = {
        "cafile": options.get("ssl_ca_certs"),
        "capath": options.get("ssl_ca_path"),
        "cadata": options.get("ssl_ca_data"),
    }
    if any(places.values()):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(**places)
        except (OSError, ValueError) as error:
            raise RedisUrlError(
                f"certificates that can be read for {_names(options, 'ssl_ca_')}; got: {_reason(error)}"
            ) from None


def _check_own_certificate(options: dict[str, Any]) -> None:
    certificate, key = options.get("ssl_certfile"), options.get("ssl_keyfile")
    if certificate is None:
        if key is not None:
            raise RedisUrlError("the option ssl_keyfile only with ssl_certfile")
        return
    try:
        # Without a password OpenSSL would ask for that of an encrypted key on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
            certificate, key, options.get("ssl_password", "")
        )
    except (OSError, ValueError) as error:
        raise RedisUrlError(
            f"a certificate and a key that fit for {_names(options, 'ssl_certfile ssl_keyfile ssl_password')}; "
            f"got: {_reason(error)}"
        ) from None


def _names(options: dict[str, Any], candidates: str) -> str:
    return " and ".join(
        name for name in options if any(name.startswith(each) for each in candidates.split())
    )


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it is not a certificate").lower().replace("_", " ")
    return (isinstance(error, OSError) and error.strerror) or "it is not a certificate"
