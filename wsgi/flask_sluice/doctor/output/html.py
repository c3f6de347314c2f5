"""The report as one page, which needs nothing else: no script, no font, no other file."""

from collections.abc import Iterator
from html import escape
from itertools import groupby

from flask_sluice.doctor.output.chart import arrival_chart
from flask_sluice.doctor.report import Check, Report, Verdict

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --dim: #777; --ok: #1a7f37; --warning: #9a6700; --fault: #cf222e }
@media (prefers-color-scheme: dark) { :root { --ok: #3fb950; --warning: #d29922; --fault: #ff7b72; --dim: #999 } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem; margin-bottom: .2rem; overflow-wrap: anywhere }
h2 { font-size: 1.1rem; margin: 2rem 0 .4rem; border-bottom: 1px solid var(--line) }
.sentence { font-size: 1.1rem; margin: .6rem 0 }
.facts, .skipped { color: var(--dim) }
.check { display: grid; grid-template-columns: 5.5rem 10rem 1fr; gap: 0 1rem; padding: .35rem 0 }
.check > :nth-child(n + 4) { grid-column: 3 }
.verdict { font-weight: 600 }
.ok > .verdict { color: var(--ok) }
.warning > .verdict { color: var(--warning) }
.fault > .verdict { color: var(--fault) }
pre { background: #8882; padding: .5rem .7rem; margin: .2rem 0 .6rem; overflow-x: auto; border-radius: 4px }
summary { cursor: pointer }
svg { width: 100%; height: auto }
svg text { font: 11px system-ui, sans-serif; fill: var(--dim) }
svg .axis { stroke: var(--line) }
svg .bytes { fill: #8886 }
svg .event { fill: var(--ok) }
@media (max-width: 40rem) {
  .check { grid-template-columns: 5.5rem 1fr }
  .check > :nth-child(n + 3) { grid-column: 1 / -1 }
}
"""


def as_html(report: Report) -> str:
    """Return the report as an HTML document, with a chart of the arrivals of the first stream."""
    url = escape(report.url)
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(report.sentence)}</title>",
            f"<style>{_STYLE}</style></head><body>",
            f"<h1>{url}</h1>",
            f'<p class="sentence">{escape(report.sentence)}</p>',
            f'<p class="facts">{report.request_count} requests in {report.seconds:.1f} s, '
            f"preset {escape(report.preset)}</p>",
            arrival_chart(report.chart),
            *_groups(report),
            "</body></html>",
            "",
        )
    )


def _groups(report: Report) -> Iterator[str]:
    for group, checks in groupby(report.checks, key=lambda check: check.group):
        yield f"<h2>{escape(group)}</h2>"
        for check in checks:
            yield _check(check)


def _check(check: Check) -> str:
    is_found = check.verdict in (Verdict.FAULT, Verdict.WARNING)
    return (
        f'<div class="check {check.verdict.value}" id="{escape(check.full_name)}">'
        f'<span class="verdict">{check.verdict.value}</span>'
        f"<span>{escape(check.name)}</span><span>{escape(check.evidence)}</span>"
        f"{_remedies(check) if is_found and check.remedies else ''}</div>"
    )


def _remedies(check: Check) -> str:
    lines = "".join(
        f"<div>{escape(remedy.where)}</div><pre>{escape(remedy.line)}</pre>"
        for remedy in check.remedies
    )
    return f"<details{' open' if len(check.remedies) < 4 else ''}><summary>What to change</summary>{lines}</details>"
