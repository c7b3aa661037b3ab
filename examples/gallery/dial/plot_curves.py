"""
Which part of a curve does each network draw?
=============================================

With the squared error, joint training is what is known as *negative correlation
learning*: members are rewarded for erring in different ways, and ``lam`` says how much.
On a curve of one variable one can see what they make of that.
"""

# %%
# A curve that is too much for one
# --------------------------------
#
# The data are made up: a wave with noise. A member has three hidden units, too few for
# this curve; twelve members have thirty-six among them.

import numpy as np


def truth(x):
    return np.sin(x) + 0.6 * np.sin(2.3 * x + 1)


rng = np.random.default_rng(0)
x = np.sort(rng.uniform(-6, 6, 300))
y = truth(x) + rng.normal(scale=0.2, size=x.shape)
X = x[:, None]

# %%
# Three ensembles
# ---------------
#
# They differ in ``lam`` alone. We print how far each curve is from the truth: the root
# of the mean squared distance.

from sklearn.metrics import root_mean_squared_error

from sklearn_jointens import JointEnsembleRegressor, mlp_regressor

member = mlp_regressor(
    hidden_layer_sizes=(3,), activation="tanh", lr=0.03, max_epochs=300, batch_size=150
)
ensembles = {
    lam: JointEnsembleRegressor(member, n_estimators=12, lam=lam, random_state=0)
    for lam in (0, 0.9, 0.99)
}
x_all = np.linspace(-6, 6, 400)
X_all = x_all[:, None]
for lam, reg in ensembles.items():
    reg.fit(X, y)
    ensemble = root_mean_squared_error(truth(x_all), reg.predict(X_all))
    members = [
        root_mean_squared_error(truth(x_all), curve)
        for curve in reg.member_predict(X_all)
    ]
    print(f"lam = {lam:<4}  {ensemble:.2f}, and the mean member {np.mean(members):.2f}")

# %%
# The curves
# ----------
#
# Each thin line is a member, the thick one their mean, which is the ensemble.

import matplotlib.pyplot as plt

fig, axes = plt.subplots(
    1, 3, figsize=(10, 5), sharex=True, sharey=True, layout="constrained"
)
for ax, (lam, reg) in zip(axes, ensembles.items(), strict=True):
    ax.scatter(x, y, s=6, color="0.75")
    ax.plot(x_all, reg.member_predict(X_all).T, lw=1.3, alpha=0.8)
    ax.plot(x_all, reg.predict(X_all), color="black", lw=3)
    ax.set(title=f"lam = {lam}", ylim=(-2.9, 2.9), xlabel="x")
axes[0].set_ylabel("y")
plt.show()

# %%
# By themselves, all members find much the same compromise, and their mean is that
# compromise again. Trained jointly, each bends where others do not: the mean comes
# closer to the truth, while the members by themselves go away from it.
#
# The history says what the ensemble gains over its mean member on the rows that it was
# trained on. For the squared error this diversity is the variance of the members.

for lam, reg in ensembles.items():
    last = reg.history_[-1]
    print(
        f"lam = {lam:<4}  mean member {last['train_member_loss']:.3f}"
        f" - diversity {last['train_diversity']:.3f}"
        f" = ensemble {last['train_ensemble_loss']:.3f}"
    )

# %%
# Read more in :doc:`/guide/regression`.
