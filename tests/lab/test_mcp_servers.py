"""MCP servers, looked at with the official client: real ones, on standard input and over HTTP."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from mcp_server import serving
from nbagora_lab.core.errors import Unreachable, UsageError
from nbagora_lab.lab import Lab
from nbagora_lab.mcp_servers import describe_server, look_at_server

SERVER = """
import sys
from mcp.server.mcpserver import MCPServer

server = MCPServer("sky", title="Sky tools", instructions="Looks at the sky.", version="1.2.0")


@server.tool()
def look(city: str) -> str:
    '''看天空: the sky over a city.'''
    return f"blue over {city}"


if len(sys.argv) > 1:
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
else:
    server.run()
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "sky.py"
    path.write_text(SERVER, encoding="utf-8")
    return path


def test_a_server_on_standard_input_tells_its_tools_and_is_found_by_them(program: Path, tmp_path: Path) -> None:
    described = asyncio.run(look_at_server(f"stdio:{sys.executable} {program}"))
    assert (described["name"], described["version"], described["description"]) == ("sky", "1.2.0", "Looks at the sky.")
    assert [tool["name"] for tool in described["tools"]] == ["look"]
    assert described["tools"][0]["inputSchema"]["required"] == ["city"]
    assert described["command"] == {"program": sys.executable, "arguments": [str(program)]}
    with Lab(store=tmp_path / "agora") as lab:
        assert lab.registry.publish(described, kind="mcp").version == "1.2.0"
        assert [found.agent.name for found in lab.registry.find("天空", kind="mcp", skill="look")] == ["sky"]


def test_a_server_over_http_tells_the_same_and_is_looked_at_again(program: Path, tmp_path: Path) -> None:
    with Lab(store=tmp_path / "agora", token="", probe=0) as lab:
        with serving(program) as url:
            described = describe_server(url)
            assert [tool["name"] for tool in described["tools"]] == ["look"]
            assert "command" not in described
            lab.registry.publish(described, kind="mcp")
            lab.registry.publish(described | {"name": "other", "tools": [{"name": "touch"}]}, kind="mcp")
            for name in ("sky", "other"):
                lab.registry.register_endpoint(name, "1.2.0", url, "streamable-http", kind="mcp", lease=600)
            [place] = lab.registry.endpoints("sky", kind="mcp")
            assert lab.service.call(lab.upkeep.run_once).found[place.id] is True
            lab.service.call(lab.upkeep.run_once)
            [told] = [line.message for line in lab.log() if line.level == "WARNING" and "the tools at" in line.message]
            assert told.startswith(f"the tools at {url} are not 'other' 1.2.0: /tools/0/")
        assert lab.service.call(lab.upkeep.probe, "sky", "mcp") == {place.id: False}
        [gone] = lab.registry.endpoints("sky", kind="mcp")
        assert (gone.state, "no MCP server that answers" in gone.reason) == ("down", True)


def test_a_server_that_nobody_here_can_look_at_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    with Lab(store=tmp_path / "agora", token="", probe=0) as lab:
        lab.registry.publish({"name": "sky", "description": "d", "tools": []}, version="1", kind="mcp")
        lab.registry.register_endpoint("sky", "1", "http://127.0.0.1:1/mcp", "streamable-http", kind="mcp")
        assert lab.service.call(lab.upkeep.run_once).found == {}
        assert [one.state for one in lab.registry.endpoints("sky", kind="mcp")] == ["up"]


def test_what_is_no_server_says_so() -> None:
    for server in ("http://127.0.0.1:1/mcp", "stdio:/nonexistent", f"stdio:{sys.executable} -c pass"):
        with pytest.raises(Unreachable, match="no MCP server that answers"):
            describe_server(server)
    for server in ("sky", "stdio:", "ftp://x"):
        with pytest.raises(UsageError, match="names no MCP server"):
            describe_server(server)


def test_without_the_client_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(UsageError, match="not installed"):
        describe_server("http://127.0.0.1:1/mcp")
