"""Reads the fields of a form that uploads files (multipart/form-data, RFC 7578), as strictly as clients write it."""

import re
from collections.abc import Iterator
from typing import NamedTuple

# Exactly one parameter: servers differ in which of two boundaries they take.
_CONTENT_TYPE = re.compile(
    r"""multipart/form-data\s*;\s*boundary=("?)([0-9A-Za-z'()+_,./:=?-]{1,70})\1\s*""",
    re.IGNORECASE,
)
# Clients write the name quoted, .NET's without quotes. Others that a server might read as the name are refused.
_DISPOSITION = re.compile(
    rb"form-data; *name=(?:\"([^\"\\\r\n]*)\"|([\w.\[\]-]+))"
    rb"(; *filename=(?:\"(?:[^\"\\\r\n]|\\.)*\"|[^;\"\s]+))?(; *filename\*=[^;\"\s]+)?",
    re.IGNORECASE,
)
_PLAIN_HEADERS = re.compile(
    rb"content-type: *text/plain(; *charset=\"?(utf-8|us-ascii)\"?)?|content-length: *[0-9]+"
    rb"|content-transfer-encoding: *(7bit|8bit|binary)",
    re.IGNORECASE,
)
_MAX_HEAD_BYTES = 8192
_MAX_PARTS = 1000


class Field(NamedTuple):
    """One part of a form. is_plain: whether it is text, and not a file."""

    name: str
    value: bytes
    is_plain: bool


class InvalidFormError(Exception):
    """The body is not a form as clients write it, and two servers may see different fields in it."""


def is_form(content_type: str) -> bool:
    return content_type[:20].lower().startswith("multipart/form-data")


def fields_of(content_type: str, body: bytes) -> list[Field]:
    """Return the parts of a form; the value of a file is b"". Raises InvalidFormError."""
    return list(_fields(content_type, body))


def _fields(content_type: str, body: bytes) -> Iterator[Field]:
    match = _CONTENT_TYPE.fullmatch(content_type)
    if match is None:
        raise InvalidFormError("its Content-Type does not name one boundary")
    delimiter = b"\r\n--" + match[2].encode()
    if not body.startswith(delimiter[2:]):
        raise InvalidFormError("it does not begin with its boundary")
    place = len(delimiter) - 2
    for _ in range(_MAX_PARTS):
        if body[place:] in (b"--", b"--\r\n"):
            return
        end = body.find(delimiter, place)
        if body[place : place + 2] != b"\r\n" or end < 0:
            raise InvalidFormError("it does not end with its boundary")
        head_end = body.find(b"\r\n\r\n", place, min(end, place + _MAX_HEAD_BYTES))
        if head_end < 0:
            raise InvalidFormError("a part has no headers, or too long ones")
        yield _field(body[place + 2 : head_end], body, head_end + 4, end)
        place = end + len(delimiter)
    raise InvalidFormError("it has too many parts")


def _field(head: bytes, body: bytes, begin: int, end: int) -> Field:
    disposition, others = None, []
    for line in head.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if (
            not colon
            or not name.isascii()
            or name != name.strip()
            or b"\n" in line
            or b"\r" in line
        ):
            raise InvalidFormError("a part has a malformed header")
        if name.lower() != b"content-disposition":
            others.append(line)
        elif disposition is None:
            disposition = _DISPOSITION.fullmatch(value.strip())
        else:
            raise InvalidFormError("a part has two Content-Dispositions")
    if disposition is None:
        raise InvalidFormError("a part has no Content-Disposition that names its field")
    is_file = disposition[3] is not None or disposition[4] is not None
    is_plain = not is_file and all(map(_PLAIN_HEADERS.fullmatch, others))
    field_name = (disposition[1] or disposition[2] or b"").decode("utf-8", "replace")
    return Field(field_name, b"" if is_file else body[begin:end], is_plain)
