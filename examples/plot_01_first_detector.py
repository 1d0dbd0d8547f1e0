"""
A first detector
================

A detector learns what a machine sounds like when it runs normally.
Here a fan is synthesised, an autoencoder is trained on its normal clips, and new clips are scored.
"""

# %%
# Clips
# -----
# :func:`~sklasd.datasets.make_machine_clips` returns waveforms and a table with one row per clip.
# The faults are more severe than by default, as clips and training are short here.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_curve

from sklasd import LogMel, OEAutoencoder, make_pipeline
from sklasd.datasets import make_machine_clips
from sklasd.metrics import auc_score, pauc_score

waveforms, table = make_machine_clips(
    "fan", n_train=60, n_test=30, n_anomalies=30, severity=1.5, duration=3.0, random_state=0
)
is_test = (table["split"] == "test").to_numpy()
label = table.loc[is_test, "label"].to_numpy()
table.groupby(["split", "label"]).size().rename("clips").reset_index()

# %%
# Training
# --------
# The pipeline has two steps: ``LogMel`` turns clips into log-mel spectrograms, and the autoencoder
# scores them. It is trained on normal clips only.
# ``calibration=5`` trains five more nets to set the threshold: each scores the clips that it has
# not seen. The default is ten nets, which takes twice as long.

detector = make_pipeline(LogMel(), OEAutoencoder(max_epochs=20, calibration=5, random_state=0))
detector.fit(waveforms[~is_test])

# %%
# The training loss is the mean squared error of the rebuilt spectrogram.
loss = detector[-1].loss_curve_
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.plot(np.arange(1, len(loss) + 1), loss, marker=".")
axes.set(xlabel="epoch", ylabel="training loss in dB²", xticks=range(0, 21, 5))
plt.show()

# %%
# Scores
# ------
# The higher the score, the more normal is the clip.
# ``offset_`` is the threshold: about a tenth of new normal clips score below it, which is the
# default of ``contamination``.
# Clips on which the net was trained score higher than new ones, so a threshold set by them is far
# too high.

score = detector.score_samples(waveforms[is_test])
trained_on = detector.score_samples(waveforms[~is_test])
offsets = {
    "threshold": detector[-1].offset_,
    "set by training clips": np.quantile(trained_on, 0.1),
}

bins = np.histogram_bin_edges(score, bins=24)
figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
axes.hist(score[label == 1], bins, alpha=0.6, color="C0", label="normal")
axes.hist(score[label == -1], bins, alpha=0.6, color="C3", label="anomalous")
for (name, offset), style in zip(offsets.items(), (":", "--"), strict=True):
    axes.axvline(offset, color="black", linestyle=style, label=name)
axes.set(xlabel="score in dB² (higher is more normal)", ylabel="test clips")
axes.legend(loc="upper left")
plt.show()

# %%
# Decisions
# ---------
# ``predict`` returns -1 if the score is below the threshold, and +1 otherwise.
# ``p_values`` returns the share of normal clips that score as low: a low one is a sure alarm.

decision = detector.predict(waveforms[is_test])
decided = table.loc[is_test, ["fault"]].fillna("none").assign(alarm=decision == -1)
decided["p"] = detector.p_values(waveforms[is_test])
decided.groupby("fault").agg(
    alarms=("alarm", "sum"), clips=("alarm", "count"), median_p=("p", "median")
).round(3).reset_index()

# %%
# ROC
# ---
# The ROC curve shows the decisions of all thresholds.
# DCASE uses the area under it (AUC), and the area under its part with few false alarms (pAUC): at
# most a tenth of the normal clips, the shaded part.
# The AUC is 0.5 for chance and 1 for a perfect detector, and so is the standardised pAUC.
false_alarms, hits, _ = roc_curve(label == -1, -score, drop_intermediate=False)
auc, pauc = auc_score(label, score), pauc_score(label, score)

figure, axes = plt.subplots(figsize=(4.5, 4.5), layout="constrained")
axes.axvspan(0, 0.1, color="C1", alpha=0.25, linewidth=0, label=f"pAUC {pauc:.2f}")
axes.plot(false_alarms, hits, color="C0", label=f"AUC {auc:.2f}")
axes.plot([0, 1], [0, 1], color="gray", linestyle=":", label="chance")
axes.set(
    xlabel="false alarms / normal clips",
    ylabel="found / anomalous clips",
    xlim=(0, 1),
    ylim=(0, 1.02),
    aspect="equal",
)
axes.legend(loc="lower right")
plt.show()
