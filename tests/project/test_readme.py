"""What the README says is so: its settings are the code's, its Python runs."""

import re
import subprocess
import sys
from pathlib import Path

from nbagora_lab.core.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def settings_table():
    rows = ["| setting | default | |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, ()) else f"`{field.default}`"
        rows.append(f"| `{name}` | {default} | {field.description} |")
    return "\n".join(rows)


def test_the_settings_table_is_the_codes():
    [shown] = re.findall(r"<!-- settings -->\n(.*?)\n<!-- /settings -->", README, re.DOTALL)
    assert shown == settings_table()


def test_the_python_block_runs(tmp_path):
    [block] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    ended = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stderr == ""
    first, *records = ended.stdout.splitlines()
    assert first == "Sunny in 北京 COMPLETED"
    assert [line.split()[1] for line in records] == [
        "task.claim",
        "a2a.message",
        "a2a.task",
        "a2a.status",
        "a2a.artifact",
        "a2a.artifact",
        "a2a.status",
    ]
