"""Agents: what a cell defines, run so that each of its words is a record first.

`definition` says what can be an agent, `task` and `message` are what its function gets, `output` turns what it yields
into events, `runner` runs it on the agents' own loop or a worker, `prints` sends its prints to the task's log.
`models` are pydantic-ai models that need no key; `pydantic` runs pydantic-ai agents. Both import pydantic-ai, which
takes half a second, and are loaded by whoever uses them.
"""

from nbagora_lab.agents.definition import AgentDefinition, define
from nbagora_lab.agents.message import File, Message
from nbagora_lab.agents.runner import Runner, Runs
from nbagora_lab.agents.task import AgentTask

__all__ = ["AgentDefinition", "AgentTask", "File", "Message", "Runner", "Runs", "define"]
