"""The command sluice doctor: its arguments, its output, its exit codes."""

import json
import os
import pty
import re
import subprocess
import sys
import zlib
from xml.etree import ElementTree

import pytest

from flask_sluice.cli import main
from flask_sluice.doctor import OptionError, Report, UrlError, assert_streams_well, examine
from flask_sluice.doctor.examination import redirected
from flask_sluice.doctor.http.recording import MOST_BYTES, Recording
from flask_sluice.doctor.http.request import HttpRequest
from tests.doctor.zoo.origins.script import path

SECRET = "a-secret-key-of-the-user"


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = main(["doctor", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_sound_stream_is_exit_code_0_and_one_sentence(origin, capsys):
    code, out, _ = run(capsys, origin + path(), "--only", "headers,delivery")
    assert code == 0
    assert out.splitlines()[-1].startswith("The stream is fine: ")


def test_a_fault_is_exit_code_1_and_names_the_line_to_change(origin, capsys):
    code, out, _ = run(capsys, origin + path(lump=4096, size=100, events=120), "--only", "delivery")
    assert code == 1
    assert "proxy_buffering off;" in out
    assert "first delivery.one-by-one" in out.splitlines()[-1]


@pytest.mark.parametrize(
    ("route", "says"),
    [
        ("/nothing-here", "404"),
        ("/v1/models", "JSON and not a stream"),
        (path(status=401), "give -H 'Authorization"),
        (path(status=204), "204"),
    ],
)
def test_what_is_not_a_stream_is_exit_code_2_with_the_reason(origin, capsys, route, says):
    code, out, _ = run(capsys, origin + route)
    assert code == 2
    assert says in out.splitlines()[-1]


def test_a_server_that_is_not_there_is_exit_code_2(capsys):
    code, out, _ = run(capsys, "http://127.0.0.1:1/events")
    assert (code, "no connection to 127.0.0.1:1" in out) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ftp://host/"], "scheme"),
        (["http://"], "no host"),
        (["http://user:password@host/"], "-H 'Authorization"),
        (["http://host/", "-H", "no colon"], "-H 'Name: value'"),
        (["http://host/", "--only", "heads"], "none of headers"),
        (["http://host/", "--post", "@/no/such/file"], "No such file"),
        (["http://host/", "--cacert", "/no/such/file"], "--cacert"),
        (["http://host/", "--for", "0"], "--for"),
        (["http://host/", "--origin", "page.test"], "--origin"),
    ],
)
def test_a_wrong_argument_is_one_line_that_says_what_is_wanted(capsys, arguments, says):
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert err.startswith("sluice: ")
    assert says in err
    assert err.count("\n") == 1
    assert "password" not in err or "user and password" in err


def test_json_is_the_whole_report(origin, capsys):
    code, out, _ = run(capsys, origin + path(type="text/html"), "--only", "headers", "--json")
    report = json.loads(out)
    assert code == report["exit_code"] == 1
    fault = next(check for check in report["checks"] if check["verdict"] == "fault")
    assert (fault["group"], fault["name"]) == ("headers", "content-type")
    assert fault["remedies"][0].keys() == {"where", "line"}


def test_junit_has_a_test_case_for_each_check(origin, capsys):
    code, out, _ = run(capsys, origin + path(type="text/html"), "--only", "headers", "--junit")
    suite = ElementTree.fromstring(out.encode())[0]
    assert code == 1
    assert suite.get("failures") == str(len(suite.findall("testcase/failure"))) == "1"
    assert int(suite.get("tests")) == len(suite.findall("testcase"))
    assert "Content-Type" in suite.find("testcase/failure").get("message")


def test_an_examination_that_fails_is_an_error_in_junit(capsys):
    code, out, _ = run(capsys, "http://127.0.0.1:1/", "--junit")
    assert code == 2
    assert ElementTree.fromstring(out.encode()).find(".//error") is not None


def test_the_page_needs_no_other_file_and_shows_the_arrivals(origin, capsys, tmp_path):
    page = tmp_path / "report.html"
    code, _, _ = run(capsys, origin + path(), "--only", "headers,delivery", "--html", str(page))
    html = page.read_text()
    assert code == 0
    assert html.count("<rect") == 10
    assert not re.search(r"<script|<link|<img|src=|href=|url\(|@import", html)


def test_what_a_server_says_is_text_in_the_page(origin, capsys, tmp_path):
    page = tmp_path / "report.html"
    run(
        capsys,
        origin + path(header="Server: <script>alert(1)</script>"),
        "--only",
        "headers",
        "--html",
        str(page),
    )
    assert "<script>alert" not in page.read_text()


