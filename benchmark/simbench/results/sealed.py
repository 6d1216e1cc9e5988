"""Seal of JSON files: a checksum of all other bytes, as the first entry of the object.

A sealed file is one JSON object, which any reader understands: `{"sha256":"…",` and the rest of the object, whose bytes
the checksum is of.
"""

from __future__ import annotations

import hashlib

BEGINNING, AFTER_DIGEST = b'{"sha256":"', b'",'
HEX_DIGITS = 64


class BrokenSealError(ValueError):
    """Raised where the content of a file does not match the checksum in it."""


def seal(document: bytes) -> bytes:
    """Return the JSON object with its checksum as the first entry; `document` is an object with at least one entry.

    >>> unseal(seal(b'{"value":1}'))
    b'{"value":1}'
    """
    rest = document[1:]
    return BEGINNING + hashlib.sha256(rest).hexdigest().encode() + AFTER_DIGEST + rest


def is_sealed(raw: bytes) -> bool:
    """Tell whether a file begins as a sealed one does."""
    return raw.startswith(BEGINNING)


def unseal(raw: bytes) -> bytes:
    """Return the JSON object without its checksum; raise `BrokenSealError` if it is not what was sealed."""
    start = len(BEGINNING) + HEX_DIGITS
    digest, separator, rest = raw[len(BEGINNING) : start], raw[start : start + len(AFTER_DIGEST)], raw[start + 2 :]
    if separator != AFTER_DIGEST or hashlib.sha256(rest).hexdigest().encode() != digest:
        raise BrokenSealError("fails its checksum")
    return b"{" + rest
