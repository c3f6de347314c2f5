"""Parts of a stream that the standard allows or forgives, and that clients take in different ways."""

PARTS = {
    # A field without data dispatches nothing (WHATWG HTML, section 9.2.6).
    "no-data": b"event: hint\n\n",
    "empty-data": b"data\n\n",
    "id-with-nul": b'id: a\0b\ndata: {"id": "with NUL"}\n\n',
    "bad-retry": b"retry: soon\n",
    "retry-alone": b"retry: 3000\n\n",
    "bad-utf8": b'data: {"text": "\xff\xfe"}\n\n',
    "cut-character": b'data: {"text": "\xe2\x82"}\n\n',
    "surrogate": b'data: {"text": "\xed\xa0\x80"}\n\n',
    "unknown-field": b'datum: 1\ndata: {"field": "unknown"}\n\n',
    "bom-inside": b'\xef\xbb\xbfdata: {"mark": "inside"}\n\n',
    "comment": b": a comment with its blank line\n\n",
    "comment-line": b": a comment without a blank line\n",
    "blank-lines": b"\n\n\n",
    "characters": 'data: {"text": "naïve — 漢字 🚰"}\n\n'.encode(),
    "several-lines": b'data: {\ndata: "lines": 4,\ndata:\ndata: "json": true}\n\n',
    "no-space": b'data:{"space": false}\n\n',
    "text": b"data: only text\n\n",
    "html": b"<html><body>502 Bad Gateway</body></html>\n",
    "json-lines": b'{"n": 1}\n',
    "error-event": b'event: error\ndata: {"error": {"message": "out of memory"}}\n\n',
    "large-id": b"id: " + b"i" * 5000 + b'\ndata: {"id": "large"}\n\n',
}
