"""Examines a stream of any server from outside, and tells what is wrong with it and which line mends it.

``sluice doctor URL`` is this as a command; docs/doctor.md explains each check.
"""

from flask_sluice.doctor.asserting import assert_streams_well
from flask_sluice.doctor.examine import examine
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
