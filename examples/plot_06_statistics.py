"""
Detectors without a net
=======================

Statistics turn a clip into one row of numbers, and a back end compares it with the rows of normal
clips. This trains in a second, and shows the anomalous band and its statistic.
"""

# %%
# Clips
# -----
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sklasd import (
    ClipStatistics,
    FusionDetector,
    GaussianMixtureDetector,
    KNNDetector,
    LogMel,
    MahalanobisDetector,
    StatisticsDetector,
)
from sklasd.datasets import make_machine_clips
from sklasd.metrics import auc_score

waveforms, table = make_machine_clips(
    "bearing", n_train=60, n_test=30, n_anomalies=30, duration=3.0, random_state=0
)
is_train = (table["split"] == "train").to_numpy()
label = table.loc[~is_train, "label"].to_numpy()
front_end = LogMel(n_fft=2048)
features = front_end.fit_transform(waveforms)

# %%
# StatisticsDetector
# ------------------
# By default the numbers are three quantiles of each band's level over time.
detector = StatisticsDetector().fit(features[is_train])
score = detector.score_samples(features[~is_train])
print(f"AUC {auc_score(label, score):.3f}")

# %%
# The anomaly score is a sum over these numbers, so ``contributions`` can show the share of each
# number, here for the clip with the lowest score.
worst = int(score.argmin())
shares = detector.contributions(features[~is_train][[worst]])[0]
names = detector.statistics_.fit(features).get_feature_names_out(front_end.get_feature_names_out())
largest = np.argsort(shares)[::-1][:8]

figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.barh(names[largest], shares[largest] / shares.sum())
axes.set(xlabel="share of the distance", title=table["fault"][~is_train].iloc[worst])
axes.invert_yaxis()
plt.show()

# %%
# FusionDetector
# --------------
# A fusion combines several detectors, whose scores are scaled by held-out clips.
# ``score_table`` has a column for each member and for each fusion rule.
fusion = FusionDetector(
    [(name, StatisticsDetector(name)) for name in ("quantiles", "shape", "autocorrelation")]
).fit(features[is_train])
scores = fusion.score_table(features[~is_train])
pd.Series({name: auc_score(label, scores[name]) for name in scores}, name="AUC").round(3)

# %%
# Back ends
# ---------
# ``ClipStatistics`` makes the rows, and any back end can compare them: the nearest normal clip, one
# Gaussian, or the likeliest of several Gaussians.
rows = ClipStatistics(("mean", "deviation")).fit_transform(features)
backends = [KNNDetector(), MahalanobisDetector(), GaussianMixtureDetector(random_state=0)]
aucs = {
    type(each).__name__: auc_score(label, each.fit(rows[is_train]).score_samples(rows[~is_train]))
    for each in backends
}
pd.Series(aucs, name="AUC").round(3)
