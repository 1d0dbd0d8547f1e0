"""Killed and interrupted commands leave whole files only: few here, more by the script."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "kill.py"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_stopped_commands():
    command = [sys.executable, SCRIPT, "--n", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stdout + done.stderr
    ends = re.findall(r"^(\w+), (SIG\w+) at 2 moments", done.stdout, re.M)
    assert ends == [(c, s) for c in ("fit", "evaluate", "score") for s in ("SIGKILL", "SIGINT")]
