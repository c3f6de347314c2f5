"""The report of a server that helps (``flask_sluice.doctor.helping``)."""

import json
import os
import time
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.helping import ASK_HEADER, REPORT_HEADER
from flask_sluice.doctor.helping.reports import FAILED, LEFT
from flask_sluice.doctor.http.recording import Recording
from flask_sluice.doctor.http.request import HttpRequest
from flask_sluice.doctor.observing.witness import CannotTellError, Seen

_FOLDER = "/streams/"
_MOST_UNKNOWN = 12
"""How often a report may be unknown: each worker of a server that does not share them knows its own."""


class ReportWitness:
    """Asks for the reports of a server.

    folder: the URL of its routes, such as http://127.0.0.1:8080/v1/doctor
    """

    name = "its report"
    slack_seconds = 0.0
    may_stick = False

    def __init__(self, examination: Examination, folder: HttpRequest) -> None:
        self._examination = examination
        self._folder = folder

    def watch(self) -> "ReportWatch":
        return ReportWatch(self._examination, self._folder, os.urandom(16).hex())

    def own_stream(self, **script: int) -> HttpRequest:
        """The request for a stream of the server's own. script: fields of ``helping.script.Script``"""
        query = "&".join(f"{name}={value}" for name, value in script.items())
        return replace(self._folder, url=f"{self._folder.url}/stream?{query}")


class ReportWatch:
    """Watches one stream by an id that the doctor chooses, so that it may leave before the response has come."""

    def __init__(self, examination: Examination, folder: HttpRequest, id_: str) -> None:
        self._examination = examination
        self._id = id_
        self._request = replace(folder, url=f"{folder.url}{_FOLDER}{id_}")
        self._unknown = 0

    def asking(self, request: HttpRequest) -> HttpRequest:
        return request.with_headers(**{ASK_HEADER: self._id})

    def is_running(self) -> bool:
        report = self._ask()
        return report is not None and report["closed_at"] is None

    def closed(self, left_at: float) -> Seen | None:
        asked_at = time.time()
        report = self._ask()
        if report is None or report["closed_at"] is None:
            return None
        # The server's clock may be another than ours.
        ahead = report["now"] - (asked_at + time.time()) / 2
        seconds = report["closed_at"] - ahead - left_at
        return Seen(seconds, report["outcome"] in (LEFT, FAILED) or None)

    def _ask(self) -> dict[str, Any] | None:
        """Return the report; None if the worker that was asked does not know it."""
        answer = self._examination.ask(self._request)
        if answer.status == 404:
            self._unknown += 1
            if self._unknown > _MOST_UNKNOWN:
                raise CannotTellError(
                    f"the server says where its report is, but {self._request.parts.path} answers 404: give it to all its "
                    "workers (preload_app), and keep the prefix of the path in the proxy"
                )
            return None
        try:
            report = json.loads(answer.body)
            times = (report["now"], report["opened_at"], report["closed_at"] or 0.0)
            if not all(isinstance(seconds, int | float) for seconds in times):
                raise TypeError
            return {**report, "outcome": str(report["outcome"])}
        except (ValueError, KeyError, TypeError):
            raise CannotTellError(
                f"the server's report could not be read: its answer was {answer.status or 'none'}"
            ) from None


def report_folder(answer: Recording) -> HttpRequest | None:
    """Return the request for the server's routes for the doctor, if the answer to one of our requests names them."""
    path = urlsplit(answer.header(REPORT_HEADER) or "").path
    if _FOLDER not in path:
        return None
    request = answer.request
    # Only the path: the headers with the user's secrets go to no other host.
    url = request.parts._replace(path=path.rpartition(_FOLDER)[0], query="").geturl()
    return replace(request, url=url, method="GET", body=None)
