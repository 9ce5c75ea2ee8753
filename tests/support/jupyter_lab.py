"""A real JupyterLab on loopback, with folders of its own, and notebooks open in it in a browser."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

import nbformat
from playwright.sync_api import Locator, Page, expect

from _lab import LAUNCHER
from accessibility import violations

__all__ = ["JupyterLab", "NotebookPage"]

_CONFIG = Path(__file__).parents[2] / "scripts" / "jupyter"  # what `scripts/lab` gives JupyterLab
_SETTINGS: dict[str, dict[str, Any]] = {
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
}
_START = 180.0  # seconds
_CELL = 120_000  # milliseconds that a cell may run


class JupyterLab:
    """A JupyterLab server.

    Args:
        folder: Where its notebooks, settings and log go.

    Attributes:
        root: The folder of notebooks, which is also where their kernels start.
        url: Where it listens.
        tab: The browser's page that `open` uses.
    """

    tab: Page

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "notebooks"
        self.root.mkdir()

    def __enter__(self) -> Self:
        for name, values in _SETTINGS.items():
            path = self.folder / "settings" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))
        places = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        own = {variable: str(self.folder / name) for variable, name in places.items()}
        self._env = {**os.environ, **own, "JUPYTER_CONFIG_PATH": str(_CONFIG), "JUPYTER_PREFER_ENV_PATH": "1"}
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": 0,
            "ServerApp.root_dir": self.root,
            "ServerApp.allow_root": True,
            "ServerApp.open_browser": False,
            "IdentityProvider.token": "",  # it lives for these tests, on loopback
            "ServerApp.disable_check_xsrf": True,
            "LabApp.news_url": None,
            "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
            "LabApp.extension_manager": "readonly",
            "LabApp.expose_app_in_browser": True,
        }
        with (self.folder / "jupyter.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, LAUNCHER, *(f"--{name}={value}" for name, value in options.items())],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _START
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(f"JupyterLab did not start:\n{self.log()[-3000:]}")
            threading.Event().wait(0.05)
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.terminate()  # the server ends its kernels
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        """What the server and its kernels wrote."""
        return (self.folder / "jupyter.log").read_text(errors="replace")

    def api(self, path: str, method: str = "GET") -> Any:
        """A call of the server's API; what it answers as JSON, None for nothing."""
        request = urllib.request.Request(f"{self.url}/api/{path}", method=method)
        with urllib.request.urlopen(request, timeout=20) as response:
            body = response.read()
        return json.loads(body) if body else None

    def _answers(self) -> bool:
        try:
            [told] = (self.folder / "runtime").glob("jpserver-*.json")
            self.url = json.loads(told.read_text(encoding="utf-8"))["url"].rstrip("/")
            self.api("status")
        except (OSError, ValueError):  # it has not said yet where it is, or not all of that
            return False
        return True

    def close_all(self) -> None:
        """Closes all notebooks without saving them, and ends all kernels."""
        self.tab.evaluate(
            """() => {
                for (const widget of [...(window.jupyterapp?.shell.widgets("main") ?? [])]) {
                    if (widget.context) widget.context.model.dirty = false;
                    widget.close();
                }
            }"""
        )
        for session in self.api("sessions"):
            self.api(f"sessions/{session['id']}", "DELETE")

    def write(self, name: str, *cells: str) -> Path:
        """Writes a notebook of code cells; returns its path."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        path = self.root / name
        nbformat.write(notebook, path)
        return path

    def trust(self, path: Path) -> None:
        """Signs a notebook as this server's user would by running it."""
        command = [sys.executable, "-m", "jupyter", "trust", str(path)]
        subprocess.run(command, env=self._env, check=True, capture_output=True, timeout=60)

    def open(self, path: Path) -> NotebookPage:
        """Opens a notebook below `root` in the browser and waits until its kernel is idle."""
        name = path.relative_to(self.root).as_posix()
        page = NotebookPage(self.tab)
        if self.tab.url.startswith(self.url):
            page.command("docmanager:open", path=name)
        else:
            self.tab.goto(f"{self.url}/lab/tree/{name}?reset")
        page.wait_idle()
        self.tab.evaluate("window.cellRuns = {}")
        return page

    def open_copy(self, notebook: Path) -> tuple[NotebookPage, dict[int, str]]:
        """Opens a copy of a notebook of anywhere; also gives the sources of its code cells, by number."""
        path = self.root / notebook.name
        text = notebook.read_text(encoding="utf-8")
        path.write_text(text, encoding="utf-8")
        cells = enumerate(json.loads(text)["cells"])
        return self.open(path), {at: "".join(cell["source"]) for at, cell in cells if cell["cell_type"] == "code"}


