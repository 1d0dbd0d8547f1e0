"""Kill and interrupt commands at random moments, and see that no half file is left.

`sklasd fit`, `sklasd evaluate -o` and `sklasd score --csv` are ended by SIGKILL and by SIGINT. Of
each it is asked: what is there under its true name is byte by byte what a clean run leaves (of a
model, all but the date in its record); after SIGINT the exit status is 130, with one sentence and
no traceback, and nothing else is left; a second call ends well, with the same bytes as a clean run.

    python benchmarks/kill.py --n 50
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from sklasd.datasets import make_machine_clips
from sklasd.persistence import read_record

STATISTICS = ["--recipe", "statistics-mahalanobis"]
COMMANDS = {
    "fit": ["fit", "data", "-o", "out/model.joblib", *STATISTICS],
    "evaluate": ["evaluate", "data", "-o", "out/results", "--seeds", "0,1", *STATISTICS],
    "score": ["score", "model.joblib", "data", "--csv", "out/scores.csv"],
}
SENTENCE = "Interrupted: what was finished is kept, and nothing else.\n"


def start(folder, command):
    """Start a command line with an empty folder `out`, or with what is there."""
    (folder / "out").mkdir(exist_ok=True)
    # One hash seed, as pickles keep sets in their order.
    env = os.environ | {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "sklasd", *COMMANDS[command]]
    return subprocess.Popen(
        words, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def contents(folder):
    """Return what is under `out`: of a model, the checksum of all but its record."""
    return {
        str(path.relative_to(folder)): (
            read_record(path)["checksum"]
            if path.suffix == ".joblib" and not path.name.startswith(".")
            else path.read_bytes()
        )
        for path in sorted((folder / "out").rglob("*"))
        if path.is_file()
    }


def whole(files):
    """Leave out temporary files, whose names are hidden."""
    return {name: data for name, data in files.items() if not Path(name).name.startswith(".")}


def check_stopped(name, number, process, text, files, clean):
    """Say what is wrong with a command that was ended, or None."""
    half = [file for file, data in whole(files).items() if clean.get(file) != data]
    if half:
        return f"half files {half}"
    if number == signal.SIGKILL:
        return None
    hidden = set(files) - set(whole(files))
    if hidden:
        return f"left {sorted(hidden)}"
    if process.returncode == 0:  # it was done
        return None if files == clean else "ended well without its files"
    # Where an `exec` was interrupted, as in the making of dataclasses, Python ends by the signal,
    # which is 130 to a shell, too.
    interrupted = (130, -signal.SIGINT)
    if process.returncode not in interrupted or not text.endswith(SENTENCE) or "Traceback" in text:
        return f"status {process.returncode}: {text[-500:]}"
    return None


def end_once(folder, name, number, moment, clean):
    """End a command at a moment, and run it again."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    process = start(folder, name)
    time.sleep(moment)
    process.send_signal(number)
    _, text = process.communicate()
    files = contents(folder)
    problem = check_stopped(name, number, process, text, files, clean)
    if problem:
        return problem, "bad"
    if name != "evaluate" and whole(files):  # a second call would refuse to overwrite
        return None, "was done"
    again = start(folder, name)
    _, text = again.communicate()
    if again.returncode != 0:
        return f"the second call ended with {again.returncode}: {text[-500:]}", "bad"
    if whole(contents(folder)) != clean:
        return "the second call left other files than a clean run", "bad"
    return None, "resumed" if whole(files) else "run anew"


def main():
    """End commands, and tell what became of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=50, help="moments for each signal and command")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    # A shell's background jobs ignore SIGINT, and what they start would, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rng = np.random.default_rng(args.seed)
    folder = Path(tempfile.mkdtemp())
    for machine in ("fan", "pump"):
        make_machine_clips(
            machine, n_train=20, n_test=6, n_anomalies=6, duration=1.0, root=folder / "data",
            random_state=0,
        )  # fmt: skip
    n_bad = 0
    for name in COMMANDS:
        shutil.rmtree(folder / "out", ignore_errors=True)
        begin = time.perf_counter()
        _, text = (clean_run := start(folder, name)).communicate()
        seconds = time.perf_counter() - begin
        assert clean_run.returncode == 0, text
        clean = contents(folder)
        if name == "fit":
            shutil.copy(folder / "out" / "model.joblib", folder)
        for number in (signal.SIGKILL, signal.SIGINT):
            ends = Counter()
            for _ in range(args.n):
                # Before, not a line of ours has run that could say anything.
                moment = rng.uniform(0.25, 1.05 * seconds)
                problem, end = end_once(folder, name, number, moment, clean)
                ends[end] += 1
                if problem:
                    print(f"{name}, {number.name} after {moment:.3f} s: {problem}")
                    n_bad += 1
            told = ", ".join(f"{n} {end}" for end, n in sorted(ends.items()))
            print(
                f"{name}, {number.name} at {args.n} moments of {seconds:.1f} s: {told}", flush=True
            )
    shutil.rmtree(folder)
    sys.exit(bool(n_bad))


if __name__ == "__main__":
    main()
