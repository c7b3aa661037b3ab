"""
Many small members or a few large ones?
=======================================

An ensemble is a step of a pipeline like any other, and all of its settings can be
searched: its own, those of its member, and those of the member's module. This example
has a fixed number of hidden units to give away, and asks scikit-learn's
``GridSearchCV`` how to divide them, and with which ``lam``.
"""

# %%
# A pipeline
# ----------
#
# The digits that come with scikit-learn, as 600 rows to search with; the rest is for
# the test. The scaler learns from the training rows of each fold, as it should.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler

from sklearn_jointens import JointEnsembleClassifier, mlp_classifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X.astype("float32"), y, train_size=600, stratify=y, random_state=0
)
member = mlp_classifier(lr=0.03, max_epochs=25, batch_size=100)
pipeline = Pipeline(
    [
        ("scale", MaxAbsScaler()),
        ("ensemble", JointEnsembleClassifier(member, random_state=0)),
    ]
)
pipeline

# %%
# A search
# --------
#
# Sixty-four hidden units, as 2 members of 32, 4 of 16, and so on. A double underscore
# leads from the pipeline to the ensemble, to its member, and to the member's module.

from sklearn.model_selection import GridSearchCV

lams = [0.0, 0.9, 1.0]
numbers = [2, 4, 8, 16, 32]
grid = [
    {
        "ensemble__n_estimators": [n_members],
        "ensemble__estimator__module__hidden_layer_sizes": [(64 // n_members,)],
        "ensemble__lam": lams,
    }
    for n_members in numbers
]
search = GridSearchCV(pipeline, grid, scoring="neg_log_loss", cv=2)
search.fit(X_train, y_train)
for name, value in search.best_params_.items():
    print(f"{name:<50} {value}")

# %%
# What it found
# -------------

import matplotlib.pyplot as plt

losses = -search.cv_results_["mean_test_score"].reshape(len(numbers), len(lams))
best = divmod(search.best_index_, len(lams))

fig, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
image = ax.imshow(losses, cmap="viridis_r", norm="log", aspect="auto")
for i, row in enumerate(losses):
    for j, loss in enumerate(row):
        ax.text(
            j,
            i,
            f"{loss:.3f}",
            ha="center",
            va="center",
            color="white" if image.norm(loss) > 0.5 else "black",
            weight="bold" if (i, j) == best else "normal",
        )
ax.set_xticks(range(len(lams)), [f"{lam:g}" for lam in lams])
ax.set_yticks(range(len(numbers)), [f"{n} of {64 // n}" for n in numbers])
ax.set(xlabel="lam", ylabel="members and their units", title="log-loss")
plt.show()

# %%
# The smaller the members, the more it costs to train them independently. Two or four
# large ones do not care. The best is in between, and jointly trained; whether with a
# ``lam`` of 0.9 or 1 is near a tie, which two folds do not decide.
#
# The best pipeline, fitted to all of the 600 rows, answers for the search. Its last
# step is the ensemble:

clf = search.best_estimator_["ensemble"]
print(f"accuracy of the pipeline: {search.best_estimator_.score(X_test, y_test):.3f}")
print(f"effective members:        {clf.history_[-1, 'train_effective_members']:.1f}")

# %%
# When ``lam`` is all that is searched, ``JointEnsembleClassifierCV`` does the same in
# less time: :ref:`sphx_glr_gallery_dial_plot_choose_lam.py`.
