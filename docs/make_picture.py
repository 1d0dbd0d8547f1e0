"""Draw the picture of the README and of the first page, from synthetic clips.

python docs/make_picture.py
"""

from io import BytesIO
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image

from sklasd import make_recipe
from sklasd.datasets import make_machine_clips
from sklasd.plotting import AnomalyMapDisplay, ScoreHistogramDisplay, SpectrogramDisplay

PICTURE = Path(__file__).parent / "_static" / "overview.png"


def main() -> None:
    """Train on a pump, and draw the map of a leak and the scores of all new clips."""
    waveforms, table = make_machine_clips(
        "pump", n_train=60, n_test=30, n_anomalies=28, duration=4.0, severity=1.5, random_state=0
    )
    clips = table.assign(path=list(waveforms))
    pipeline = make_recipe().fit(clips[clips["split"] == "train"])
    test = clips[clips["split"] == "test"].reset_index(drop=True)
    leak = int((test["fault"] == "leak").to_numpy().argmax())

    figure, axes = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
    SpectrogramDisplay.from_estimator(pipeline, test, clip=leak, ax=axes[0])
    AnomalyMapDisplay.from_estimator(pipeline, test, clip=leak, ax=axes[1])
    ScoreHistogramDisplay.from_estimator(pipeline, test, ax=axes[2])
    titles = ("a pump with a leak", "where it leaks", f"scores of {len(test)} new clips")
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title)
    with BytesIO() as drawn:
        figure.savefig(drawn, dpi=80)
        Image.open(drawn).convert("RGB").quantize(256).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
