"""What became of the bytes that were written to a connection, as Linux tells it."""

import fcntl
import socket
import struct
import termios

_BYTES_ACKED = struct.Struct("Q")
_BYTES_ACKED_AT = 120
"""Where ``tcpi_bytes_acked`` is in ``struct tcp_info`` (linux/tcp.h), from Linux 4.1 on."""
_TCP_INFO_BYTES = _BYTES_ACKED_AT + _BYTES_ACKED.size


def unsent_bytes(fd: int) -> int:
    """Return how many written bytes the peer's kernel has not taken yet (SIOCOUTQ, unix(7) and tcp(7))."""
    answer = fcntl.ioctl(fd, termios.TIOCOUTQ, b"\0\0\0\0")
    return int(struct.unpack("i", answer)[0])


def taken_bytes(sock: socket.socket) -> int | None:
    """Return how many bytes the peer's kernel has taken since the connection began; None if it is not a TCP connection."""
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return None
    return int(_BYTES_ACKED.unpack_from(info, _BYTES_ACKED_AT)[0])
