"""Which servers and proxies a response has passed, as far as its headers say."""

import re
from collections.abc import Iterable, Sequence

from flask_sluice.doctor.remedies.remedy import Remedy

_SERVER = "server"
_SIGNS: tuple[tuple[str, str, str], ...] = (
    # (product, the header's name, what its value contains; "": anything)
    ("Cloudflare", "cf-ray", ""),
    ("Cloudflare", _SERVER, r"^cloudflare"),
    ("CloudFront", "x-amz-cf-id", ""),
    ("CloudFront", "via", r"\bcloudfront\b"),
    ("AWS API Gateway", "x-amz-apigw-id", ""),
    ("AWS API Gateway", "apigw-requestid", ""),
    ("AWS ALB", _SERVER, r"^awselb\b"),
    ("AWS ALB", "set-cookie", r"^AWSALB(?:CORS|APP-\d+)?="),
    ("Google Cloud", "via", r"\bgoogle\b"),
    ("Google Cloud", _SERVER, r"^(?:Google Frontend|gws|ESF)\b"),
    ("Azure", _SERVER, r"^Microsoft-Azure-"),
    ("Azure", "x-azure-ref", ""),
    ("Heroku", "via", r"\b(?:vegur|heroku-router)\b"),
    ("Heroku", _SERVER, r"^Heroku\b"),
    ("Vercel", "x-vercel-id", ""),
    ("Fly.io", "fly-request-id", ""),
    ("Fastly", "x-served-by", r"^cache-"),
    ("Varnish", "x-varnish", ""),
    ("Varnish", "via", r"\bvarnish\b"),
    ("Envoy", _SERVER, r"^(?:istio-)?envoy\b"),
    ("Envoy", "x-envoy-upstream-service-time", ""),
    ("Caddy", _SERVER, r"^Caddy\b"),
    ("Caddy", "via", r"\bCaddy\b"),
    ("nginx", _SERVER, r"^(?:nginx|openresty|tengine)\b"),
    ("Apache", _SERVER, r"^Apache\b(?!-Coyote)"),
    ("LiteSpeed", _SERVER, r"^LiteSpeed\b"),
    ("IIS", _SERVER, r"^Microsoft-IIS\b"),
    ("Squid", "via", r"\bsquid\b"),
    ("gunicorn", _SERVER, r"^gunicorn\b"),
    ("waitress", _SERVER, r"^waitress\b"),
    ("uvicorn", _SERVER, r"^uvicorn\b"),
    ("hypercorn", _SERVER, r"^hypercorn\b"),
    ("Flask", _SERVER, r"^Werkzeug\b"),
    ("Express", "x-powered-by", r"^Express\b"),
    ("Next.js", "x-powered-by", r"^Next\.js\b"),
    ("PHP", "x-powered-by", r"^PHP\b"),
    ("Spring", "x-application-context", ""),
)
"""HAProxy, Traefik and uWSGI say nothing about themselves."""


def products_of(headers: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Return the products that have left their name or mark in a response's headers, the outermost first.

    A product may have removed the marks of those behind it: an app behind nginx shows nginx's `Server`.
    """
    found: list[str] = []
    for product, name, pattern in _SIGNS:
        sign = re.compile(pattern, re.IGNORECASE)
        if any(name == key.lower() and sign.search(value.strip()) for key, value in headers):
            found.append(product)
    return tuple(dict.fromkeys(found))


def product_of(remedy: Remedy) -> str:
    """Return the product that a remedy changes: "nginx" of "nginx, in the location of the stream"."""
    return remedy.where.partition(",")[0].partition(" (")[0].partition(":")[0]


def first_for(remedies: Iterable[Remedy], products: Iterable[str]) -> tuple[Remedy, ...]:
    """Return the remedies, those for one of the products first, otherwise in their order."""
    known = set(products)
    return tuple(sorted(remedies, key=lambda remedy: product_of(remedy) not in known))
