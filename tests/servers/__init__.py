"""``sse_response`` on the WSGI servers that people have: each passes the behaviours that docs/servers.md shows in its table."""
