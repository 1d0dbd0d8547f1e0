"""
One training, many scores
=========================

``AEGANDetector`` trains an autoencoder and a critic.
One training gives 19 anomaly scores: five distances between windows and their reconstructions,
pooled in three ways, and four scores of the critic's embedding.
"""

# %%
# Train
# -----
# The paper's nets are made for a GPU.
# ``width=4`` makes them narrow, and a larger ``hop`` and ``scoring_hop`` use fewer windows.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_auc_score

from sklasd import AEGANDetector, LogMel
from sklasd.datasets import make_machine_clips

waveforms, table = make_machine_clips(
    "bearing",
    n_train=30,
    n_test=20,
    n_anomalies=20,
    severity=2.0,
    duration=5.0,
    random_state=0,
)
front_end = LogMel(n_fft=2048, top_db=80)
features = front_end.fit_transform(waveforms)
is_train = (table["split"] == "train").to_numpy()

detector = AEGANDetector(
    width=4, hop=8, scoring_hop=8, batch_size=32, max_epochs=40, calibration=None, random_state=0
)
detector.fit(features[is_train])
detector.history_.round(3).tail(3)

# %%
# Score
# -----
# ``score_table`` has a column for each score.
# A narrow net that was trained for less than a minute rebuilds some bands badly in every clip.
# In the sum over all bands, these errors hide that of the fault; the critic's embedding is better.
#
# Here the labels only serve to compare the scores. To select a score by them and then report the
# same results, as the paper does, is optimistic: with labelled clips of your own, use a
# ``GridSearchCV`` over ``anomaly_score`` and ``pooling``, and report results on other clips.
scores = detector.score_table(features[~is_train])
label = table["label"].to_numpy()[~is_train]
by_mean = [name for name in scores if not name.endswith(("_max", "_min"))]
aucs = {name: roc_auc_score(label, scores[name]) for name in by_mean}

figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
axes.barh(list(aucs), list(aucs.values()), color="tab:blue")
axes.axvline(0.5, color="black", linewidth=0.8)
axes.set(xlabel="AUC", xlim=(0, 1))
axes.invert_yaxis()

# %%
# Any back end
# ------------
# The back ends of sklasd and outlier detectors of scikit-learn can score the critic's embedding.
# With ``memory`` and ``random_state``, the nets are not trained again.
from sklasd import KNNDetector

neighbors = AEGANDetector(
    width=4,
    hop=8,
    scoring_hop=8,
    batch_size=32,
    max_epochs=2,
    anomaly_score="embedding_backend",
    backend=KNNDetector(density="ratio"),
    calibration=3,
    random_state=0,
)
neighbors.fit(features[is_train]).predict(features[~is_train][:5])

# %%
# Look
# ----
# The map is the difference between a clip and its reconstruction in dB.
# White frames are the true regions of the fault, where the map is bright.
# The bright bands at the bottom are rebuilt badly in normal clips, too.
clip = np.flatnonzero(table["fault"] == "bearing_defect")[0]
(deviation,) = detector.anomaly_map(features[[clip]])
seconds = features.shape[2] * front_end.hop_length / front_end.sample_rate
bands = np.arange(len(front_end.mel_frequencies))

figure, panels = plt.subplots(2, 1, figsize=(7, 5), sharex=True, layout="constrained")
for axes, image, name in zip(
    panels, (features[clip], deviation), ("clip in dB", "anomaly map in dB"), strict=True
):
    shown = axes.imshow(image, origin="lower", aspect="auto", extent=(0, seconds, 0, len(bands)))
    figure.colorbar(shown, ax=axes, label=name)
    for start, end, low, high in table.loc[clip, "regions"]:
        bottom, top = np.interp([low, high], front_end.mel_frequencies, bands + 0.5)
        axes.add_patch(
            plt.Rectangle((start, bottom), end - start, top - bottom, fill=False, color="white")
        )
    axes.set_ylabel("mel band")
panels[1].set_xlabel("time in s")
