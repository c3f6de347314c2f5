"""Parts of a stream that the standard allows or forgives, and that clients take in different ways."""

PARTS = {
    # A field without data dispatches nothing (WHATWG HTML, section 9.2.6).
    "no-data": b"event: hint\n\n",
    "empty-data": b"data\n\n",
    "id-with-nul": b"id: a\0b\ndata: an id with NUL\n\n",
    "bad-retry": b"retry: soon\n\n",
    "bad-utf8": b"data: \xff\xfe is not UTF-8\n\n",
    "cut-character": b"data: \xe2\x82\n\n",
    "surrogate": b"data: \xed\xa0\x80 is a surrogate\n\n",
    "unknown-field": b"datum: 1\ndata: an unknown field before it\n\n",
    "bom-inside": b"\xef\xbb\xbfdata: a byte order mark inside\n\n",
    "comment": b": a comment with its blank line\n\n",
    "comment-line": b": a comment without a blank line\n",
    "blank-lines": b"\n\n\n",
    "characters": "data: naïve — 漢字 🚰\n\n".encode(),
    "several-lines": b"data: one\ndata: two\ndata:\ndata: four\n\n",
    "no-space": b"data:without a space\n\n",
    "html": b"<html><body>502 Bad Gateway</body></html>\n",
    "json-lines": b'{"n": 1}\n',
    "error-event": b'event: error\ndata: {"error": {"message": "out of memory"}}\n\n',
}
