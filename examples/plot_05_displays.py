"""
Look, and listen
================

Displays draw what a pipeline sees, how it scores and what it was taught; ``inspection`` makes
audible what it objects to.
All of them take arrays, paths or a clip table.
"""

# %%
# Clips and a detector
# --------------------
# Synthetic clips come with labels, and with the regions of their faults: displays of a clip frame
# these where the table has them.
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
# A leak hisses at high frequencies, for a time.
# The map tells where; pooled over the bands of each frame it tells when.
leak = int(np.flatnonzero(test["fault"] == "leak")[0])
figure, axes = plt.subplots(3, 1, figsize=(7, 9), layout="constrained")
SpectrogramDisplay.from_estimator(pipeline, test, clip=leak, ax=axes[0])
AnomalyMapDisplay.from_estimator(pipeline, test, clip=leak, ax=axes[1])
ScoreOverTimeDisplay.from_estimator(pipeline, test, clip=leak, ax=axes[2])
plt.show()

# %%
# What the map marks, as sound
# ----------------------------
# The clip's own transform is masked by the map, and made a waveform again.
# ``share`` tells how much of the map's sum is to be kept: with little of it the hiss is left, and
# of the pump next to nothing.
# ``soundfile.write("leak.wav", heard, 16000)`` writes it to a file.
(heard,) = resynthesise(pipeline, test[leak : leak + 1], share=0.2)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
loudness = {"vmin": -60, "vmax": 0}
for ax, wave, name in zip(axes, (test["path"][leak], heard), ("clip", "marked"), strict=True):
    SpectrogramDisplay.from_estimator(LogMel(), [wave], ax=ax, **loudness)
    ax.set_title(name)
plt.show()

# %%
# Decisions
# ---------
# Scores of either kind lie on either side of the threshold.
# The p-values of normal clips follow the diagonal as closely as chance allows, so that the rate of
# false alarms is what was asked for; those of anomalous clips are small.
# What is found at up to 10 % of false alarms is what DCASE's pAUC measures.
figure, axes = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
ScoreHistogramDisplay.from_estimator(pipeline, test, ax=axes[0])
PValueDisplay.from_estimator(pipeline, test, ax=axes[1])
PartialROCDisplay.from_estimator(pipeline, test, ax=axes[2])
plt.show()

# %%
# Embeddings
# ----------
# Clips that a detector holds for alike lie near each other.
# Domains and sections are told apart, too, where the table has several.
EmbeddingDisplay.from_estimator(pipeline, test, method="tsne")
plt.show()

# %%
# Training
# --------
# Of detectors with nets, losses are kept.
net = make_pipeline(LogMel(), OEAutoencoder(max_epochs=15, calibration=None, random_state=0))
TrainingCurveDisplay.from_estimator(net.fit(train))
plt.show()
