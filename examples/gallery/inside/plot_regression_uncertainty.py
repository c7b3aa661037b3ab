"""
How far may a number be off?
============================

A prediction can be wrong because the data are noisy, or because the model has not seen
the like. An ensemble of networks that learn a variance each can tell the two apart: the
noise is what its members say, and what it does not know is where they differ.
"""

# %%
# Noise that changes, and a gap
# -----------------------------
#
# The data are made up: the noise grows from left to right, and nothing was measured
# between 4 and 6.

import numpy as np

rng = np.random.default_rng(0)


def truth(x):
    return np.sin(1.3 * x) + 0.3 * x


def noise(x):
    return 0.05 + 0.05 * x


x = rng.uniform(0, 10, 250)
x = np.sort(x[(x < 4) | (x > 6)])
y = truth(x) + noise(x) * rng.normal(size=len(x))

# %%
# Members with variances
# ----------------------
#
# With :class:`~sklearn_jointens.losses.HeteroscedasticGaussianLoss`, a member puts out
# a mean and the logarithm of a variance. Each learns from a bootstrap sample of its
# own, and ``lam`` stays at 0, its default: members that are trained for each other
# differ because that was rewarded, and their spread is no measure of doubt.

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_jointens import JointEnsembleRegressor, mlp_regressor
from sklearn_jointens.losses import HeteroscedasticGaussianLoss

member = mlp_regressor(
    hidden_layer_sizes=(32, 32),
    activation="relu",
    criterion=HeteroscedasticGaussianLoss,
    lr=0.01,
    max_epochs=200,
)
reg = JointEnsembleRegressor(member, n_estimators=12, bootstrap=True, random_state=0)
model = make_pipeline(StandardScaler(), reg)
model.fit(x[:, None], y)

# %%
# Two answers to one question
# ---------------------------
#
# ``return_std`` is the noise that the members see, in the ensemble's own distribution:
# the normalised geometric mean of theirs, as everywhere in this package. Members taken
# as a mixture have a wider one, which counts in how far they are apart;
# :func:`~sklearn_jointens.inspection.uncertainty` gives its two parts.

from sklearn_jointens.inspection import uncertainty

x_all = np.linspace(-2, 12, 400)
X_all = x_all[:, None]
mean, noise_std = model.predict(X_all, return_std=True)
mixture = uncertainty(model, X_all)
total_std = np.sqrt(mixture.total_variance)

# %%

import matplotlib.pyplot as plt

fig, (upper, lower) = plt.subplots(
    2, 1, figsize=(8, 6.5), height_ratios=[2, 1], sharex=True, layout="constrained"
)
for std, alpha, name in [
    (total_std, 0.15, "noise and doubt"),
    (noise_std, 0.35, "noise"),
]:
    upper.fill_between(
        x_all, mean - 2 * std, mean + 2 * std, color="tab:blue", alpha=alpha, lw=0
    )
    lower.plot(x_all, std, color="tab:blue", alpha=2 * alpha + 0.25, lw=2, label=name)
upper.plot(x, y, ".", color="black", ms=3)
upper.plot(x_all, truth(x_all), "--", color="tab:orange", label="truth")
upper.plot(x_all, mean, color="tab:blue", lw=2, label="ensemble, ± 2 std")
upper.set(ylim=(-2, 6), ylabel="y")
upper.legend(loc="upper left")
lower.plot([0, 10], [noise(0), noise(10)], "--", color="tab:orange", label="true noise")
lower.set(xlim=(-2, 12), ylim=(0, 1.5), xlabel="x", ylabel="std")
lower.legend(loc="upper center")
plt.show()

# %%
# How many new rows lie within two standard deviations? Of a Gaussian it would be 95 %.

for name, low, high in [("where there were data", 6, 10), ("in the gap", 4, 6)]:
    x_new = rng.uniform(low, high, 2000)
    y_new = truth(x_new) + noise(x_new) * rng.normal(size=2000)
    predicted, narrow = model.predict(x_new[:, None], return_std=True)
    wide = np.sqrt(uncertainty(model, x_new[:, None]).total_variance)
    distance = abs(y_new - predicted)
    print(
        f"{name:<22} noise alone {np.mean(distance < 2 * narrow):4.0%}"
        f"   noise and doubt {np.mean(distance < 2 * wide):4.0%}"
    )

# %%
# Where there were data, doubt adds little. In the gap the noise alone promises too
# much, and with the doubt the intervals are wider than they need be, which is the
# better mistake.
