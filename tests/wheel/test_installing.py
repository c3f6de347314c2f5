"""What an installed wheel is for other programs: what it imports, and what it leaves alone."""

from email.message import Message
from email.parser import Parser

import pytest

import flask_sluice
from tests.support.server import ROOT
from tests.system.redis_server import RedisServer
from tests.wheel.serving import serve
from tests.wheel.test_streaming import EVENTS

EXTRAS = ("gevent", "gunicorn", "redis", "urllib3", "prometheus_client", "limits", "flask_cors")
IMPORTED_EXTRAS = f"""
import sys
print(sorted(set({EXTRAS}) & sys.modules.keys()))
"""
PUBLISH_AND_READ = f"""
from flask_sluice import Event, Streams
from flask import Flask
from flask_sluice import Sluice
streams = Streams({{url!r}})
with streams.create(owner=7, key="k") as stream:
    stream.publish(Event(data="a"))
status = streams.find(key="k", owner=7)
print(status.state, status.last_id)
app = Flask("app")
app.config["SLUICE_REDIS_URL"] = {{url!r}}
sluice = Sluice(app)
app.get("/")(lambda: sluice.streams.response(stream.id, owner=7))
body = app.test_client().get("/").text
print([int(line[4:]) for line in body.splitlines() if line.startswith("id: ")])
{IMPORTED_EXTRAS}"""
WITHOUT_UNIX = (ROOT / "tests/support/without_unix.py").read_text()
WITHOUT_UNIX_PRINTS = "complete 3\nleft True\n201 one\nthe generator was closed"


def test_the_package_is_imported_beside_a_wsgi_py(environment, project):
    printed = environment.evaluate(
        "import wsgi, flask_sluice; print(flask_sluice.__file__)", project
    )
    assert printed == str(environment.site_packages(project) / "flask_sluice/__init__.py")


def test_the_wheel_installs_one_package_and_its_metadata(environment, project):
    site_packages = environment.site_packages(project)
    (metadata,) = site_packages.glob("flask_sluice-*.dist-info")
    files = (metadata / "RECORD").read_text().splitlines()
    assert {name.split("/")[0] for name in files if not name.startswith("../")} == {
        *("flask_sluice", metadata.name)
    }


def test_the_metadata_is_that_of_the_package(environment, project):
    metadata = metadata_of(environment, project)
    assert (metadata["Name"], metadata["Version"]) == ("flask-sluice", flask_sluice.__version__)
    assert metadata["Requires-Python"] == ">=3.10"


def test_no_dependency_has_an_upper_bound(environment, project):
    requirements = metadata_of(environment, project).get_all("Requires-Dist", [])
    # What follows the semicolon says where a dependency is needed.
    ranges = [each.split(";")[0] for each in requirements]
    assert [each for each in ranges if "<" in each or "==" in each] == []


def test_importing_the_package_imports_no_extra(environment, project):
    for module in ("flask_sluice", "flask_sluice.cli", "flask_sluice.stream.responses"):
        assert environment.evaluate(f"import {module}{IMPORTED_EXTRAS}", project) == "[]"


def test_importing_the_package_patches_nothing(environment, project):
    program = (
        "import socket; before = socket.socket; import flask_sluice; print(before is socket.socket)"
    )
    assert environment.evaluate(program, project) == "True"


@pytest.mark.oldest_and_newest
def test_without_extras_flask_run_streams(bare, project):
    installed = bare.evaluate(f"import app{IMPORTED_EXTRAS}", project)
    assert installed == "[]"
    with serve(bare, project, "flask", "run", "--port", "PORT", FLASK_APP="app") as server:
        assert server.request("GET", "/count").text.endswith(EVENTS)


@pytest.mark.oldest_and_newest
def test_without_extras_and_without_unix_a_server_with_threads_streams(bare, project):
    assert bare.evaluate(WITHOUT_UNIX, project) == WITHOUT_UNIX_PRINTS


@pytest.mark.oldest_and_newest
def test_with_redis_alone_streams_are_kept_in_redis(with_redis, project):
    with RedisServer() as redis:
        printed = with_redis.evaluate(PUBLISH_AND_READ.format(url=redis.url), project)
    assert printed.splitlines() == ["complete 2", "[1, 2]", "['redis']"]


@pytest.mark.oldest_and_newest
def test_without_extras_a_redis_url_says_what_to_install(bare, project):
    for name in ("Streams", "Channels"):
        program = f"from flask_sluice import {name} as Kept\ntry: Kept('redis://h')\nexcept ImportError as error: print(error)"
        (line,) = bare.evaluate(program, project).splitlines()
        assert line.endswith(" in Redis need redis-py: pip install 'flask-sluice[redis]'")


@pytest.mark.oldest_and_newest
def test_without_extras_each_command_says_what_to_install(bare, project):
    for command, extra in (("serve", "gateway"), ("simulate", "gateway"), ("ask", "client")):
        result = bare.run("sluice", command, *(["?"] if command == "ask" else []), folder=project)
        assert (result.returncode, result.stdout) == (2, "")
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"sluice: {command} needs ")
        assert line.endswith(f": pip install 'flask-sluice[{extra}]'")


@pytest.mark.oldest_and_newest
def test_the_command_tells_its_version_without_extras(bare, project):
    for command in (["sluice"], ["python", "-m", "flask_sluice"]):
        result = bare.run(*command, "--version", folder=project)
        assert (result.returncode, result.stdout) == (0, f"sluice {flask_sluice.__version__}\n")


def test_flask_finds_an_unrelated_app_py(environment, project):
    (project / "wsgi.py").unlink()
    (project / "unrelated.py").replace(project / "app.py")
    assert "/unrelated" in routes(environment, project)


def test_flask_finds_an_unrelated_wsgi_py(environment, project):
    (project / "app.py").unlink()
    (project / "unrelated.py").replace(project / "wsgi.py")
    assert "/unrelated" in routes(environment, project)


def routes(environment, project) -> str:
    result = environment.run("flask", "routes", folder=project)
    assert result.returncode == 0, result.stderr
    return result.stdout


def metadata_of(environment, project) -> "Message[str, str]":
    (path,) = environment.site_packages(project).glob("flask_sluice-*.dist-info/METADATA")
    return Parser().parsestr(path.read_text())
