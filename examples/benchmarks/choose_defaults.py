"""The evidence for the defaults of `mlp_classifier`.

Cross-validates candidate members on data sets that scikit-learn ships
(iris, wine, breast cancer, digits; standardised, and digits as they come), and prints
for each candidate its mean log-loss and accuracy over the data sets, and how many
percent its log-loss is above the best candidate's on average.

    python examples/benchmarks/choose_defaults.py

The defaults of `tabular_classifier`, and of the ensemble, are `choose_tabular.py`'s.
"""

import argparse
import itertools

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn import datasets
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_jointens import JointEnsembleClassifier, mlp_classifier


def tasks():
    """Name, X, y and whether X is standardised, of each data set."""
    for name in ("iris", "wine", "breast_cancer", "digits"):
        X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        yield name, X.astype(np.float32), y, True
    X, y = datasets.load_digits(return_X_y=True)
    yield "digits, unscaled", X.astype(np.float32), y, False


def evaluate(name, X, y, scaled, label, estimator, seed):
    """Cross-validated scores of one candidate on one data set."""
    estimator = clone(estimator).set_params(random_state=seed)
    model = make_pipeline(StandardScaler(), estimator) if scaled else estimator
    cv = StratifiedKFold(5, shuffle=True, random_state=seed)
    scores = cross_validate(model, X, y, cv=cv, scoring=("neg_log_loss", "accuracy"))
    return {
        "candidate": label,
        "data": name,
        "log-loss": -scores["test_neg_log_loss"].mean(),
        "accuracy": scores["test_accuracy"].mean(),
        "fit seconds": scores["fit_time"].mean(),
    }


def compare(title, candidates, seeds, n_jobs):
    """Print a table with a row for each candidate."""
    jobs = [
        delayed(evaluate)(*task, label, estimator, seed)
        for label, estimator in candidates.items()
        for task in tasks()
        for seed in range(seeds)
    ]
    rows = pd.DataFrame(Parallel(n_jobs=n_jobs)(jobs))
    by_data = rows.groupby(["candidate", "data"], sort=False).mean(numeric_only=True)
    loss = by_data["log-loss"].unstack()
    table = by_data.groupby("candidate", sort=False).mean()
    table["% above best"] = ((loss / loss.min() - 1) * 100).mean(axis=1)
    accuracy = by_data["accuracy"].unstack()[loss.columns] * 100
    print(f"\n{title}")
    print(table.join(accuracy.round(1)).round(4).to_string())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--n-jobs", type=int, default=2)
    args = parser.parse_args()
    grid = itertools.product(((32,), (64,), (64, 64)), (0.001, 0.003, 0.01), (20, 50))
    candidates = {
        f"hidden={hidden} lr={lr} epochs={epochs}": JointEnsembleClassifier(
            mlp_classifier(hidden, lr=lr, max_epochs=epochs), n_estimators=10, lam=0.5
        )
        for hidden, lr, epochs in grid
    }
    candidates |= {
        f"hidden=(64,) lr=0.01 epochs=20 batch={batch}": JointEnsembleClassifier(
            mlp_classifier((64,), lr=0.01, max_epochs=20, batch_size=batch),
            n_estimators=10,
            lam=0.5,
        )
        for batch in (32, 128)
    }
    compare("Members, at lam=0.5", candidates, args.seeds, args.n_jobs)


if __name__ == "__main__":
    main()
