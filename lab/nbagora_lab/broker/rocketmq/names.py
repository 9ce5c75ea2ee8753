"""How names are spelt on RocketMQ, which takes ``[A-Za-z0-9_-]``, at most 64 of them for a lite topic.

| name | spelt |
|---|---|
| up to 63 letters, digits, ``_`` and ``-``, a letter or digit first | as it is |
| up to 46 bytes of UTF-8 | ``_`` and base64url |
| 47 or 48 bytes | 64 letters of base64url; the shorter one has a zero byte behind, which no name has |
| longer | ``-`` and base64url of its SHA-256; the name is in the topic's ``topic.opened`` |

A parent topic or group is ``<lab>-<spelt>``; what a lab writes of itself is on the topic ``<lab>``.
"""

from __future__ import annotations

import base64
import hashlib
import re

__all__ = ["lite_spelt", "lite_unspelt", "lmq", "parent_spelt", "parent_unspelt"]

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_WHOLE = 48  # bytes that 64 letters hold


def lite_spelt(name: str) -> str:
    """How a lite topic is called there.

    Example:
        >>> lite_spelt("ctx-1"), lite_spelt("天气"), len(lite_spelt("a" * 64))
        ('ctx-1', '_5aSp5rCU', 45)
    """
    if _PLAIN.fullmatch(name):
        return name
    raw = name.encode()
    if len(raw) < _WHOLE - 1:
        return f"_{_letters(raw)}"
    if len(raw) <= _WHOLE:
        return _letters(raw.ljust(_WHOLE, b"\0"))
    return f"-{_letters(hashlib.sha256(raw).digest())}"


def lite_unspelt(spelt: str) -> str | None:
    """The name that is spelt so; None where only `topic.opened` tells it.

    Example:
        >>> lite_unspelt("_5aSp5rCU")
        '天气'
    """
    if len(spelt) == _WHOLE * 4 // 3:
        return _bytes(spelt).rstrip(b"\0").decode()
    if spelt.startswith("-"):
        return None
    return _bytes(spelt[1:]).decode() if spelt.startswith("_") else spelt


def parent_spelt(lab: str, name: str) -> str:
    """How a lab's parent topic, or group, is called there."""
    return f"{lab}-{lite_spelt(name)}"


def parent_unspelt(lab: str, spelt: str) -> str | None:
    """The parent topic that is spelt so; None where it is another lab's, or its name was too long."""
    prefix = f"{lab}-"
    return lite_unspelt(spelt[len(prefix) :]) if spelt.startswith(prefix) else None


def lmq(parent: str, lite: str) -> str:
    """The queue of a lite topic, both already spelt, as the remoting protocol names it."""
    return f"%LMQ%${parent}${lite}"


def _letters(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(letters: str) -> bytes:
    return base64.urlsafe_b64decode(letters + "=" * (-len(letters) % 4))
