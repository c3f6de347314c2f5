"""A stream as a sequence of steps: bytes that are written, and pauses; and what can be done to it on the way."""

import codecs
import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator

from tests.doctor.zoo.origins.script import Script

Step = bytes | float
"""What is written, or the seconds in which nothing is."""
Change = Callable[[Iterable[Step]], Iterator[Step]]

_HELD_BYTES = 32 << 10


def changed(steps: Iterable[Step], script: Script) -> Iterator[Step]:
    """The steps as the script wants them on the wire, but for HTTP's framing."""
    steps = _marked(steps, script.bom)
    steps = _with_newlines(steps, script.newline)
    if script.coding:
        steps = _CODINGS[script.coding](steps)
    if script.whole or script.lump:
        steps = _in_lumps(steps, script.lump)
    if script.split:
        steps = _split(steps, script.split)
    return iter(steps)


def _marked(steps: Iterable[Step], count: int) -> Iterator[Step]:
    if count:
        yield codecs.BOM_UTF8 * count
    yield from steps


def _with_newlines(steps: Iterable[Step], newline: str) -> Iterator[Step]:
    """Mixed: each event has the next of the three."""
    newlines = {"lf": (b"\n",), "crlf": (b"\r\n",), "cr": (b"\r",)}
    turn = newlines.get(newline, (b"\n", b"\r\n", b"\r"))
    count = 0
    for step in steps:
        if isinstance(step, bytes):
            yield step.replace(b"\n", turn[count % len(turn)])
            count += 1
        else:
            yield step


def _in_lumps(steps: Iterable[Step], size: int) -> Iterator[Step]:
    """As a buffer of ``size`` bytes lets them through: only when it is full, and at the end. size: 0 for all"""
    held = b""
    for step in steps:
        if isinstance(step, float):
            yield step
            continue
        held += step
        while size and len(held) >= size:
            yield held[:size]
            held = held[size:]
    yield held


def _split(steps: Iterable[Step], size: int) -> Iterator[Step]:
    for step in steps:
        if isinstance(step, float):
            yield step
            continue
        for start in range(0, len(step), size):
            yield step[start : start + size]
            # A reader sees two pieces, not one.
            yield 0.002


def _flushed(steps: Iterable[Step], bits: int = zlib.MAX_WBITS | 16) -> Iterator[Step]:
    """Compressed, and each event can be read when it comes (RFC 1951, section 3.2.4: an empty stored block)."""
    compressor = zlib.compressobj(wbits=bits)
    for step in steps:
        if isinstance(step, float):
            yield step
        else:
            yield compressor.compress(step) + compressor.flush(zlib.Z_SYNC_FLUSH)
    yield compressor.flush()


def _held_back(steps: Iterable[Step]) -> Iterator[Step]:
    """Compressed in blocks of 32 KiB of text."""
    for step in _in_lumps(steps, _HELD_BYTES):
        # Several members in a row are one file (RFC 1952, section 2.2).
        yield step if isinstance(step, float) else gzip.compress(step)


_CODINGS: dict[str, Change] = {
    "gzip": _flushed,
    "gzip-held": _held_back,
    "deflate": lambda steps: _flushed(steps, zlib.MAX_WBITS),
}
