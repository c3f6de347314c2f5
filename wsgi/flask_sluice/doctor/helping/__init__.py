"""What a server adds so that the doctor learns when it saw that a reader had left.

``flask_sluice.doctor.helping.wsgi.DoctorMiddleware`` and ``.asgi.DoctorMiddleware`` add it to any app. They need nothing but
the standard library. A request with the header ``Sluice-Doctor`` is reported on:

- ``Sluice-Doctor: 1``, or an id of 32 hexadecimal digits that the doctor has chosen, so that it can ask for the report also if
  it leaves before the response has come
- the response has ``Sluice-Doctor-Report: /doctor/streams/ID``
- ``GET /doctor/streams/ID`` answers the report (see ``reports.Report``)
- ``GET /doctor/stream`` streams as its query says (see ``script.Script``)
"""

ASK_HEADER = "Sluice-Doctor"
REPORT_HEADER = "Sluice-Doctor-Report"
