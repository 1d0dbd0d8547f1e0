"""
Learning from other machines
============================

Recordings of other machines are easier to get than recordings of faults.
``OEAutoencoder`` learns to rebuild them badly, and ``OEMobileNetDetector`` to distinguish them from
the machine. ``exposed`` marks such clips; they never count as normal and never set the threshold.
"""

# %%
# Clips
# -----
# The clips of a fan, and of machines of four other kinds.
import matplotlib.pyplot as plt
import numpy as np

from sklasd import LogMel, OEAutoencoder, OEMobileNetDetector, STFTImage
from sklasd.datasets import make_machine_clips
from sklasd.metrics import auc_score

fan, table = make_machine_clips(
    "fan", n_train=32, n_test=20, n_anomalies=20, severity=1.5, duration=2.0, random_state=0
)
others = [
    make_machine_clips(kind, n_train=8, n_test=0, n_anomalies=0, duration=2.0, random_state=0)[0]
    for kind in ("pump", "gearbox", "slider", "valve")
]
is_train = (table["split"] == "train").to_numpy()
train = np.concatenate([fan[is_train], *others])
exposed = np.arange(len(train)) >= is_train.sum()
test, label = fan[~is_train], table.loc[~is_train, "label"]

# %%
# The autoencoder
# ---------------
# Exposure did not help on the machines of the benchmarks; measure it on yours.
front_end = LogMel()
spectrograms, new = front_end.fit_transform(train), front_end.transform(test)
settings = {"max_epochs": 10, "calibration": None, "random_state": 0}
plain = OEAutoencoder(**settings).fit(spectrograms[~exposed])
with_others = OEAutoencoder(**settings).fit(spectrograms, exposed=exposed)
aucs = {
    "OEAutoencoder, plain": auc_score(label, plain.score_samples(new)),
    "OEAutoencoder, exposed": auc_score(label, with_others.score_samples(new)),
}

# %%
# The image net
# -------------
# Small images and a narrow net without pretrained weights train within seconds.
# Use a file of ImageNet weights instead of ``weights="random"`` for a real application.
camera = STFTImage(height=64, width=64)
images, new_images = camera.fit_transform(train), camera.transform(test)
classifier = OEMobileNetDetector(
    weights="random",
    width_multiplier=0.25,
    window_length=64,
    hop=64,
    lr=1e-3,
    batch_size=16,
    max_epochs=8,
    calibration=None,
    random_state=0,
).fit(images, exposed=exposed)
aucs["OEMobileNetDetector"] = auc_score(label, classifier.score_samples(new_images))

# %%
# Compare
# -------
# A classifier learns what distinguishes machines. A fan with a fault still sounds like a fan, so
# AUCs near 0.5 are expected for such different machines.
figure, axes = plt.subplots(figsize=(6, 2), layout="constrained")
axes.barh(list(aucs), list(aucs.values()))
axes.axvline(0.5, color="black", linewidth=0.8)
axes.set(xlabel="AUC", xlim=(0, 1))
axes.invert_yaxis()
plt.show()
