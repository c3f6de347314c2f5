"""The files of deploy/ give streams in which the doctor finds no fault, and nothing to warn of, but one that Apache has."""

import pytest

from flask_sluice.doctor import Depth, Report, Verdict, examine
from tests.system.nginx_server import Nginx
from tests.system.other_proxies import Apache, Caddy, HaProxy, ProxySite

# Debian's HAProxy and Caddy say nothing of HTTP/2 that the doctor would not say of HTTP/1.1.
every_proxy = pytest.mark.parametrize(
    "proxy", [Nginx, HaProxy, Caddy, Apache], ids=lambda proxy: proxy.PROGRAM
)

# mod_proxy reads nothing from a client while the server behind it is silent, and no setting changes that.
OF_APACHE = "leaving.prefill-fin"


def found(report: Report) -> dict[str, str]:
    assert report.problem == ""
    return {
        check.full_name: check.evidence
        for check in report.checks
        if check.verdict in (Verdict.WARNING, Verdict.FAULT)
    }


@pytest.mark.slow
@every_proxy
@pytest.mark.parametrize("http2", [False, True], ids=["http/1.1", "h2"])
def test_a_shipped_file_passes_without_a_warning(proxy, http2):
    with ProxySite(proxy) as site:
        report = examine(
            site.proxy.url,
            cacert=site.proxy.certificate,
            http2=http2,
            metrics=f"http://127.0.0.1:{site.proxy.monitoring_port}/metrics",
            depth=Depth.QUICK,
        )
    seen = found(report)
    if proxy is Apache:
        assert "notices only at its next write" in seen.pop(OF_APACHE)
    assert seen == {}
    assert report.check("headers.status").evidence.startswith(
        f"200 over HTTP/{2 if http2 else 1.1}"
    )


def test_the_gateway_itself_passes_without_a_warning(sluice):
    assert found(examine(sluice.url, depth=Depth.QUICK)) == {}
