"""The jars of a server: got from Maven Central once, kept outside the repository, and what the project's list says.

A server is a folder of `SERVERS`: ``pom.xml`` names what it is made of, ``sha256`` every jar that comes with it.
Nothing is started from a jar that the list doesn't know, or knows otherwise.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import _system
from _setup import ROOT, Failed, run

__all__ = ["SERVERS", "cache", "fetched", "java", "version"]

SERVERS = ROOT / "scripts" / "servers"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
JAVA = 17


def cache() -> Path:
    """Folder that holds what was got, for all checkouts of this user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nbagora" / "servers"


def version(engine: str) -> str:
    """The version of a server that the project pins."""
    found = re.search(r"<version>([^<]+)</version>", (SERVERS / engine / "pom.xml").read_text(encoding="utf-8"))
    assert found
    return found[1]


def fetched(engine: str) -> Path:
    """The folder of a server's jars, got by Maven where the cache lacks them, and checked either way.

    Raises:
        Failed: Maven is missing or failed, or a jar isn't the one that the list names.
    """
    place = cache() / f"{engine}-{version(engine)}"
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        mvn = _tool("mvn")
        folder = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
        try:
            pom = SERVERS / engine / "pom.xml"
            run([mvn, "-B", "-q", "-f", pom, PLUGIN, "-DincludeScope=runtime", f"-DoutputDirectory={folder}"])
            _check(engine, folder)
            try:
                folder.rename(place)
            except OSError:  # another checkout was quicker
                if not place.is_dir():
                    raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    _check(engine, place)
    return place


def java(name: str = "java") -> str:
    """Path of a program of a new enough JDK: ``java`` or ``javac``.

    Raises:
        Failed: There is none.
    """
    path = _tool(name)
    done = subprocess.run([path, "-version"], capture_output=True, encoding="utf-8", check=False)
    said = done.stdout + done.stderr
    found = re.search(r'(?:version "|javac )(\d+)', said)
    if not found or int(found[1]) < JAVA:
        first = (said.splitlines() or ["nothing"])[0]
        raise Failed(f"needs a JDK {JAVA} or newer, and {path} says: {first}; {_system.hint(name)}")
    return path


def _tool(name: str) -> str:
    if path := _system.find(name):
        return path
    raise Failed(f"needs {name}: {_system.hint(name)}")


def _check(engine: str, folder: Path) -> None:
    lines = (SERVERS / engine / "sha256").read_text(encoding="utf-8").splitlines()
    wanted = {name: sha256 for sha256, name in (line.split() for line in lines)}
    held = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    if wrong := sorted(name for name in wanted | held if wanted.get(name) != held.get(name)):
        first, more = wrong[0], f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        why = "is not in the project's list" if first not in wanted else "is missing" if first not in held else ""
        why = why or f"has SHA-256 {held[first]}, not {wanted[first]}"
        raise Failed(f"{engine} is not started: {first} {why}{more}; remove {folder} to get its jars again")
