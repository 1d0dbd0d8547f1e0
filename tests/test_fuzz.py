"""Damaged files are scored or refused by name: 300 here, 10,000 by `make fuzz`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "fuzz.py"


@pytest.mark.skipif(sys.platform != "linux", reason="peaks of memory are read from /proc")
def test_damaged_files():
    command = [sys.executable, SCRIPT, "--n", "300", "--seed", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    n_scored, n_refused = map(int, re.search(r"(\d+) scored, (\d+) refused", done.stdout).groups())
    assert n_scored + n_refused == 300
    assert min(n_scored, n_refused) > 30
