"""
Can a device that is short of time leave members out?
=====================================================

A fitted ensemble becomes one ONNX graph, which predicts without torch. Which of its
members are on is an input of that graph, so a device may decide at each call how many
it can afford. This example writes such a graph, checks it, and asks what fewer members
cost and save.
"""

# %%
# An ensemble of small convolutional networks
# -------------------------------------------
#
# Twelve of them, on the digits of scikit-learn. With ``lam=0.9`` they are trained for
# each other.

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from skorch import NeuralNetClassifier

from sklearn_jointens import JointEnsembleClassifier
from sklearn_jointens.nn import ConvNet

digits = load_digits()
images = digits.images[:, None].astype("float32") / 16
X_train, X_test, y_train, y_test = train_test_split(
    images, digits.target, random_state=0
)
net = NeuralNetClassifier(
    ConvNet,
    module__widths=(8, 16),
    module__strides=(1, 2),
    criterion=torch.nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    lr=0.03,
    batch_size=64,
    max_epochs=15,
    iterator_train__shuffle=True,
    train_split=None,
    verbose=0,
)
clf = JointEnsembleClassifier(net, n_estimators=12, lam=0.9, random_state=0)
clf.fit(X_train, y_train)
print(f"accuracy {clf.score(X_test, y_test):.3f}")

# %%
# One file
# --------
#
# Some rows as an example tell the graph their dtype, and check it: nothing is written
# unless the graph says of them what the ensemble says.

from pathlib import Path
from tempfile import TemporaryDirectory

import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1  # a small device
with TemporaryDirectory() as folder:
    path = Path(folder) / "digits.onnx"
    clf.to_onnx(path, example=X_test[:10])
    print(f"{path.stat().st_size / 1024:.0f} KiB")
    session = onnxruntime.InferenceSession(path, options)
for value in [*session.get_inputs(), *session.get_outputs()]:
    print(value.name, value.type, value.shape)

# %%
# The same probabilities
# ----------------------
#
# The mask of members is the one that ``predict_proba`` takes. For all members, and for
# three masks that are drawn, the largest difference of two probabilities is:

import numpy as np

rng = np.random.default_rng(0)
for members in (np.ones(12, dtype=bool), *(rng.random((3, 12)) < 0.5)):
    _, proba = session.run(None, {"X": X_test, "members": members})
    difference = abs(proba - clf.predict_proba(X_test, members=members)).max()
    print(f"{members.sum():2} members on: {difference:.0e}")

# %%
# What fewer members cost and save
# --------------------------------
#
# The first member alone, the first two, and so on: their accuracy on the test images,
# and the time of one image, the shortest of two hundred calls in turns.

import time


def call(images, n_on):
    """Labels by the first members, and how many microseconds they take."""
    fed = {"X": images, "members": np.arange(12) < n_on}
    started = time.perf_counter()
    labels, _ = session.run(None, fed)
    return labels, 1e6 * (time.perf_counter() - started)


n_on = np.arange(1, 13)
accuracy = [np.mean(call(X_test, n)[0] == y_test) for n in n_on]
times = np.min([[call(X_test[:1], n)[1] for n in n_on] for _ in range(200)], axis=0)

# %%

import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
ax.plot(times, accuracy, "-o", color="tab:blue")
for n in (1, 2, 4, 8, 12):
    ax.annotate(
        f"{n} on",
        (times[n - 1], accuracy[n - 1]),
        xytext=(6, -14),
        textcoords="offset points",
    )
ax.set(xlabel="microseconds for one image", ylabel="accuracy")
ax.margins(0.1)
plt.show()

# %%
# The first members buy most of the accuracy. Every member costs about the same few
# microseconds, beside what a call costs anyway. A device that will never need the
# others is better off without them in its file:
# ``clf.drop_members(range(6, 12)).to_onnx(path)``, or without those that
# :ref:`pruning <sphx_glr_gallery_inside_plot_prune_members.py>` drops.
#
# Members without convolutions behave differently: for one row, half of them take about
# as long as all. :doc:`/guide/shipping` says why, and how whole pipelines are exported.
