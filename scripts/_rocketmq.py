"""A RocketMQ cluster with lite topics: a name server, one or more brokers, and a proxy in front of them."""

from __future__ import annotations

import json
import os
import socket
import struct
import zipfile
from pathlib import Path
from typing import Any

from _jars import fetched, java, version
from _server import LOOPBACK, Part, Server, free_ports

__all__ = ["PORTS", "bring_up", "plan"]

PORTS = {"proxy": 8081, "namesrv": 9876, "broker": 10911}
CLUSTER = "nbagora"
LARGEST = 64 << 20  # a record's limit in a lab; the servers' own is a little above
FRAME = 128 << 20
MODULES = [
    "--add-exports=java.base/sun.nio.ch=ALL-UNNAMED",
    *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in ("sun.nio.ch", "java.nio", "java.lang", "java.util")),
    "-Dio.netty.tryReflectionSetAccessible=true",
]
MAINS = {
    "namesrv": ("org.apache.rocketmq.namesrv.NamesrvStartup", "256m"),
    "broker": ("org.apache.rocketmq.broker.BrokerStartup", "1g"),
    "proxy": ("org.apache.rocketmq.proxy.ProxyStartup", "768m"),
}
CLUSTER_INFO, RUNTIME_INFO = 106, 28


def plan(folder: Path, *, ports: dict[str, int] | None, brokers: int, fsync: bool, conf: dict[str, str]) -> Server:
    """Writes a cluster's configuration.

    Args:
        folder: What is to belong to it.
        ports: By the names of `PORTS`; None: free ones. Further brokers get the ports ten above each other.
        brokers: How many.
        fsync: Whether a message is on the disk before it is acknowledged.
        conf: Further lines of ``broker.conf``.
    """
    jars = fetched("rocketmq")
    found = ports or {"proxy": free_ports()[0], "namesrv": free_ports()[0], "broker": free_ports(-2, 1)[0]}
    namesrv = f"{LOOPBACK}:{found['namesrv']}"
    (folder / "conf").mkdir(parents=True, exist_ok=True)
    _logbacks(jars, folder / "conf")
    made = Server(
        engine="rocketmq",
        version=version("rocketmq"),
        folder=folder,
        endpoints={"endpoints": f"{LOOPBACK}:{found['proxy']}", "namesrv": namesrv, "brokers": []},
        settings={"rocketmq": f"{LOOPBACK}:{found['proxy']}", "rocketmq_namesrv": namesrv},
    )
    conf_file = _properties(
        folder / "conf" / "namesrv.conf",
        listenPort=found["namesrv"],
        bindAddress=LOOPBACK,
        rocketmqHome=folder,
        kvConfigPath=folder / "namesrv" / "kvConfig.json",
        configStorePath=folder / "namesrv" / "namesrv.properties",
    )
    made.parts.append(
        Part("namesrv", _command(jars, folder, "namesrv", "namesrv", "-c", conf_file), [found["namesrv"]])
    )
    for number in range(brokers):
        name = f"broker-{chr(ord('a') + number)}"
        port = found["broker"] + 10 * number if ports or not number else free_ports(-2, 1)[0]
        conf_file = _properties(
            folder / "conf" / f"{name}.conf",
            brokerClusterName=CLUSTER,
            brokerName=name,
            brokerId=0,
            brokerRole="ASYNC_MASTER",
            flushDiskType="SYNC_FLUSH" if fsync else "ASYNC_FLUSH",
            brokerIP1=LOOPBACK,
            brokerIP2=LOOPBACK,
            bindAddress=LOOPBACK,
            listenPort=port,
            haListenPort=port + 1,
            fastListenPort=port - 2,
            namesrvAddr=namesrv,
            storePathRootDir=folder / name,
            storePathCommitLog=folder / name / "commitlog",
            enableLmq="true",
            enableMultiDispatch="true",
            storeType="defaultRocksDB",
            mappedFileSizeCommitLog=128 << 20,
            maxMessageSize=LARGEST + (1 << 20),
            fileReservedTime=24 * 8,  # a session lives for 7 days unless it is set otherwise
            diskMaxUsedSpaceRatio=95,
            autoCreateTopicEnable="false",
            autoCreateSubscriptionGroup="false",
            **conf,
        )
        made.parts.append(Part(name, _command(jars, folder, "broker", name, "-c", conf_file), [port, port - 2]))
        made.endpoints["brokers"].append(f"{LOOPBACK}:{port}")
        made.notes.append(f"{name} listens for replicas on all addresses, port {port + 1}")
    remoting = free_ports()[0] if ports is None else found["proxy"] - 1
    settings: dict[str, Any] = {
        "rocketMQClusterName": CLUSTER,
        "proxyClusterName": CLUSTER,
        "namesrvAddr": namesrv,
        "grpcServerPort": found["proxy"],
        "remotingListenPort": remoting,
        "maxMessageSize": LARGEST + (1 << 20),
        "grpcMaxInboundMessageSize": FRAME,
    }
    proxy_file = folder / "conf" / "rmq-proxy.json"
    proxy_file.write_text(json.dumps(settings, indent=1), encoding="utf-8")
    command = _command(jars, folder, "proxy", "proxy", "-pm", "cluster", "-n", namesrv, "-pc", str(proxy_file))
    made.parts.append(Part("proxy", command, [found["proxy"], remoting]))
    made.notes.append(
        f"the proxy listens on all addresses, ports {found['proxy']} and {remoting}: keep them behind a firewall"
    )
    return made


