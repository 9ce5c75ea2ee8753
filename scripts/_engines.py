"""Starts real servers for the two protocols, finds them again, and ends them.

`up`, `down` and `state` are for tests and benchmarks as well, with a folder of their own.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import _nacos
import _rocketmq
from _jars import fetched, version
from _server import Server, locked, secret_file
from _setup import ROOT, Failed, command, say, step

__all__ = ["ENGINES", "FOLDER", "down", "main", "running", "up"]

ENGINES = ("rocketmq", "nacos")
FOLDER = ROOT / "artifacts" / "engines"
"""Holds a folder for each server that the command starts."""
NOTE = ROOT / ".nbagora-servers.json"
"""Where a lab that is started in this checkout finds the servers; see nbagora_lab.core.settings."""


def announce() -> None:
    """Says in the checkout's folder which servers run, as settings of a lab."""
    told: dict[str, str] = {}
    for name in ENGINES:
        if server := running(FOLDER / name):
            told |= server.settings
    if told:
        secret_file(NOTE, json.dumps(told))
    else:
        NOTE.unlink(missing_ok=True)


def up(
    engine: str,
    folder: Path,
    *,
    ports: dict[str, int] | None = None,
    brokers: int = 1,
    fsync: bool = False,
    conf: dict[str, str] | None = None,
) -> Server:
    """Has a server run: starts what isn't running, with the configuration and data that its folder holds.

    Args:
        engine: One of `ENGINES`.
        folder: What belongs to the server, and to no other.
        ports: Fixed ones; None: free ones. Like what follows, looked at only where the folder is new.
        brokers: Of RocketMQ.
        fsync: Whether RocketMQ acknowledges only what is on the disk.
        conf: Further settings of RocketMQ's brokers.

    Raises:
        Failed: A JDK or Maven is missing, a jar is wrong, a port is taken, or it doesn't start.
    """
    with locked(folder):
        server = Server.load(folder)
        if engine == "rocketmq":
            options = {"ports": ports, "brokers": brokers, "fsync": fsync, "conf": conf or {}}
            server = server or _rocketmq.plan(folder, **options)  # type: ignore[arg-type]
        else:
            server = server or _nacos.plan(folder, ports=ports)
        server.save()
        try:
            (_rocketmq if engine == "rocketmq" else _nacos).bring_up(server)
        except BaseException:
            server.stop(grace=5)
            raise
        return server


def running(folder: Path) -> Server | None:
    """A folder's server, where all of it runs."""
    server = Server.load(folder)
    return server if server and all(server.running(part) for part in server.parts) else None


def down(folder: Path, *, grace: float = 60, forget: bool = False) -> bool:
    """Ends a folder's servers.

    Args:
        folder: What `up` was given.
        grace: Seconds that a process gets to end by itself.
        forget: Whether to remove the folder with all data.

    Returns:
        Whether any ran.
    """
    if not folder.is_dir():
        return False
    with locked(folder):
        server = Server.load(folder)
        ran = server is not None and any(server.running(part) for part in server.parts)
        if server:
            server.stop(grace=grace)
    if forget:
        shutil.rmtree(folder)
    return ran


@command
def main(args: list[str]) -> int:
    """``scripts/engines up|down|status [rocketmq] [nacos]``."""
    parser = argparse.ArgumentParser(prog="scripts/engines", description="Runs RocketMQ and Nacos on loopback.")
    parser.add_argument("verb", choices=["up", "down", "status"])
    parser.add_argument("names", nargs="*", metavar="rocketmq|nacos", help="which ones; none named: both")
    parser.add_argument("--json", action="store_true", help="endpoints and credentials as one JSON object")
    parser.add_argument(
        "--fixed", action="store_true", help="up: the usual ports (8081, 9876, 10911; 8848), not free ones"
    )
    parser.add_argument("--brokers", type=int, default=1, metavar="N", help="up: brokers of RocketMQ")
    parser.add_argument(
        "--durability", choices=["os", "fsync"], default="os", help="up: of RocketMQ; fsync: on the disk"
    )
    parser.add_argument("--forget", action="store_true", help="down: remove configuration, data and logs as well")
    parser.add_argument("--folder", type=Path, default=FOLDER, metavar="DIR", help="what belongs to them (%(default)s)")
    given = parser.parse_intermixed_args(args)
    if unknown := set(given.names) - set(ENGINES):
        raise Failed(f"no engine {min(unknown)}; there are: {', '.join(ENGINES)}")
    told: dict[str, object] = {}
    for name in [name for name in ENGINES if name in (given.names or ENGINES)]:
        folder = (given.folder / name).absolute()
        if given.verb == "down":
            ran = down(folder, forget=given.forget)
            say(f"{name} is down" if ran else f"{name} was not running")
            continue
        if given.verb == "up":
            usual = (_rocketmq if name == "rocketmq" else _nacos).PORTS if given.fixed else None
            fsync = given.durability == "fsync"
            if not given.json:
                with step(f"jars of {name} {version(name)}"):
                    fetched(name)
            if given.json:
                server = up(name, folder, ports=usual, brokers=given.brokers, fsync=fsync)
            else:
                with step(f"{name} up"):
                    server = up(name, folder, ports=usual, brokers=given.brokers, fsync=fsync)
        else:
            found = running(folder)
            if not found:
                told[name] = {"running": False}
                if not given.json:
                    say(f"{name} is not running: scripts/engines up {name}")
                continue
            server = found
        told[name] = {
            "running": True,
            "version": server.version,
            **server.endpoints,
            "pids": {part.name: part.pid for part in server.parts},
        }
        if not given.json:
            _tell(server)
    if given.folder == FOLDER and given.verb != "status":
        announce()
    if given.json and given.verb != "down":
        say(json.dumps(told))
    return 0


def _tell(server: Server) -> None:
    say(f"{server.engine} {server.version}, in {server.folder}")
    for name, value in server.endpoints.items():
        say(f"  {name:<10} {', '.join(value) if isinstance(value, list) else value}")
    say(f"  {'processes':<10} {', '.join(f'{part.name} {part.pid}' for part in server.parts)}")
    for note in server.notes:
        say(f"  note: {note}")
