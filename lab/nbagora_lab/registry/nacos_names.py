"""What things are called at Nacos: names there are ASCII and short, and its own files' names narrower still.

| here | there |
|---|---|
| a namespace | ``LAB``, or ``LAB-`` and its name |
| a name of letters, digits, ``.``, ``_`` and ``-`` up to 64 | itself |
| a name up to 38 bytes | ``nb-`` and its UTF-8 in base 32 |
| any other | ``nb--`` and the beginning of its SHA-256; the name itself stands in the record |

`file_of` is Nacos' own code for names of configs and services (`AsciiAgentIdCodec` of 3.1), read and held by a test.
"""

from __future__ import annotations

import base64
import hashlib
import re

__all__ = ["file_of", "name_of", "space_of", "there"]

_PLAIN = re.compile(r"(?!nb-)[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_OWN = re.compile(r"[A-Za-z.:-]*\Z")
_MOST = 38  # bytes whose base 32 fits 64 characters with what stands in front


def there(name: str) -> str:
    """The name of a thing at Nacos.

    Example:
        >>> there("weather"), there("天气")
        ('weather', 'nb-4wskjzvuvq')
    """
    if _PLAIN.match(name):
        return name
    raw = name.encode()
    if len(raw) <= _MOST:
        return f"nb-{base64.b32encode(raw).decode().rstrip('=').lower()}"
    return f"nb--{hashlib.sha256(raw).hexdigest()[:48]}"


def name_of(known: str) -> str:
    """The name that stands behind one at Nacos; of one that only its record tells, that one itself.

    Example:
        >>> name_of("nb-4wskjzvuvq")
        '天气'
    """
    if known.startswith("nb-") and not known.startswith("nb--"):
        code = known[3:].upper()
        try:
            return base64.b32decode(code + "=" * (-len(code) % 8)).decode()
        except ValueError:  # somebody else's name
            return known
    return known


def space_of(lab: str, namespace: str) -> str:
    """The namespace at Nacos of one of a lab's.

    Example:
        >>> space_of("lab7", "public"), space_of("lab7", "测试")
        ('lab7', 'lab7-nb-42y6l2fpsu')
    """
    return lab if namespace == "public" else f"{lab}-{there(namespace).replace('.', '_')}"


def file_of(name: str) -> str:
    """Nacos' own name for an agent, in its configs and services.

    Example:
        >>> file_of("hotel-finder"), file_of("a1")
        ('hotel-finder', '____:a_049')
    """
    if _OWN.match(name):
        return name
    return "____:" + "".join(letter if _OWN.match(letter) else f"_{ord(letter):03d}" for letter in name)
