"""Notebooks as regression tests: run by papermill on a fresh store, always torn down, compared by their event traces.

`run` does what ``nbagora run`` does, `run_notebook` one of it; both give papermill's Python API a kernel with a store,
a seed and a clock of its own. A run passes when every cell passed and nothing was left running. What it recorded is its
trace: two runs of a deterministic notebook leave the same file, and `diff_traces` tells where two others part.
`plugin` is the same for pytest, with the test kit as fixtures. Importing this room imports no papermill and no store.
"""

from nbagora_lab.scenarios.command import run
from nbagora_lab.scenarios.diff import Difference, TraceDiff, diff_traces
from nbagora_lab.scenarios.junit import write_junit
from nbagora_lab.scenarios.model import CellResult, ScenarioResult
from nbagora_lab.scenarios.parameters import parse_value
from nbagora_lab.scenarios.runner import run_notebook, run_notebooks
from nbagora_lab.scenarios.trace import Trace, TraceHeader, TraceLine, read_trace, write_trace
from nbagora_lab.scenarios.wildcards import IsId, IsOffset, IsTime

__all__ = [
    "CellResult",
    "Difference",
    "IsId",
    "IsOffset",
    "IsTime",
    "ScenarioResult",
    "Trace",
    "TraceDiff",
    "TraceHeader",
    "TraceLine",
    "diff_traces",
    "parse_value",
    "read_trace",
    "run",
    "run_notebook",
    "run_notebooks",
    "write_junit",
    "write_trace",
]