def bring_up(server: Server) -> None:
    """Starts what isn't running, each part once those before it work.

    Raises:
        Failed: A part doesn't start.
    """
    namesrv = server.part("namesrv")
    for part in server.parts:
        if not server.running(part):
            server.spawn(part)
        if part.name.startswith("broker"):
            server.ready(part, lambda part=part: _registered(namesrv.ports[0], part))  # type: ignore[misc]
        else:
            server.ready(part)


def _registered(namesrv: int, part: Part) -> bool:
    """Whether the name server lists a broker, and the broker answers."""
    return part.name.encode() in _ask(namesrv, CLUSTER_INFO) and bool(_ask(part.ports[0], RUNTIME_INFO))


def _ask(port: int, code: int) -> bytes:
    """Body of the answer to a request of the remoting protocol; empty where it was refused."""
    head = json.dumps(
        {"code": code, "language": "OTHER", "version": 521, "opaque": 1, "flag": 0, "serializeTypeCurrentRPC": "JSON"}
    ).encode()
    with socket.create_connection((LOOPBACK, port), timeout=5) as link:
        link.sendall(struct.pack(">II", 4 + len(head), len(head)) + head)
        stream = link.makefile("rb")
        (length,) = struct.unpack(">I", stream.read(4).rjust(4, b"\0"))
        frame = stream.read(length)
    if len(frame) < 4:
        return b""
    cut = 4 + (int.from_bytes(frame[:4], "big") & 0xFFFFFF)
    return frame[cut:] if json.loads(frame[4:cut]).get("code") == 0 else b""


def _command(jars: Path, folder: Path, part: str, name: str, *args: str | Path) -> list[str]:
    main, heap = MAINS[part]
    return [
        java(),
        *MODULES,
        "-XX:+UseSerialGC",
        f"-Xms{heap if part == 'namesrv' else '256m'}",
        f"-Xmx{heap}",
        "-XX:MaxDirectMemorySize=1g",
        f"-Drocketmq.home.dir={folder}",
        f"-Duser.home={folder / 'logs' / name}",
        f"-Drmq.logback.configurationFile={folder / 'conf' / f'rmq.{part}.logback.xml'}",
        f"-Dcom.rocketmq.remoting.frameMaxLength={FRAME}",
        "-cp",
        os.pathsep.join([str(folder / "conf"), f"{jars}{os.sep}*"]),
        main,
        *(str(arg) for arg in args),
    ]


def _logbacks(jars: Path, conf: Path) -> None:
    """Puts the servers' own settings for their logs where they can be named."""
    for part in MAINS:
        name = f"rmq.{part}.logback.xml"
        with zipfile.ZipFile(jars / f"rocketmq-{part}-{version('rocketmq')}.jar") as jar:
            (conf / name).write_bytes(jar.read(name))


def _properties(path: Path, **values: object) -> Path:
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()), encoding="utf-8")
    return path
