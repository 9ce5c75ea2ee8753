"""Flows: `chain`, `route`, `parallel` and their like, to be used in an agent's function.

    from nbagora.flows import chain, gate

Importing this costs next to nothing; pydantic-ai is imported by whoever makes an `Agent`.
"""

from nbagora_lab import flows
from nbagora_lab.flows import *  # noqa: F403 -- all that is public there, under the name that people type

__all__: list[str] = []
__all__ += flows.__all__
