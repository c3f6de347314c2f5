"""Examines a stream of any server from outside, and tells what is wrong with it and which line mends it.

``sluice doctor URL`` is this as a command; docs/doctor.md explains each check.

The names are imported when they are first used: a server that helps the doctor (``flask_sluice.doctor.helping``) needs nothing
but the standard library.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask_sluice.doctor.asserting import assert_streams_well
    from flask_sluice.doctor.examining import examine
    from flask_sluice.doctor.http.dialing import CertificateFileError
    from flask_sluice.doctor.http.request import UrlError
    from flask_sluice.doctor.options import Depth, OptionError
    from flask_sluice.doctor.remedies.remedy import Remedy
    from flask_sluice.doctor.report import Check, Report, Verdict

__all__ = [
    "CertificateFileError",
    "Check",
    "Depth",
    "OptionError",
    "Remedy",
    "Report",
    "UrlError",
    "Verdict",
    "assert_streams_well",
    "examine",
]

_MODULES = {
    "CertificateFileError": "flask_sluice.doctor.http.dialing",
    "Check": "flask_sluice.doctor.report",
    "Depth": "flask_sluice.doctor.options",
    "OptionError": "flask_sluice.doctor.options",
    "Remedy": "flask_sluice.doctor.remedies.remedy",
    "Report": "flask_sluice.doctor.report",
    "UrlError": "flask_sluice.doctor.http.request",
    "Verdict": "flask_sluice.doctor.report",
    "assert_streams_well": "flask_sluice.doctor.asserting",
    "examine": "flask_sluice.doctor.examining",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_MODULES]
