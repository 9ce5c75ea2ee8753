"""Every setting of a lab, declared once: type, unit, default and help.

`%config`, the command line and the table in the README are made from this class. A value is taken from the first of:
the constructor or command, the environment (``NBAGORA_PORT=8765``), ``[tool.nbagora]`` in the nearest
``pyproject.toml`` at or above the working folder, the servers that ``scripts/engines`` runs there, the default.
"""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nbagora_lab.core.errors import UsageError, did_you_mean

__all__ = ["SERVERS", "Settings"]

SERVERS = ".nbagora-servers.json"
"""Where ``scripts/engines`` says which servers it runs: settings by name, in the checkout's folder."""


class Settings(BaseModel):
    """A lab's settings.

    Example:
        >>> Settings.load(port=8765).port
        8765
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: Path = Field(Path(".nbagora"), description="folder that holds the lab's topics, registry and keys")
    join: str | None = Field(
        None, description="URL of a lab, or folder of its store, whose topics and registry to use instead"
    )
    broker: Literal["embedded", "rocketmq"] = Field("embedded", description="engine of the topics")
    registry: Literal["embedded", "nacos"] = Field("embedded", description="engine of the registry")
    seed: int | None = Field(None, description="makes ids repeatable; unset, they are random")
    clock: Literal["system", "virtual"] = Field("system", description="virtual stands still, for repeatable traces")
    durability: Literal["os", "fsync"] = Field(
        "os", description="os: survives the death of the process; fsync: also the loss of power"
    )
    host: str = Field("127.0.0.1", description="address that the doors listen on")
    port: int = Field(0, ge=0, le=65535, description="port of the doors; 0: the store's former one, or else a free one")
    grpc: int | None = Field(
        None, ge=0, le=65535, description="port of A2A over gRPC (the extra grpc); 0: a free one; unset: none"
    )
    token: str | None = Field(None, description="bearer token of the doors; unset: the store's own; empty: no token")
    allowed_hosts: tuple[str, ...] = Field((), description="Host names that the doors answer to, beside loopback")
    allowed_origins: tuple[str, ...] = Field(
        (), description="Origins of web pages that may call the doors and read the answers"
    )
    body_limit: int = Field(8 << 20, ge=1024, description="largest request body at the doors, in bytes")
    depth_limit: int = Field(100, ge=8, description="deepest nesting of JSON at the doors")
    record_limit: int = Field(64 << 20, ge=1024, le=1 << 30, description="largest record, its head included, in bytes")
    stored_body_limit: int = Field(1 << 30, ge=1 << 20, description="largest body kept beside its record, in bytes")
    model: str = Field(
        "none",
        description="what answers for agents without a model: rules, router, tape:FILE, live:NAME; see %lab doctor",
    )
    model_requests_limit: int = Field(50, ge=0, description="requests to a model that one run of an agent may make")
    tool_calls_limit: int = Field(200, ge=0, description="tool calls that one run of an agent may make")
    tool_timeout: float = Field(60.0, ge=0, description="seconds that one tool call may take; 0: as long as it likes")
    tool_result_limit: int = Field(1 << 20, ge=1, description="characters of a tool's result at most")
    memory_window: int = Field(
        0, ge=0, description="turns of a conversation that a model gets word for word, the rest in short; 0: all"
    )
    concurrency: int = Field(1000, ge=1, description="tasks that an agent works on at once, unless it says otherwise")
    cancel_grace: float = Field(5.0, ge=0, description="seconds that a cancelled agent has to end")
    lease: float = Field(
        30.0, gt=0, description="seconds that an agent's endpoint stays registered without a heartbeat"
    )
    probe: float = Field(
        30.0, ge=0, description="seconds between two looks at endpoints and cards that are elsewhere; 0: none"
    )
    private_cards: bool = Field(
        False, description="whether cards may be fetched from private addresses, and lead to them"
    )
    card_signatures: Literal["checked", "required", "ignored"] = Field(
        "checked", description="agents elsewhere: those whose card's signature fails, or has none, are not called"
    )
    card_keys: Path | None = Field(
        None, description="JWKS file of keys that must have signed cards; unset: those that their servers publish"
    )
    public_url: str = Field(
        "", description="URL at which agents elsewhere reach the doors, to push; empty: only this machine's do"
    )
    rocketmq: str = Field("127.0.0.1:8081", description="host:port of RocketMQ's proxy")
    rocketmq_namesrv: str = Field("127.0.0.1:9876", description="host:port of RocketMQ's name server")
    rocketmq_access_key: str = Field("", description="user at RocketMQ, where it wants one")
    rocketmq_secret_key: str = Field("", repr=False, description="that user's password")
    nacos: str = Field("127.0.0.1:8848", description="host:port of Nacos, or its URL with the context path")
    nacos_user: str = Field("nacos", description="user at Nacos; empty where it wants none")
    nacos_password: str = Field("", repr=False, description="that user's password; unset: the store's key file's")
    nacos_namespace: str | None = Field(
        None,
        pattern="^[A-Za-z][A-Za-z0-9_-]{0,63}$",
        description="namespace at Nacos, the same for labs that share a registry; unset: the lab's own",
    )
    lab_id: str | None = Field(
        None,
        pattern="^[a-z][a-z0-9]{0,19}$",
        description="the lab's name on shared servers, a prefix of what it has there; unset: the store's own",
    )
    merge_chunks: bool | None = Field(
        None,
        description="whether text that an agent says while an append is in flight becomes one event; "
        "unset: on RocketMQ, but for a virtual clock, where each run is to leave the same trace",
    )
    patience: float = Field(60.0, gt=0, description="seconds that a write waits for servers that are away")
    push_allow: tuple[str, ...] = Field(
        (), description="hosts, or host:port, of webhooks that need not be public, such as localhost"
    )
    view_rate: float = Field(10.0, gt=0, le=20, description="snapshots a second that a live view gets at most")

    @property
    def merges(self) -> bool:
        """Whether chunks are merged."""
        return (
            self.merge_chunks
            if self.merge_chunks is not None
            else self.broker == "rocketmq" and self.clock != "virtual"
        )

    @classmethod
    def load(cls, **given: Any) -> Settings:
        """The settings in force here.

        Args:
            given: Values that go before all others; those that are None count as not given.

        Raises:
            UsageError: A name that is no setting, or a value that does not fit; names all of them at once.
        """
        values: dict[str, Any] = {}
        values |= {name: value for name, value in _servers(Path.cwd()).items() if name in cls.model_fields}
        values |= _pyproject(Path.cwd())
        values |= {
            name: os.environ[variable]
            for name in cls.model_fields
            if (variable := f"NBAGORA_{name.upper()}") in os.environ
        }
        values |= {name: value for name, value in given.items() if value is not None}
        if unknown := [name for name in values if name not in cls.model_fields]:
            names = ", ".join(f"'{name}'" for name in unknown)
            raise UsageError(f"no setting {names}", did_you_mean(unknown[0], cls.model_fields))
        for name in ("allowed_hosts", "allowed_origins", "push_allow"):
            if isinstance(values.get(name), str):
                values[name] = tuple(part.strip() for part in values[name].split(",") if part.strip())
        try:
            return cls(**values)
        except ValidationError as error:
            problems = "; ".join(f"{item['loc'][0]}: {item['msg']} (got {item['input']!r})" for item in error.errors())
            raise UsageError(f"settings that do not fit: {problems}", "see %config Lab for what each takes") from None


def _servers(folder: Path) -> dict[str, Any]:
    """What the nearest `SERVERS` at or above `folder` says."""
    for parent in (folder, *folder.parents):
        try:
            return dict(json.loads((parent / SERVERS).read_text(encoding="utf-8")))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, TypeError) as error:
            raise UsageError(f"can't read {parent / SERVERS}: {error}", "scripts/engines up writes it anew") from None
    return {}


def _pyproject(folder: Path) -> dict[str, Any]:
    """The table ``[tool.nbagora]`` of the nearest ``pyproject.toml`` at or above `folder`."""
    for parent in (folder, *folder.parents):
        path = parent / "pyproject.toml"
        if not path.is_file():
            continue
        try:
            return dict(tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("nbagora", {}))
        except (OSError, ValueError) as error:
            raise UsageError(f"can't read {path}: {error}", "mend the file") from None
        except (AttributeError, TypeError):
            raise UsageError(f"[tool.nbagora] in {path} is no table", "mend the file") from None
    return {}