def test_a_page_that_cannot_be_written_is_said(origin, capsys):
    code, _, err = run(
        capsys, origin + path(), "--only", "headers", "--html", "/no/such/folder/report.html"
    )
    assert (code, "--html" in err) == (2, True)


@pytest.mark.parametrize("output", [[], ["--json"], ["--junit"]])
def test_the_value_of_a_header_is_never_printed(origin, capsys, output, tmp_path):
    page = tmp_path / "report.html"
    arguments = [
        "-H",
        f"Authorization: Bearer {SECRET}",
        "--html",
        str(page),
        "--only",
        "headers",
        *output,
    ]
    _, out, err = run(capsys, origin + path(), *arguments)
    assert SECRET not in out + err + page.read_text()


def test_colours_and_the_progress_line_are_for_terminals(origin):
    command = [sys.executable, "-m", "flask_sluice", "doctor", origin + path(), "--only", "headers"]
    environment = {
        key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM")
    }
    plain = subprocess.run(command, capture_output=True, check=True, env=environment).stdout
    assert b"\x1b" not in plain
    primary, secondary = pty.openpty()
    with os.fdopen(primary, "rb", buffering=0) as terminal:
        process = subprocess.Popen(command, stdout=secondary, env={**environment, "TERM": "xterm"})
        os.close(secondary)
        shown = b""
        while process.poll() is None or not shown:
            try:
                shown += terminal.read(65_536)
            except OSError:  # Linux's answer once the last writer has closed.
                break
        process.wait()
    assert b"\x1b[32mok" in shown
    assert "… ".encode() in shown


def test_a_project_holds_its_own_stream_to_be_sound(origin):
    report = assert_streams_well(origin + path(), groups=("headers", "delivery"))
    assert isinstance(report, Report)
    with pytest.raises(AssertionError, match=r"fault headers\.content-type"):
        assert_streams_well(origin + path(type="text/html"), groups=("headers",))
    with pytest.raises(AssertionError, match="could not be examined"):
        assert_streams_well("http://127.0.0.1:1/")


def test_accepted_checks_do_not_fail_and_have_to_exist(origin):
    url = origin + path(type="text/html")
    assert_streams_well(url, allow={"headers.content-type"}, groups=("headers",))
    with pytest.raises(ValueError, match=r"headers\.contents"):
        assert_streams_well(url, allow={"headers.contents"}, groups=("headers",))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [({"preset": "openapi"}, OptionError), ({"headers": {"bad name": "x"}}, OptionError)],
)
def test_wrong_arguments_of_the_library_are_value_errors(arguments, error):
    with pytest.raises(error):
        examine("http://host/", **arguments)
    with pytest.raises(UrlError):
        examine("gopher://host/")
    assert issubclass(error, ValueError)
    assert issubclass(UrlError, ValueError)


def test_a_redirect_to_another_host_gets_no_key():
    headers = {"Authorization": f"Bearer {SECRET}", "X-Other": "stays"}
    request = HttpRequest("https://one.test/events", headers=headers)
    assert redirected(request, "/moved", 302).headers == headers
    assert redirected(request, "https://two.test/events", 302).headers == {"X-Other": "stays"}


def test_a_post_stays_one_only_where_the_redirect_says_so():
    request = HttpRequest("https://one.test/chat", "POST", body=b"{}")
    assert redirected(request, "/moved", 307).body == b"{}"
    assert (
        redirected(request, "/moved", 302).method,
        redirected(request, "/moved", 303).method,
    ) == ("GET", "GET")


def test_a_server_cannot_steer_the_terminal(origin, capsys):
    _, out, _ = run(
        capsys,
        origin + path(type="text/\x1b[2Jevil", header="Server: \x1b]0;evil"),
        "--only",
        "headers",
    )
    assert "\x1b" not in out


def test_output_that_nobody_reads_ends_the_command_quietly(origin):
    command = [sys.executable, "-m", "flask_sluice", "doctor", origin + path(), "--only", "headers"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141


def test_a_flood_of_events_ends_the_reading_and_not_the_doctor(origin):
    report = examine(
        origin + path(events=0, interval=0, size=100_000), groups=("headers", "delivery")
    )
    assert report.exit_code == 0
    assert report.seconds < 30


def test_a_compressed_answer_of_any_size_is_read_to_a_bound():
    bomb = zlib.compress(bytes(200 * 1024 * 1024))
    recording = Recording(HttpRequest("http://host/"), headers=[("Content-Encoding", "deflate")])
    recording.add(0.1, bomb)
    assert recording.is_full
    assert len(recording.body) == MOST_BYTES
