"""Signatures of tickets, and the keys that make them."""

import hashlib
import re
from collections.abc import Sequence

from itsdangerous import Signer, base64_decode, base64_encode

_KEY = re.compile("[!-~]{16,}")
"""Shorter keys can be guessed, by asking the server or from a ticket."""
_SCRYPT_COST = 2**13
"""20 ms and 8 MiB for each guess of a key by a program that has a ticket, and for each key when the first ticket is made."""


def parse_keys(text: str) -> tuple[str, ...]:
    """Return comma-separated keys. Raises ValueError if one is short, or has other characters than visible ASCII."""
    keys = tuple(key.strip() for key in text.split(","))
    if not all(map(_KEY.fullmatch, keys)):
        raise ValueError
    return keys


class TicketSigner:
    """Signs what tickets say, and checks signatures.

    All processes and hosts with the same keys sign and accept the same. The first key signs, all are accepted: adding a key at
    the end invalidates no ticket, and removing one invalidates those that it signed.

    purpose: a signature for one purpose is worthless for another
    """

    def __init__(self, keys: Sequence[str], purpose: str) -> None:
        # itsdangerous signs with the last one. The keys may have been chosen by people, and a ticket is in logs and histories:
        # a plain hash would let its finder try a billion keys a second.
        secrets = [_derive(key) for key in reversed(keys)]
        self._signer = Signer(secrets, salt=purpose, digest_method=hashlib.sha256)

    def sign(self, terms: str) -> str:
        """Return the signature, in characters that a URL takes."""
        return self._signer.get_signature(terms).decode()

    def has_signed(self, terms: str, signature: str) -> bool:
        """Return whether the signature is exactly the one that ``sign`` returns, with one of the keys."""
        # Four different last characters stand for the same bytes.
        return self._signer.verify_signature(terms, signature) and signature == (
            base64_encode(base64_decode(signature)).decode()
        )


def _derive(key: str) -> bytes:
    # The salt is the same everywhere, because all hosts have to derive the same secret.
    return hashlib.scrypt(
        key.encode(), salt=b"flask-sluice tickets", n=_SCRYPT_COST, r=8, p=1, dklen=32
    )
