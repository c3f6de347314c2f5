"""How a chunk of a chunked body begins (RFC 9112, section 7.1)."""

SIZES = 4096
CHUNK_STARTS = tuple(b"%x\r\n" % size for size in range(SIZES))
"""Of each size below ``SIZES``: looked up, for every event twice, in a tenth of the time that making it takes."""
