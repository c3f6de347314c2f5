"""The client's address in X-Forwarded-For, in the forms in which proxies write it."""

import pytest

from flask_sluice.gateway.request.trusted_proxies import TrustedProxies, client_network

PROXY = "10.0.0.1"


def client(forwarded_for: str) -> str:
    """Return the address that the application sees."""
    seen: list[str] = []

    def application(environ, start_response):
        seen.append(environ["REMOTE_ADDR"])
        return []

    environ = {"REMOTE_ADDR": PROXY, "HTTP_X_FORWARDED_FOR": forwarded_for, "RAW_URI": "/"}
    TrustedProxies(application, ("10.0.0.0/8", "2001:db8:ffff::/48"))(environ, None)
    return seen[0]


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("  192.0.2.1\t", "192.0.2.1"),
        ("192.0.2.1:5678", "192.0.2.1"),
        ('"192.0.2.1"', "192.0.2.1"),
        ('"192.0.2.1:5678"', "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ('"[2001:db8::1]:443"', "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::FFFF:192.0.2.1]:80", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:80", "fe80::1"),
        ("203.0.113.9:1, 192.0.2.1:5678, 10.0.0.2:80", "192.0.2.1"),
        ("203.0.113.9, 192.0.2.1 ,[2001:db8:ffff::2]:80 , 10.0.0.2", "192.0.2.1"),
        # Only proxies: the first of them asked.
        ("10.0.0.3:1, 10.0.0.2:2", "10.0.0.3"),
    ],
)
def test_an_address_is_understood_with_port_brackets_and_quotes(written, address):
    assert client(written) == address


@pytest.mark.parametrize(
    "written",
    [
        *("", " ", ",", "unknown", "_hidden", "_SEVKISEK:80", "for=192.0.2.1", "localhost"),
        *("192.0.2", "192.0.2.1.", "192.0.2.256", "192.0.2.01", "192.0.2.1:", "192.0.2.1:x"),
        *("192.0.2.1:123456", "192.0.2.1/24", "[192.0.2.1]", "[2001:db8::1", "2001:db8::1]"),
        *("[2001:db8::1]443", "[2001:db8::1]:", "[]", "[]:80", '"192.0.2.1', '192.0.2.1"', '""'),
        *("2001:db8:::1", "2001:db8::1::2", "fe80::1%", "0x7f.1", "3221225985", "192.0.2.1 x"),
        *("unix:", "١٩٢.0.2.1", "192.0.2.1;proto=https", "192.0.2.1\x00"),
    ],
)
def test_after_what_is_not_an_address_nothing_is_believed(written):
    assert client(f"203.0.113.9, {written}") == PROXY
    assert client(f"203.0.113.9, {written}, 10.0.0.2:443") == "10.0.0.2"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1", "fe80::/64"),
    ],
)
def test_a_client_is_an_ipv4_address_or_an_ipv6_network(address, network):
    assert client_network(address) == network
