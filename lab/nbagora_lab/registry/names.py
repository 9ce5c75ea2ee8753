"""The rules for what the registry's things are called, and for the places where they answer.

Names keep the rules that topics keep (1 to 512 bytes of UTF-8 without control characters or ``/``). A version begins
with a digit and a label with a letter, so that one argument can take either.
"""

from __future__ import annotations

import math
import re
from urllib.parse import urlsplit

from nbagora_lab.core.errors import BadName, UsageError

__all__ = ["automatic_number", "check_endpoint", "check_label", "check_version", "is_version"]

_VERSION = re.compile(r"[0-9][0-9A-Za-z.+_~-]{0,63}\Z")
_LABEL = re.compile(r"[\w.-]{1,64}\Z")
_AUTOMATIC = re.compile(r"0\.0\.(0|[1-9][0-9]{0,17})\Z")
_TRANSPORT = re.compile(r"[!-~]{1,64}\Z")
_LONGEST_URL = 2048


def is_version(text: str) -> bool:
    """Whether `text` can only be a version: it begins with a digit.

    Example:
        >>> is_version("1.0.0"), is_version("latest")
        (True, False)
    """
    return text[:1].isascii() and text[:1].isdigit()


def check_version(version: str) -> str:
    """Returns `version` if it keeps the rule for versions.

    Raises:
        BadName: It does not.
    """
    if not _VERSION.match(version):
        raise BadName(
            f"{_shown(version)} is no version",
            "a version begins with a digit and has 1 to 64 of the characters 0-9 A-Z a-z . + _ ~ -, such as 1.0.0",
        )
    return version


def check_label(label: str) -> str:
    """Returns `label` if it keeps the rule for labels.

    Raises:
        BadName: It does not.
    """
    if not (_LABEL.match(label) and label[0].isalpha()):
        raise BadName(
            f"{_shown(label)} is no label",
            "a label begins with a letter and has 1 to 64 letters, digits, '.', '_' or '-', such as stable",
        )
    return label


def automatic_number(version: str) -> int | None:
    """The N of a version ``0.0.N``, None of any other.

    Example:
        >>> automatic_number("0.0.12"), automatic_number("1.0.0")
        (12, None)
    """
    found = _AUTOMATIC.match(version)
    return int(found[1]) if found else None


def check_endpoint(url: str, transport: str, lease: float, *, weight: float = 1.0) -> None:
    """Checks the parts of an endpoint; A2A's two HTTP transports need an http or https URL.

    Raises:
        UsageError: One of them does not fit.
    """
    if not _TRANSPORT.match(transport):
        raise UsageError(f"{_shown(transport)} is no transport", "A2A has JSONRPC, HTTP+JSON and GRPC")
    problem = ""
    if not url or len(url) > _LONGEST_URL or any(letter.isspace() or not letter.isprintable() for letter in url):
        problem = f"it takes 1 to {_LONGEST_URL} characters without blanks"
    elif transport in {"JSONRPC", "HTTP+JSON"}:
        try:
            parts = urlsplit(url)
            good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        problem = (
            "" if good else f"{transport} takes an http or https URL, such as http://127.0.0.1:8000/agents/weather"
        )
    if problem:
        raise UsageError(f"{_shown(url)} is no URL of an endpoint", problem)
    if not (math.isfinite(lease) and lease > 0):
        raise UsageError(f"a lease of {lease!r} s", "a lease takes a number of seconds above 0")
    if not (math.isfinite(weight) and weight > 0):
        raise UsageError(f"a weight of {weight!r}", "an endpoint's weight is a number above 0; drain what gets nothing")


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 60 else f"{text[:57]}...")
