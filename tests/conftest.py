"""What the tests share: made-up clips on disk, and the real recordings where there are any."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

REAL_DATA = Path(
    os.environ.get("SKLASD_REAL_DATA", Path(__file__).parents[2] / "shared" / "data")
).resolve()


def pytest_configure(config):
    # Workers share the cores: threads within them would wait for each other.
    if os.environ.get("PYTEST_XDIST_WORKER"):
        torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="there is no GPU"))


@pytest.fixture(scope="session")
def real_data():
    """Return the folder of real recordings."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real recordings in {REAL_DATA}; set SKLASD_REAL_DATA to their folder")
    return REAL_DATA


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def write_clip(tmp_path, rng):
    """Return a function that writes a noise clip and returns its path."""

    def write(name="clip.wav", *, seconds=0.5, sample_rate=16000, channels=1, **kwargs):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (round(seconds * sample_rate), channels)
        soundfile.write(path, 0.1 * rng.standard_normal(shape), sample_rate, **kwargs)
        return str(path)

    return write
