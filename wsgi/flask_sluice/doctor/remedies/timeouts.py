"""Who cuts a stream, after how long, and by which setting."""

from collections.abc import Iterable
from dataclasses import dataclass

from flask_sluice.doctor.remedies.products import product_of
from flask_sluice.doctor.remedies.remedy import Remedy

SEND_COMMENTS = (
    Remedy(
        "any app: while there is no event, at the latest every 15 seconds, one comment line",
        'yield ": keep-alive\\n"',
    ),
    Remedy("Flask, with sse_response: the default is 15", "SLUICE_KEEPALIVE_SECONDS=15"),
    Remedy(
        "uvicorn, with sse-starlette: the default is 15", "EventSourceResponse(events(), ping=15)"
    ),
)
"""The stream is silent for too long. One line without a blank line is enough for proxies, and safe for clients."""

SILENCE, WHOLE = "silence", "whole"


@dataclass(frozen=True)
class UsualLimit:
    """A limit that a product has unless it is configured.

    seconds: after how long it cuts
    tolerance_seconds: how far a measured time may be from it
    setting: its name, or the error that the product reports
    of: SILENCE: the time without a byte; WHOLE: the time since the request began
    """

    seconds: float
    tolerance_seconds: float
    setting: str
    remedy: Remedy
    of: str = SILENCE

    @property
    def product(self) -> str:
        return product_of(self.remedy)


USUAL_LIMITS = (
    UsualLimit(
        15,
        1.5,
        "route.timeout",
        Remedy(
            "Envoy, in the route (and 5 minutes of silence: stream_idle_timeout)",
            "timeout: 0s\nidle_timeout: 3600s",
        ),
        WHOLE,
    ),
    UsualLimit(
        29,
        1.5,
        "integration timeout",
        Remedy("AWS API Gateway, in the integration of a REST API", "responseTransferMode: STREAM"),
        WHOLE,
    ),
    UsualLimit(
        30,
        3,
        "--timeout",
        Remedy(
            "gunicorn, whose sync worker is killed; on the command line",
            "gunicorn --worker-class gthread --threads 100 app:app",
        ),
        WHOLE,
    ),
    UsualLimit(
        30,
        1.5,
        "timeoutSec",
        Remedy("Google Cloud, in the BackendService (or GKE's BackendConfig)", "timeoutSec: 3600"),
        WHOLE,
    ),
    UsualLimit(
        30,
        1.5,
        "OriginReadTimeout",
        Remedy(
            "CloudFront, in the origin (120 at most): send comments too", "OriginReadTimeout: 60"
        ),
    ),
    UsualLimit(
        30,
        3,
        "spring.mvc.async.request-timeout",
        Remedy(
            "Spring, in application.properties (milliseconds)",
            "spring.mvc.async.request-timeout=3600000",
        ),
        WHOLE,
    ),
    UsualLimit(
        30,
        1.5,
        "H12",
        Remedy(
            "Heroku, before the first byte: no setting; send a comment before the first event",
            'yield ": keep-alive\\n"',
        ),
    ),
    UsualLimit(
        50,
        1.5,
        "timeout server",
        Remedy(
            "HAProxy, in defaults (Debian's file has 50s; `timeout client` cuts clients that read nothing)",
            "timeout server 330s",
        ),
    ),
    UsualLimit(
        55,
        1.5,
        "H15",
        Remedy("Heroku, between two bytes: no setting; send comments", 'yield ": keep-alive\\n"'),
    ),
    UsualLimit(
        60,
        2,
        "proxy_read_timeout",
        Remedy(
            "nginx, in the location of the stream (uwsgi_read_timeout, fastcgi_read_timeout)",
            "proxy_read_timeout 330s;",
        ),
    ),
    UsualLimit(
        60,
        2,
        "proxy-read-timeout",
        Remedy(
            "nginx (ingress-nginx), in the annotations of the Ingress",
            'nginx.ingress.kubernetes.io/proxy-read-timeout: "330"',
        ),
    ),
    UsualLimit(
        60,
        2,
        "idle_timeout.timeout_seconds",
        Remedy(
            "AWS ALB, in the attributes of the load balancer",
            "aws elbv2 modify-load-balancer-attributes --load-balancer-arn ARN --attributes Key=idle_timeout.timeout_seconds,Value=330",
        ),
    ),
    UsualLimit(
        60,
        2,
        "ProxyTimeout",
        Remedy(
            "Apache, in the ProxyPass of the stream",
            'ProxyPass "/events" "http://127.0.0.1:8000/events" timeout=330',
        ),
    ),
    UsualLimit(
        60,
        2,
        "http-timeout",
        Remedy("uWSGI, with the option http, in its ini file", "http-timeout = 330"),
    ),
    UsualLimit(
        100,
        3,
        "Proxy Read Timeout",
        Remedy(
            "Cloudflare, by its former limit, which is 120 now; only its enterprise plan changes it: send comments",
            'yield ": keep-alive\\n"',
        ),
    ),
    UsualLimit(
        120,
        6,
        "Proxy Read Timeout",
        Remedy(
            "Cloudflare, which only its enterprise plan changes: send comments",
            'yield ": keep-alive\\n"',
        ),
    ),
    UsualLimit(
        230,
        5,
        "idle timeout",
        Remedy(
            "Azure (App Service), which has no setting for it: send comments",
            'yield ": keep-alive\\n"',
        ),
    ),
    UsualLimit(
        240,
        5,
        "IdleTimeoutInMinutes",
        Remedy(
            "Azure (Load Balancer), in the rule",
            "az network lb rule update --resource-group GROUP --lb-name NAME --name RULE --idle-timeout 15 --enable-tcp-reset true",
        ),
    ),
    UsualLimit(
        300,
        5,
        "stream_idle_timeout",
        Remedy("Envoy, in the HTTP connection manager", "stream_idle_timeout: 3600s"),
    ),
    UsualLimit(
        350,
        5,
        "tcp.idle_timeout.seconds",
        Remedy(
            "AWS NLB, in the attributes of a TCP listener",
            "aws elbv2 modify-listener-attributes --listener-arn ARN --attributes Key=tcp.idle_timeout.seconds,Value=3600",
        ),
    ),
)

CUT_IN_SILENCE = (*SEND_COMMENTS, *(limit.remedy for limit in USUAL_LIMITS if limit.of == SILENCE))
"""A connection was cut while nothing was sent. Comments mend all of them."""


def who_cuts_after(seconds: float, of: str | None = None) -> tuple[UsualLimit, ...]:
    """Return the limits that a cut after so many seconds may be due to, the nearest first.

    of: SILENCE or WHOLE, if it is known which of both was measured
    """
    near = (
        limit
        for limit in USUAL_LIMITS
        if abs(seconds - limit.seconds) <= limit.tolerance_seconds and of in (None, limit.of)
    )
    return tuple(sorted(near, key=lambda limit: abs(seconds - limit.seconds)))


def names_of(limits: Iterable[UsualLimit]) -> str:
    """Return who cuts and by what: "nginx (proxy_read_timeout), AWS ALB (idle_timeout.timeout_seconds)"."""
    return ", ".join(dict.fromkeys(f"{limit.product} ({limit.setting})" for limit in limits))
