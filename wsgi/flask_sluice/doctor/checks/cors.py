"""Whether pages of another origin may read the stream (WHATWG Fetch, section 3.2 "CORS protocol")."""

from collections.abc import Iterator
from dataclasses import replace

from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.http.recording import Recording
from flask_sluice.doctor.http.request import HttpRequest
from flask_sluice.doctor.remedies.headers import CORS
from flask_sluice.doctor.report import Check, CheckMaker

_make = CheckMaker("headers")
_SAFE_HEADERS = {"accept", "accept-language", "content-language", "user-agent"}


def check_cors(examination: Examination) -> Iterator[Check]:
    """Yield the check ``cors``, which needs the option ``origin``."""
    origin = examination.options.origin
    if origin is None:
        yield _make.skipped(
            "cors", "Give --origin https://your.page to examine it for pages of that origin."
        )
        return
    examination.tell(f"asking as a page of {origin}")
    request = examination.main.request.with_headers(Origin=origin)
    answer = examination.ask(request)
    problem = _problem_of(answer, origin, sends_credentials=_has_cookies(request))
    needed = _headers_to_allow(request)
    if not problem and (needed or request.method not in ("GET", "POST")):
        preflight = examination.ask(_preflight(request, origin, needed))
        problem = _problem_of_preflight(preflight, origin, needed)
    if problem:
        yield _make.fault("cors", f"A page of {origin} cannot read the stream: {problem}.", CORS)
    else:
        yield _make.ok("cors", f"A page of {origin} may read the stream.")


def _has_cookies(request: HttpRequest) -> bool:
    return any(name.lower() == "cookie" for name in request.headers)


def _headers_to_allow(request: HttpRequest) -> list[str]:
    """The headers of the request that a browser asks about before it sends them."""
    names = {name.lower() for name in request.headers} - _SAFE_HEADERS - {"origin", "cookie"}
    if request.body is not None:
        names.add("content-type")
    return sorted(names)


def _preflight(request: HttpRequest, origin: str, needed: list[str]) -> HttpRequest:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": request.method,
        "Access-Control-Request-Headers": ",".join(needed),
    }
    return replace(request, method="OPTIONS", headers=headers, body=None)


def _problem_of(answer: Recording, origin: str, *, sends_credentials: bool) -> str:
    """Why a browser does not hand the answer to the page; "" if it does."""
    allowed = answer.header_values("Access-Control-Allow-Origin")
    if len(allowed) > 1:
        return f"Access-Control-Allow-Origin is there {len(allowed)} times, and browsers take one"
    if not allowed:
        return "there is no Access-Control-Allow-Origin"
    if allowed[0] not in ("*", origin):
        return f"Access-Control-Allow-Origin is {allowed[0]}"
    credentials = answer.header("Access-Control-Allow-Credentials") == "true"
    if allowed[0] == "*" and (sends_credentials or credentials):
        return "Access-Control-Allow-Origin: * does not go together with cookies; name the origin"
    if sends_credentials and not credentials:
        return "the request has cookies, and Access-Control-Allow-Credentials: true is missing"
    return ""


def _problem_of_preflight(answer: Recording, origin: str, needed: list[str]) -> str:
    if not answer.is_success:
        return f"the server answers {answer.status} to the preflight (OPTIONS)"
    if problem := _problem_of(answer, origin, sends_credentials=False):
        return f"in the answer to the preflight {problem}"
    listed = (answer.header("Access-Control-Allow-Headers") or "").lower()
    allowed = {name.strip() for name in listed.split(",")}
    # "*" covers all but Authorization, which has to be named.
    missing = [
        name
        for name in needed
        if name not in allowed and ("*" not in allowed or name == "authorization")
    ]
    if missing:
        return f"the preflight does not allow the header(s) {', '.join(missing)}"
    return ""
