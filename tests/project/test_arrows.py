"""The arrows between packages, as `[tool.importlinter]` draws them."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

from sources import ROOT


def test_the_arrows_point_down() -> None:
    linter = Path(sysconfig.get_path("scripts")) / "lint-imports"
    done = subprocess.run(
        [linter, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
