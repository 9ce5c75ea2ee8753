"""JSON objects in files that people write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nbagora_lab.core.errors import UsageError

__all__ = ["read_object"]


def read_object(path: Path, what: str = "object") -> dict[str, Any]:
    """The JSON object in a file.

    Args:
        path: The file.
        what: What it is to hold, as errors call it.

    Raises:
        UsageError: There is none.
    """
    hint = f"give a file with {'an AgentCard in JSON' if what == 'card' else 'a JSON object in it'}"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} holds no {what}: {error}", hint) from None
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds no {what} but a {type(content).__name__}", hint)
    return content