class NotebookPage:
    """A notebook that is open in JupyterLab; cells are numbered from 0.

    Attributes:
        tab: The browser's page.
    """

    def __init__(self, tab: Page) -> None:
        self.tab = tab

    def run_cell(self, cell: int, *, wait: bool = True) -> None:
        """Runs a cell, as Shift+Enter would, without moving on.

        Args:
            cell: Its number.
            wait: Whether to return only once it has run.

        Raises:
            AssertionError: It raised; with the traceback as the notebook shows it.
        """
        self.tab.evaluate(
            """(index) => {
                const { content, context } = jupyterapp.shell.currentWidget;
                content.activeCellIndex = index;
                content.mode = "command";
                const runs = window.cellRuns;
                runs[index] = "running";
                const over = () => (runs[index] = "over");
                jupyterapp.commands.execute("notebook:run-cell").then(over, over);
            }""",
            cell,
        )
        if wait:
            self.wait_cell(cell)

    def wait_cell(self, cell: int) -> None:
        """Waits until a cell has run.

        Raises:
            AssertionError: It raised.
        """
        self.tab.wait_for_function("(index) => window.cellRuns[index] === 'over'", arg=cell, timeout=_CELL)
        error = self.cell(cell).locator('[data-mime-type="application/vnd.jupyter.error"]')
        assert error.count() == 0, f"cell {cell} raised:\n{error.first.inner_text()}"

    def is_running(self, cell: int) -> bool:
        """Whether a cell has been started and has not ended."""
        return bool(self.tab.evaluate("(index) => window.cellRuns[index] === 'running'", cell))

    def wait_idle(self) -> None:
        """Waits until the notebook is shown and its kernel has nothing to do."""
        self.tab.wait_for_function(
            """() => {
                const widget = window.jupyterapp?.shell?.currentWidget;
                const kernel = widget?.sessionContext?.session?.kernel;
                return widget?.content?.widgets?.length > 0 && kernel?.status === "idle";
            }""",
            timeout=_CELL,
        )

    def cell(self, cell: int) -> Locator:
        """A cell."""
        return self.tab.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook .jp-Cell").nth(cell)

    def output(self, cell: int) -> Locator:
        """A cell's outputs, without their prompts; one element for each."""
        return self.cell(cell).locator(".jp-OutputArea-output")

    def text(self, cell: int) -> str:
        """What a cell's outputs show."""
        return "\n".join(self.output(cell).all_inner_texts())

    def command(self, name: str, **args: object) -> None:
        """Runs one of JupyterLab's commands, such as ``docmanager:save``, and waits until it has run."""
        self.tab.evaluate("([name, args]) => jupyterapp.commands.execute(name, args).then(() => null)", [name, args])

    def save(self) -> None:
        """Saves the notebook."""
        self.command("docmanager:save")

    def theme(self, name: str) -> None:
        """Switches to ``light`` or ``dark``."""
        self.command("apputils:change-theme", theme=f"JupyterLab {name.capitalize()}")
        ink = "rgba(255,255,255,.87)" if name == "dark" else "rgba(0,0,0,.87)"
        self.tab.wait_for_function(
            """([name, ink]) => {
                const style = getComputedStyle(document.body).getPropertyValue("--jp-ui-font-color1");
                const done = style.replaceAll(/\\s/g, "") === ink;
                return done && document.body.dataset.jpThemeName === `JupyterLab ${name}`;
            }""",
            arg=[name.capitalize(), ink],
        )

    def violations(self, selector: str) -> list[str]:
        """What axe-core finds wrong below `selector`, in the theme of now."""
        expect(self.tab.locator(selector).first).to_be_visible()
        return violations(self.tab, selector)
