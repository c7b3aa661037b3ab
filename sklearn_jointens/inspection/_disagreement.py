"""`pairwise_disagreement`: which members differ from which."""

from typing import Any

import numpy as np
from scipy.spatial.distance import pdist, squareform
from sklearn.base import is_classifier

from sklearn_jointens.inspection._reading import Reading


def pairwise_disagreement(estimator: Any, X: Any) -> np.ndarray:
    """How far each two members differ in what they say.

    Parameters
    ----------
    estimator : object
        A fitted ensemble; a search that has refitted one; or a pipeline that ends in
        one of them.
    X : array-like or sparse matrix of shape (n_samples, ...)
        Predicted in chunks of rows.

    Returns
    -------
    ndarray of shape (n_members, n_members)
        Symmetric, with 0 on its diagonal. Of classes the share of rows on which two
        members say different ones, of several labels the share of rows and labels; of
        numbers the root of the mean squared difference, in y's own units (over several
        targets, too).

    Raises
    ------
    TypeError
        There is no ensemble in `estimator`.

    See Also
    --------
    DiversityMapDisplay : Draws it.
    uncertainty : Disagreement by row.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_jointens import JointEnsembleClassifier, mlp_classifier
    >>> from sklearn_jointens.inspection import pairwise_disagreement
    >>> X, y = load_iris(return_X_y=True)
    >>> member = mlp_classifier((2,), max_epochs=40)
    >>> clf = JointEnsembleClassifier(member, n_estimators=4, lam=0.9, random_state=0)
    >>> pairwise_disagreement(clf.fit(X, y), X).round(1)
    array([[0. , 0.7, 0.7, 0.7],
           [0.7, 0. , 0.3, 0. ],
           [0.7, 0.3, 0. , 0.3],
           [0.7, 0. , 0.3, 0. ]])
    """
    reading = Reading("pairwise_disagreement", estimator, X)
    are_classes = is_classifier(reading.ensemble)
    total: Any = 0.0
    for _, natural in reading.chunks():
        predicted = reading.family.predicted(natural)
        if are_classes:
            said = reading.family.decide(predicted).numpy()
        else:
            said = reading.targets.decode(predicted.double().numpy())
        total = total + said.shape[1] * _mean_differences(said, are_classes)
    mean = total / reading.n_rows
    return squareform(mean if are_classes else np.sqrt(mean))


def disagreement_of(predictions: np.ndarray, are_classes: bool) -> np.ndarray:
    """The same of members' predictions (n_members, n_samples, ...)."""
    mean = _mean_differences(predictions, are_classes)
    return squareform(mean if are_classes else np.sqrt(mean))


def _mean_differences(said: np.ndarray, are_classes: bool) -> np.ndarray:
    """Of pairs of members: shares that differ, or mean squared differences."""
    said = said.reshape(len(said), -1)
    if are_classes:
        return pdist(said, "hamming")
    return pdist(said, "sqeuclidean") / said.shape[1]
