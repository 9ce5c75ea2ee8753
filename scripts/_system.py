"""Programs that tests and benchmarks need from the system: where they are, and the one line that installs them.

On Debian and Ubuntu, as root, `install` runs that line itself for what tests need; elsewhere a test that lacks one is
skipped by name. A benchmark's peers are only looked for: a package of a server starts it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field

from _setup import Failed, run, say, step

__all__ = ["EVERY", "PEERS", "SERVERS", "TOOLS", "Tool", "find", "hint", "install"]


@dataclass(frozen=True)
class Tool:
    """A program of the system.

    Attributes:
        variable: Environment variable that names it, for one in an unusual place.
        names: What it may be called on the PATH.
        places: Where it may be beside the PATH.
        packages: By package manager, what installs it.
    """

    variable: str
    names: tuple[str, ...]
    packages: dict[str, str]
    places: tuple[str, ...] = field(default=())


TOOLS = {
    "chromium": Tool(
        "CHROMIUM",
        ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"),
        {
            "apt-get": "chromium fonts-wqy-microhei",  # the font: Chinese text in screenshots
            "dnf": "chromium",
            "pacman": "chromium",
            "zypper": "chromium",
            "brew": "--cask google-chrome",
            "winget": "Google.Chrome",
        },
        (
            "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
            "/Applications/Chromium.app/Contents/MacOS/Chromium",
            "C:/Program Files/Google/Chrome/Application/chrome.exe",
            "C:/Program Files (x86)/Google/Chrome/Application/chrome.exe",
        ),
    ),
    "node": Tool(
        "NODE",
        ("node", "nodejs"),
        {
            "apt-get": "nodejs",
            "dnf": "nodejs",
            "pacman": "nodejs",
            "zypper": "nodejs",
            "brew": "node",
            "winget": "OpenJS.NodeJS.LTS",
        },
    ),
}
PEERS = {
    "redis-server": Tool(
        "REDIS_SERVER",
        ("redis-server",),
        {
            "apt-get": "redis-server",
            "dnf": "redis",
            "pacman": "redis",
            "zypper": "redis",
            "brew": "redis",
            "winget": "Redis.Redis",
        },
    ),
}
SERVERS = {
    **{
        name: Tool(
            name.upper(),
            (name,),
            {
                "apt-get": "default-jdk-headless",
                "dnf": "java-17-openjdk-devel",
                "pacman": "jdk17-openjdk",
                "zypper": "java-17-openjdk-devel",
                "brew": "openjdk@17",
                "winget": "EclipseAdoptium.Temurin.17.JDK",
            },
        )
        for name in ("java", "javac")
    },
    "mvn": Tool(
        "MVN",
        ("mvn",),
        {
            "apt-get": "maven",
            "dnf": "maven",
            "pacman": "maven",
            "zypper": "maven",
            "brew": "maven",
            "winget": "Apache.Maven",
        },
    ),
}
"""What the real servers run on; installed for CI alone, since few who run the tests want them."""
EVERY = TOOLS | PEERS | SERVERS
VERBS = {
    "apt-get": "install -y",
    "dnf": "install -y",
    "pacman": "-S --noconfirm",
    "zypper": "install -y",
    "brew": "install",
    "winget": "install",
}


def find(name: str) -> str | None:
    """Path of a tool, None where the system lacks it."""
    wanted = EVERY[name]
    named = os.environ.get(wanted.variable)
    for candidate in (named,) if named else (*wanted.names, *wanted.places):
        if path := shutil.which(candidate):
            return path
    return None


def hint(name: str) -> str:
    """The one line that installs a tool here."""
    wanted = EVERY[name]
    if named := os.environ.get(wanted.variable):
        return f"{wanted.variable} names {named}, which is none: unset it, or mend it"
    for manager, verb in VERBS.items():
        if shutil.which(manager):
            sudo = "" if manager in {"brew", "winget"} or _root() else "sudo "
            return f"{sudo}{manager} {verb} {wanted.packages[manager]}"
    return f"put {wanted.names[0]} on the PATH, or its path into {wanted.variable}"


def install(names: Iterable[str]) -> None:
    """Installs what is missing where that needs no question, and says by name what it leaves out."""
    missing = [name for name in names if find(name) is None]
    wanted = [name for name in missing if not os.environ.get(EVERY[name].variable)]
    if wanted and _root() and shutil.which("apt-get"):
        packages = list(dict.fromkeys(" ".join(EVERY[name].packages["apt-get"] for name in wanted).split()))
        apt = ["apt-get", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=300"]
        env = {"DEBIAN_FRONTEND": "noninteractive"}
        try:
            with step(f"{' and '.join(wanted)}, by apt-get"):
                run([*apt, "update"], env=env)
                run([*apt, "install", "-y", "--no-install-recommends", *packages], env=env)
        except Failed as failure:
            say(str(failure))
    for name in missing:
        if find(name) is None:
            say(f"without {name}, its tests are skipped; to have them: {hint(name)}")


def _root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0
