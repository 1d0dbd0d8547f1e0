"""
Look, and listen
================

Displays draw spectrograms, maps, scores and losses of a pipeline.
``sklasd.inspection`` makes the anomalous part of a clip audible.
All of them take arrays, paths or a clip table.
"""

# %%
# Clips and a detector
# --------------------
# Synthetic clips come with labels and with the regions of their faults. If the table has regions,
# displays of a clip draw frames around them.
import matplotlib.pyplot as plt
import numpy as np

from sklasd import LogMel, OEAutoencoder, make_pipeline, make_recipe
from sklasd.datasets import make_machine_clips
from sklasd.inspection import resynthesise
from sklasd.plotting import (
    AnomalyMapDisplay,
    EmbeddingDisplay,
    PartialROCDisplay,
    PValueDisplay,
    ScoreHistogramDisplay,
    ScoreOverTimeDisplay,
    SpectrogramDisplay,
    TrainingCurveDisplay,
)

waveforms, table = make_machine_clips(
    "pump", n_train=60, n_test=30, n_anomalies=28, duration=3.0, severity=1.5, random_state=0
)
clips = table.assign(path=list(waveforms))
train = clips[clips["split"] == "train"]
test = clips[clips["split"] == "test"].reset_index(drop=True)
pipeline = make_recipe("statistics-mahalanobis").fit(train)

# %%
# One clip
# --------
# A leak hisses at high frequencies for a part of the clip.
# The map shows where it is; pooled over the bands of each frame, it shows when.
leak = int(np.flatnonzero(test["fault"] == "leak")[0])
figure, axes = plt.subplots(3, 1, figsize=(7, 9), layout="constrained")
SpectrogramDisplay.from_estimator(pipeline, test, clip=leak, ax=axes[0])
AnomalyMapDisplay.from_estimator(pipeline, test, clip=leak, ax=axes[1])
ScoreOverTimeDisplay.from_estimator(pipeline, test, clip=leak, ax=axes[2])
plt.show()

# %%
# Listen to the map
# -----------------
# ``resynthesise`` masks the clip's Fourier transform by the map, and transforms it back to a
# waveform. ``share`` is the share of the map's sum that is kept: a low one keeps the hiss and
# almost nothing of the pump.
# ``soundfile.write("leak.wav", marked, 16000)`` writes the sound to a file.
(marked,) = resynthesise(pipeline, test[leak : leak + 1], share=0.2)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
loudness = {"vmin": -60, "vmax": 0}
for ax, wave, name in zip(axes, (test["path"][leak], marked), ("clip", "marked"), strict=True):
    SpectrogramDisplay.from_estimator(LogMel(), [wave], ax=ax, **loudness)
    ax.set_title(name)
plt.show()

# %%
# Decisions
# ---------
# The histogram shows the scores of normal and anomalous clips, and the threshold.
# The p-values of normal clips follow the diagonal, within what chance allows, so the false-alarm
# rate is as requested. The p-values of anomalous clips are small.
# The pAUC of DCASE measures the ROC curve up to 10 % false alarms.
figure, axes = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
ScoreHistogramDisplay.from_estimator(pipeline, test, ax=axes[0])
PValueDisplay.from_estimator(pipeline, test, ax=axes[1])
PartialROCDisplay.from_estimator(pipeline, test, ax=axes[2])
plt.show()

# %%
# Embeddings
# ----------
# Clips with similar embeddings are close to each other.
# If the table has several domains or sections, they have different marks.
EmbeddingDisplay.from_estimator(pipeline, test, method="tsne")
plt.show()

# %%
# Training
# --------
# Detectors with nets keep the losses of their training.
net = make_pipeline(LogMel(), OEAutoencoder(max_epochs=15, calibration=None, random_state=0))
TrainingCurveDisplay.from_estimator(net.fit(train))
plt.show()
