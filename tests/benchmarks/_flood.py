"""What the servers of `stream` are asked for: a number of chunks, the same from both."""

from __future__ import annotations

__all__ = ["chunks"]

_WORDS = ("the ", "weather in ", "北京 ", "is fine, ", "and a line\nbreak ", "“quoted” ", "0.25 ", "ends. ")


def chunks(count: int) -> list[str]:
    """The first `count` chunks: words of 4 to 13 bytes with their number, as a model's tokens are about that long."""
    return [f"{_WORDS[number % len(_WORDS)]}{number} " for number in range(count)]
