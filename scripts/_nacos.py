"""A Nacos server with its registry of agents; authentication is always on."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from _jars import SERVERS, fetched, java, version
from _server import LOOPBACK, Part, Server, free_ports, secret_file
from _setup import Failed

__all__ = ["PORTS", "bring_up", "plan"]

PORTS = {"nacos": 8848}
GRPC, CLUSTER_GRPC, RAFT = 1000, 1001, -1000
"""What the server adds to its port for those that it opens beside."""
USER = "nacos"
BEYOND = "gRPC and Raft listen on all addresses, ports {}, {} and {}: keep them behind a firewall"


def plan(folder: Path, *, ports: dict[str, int] | None) -> Server:
    """Writes a server's configuration, with secrets of its own.

    Args:
        folder: What is to belong to it.
        ports: By the names of `PORTS`; None: a free one.
    """
    jars = fetched("nacos")
    port = ports["nacos"] if ports else free_ports(GRPC, CLUSTER_GRPC, RAFT)[0]
    conf = folder / "conf"
    conf.mkdir(parents=True, exist_ok=True)
    password = secrets.token_hex(16)
    settings: dict[str, object] = {
        "nacos.server.main.port": port,
        "nacos.server.contextPath": "/nacos",
        "nacos.deployment.type": "server",
        "nacos.extension.ai.enabled": "true",
        "nacos.core.auth.system.type": "nacos",
        "nacos.core.auth.enabled": "true",
        "nacos.core.auth.admin.enabled": "true",
        "nacos.core.auth.console.enabled": "true",
        "nacos.core.auth.caching.enabled": "true",
        "nacos.core.auth.server.identity.key": secrets.token_hex(8),  # this header goes past authentication
        "nacos.core.auth.server.identity.value": secrets.token_hex(24),
        "nacos.core.auth.plugin.nacos.token.secret.key": base64.b64encode(secrets.token_bytes(48)).decode(),
        "nacos.core.auth.plugin.nacos.token.expire.seconds": 18000,
        "management.metrics.export.elastic.enabled": "false",
        "management.metrics.export.influx.enabled": "false",
        "db.pool.config.connectionTimeout": 120_000,  # ms; a busy disk makes the database in more than the usual 3 s
        "server.tomcat.basedir": "file:.",
        "nacos.istio.mcp.server.enabled": "false",
        "nacos.k8s.sync.enabled": "false",
    }
    secret_file(conf / "application.properties", "".join(f"{name}={value}\n" for name, value in settings.items()))
    classpath = [f"{jars}{os.sep}hessian-4.0.63.jar", f"{jars}{os.sep}*", str(_launcher(jars, folder))]
    command = [
        java(),
        "-server",
        "-Xms256m",
        "-Xmx512m",
        "-XX:MaxMetaspaceSize=320m",
        "-XX:+UseSerialGC",
        "-Dnacos.standalone=true",
        f"-Dnacos.home={folder}",
        "-Dnacos.deployment.type=server",
        f"-Dnacos.server.ip={LOOPBACK}",
        f"-Dderby.stream.error.file={folder / 'logs' / 'derby.log'}",
        f"-Dnacos.logs.path={folder / 'logs'}",
        "-cp",
        os.pathsep.join(classpath),  # the first hessian must be that one, or gRPC's push is dead and nobody says so
        "Nacos",
        f"--spring.config.additional-location=file:{conf}{os.sep}",
        "--server.max-http-request-header-size=524288",
        f"--server.address={LOOPBACK}",
    ]
    return Server(
        engine="nacos",
        version=version("nacos"),
        folder=folder,
        endpoints={"url": f"http://{LOOPBACK}:{port}/nacos", "username": USER, "password": password},
        settings={"nacos": f"{LOOPBACK}:{port}", "nacos_user": USER, "nacos_password": password},
        notes=[BEYOND.format(port + GRPC, port + CLUSTER_GRPC, port + RAFT)],
        parts=[Part("nacos", command, [port, port + GRPC])],
    )


def bring_up(server: Server) -> None:
    """Starts the server where it isn't running, gives it its password and logs in once.

    Raises:
        Failed: It doesn't start, or refuses its own password.
    """
    (part,) = server.parts
    if not server.running(part):
        server.spawn(part)
    url = server.endpoints["url"]
    server.ready(part, lambda: _call(f"{url}/v3/admin/core/state/readiness")[0] == 200, within=180)
    known = {"username": server.endpoints["username"], "password": server.endpoints["password"]}
    _call(f"{url}/v3/auth/user/admin", {"password": known["password"]})  # the first time only; refused afterwards
    until = time.monotonic() + 30
    while True:
        status, body = _call(f"{url}/v3/auth/user/login", known)
        if status == 200 and "accessToken" in json.loads(body):
            return
        if time.monotonic() > until:
            raise Failed(f"nacos refuses its own password: {status} {body[:200]!r}")
        time.sleep(0.2)


def _call(url: str, form: dict[str, str] | None = None) -> tuple[int, bytes]:
    data = urllib.parse.urlencode(form).encode() if form is not None else None
    try:
        with urllib.request.urlopen(url, data, timeout=10) as answer:  # on loopback
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def _launcher(jars: Path, folder: Path) -> Path:
    """Folder of the compiled launcher."""
    classes = folder / "classes"
    source = SERVERS / "nacos" / "Nacos.java"
    command = [java("javac"), "-proc:none", "-cp", f"{jars}{os.sep}*", "-d", str(classes), str(source)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if done.returncode:
        raise Failed(f"{done.stderr}\nthe launcher of nacos doesn't compile")
    return classes
