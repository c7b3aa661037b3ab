"""What is timed as a graph says what the estimator says that it was made of."""

import numpy as np
import pytest

from examples.benchmarks._setting import Setting, synthetic
from examples.benchmarks.rivals import bagging_of_sklearn
from examples.benchmarks.shipping import (
    BAGGING,
    GRAPH,
    HALF_LEFT,
    HALF_ON,
    TORCH,
    graphs,
)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_graphs_are_of_what_they_are_called(tmp_path):
    setting = Setting(synthetic(600, n_features=5, n_classes=3), n_members=4, hidden=3)
    X, y = setting.rows(600)

    predicts, sizes = graphs(setting, tmp_path)

    said = {name: predict(X) for name, predict in predicts.items()}
    bagging = bagging_of_sklearn(setting, 1).fit(X, y)
    np.testing.assert_allclose(said[GRAPH], said[TORCH], atol=1e-6)
    np.testing.assert_allclose(said[HALF_LEFT], said[HALF_ON], atol=1e-6)
    assert abs(said[HALF_ON] - said[GRAPH]).max() > 1e-3
    np.testing.assert_allclose(said[BAGGING], bagging.predict_proba(X), atol=1e-5)
    assert sizes.keys() == {GRAPH, BAGGING, HALF_LEFT}
