"""The lines that the doctor tells to write are taken by the servers that they are for."""

import os
import shutil
import subprocess
import sys

import pytest

from flask_sluice.doctor.remedies import (
    buffering,
    compression,
    ending,
    headers,
    leaving,
    load,
    timeouts,
)
from flask_sluice.doctor.remedies.products import product_of
from flask_sluice.doctor.remedies.remedy import Remedy

pytestmark = pytest.mark.slow

NOT_IN_DEBIAN_12 = "1.25.1 on"
"""nginx 1.22 does not know `http2 on`."""
APACHE_MODULES = ("mpm_event", "authz_core", "proxy", "proxy_http", "proxy_fcgi", "http2", "env")
NGINX = "pid {folder}/pid; error_log stderr; events {{ {events} }} http {{ {http} server {{ {server} location / {{ {location} }} }} }}"
HAPROXY = """
global
    {global}
defaults
    mode http
    timeout connect 5s
    {defaults}
frontend front
    bind 127.0.0.1:1
    {frontend}
    default_backend back
backend back
    {backend}
    server one 127.0.0.1:2
"""
SUBJECTS = (buffering, compression, ending, headers, leaving, load, timeouts)


def remedies_for(product):
    found = {}
    for module in SUBJECTS:
        for value in vars(module).values():
            for remedy in value if isinstance(value, tuple) else ():
                if isinstance(remedy, Remedy) and product_of(remedy) == product:
                    found[remedy.where, remedy.line] = remedy
    return list(found.values())


def only(remedies, kept):
    return [pytest.param(each, id=each.line.replace("\n", " ")) for each in remedies if kept(each)]


def check(program, *arguments):
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        pytest.skip(f"{program} is not installed")
    ended = subprocess.run(
        [path, *arguments], capture_output=True, text=True, timeout=20, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def is_command_of_gunicorn(remedy):
    return remedy.line.startswith("gunicorn ")


def is_for_nginx_itself(remedy):
    others = ("ingress", "told by the app", NOT_IN_DEBIAN_12)
    return not any(words in remedy.where for words in others)


def place_of(remedy, places):
    """Where a line goes: "http" of "in http or server", "location" of "in the location of the stream"."""
    words = remedy.where.partition(", in ")[2].removeprefix("the ").removeprefix("a ")
    return next((place for place in places if words.startswith(place)), "location")


@pytest.mark.parametrize("remedy", only(remedies_for("nginx"), is_for_nginx_itself))
def test_nginx_takes_the_line(tmp_path, remedy):
    parts = dict.fromkeys(("events", "http", "server", "location"), "")
    parts[place_of(remedy, parts)] = remedy.line.replace("443 ssl", "127.0.0.1:1")
    (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path, **parts))
    check("nginx", "-t", "-q", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"))


def is_for_apache_itself(remedy):
    return not remedy.line.startswith(("yield", "WSGIDaemonProcess"))


@pytest.mark.parametrize("remedy", only(remedies_for("Apache"), is_for_apache_itself))
def test_apache_takes_the_line(tmp_path, remedy):
    loads = "".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
        for name in APACHE_MODULES
    )
    line = remedy.line.replace("  # delete this line", "")
    (tmp_path / "apache.conf").write_text(
        f"ServerRoot {tmp_path}\nErrorLog /dev/stderr\nServerName localhost\nListen 127.0.0.1:1\n{loads}{line}\n"
    )
    check("apache2", "-t", "-f", str(tmp_path / "apache.conf"))


@pytest.mark.parametrize("remedy", only(remedies_for("HAProxy"), lambda remedy: True))
def test_haproxy_takes_the_line(tmp_path, remedy):
    parts = {"global": "maxconn 100", "defaults": "timeout client 9s\n    timeout server 9s"}
    parts.update(frontend="", backend="")
    without_certificate = remedy.line.replace(
        ":443 ssl crt /etc/haproxy/site.pem alpn h2,http/1.1", "127.0.0.1:3"
    )
    parts[place_of(remedy, parts)] += f"\n    {without_certificate}"
    (tmp_path / "haproxy.cfg").write_text(HAPROXY.format(**parts))
    check("haproxy", "-c", "-q", "-f", str(tmp_path / "haproxy.cfg"))


@pytest.mark.parametrize(
    "remedy", only(remedies_for("Caddy"), lambda remedy: "in encode" in remedy.where)
)
def test_caddy_takes_the_line(tmp_path, remedy):
    (tmp_path / "Caddyfile").write_text(f":1 {{\n{remedy.line}\n}}\n")
    check("caddy", "adapt", "--config", str(tmp_path / "Caddyfile"), "--adapter", "caddyfile")


@pytest.mark.parametrize("remedy", only(remedies_for("gunicorn"), is_command_of_gunicorn))
def test_gunicorn_takes_the_command(tmp_path, remedy):
    (tmp_path / "app.py").write_text("def app(environ, start_response):\n    return []\n")
    options = remedy.line.split()[1:]
    check(sys.executable, "-m", "gunicorn", "--check-config", "--chdir", str(tmp_path), *options)
