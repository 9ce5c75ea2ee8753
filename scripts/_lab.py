"""Opens JupyterLab on the quickstart notebook, once that notebook has run green on this machine."""

from __future__ import annotations

import os
import sys

from _setup import ROOT, VENV, Failed, attend, become, command, digest, environment, say, tool

__all__ = ["main"]

NOTEBOOK = ROOT / "notebooks" / "00_quickstart.ipynb"
CHECKED = VENV / "self-check"
"""Holds the hash of what the last green self-check ran on."""
CONFIG = ROOT / "scripts" / "jupyter"
"""A folder of Jupyter's configuration, read beside the user's own."""
LAUNCHER = ROOT / "scripts" / "_jupyter.py"
OUT = ROOT / "artifacts" / "self-check"
OWN_KERNEL = {"JUPYTER_PREFER_ENV_PATH": "1"}
"""The environment's kernel, not one that the user's home has under the same name."""

HELP = """usage: scripts/lab [--no-check] [Jupyter's options]

  --no-check     open JupyterLab without running the quickstart first
  --no-browser   only serve, and print the address
Everything else goes to `jupyter lab`, for example --port=9999 or --ServerApp.root_dir=FOLDER."""

OPTIONS = (
    ("127.0.0.1", "ServerApp.ip", "ip"),
    (str(ROOT), "ServerApp.root_dir", "notebook-dir"),
    (f"/lab/tree/{NOTEBOOK.relative_to(ROOT).as_posix()}", "LabApp.default_url", "ServerApp.default_url"),
    ("WARN", "Application.log_level", "log-level", "debug"),
    ("True", "JupyterApp.answer_yes", "y"),  # Ctrl-C ends it without a question
    # No call leaves the machine: no news feed, no look for a later JupyterLab, no catalogue of extensions. What the
    # page would ask about them is switched off in CONFIG.
    ("None", "LabApp.news_url"),
    ("jupyterlab.NeverCheckForUpdate", "LabApp.check_for_updates_class"),
    ("readonly", "LabApp.extension_manager"),
)
"""Value, Jupyter's name for the option, and other names that it goes by: given by the user, ours stays out."""


def jupyter(given: list[str], *, terminal: bool, root: bool) -> tuple[list[str], dict[str, str]]:
    """What `LAUNCHER` is started with: options, ours where the user gave none and then the user's, and environment.

    Args:
        given: The user's options.
        terminal: Whether a person sits in front of a terminal; without one no browser is opened.
        root: Whether root runs it, which Jupyter wants to be told.
    """
    names = {arg.lstrip("-").partition("=")[0] for arg in given}
    ours = [f"--{own[0]}={value}" for value, *own in OPTIONS if not names & set(own)]
    if not terminal and "no-browser" not in names:
        ours.append("--no-browser")
    if root and "allow-root" not in names:
        ours.append("--allow-root")
    config = os.pathsep.join([str(CONFIG), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])])
    return ours + given, {**OWN_KERNEL, "JUPYTER_CONFIG_PATH": config}


@command
def main(args: list[str]) -> int:
    """``scripts/lab [--no-check] …``; see `HELP`."""
    if {"-h", "--help"} & set(args):
        say(HELP)
        return 0
    environment()
    if "--no-check" not in args:
        self_check()
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    options, env = jupyter([arg for arg in args if arg != "--no-check"], terminal=terminal, root=root)
    say("JupyterLab; Ctrl-C ends it")
    return become([tool("python"), LAUNCHER, *options], env=env)


def self_check() -> None:
    """Runs the quickstart, unless it ran green on this very code and environment.

    Raises:
        Failed: There is no quickstart, or it isn't green.
    """
    if not NOTEBOOK.is_file():
        raise Failed(f"{NOTEBOOK.relative_to(ROOT)} is missing: this checkout isn't whole")
    code = (path for folder in ("kernel_ext", "widgets", "lab") for path in (ROOT / folder).rglob("*"))
    state = digest([NOTEBOOK, VENV / "nbagora.json", *(path for path in code if path.suffix in {".py", ".js", ".css"})])
    if CHECKED.is_file() and CHECKED.read_text(encoding="utf-8") == state:
        say("self-check is up to date: the quickstart ran green on this code and environment")
        return
    say("self-check: the quickstart notebook has not run on this code and environment yet")
    ended = attend([tool("nbagora"), "run", NOTEBOOK.relative_to(ROOT), "--out", OUT.relative_to(ROOT)], env=OWN_KERNEL)
    if ended:
        where = OUT.relative_to(ROOT).as_posix()
        raise Failed(f"the self-check failed: the executed notebook is in {where}/; --no-check opens JupyterLab anyway")
    CHECKED.write_text(state, encoding="utf-8")
