"""
Can a table go in as it is?
===========================

Tables have columns in different units, categories, and holes. Networks want numbers of
one size. The default member of :class:`~sklearn_jointens.JointEnsembleClassifier` and
:class:`~sklearn_jointens.JointEnsembleRegressor` does what lies between: this example
hands it a table as it comes, and checks what it has learned against the truth.
"""

# %%
# Rents of a town
# ---------------
#
# The table is made up, so that the truth is known. The rent of a flat is its area times
# a price per square metre, which depends on the district; old houses are cheaper,
# unless they are very old. In one row of six nobody knows when the house was built.

import numpy as np
import pandas as pd

rng = np.random.default_rng(0)
n_rows = 1500
PRICES = {"Harbour": 17, "Old town": 14, "Hill": 12, "Station": 9}


def rent_of(area, built, district):
    """What a flat costs a month, but for what makes it special."""
    age = 1 - 0.35 * np.exp(-(((built - 1955) / 25) ** 2))
    return area**0.9 * district.map(PRICES).astype(float) * age


flats = pd.DataFrame(
    {
        "area": rng.lognormal(4.2, 0.35, n_rows).round(),
        "built": rng.integers(1880, 2024, n_rows).astype(float),
        "district": pd.Categorical(rng.choice(list(PRICES), n_rows)),
    }
)
rent = rent_of(**flats) * rng.lognormal(0, 0.08, n_rows)
flats.loc[rng.random(n_rows) < 1 / 6, "built"] = np.nan
flats.assign(rent=rent.round()).head()

# %%
# Fit
# ---
#
# Nothing is scaled, imputed or encoded before, y neither: what has to be known of the
# columns is learned from the rows of each fit.

from sklearn.model_selection import train_test_split

from sklearn_jointens import JointEnsembleRegressor, tabular_regressor

train, test, rent_train, rent_test = train_test_split(flats, rent, random_state=0)
member = tabular_regressor(hidden_layer_sizes=(64, 64))
reg = JointEnsembleRegressor(member, n_estimators=8, random_state=0)
reg.fit(train, rent_train)

# %%
# Beside it stands scikit-learn's gradient boosting, which takes such tables too.

from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import mean_absolute_percentage_error

boosting = HistGradientBoostingRegressor(
    categorical_features="from_dtype", random_state=0
)
boosting.fit(train, rent_train)
known = test["built"].notna()
for name, rows in {"is known": known, "is missing": ~known}.items():
    for model in (reg, boosting):
        error = mean_absolute_percentage_error(
            rent_test[rows], model.predict(test[rows])
        )
        print(
            f"error where the year {name:<10}  {type(model).__name__:<30} {error:6.1%}"
        )

# %%
# That is one table and one split; :doc:`/guide/tables` has twelve tables.
#
# What it has learned
# -------------------
#
# The rent of a flat of 70 square metres against the year, district by district: the
# truth, and what the two say. The dot is a flat of which the year is not known; it
# should cost the mean of all years.

import matplotlib.pyplot as plt

years = np.arange(1880.0, 2024)
fig, axes = plt.subplots(
    2, 2, figsize=(8.5, 5.8), sharex=True, sharey=True, layout="constrained"
)
for ax, district in zip(axes.flat, PRICES, strict=True):
    flat = pd.DataFrame({"area": 70.0, "built": years, "district": district})
    unknown = flat.assign(built=np.nan)[:1]
    truth = rent_of(**flat)
    ax.plot(years, truth, color="0.3", ls="--", label="truth")
    ax.plot(years, boosting.predict(flat), color="tab:orange", lw=1, label="boosting")
    ax.plot(years, reg.predict(flat), color="tab:blue", lw=2.5, label="ensemble")
    ax.plot(2045, truth.mean(), "_", color="0.3", ms=16)
    ax.plot(2045, reg.predict(unknown), "o", color="tab:blue")
    ax.set_title(district)
    ax.set_xticks([1900, 1950, 2000, 2045], ["1900", "1950", "2000", "?"])
axes[1, 0].legend(loc="lower left")
fig.supxlabel("year of building")
fig.supylabel("rent of 70 square metres")
plt.show()
