"""
What lies between Bagging and one large network?
================================================

Sixteen networks can be trained one by one, as Bagging does, or as the parts of one
large network. The parameter ``lam`` of
:class:`~sklearn_jointens.JointEnsembleClassifier` leads from the one to the other. This
example walks along it, on rows that are easy to draw, and looks at what each network
makes of them.
"""

# %%
# Three arms of a spiral
# ----------------------
#
# The data are made up: points on three arms of a spiral, one class each.

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap


def spiral(n_rows, seed):
    rng = np.random.default_rng(seed)
    radius = np.sqrt(rng.uniform(0.03, 1, n_rows))
    y = rng.integers(3, size=n_rows)
    angle = 5.8 * radius + y * 2 * np.pi / 3
    X = radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    return X + rng.normal(scale=0.03, size=X.shape), y


X, y = spiral(300, seed=0)
X_test, y_test = spiral(2000, seed=1)

# %%
# The same members, trained in three ways
# ---------------------------------------
#
# A member has one hidden layer of four units. That is too little for three arms, but
# sixteen such members have 64 units among them. All three ensembles start from the same
# weights, and see the same batches.

from sklearn_jointens import JointEnsembleClassifier, mlp_classifier

member = mlp_classifier(
    hidden_layer_sizes=(4,), activation="tanh", lr=0.03, max_epochs=200, batch_size=150
)
ensembles = {
    lam: JointEnsembleClassifier(member, n_estimators=16, lam=lam, random_state=0)
    for lam in (0, 0.9, 1)
}
for lam, clf in ensembles.items():
    clf.fit(X, y)
    members = clf.score_members(X_test, y_test)
    print(
        f"lam = {lam:<3}   accuracy {clf.score(X_test, y_test):.3f}   "
        f"of the mean member {members.mean():.3f}"
    )

# %%
# What the members see
# --------------------
#
# Above is the ensemble with the rows it was trained on; below are eight of its members,
# each coloured by its own probabilities of the three classes.

colours = np.array([[0.0, 0.45, 0.7], [0.9, 0.62, 0.0], [0.0, 0.62, 0.45]])
side = np.linspace(-1.15, 1.15, 100)
grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)


def draw(ax, proba):
    ax.imshow(
        (proba @ colours).clip(0, 1).reshape(100, 100, 3),
        extent=(-1.15, 1.15, -1.15, 1.15),
        origin="lower",
        interpolation="bilinear",
    )
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


titles = {
    0: "lam = 0\neach by itself",
    0.9: "lam = 0.9\neach for itself and for all",
    1: "lam = 1\nall as one network",
}
fig = plt.figure(figsize=(10, 5.6), layout="constrained")
columns = fig.subfigures(1, 3, wspace=0.05)
for column, (lam, clf) in zip(columns, ensembles.items(), strict=True):
    whole, parts = column.subfigures(2, 1, height_ratios=[2.1, 1])
    ax = whole.subplots()
    draw(ax, clf.predict_proba(grid))
    ax.scatter(*X.T, c=y, s=9, cmap=ListedColormap(colours), ec="white", lw=0.4)
    ax.set_title(titles[lam])
    eight = clf.member_proba(grid)[:8]
    for small, proba in zip(parts.subplots(2, 4).flat, eight, strict=True):
        draw(small, proba)

# %%
# A member that is trained for itself does what it can for every row, and so all of them
# do much the same. A member that is trained with the others may leave rows to them: it
# draws a few sharp lines, and the spiral comes of all lines together. What that costs
# is in the table above: the more the members rely on each other, the less each is worth
# alone.
#
# Which ``lam`` is best depends on the members and the data. One call finds it: see
# :ref:`sphx_glr_gallery_dial_plot_choose_lam.py`.
