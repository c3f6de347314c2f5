"""How many tokens images, sounds and files count, by the rules that OpenAI publishes for GPT-4o."""

import base64
import binascii
import math
import re
import struct

IMAGE_TYPES = ("image/png", "image/jpeg", "image/jpg", "image/gif", "image/webp")

_LOW_DETAIL_TOKENS = 85
_TILE_TOKENS = 170
_TILE_PIXELS = 512
_LONGEST_SIDE_PIXELS = 2048
_SHORTEST_SIDE_PIXELS = 768
_UNKNOWN_IMAGE_TOKENS = 765
"""Those of 1024 x 1024 pixels."""
_AUDIO_TOKENS_PER_SECOND = 10
_MP3_BYTES_PER_SECOND = 16_000
_WAV_BYTES_PER_SECOND = 48_000
_FILE_TOKENS = 500
_BYTES_PER_TOKEN = 4

_READ_CHARACTERS = 64 * 1024
"""Of base64: an image's size is in its first bytes, after a thumbnail at most."""
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_NO_SIZE_JPEG_MARKERS = (0xC4, 0xC8, 0xCC)


def image_tokens(url: str, detail: str | None) -> int:
    """Return the tokens of an image. Its size is known where the URL contains it."""
    if detail == "low":
        return _LOW_DETAIL_TOKENS
    size = image_size(_first_bytes(url)) if url.startswith("data:") else None
    if size is None:
        return _UNKNOWN_IMAGE_TOKENS
    width, height = size
    shrink = min(1, _LONGEST_SIDE_PIXELS / max(width, height))
    shrink = min(shrink, _SHORTEST_SIDE_PIXELS / min(width, height))
    tiles = math.ceil(width * shrink / _TILE_PIXELS) * math.ceil(height * shrink / _TILE_PIXELS)
    return _LOW_DETAIL_TOKENS + _TILE_TOKENS * tiles


def audio_tokens(data: str, format_: str) -> int:
    """Return the tokens of a sound, whose length follows from how many bytes it has."""
    per_second = _MP3_BYTES_PER_SECOND if format_ == "mp3" else _WAV_BYTES_PER_SECOND
    head = _decoded(data[:64])
    if format_ == "wav" and head[:4] == b"RIFF" and len(head) >= 32:
        per_second = max(1, struct.unpack_from("<I", head, 28)[0])
    return math.ceil(len(data) * 3 / 4 / per_second * _AUDIO_TOKENS_PER_SECOND)


def file_tokens(data: str | None) -> int:
    """Return the tokens of a file; ``data``: its base64, None for one that was uploaded before."""
    return _FILE_TOKENS if data is None else math.ceil(len(data) * 3 / 4 / _BYTES_PER_TOKEN)


def image_size(data: bytes) -> tuple[int, int] | None:
    """Return the width and the height in pixels of a PNG, GIF, WebP or JPEG; None: these bytes do not tell them."""
    try:
        if data.startswith(b"\x89PNG"):
            size = struct.unpack_from(">II", data, 16)
        elif data.startswith(b"GIF8"):
            size = struct.unpack_from("<HH", data, 6)
        elif data[8:12] == b"WEBP":
            size = _webp_size(data)
        else:
            size = _jpeg_size(data)
    except (struct.error, IndexError):
        return None
    return (size[0], size[1]) if size[0] > 0 and size[1] > 0 else None


def is_base64(data: str) -> bool:
    """Return whether a text begins as base64 does."""
    return _BASE64.fullmatch(data, 0, _READ_CHARACTERS) is not None


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        return (
            int.from_bytes(data[24:27], "little") + 1,
            int.from_bytes(data[27:30], "little") + 1,
        )
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _jpeg_size(data: bytes) -> tuple[int, int]:
    place = 2 if data.startswith(b"\xff\xd8") else len(data)
    while data[place] == 0xFF:
        marker = data[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in _NO_SIZE_JPEG_MARKERS:
            height, width = struct.unpack_from(">HH", data, place + 5)
            return width, height
        place += 2 + struct.unpack_from(">H", data, place + 2)[0]
    return 0, 0


def _first_bytes(url: str) -> bytes:
    return _decoded(url[: 100 + _READ_CHARACTERS].partition(",")[2])


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data[: len(data) // 4 * 4])
    except (binascii.Error, ValueError):
        return b""
