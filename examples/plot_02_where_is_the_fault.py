"""
Where is the fault?
===================

``anomaly_map`` shows where in time and frequency a clip differs from normal ones.
This example draws the map with the regions of the real fault.
"""

# %%
# Clips with known regions
# ------------------------
# Synthetic clips come with the regions of their faults: boxes in seconds and Hz.
# ``severity`` makes the faults louder than by default, so that they can be seen.
import matplotlib.pyplot as plt
import numpy as np

from sklasd import LogMel, OEAutoencoder
from sklasd.datasets import make_machine_clips

waveforms, table = make_machine_clips(
    "pump",
    n_train=40,
    n_test=0,
    n_anomalies=4,
    faults=["leak", "bearing_defect"],
    severity=2.0,
    duration=3.0,
    random_state=0,
)
is_train = (table["split"] == "train").to_numpy()
faulty = np.flatnonzero(~is_train)
for clip in faulty:
    start, end, low, high = table.loc[clip, "regions"][0]
    print(f"{table.loc[clip, 'fault']}: {start:.1f} to {end:.1f} s, {low:.0f} to {high:.0f} Hz")

# %%
# Train
# -----
# This example has no pipeline, because the map has the shape of the features.
front_end = LogMel()
features = front_end.fit_transform(waveforms)
detector = OEAutoencoder(max_epochs=20, random_state=0).fit(features[is_train])

# %%
# Look
# ----
# The map of this detector is the squared error of the rebuilt spectrogram, relative to the usual
# error of each band: 1 is the usual value.
# White frames are the true regions. Single cells are noisy; look for areas with many bright cells.
maps = detector.anomaly_map(features[faulty])
maps.shape  # clips, mel bands, frames

frequencies = front_end.mel_frequencies
bands = np.arange(len(frequencies)) + 0.5
ticks = [250, 500, 1000, 2000, 4000, 8000]
seconds = features.shape[2] * front_end.hop_length / front_end.sample_rate


def draw(axes, image, regions, **how):
    """Draw a clip's image over time and mel bands, and frames around the regions."""
    shown = axes.imshow(
        image,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(0, seconds, 0, len(bands)),
        **how,
    )
    for start, end, low, high in regions:
        bottom, top = np.interp([low, high], frequencies, bands)
        box = plt.Rectangle(
            (start, bottom), end - start, top - bottom, fill=False, edgecolor="white", linewidth=1.2
        )
        axes.add_patch(box)
    axes.set_yticks(np.interp(ticks, frequencies, bands), [f"{tick:g}" for tick in ticks])
    return shown


figure, rows = plt.subplots(
    len(faulty), 2, figsize=(9, 2.5 * len(faulty)), sharex=True, layout="constrained"
)
level = {"cmap": "magma", "vmin": np.quantile(features[faulty], 0.02)}
excess = {"cmap": "viridis", "vmin": 0, "vmax": np.quantile(maps, 0.995)}
for (left, right), clip, where in zip(rows, faulty, maps, strict=True):
    regions = table.loc[clip, "regions"]
    spectrogram = draw(left, features[clip], regions, **level)
    map_ = draw(right, where, regions, **excess)
    left.set(title=f"{table.loc[clip, 'fault']}: spectrogram", ylabel="frequency in Hz")
    right.set(title="anomaly map")
for axes in rows[-1]:
    axes.set_xlabel("time in s")
figure.colorbar(spectrogram, ax=rows[:, 0], label="level in dB", shrink=0.6, aspect=40)
figure.colorbar(map_, ax=rows[:, 1], label="squared error, times the usual", shrink=0.6, aspect=40)
plt.show()
