"""A report of 500 clips: how long it takes to build, how large it is, how quickly it opens.

Clips are synthetic, of two machines. The page is opened in headless Chromium: from the call to the
end of the load event and two frames more, the median of five.

    python benchmarks/bench_report.py [--clips 500] [--duration 10] [--shown 30 500]
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from sklasd import make_recipe
from sklasd.datasets import make_machine_clips
from sklasd.report import write_report

_TWO_FRAMES = "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))"


def make_fleet(n_clips: int, duration: float, root: Path):
    """Fit a model of each machine, and list the test clips of both."""
    models, tables = {}, []
    for machine in ("fan", "valve"):
        _, table = make_machine_clips(
            machine, n_train=60, n_test=n_clips // 4, n_anomalies=n_clips // 4, duration=duration,
            root=root, random_state=0,
        )  # fmt: skip
        models[machine] = make_recipe().fit(table[table["split"] == "train"])
        tables.append(table[table["split"] == "test"])
    return models, pd.concat(tables, ignore_index=True)


def open_in_chromium(path: Path, n_times: int = 5) -> float:
    """Return the median time to open a file, in s."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for switch in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(switch)
    driver = webdriver.Chrome(options, Service("/usr/bin/chromedriver"))
    times = []
    try:
        for _ in range(n_times):
            driver.get("about:blank")
            start = time.perf_counter()
            driver.get(path.as_uri())
            driver.execute_async_script(_TWO_FRAMES)
            times.append(time.perf_counter() - start)
    finally:
        driver.quit()
    return float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--duration", type=float, default=10.0)
    parser.add_argument("--shown", type=int, nargs="+", default=[30, 500])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        models, clips = make_fleet(options.clips, options.duration, Path(folder))
        for n_shown in options.shown:
            path = Path(folder, f"report{n_shown}.html")
            start, cpu = time.perf_counter(), time.process_time()
            write_report(models, clips, path, max_clips_with_media=n_shown)
            print(
                f"{len(clips)} clips of {options.duration:g} s, {n_shown} shown: built in "
                f"{time.perf_counter() - start:.1f} s (processor {time.process_time() - cpu:.1f} "
                f"s), {path.stat().st_size / 1e6:.1f} MB, opens in {open_in_chromium(path):.2f} s"
            )


if __name__ == "__main__":
    main()
