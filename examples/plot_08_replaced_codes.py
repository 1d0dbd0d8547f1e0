"""
Finding replaced codes
======================

``AudDSRDetector`` simulates anomalies, so it needs no recorded ones.
A ``DiscreteAutoencoder`` turns spectrograms into maps of codes. Codes are replaced in some regions,
and a net learns to mark these regions.
"""

# %%
# First stage
# -----------
# This first stage has few codes and a short training; that of the paper has 4,096 codes and 20,000
# steps. It is trained once, and several machines can share it.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.frozen import FrozenEstimator

from sklasd import AudDSRDetector, DiscreteAutoencoder, LogMel
from sklasd.datasets import make_machine_clips
from sklasd.metrics import auc_score

waveforms, table = make_machine_clips(
    "fan", n_train=30, n_test=15, n_anomalies=15, severity=2.0, duration=2.0, random_state=0
)
features = LogMel(n_fft=2048, hop_length=1024, n_mels=64).fit_transform(waveforms)
is_train = (table["split"] == "train").to_numpy()

autoencoder = DiscreteAutoencoder(
    n_features=16,
    codebook_size=64,
    batch_size=32,
    lr=2e-3,
    decay=0.95,
    window_length=32,
    hop=16,
    max_iterations=150,
    random_state=0,
).fit(features[is_train])

# %%
# Second stage
# ------------
# ``bands`` and ``segment_frames`` set the size of simulated anomalies.
# With ``mask_weight``, a small net learns to mark earlier than with the paper's loss.
detector = AudDSRDetector(
    FrozenEstimator(autoencoder),
    detection_width=8,
    window_length=32,
    batch_size=8,
    lr=1e-3,
    max_iterations=100,
    mask_weight=3.0,
    bands=(2, 16),
    segment_frames=(4, 12),
    perlin_octaves=(2, 4),
    calibration=None,
    random_state=0,
).fit(features[is_train])
score = detector.score_samples(features[~is_train])
print(f"AUC {auc_score(table.loc[~is_train, 'label'], score):.3f}")

# %%
# Look
# ----
# The map is the probability that a cell was replaced.
# After so few steps the map is blurred, and the AUC is near chance: this example shows how to use
# the detector, not how good it is.
clip = np.flatnonzero(~is_train)[int(score.argmin())]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True, layout="constrained")
for ax, image, name in zip(
    axes,
    (features[clip], detector.anomaly_map(features[[clip]])[0]),
    ("clip in dB", "anomaly map"),
    strict=True,
):
    figure.colorbar(ax.imshow(image, origin="lower", aspect="auto"), ax=ax)
    ax.set(title=name, xlabel="frame")
axes[0].set_ylabel("mel band")
plt.show()
