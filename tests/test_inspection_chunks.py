"""Inspections that read chunk by chunk say the same whatever a chunk is."""

from functools import cache

import numpy as np
import pytest
from kinds import KINDS, rows

from sklearn_jointens.inspection import (
    diversity_decomposition,
    pairwise_disagreement,
    uncertainty,
)

X = rows()
OF = {kind.name: kind for kind in KINDS}

INSPECTIONS = {
    "decomposition": diversity_decomposition,
    "decomposition by row": lambda *of: diversity_decomposition(*of, by="row"),
    "decomposition by class": lambda *of: diversity_decomposition(*of, by="class"),
    "disagreement": lambda model, X, y: {"": pairwise_disagreement(model, X)},
    "uncertainty": lambda model, X, y: uncertainty(model, X),
}


@cache
def fitted(name):
    kind = OF[name]
    return kind.ensemble(lam=0).fit(X, kind.y)


@pytest.mark.parametrize("name", ["classes", "labels", "several variances"])
@pytest.mark.parametrize("inspection", INSPECTIONS)
def test_chunks_change_nothing(inspection, name, monkeypatch):
    if name == "several variances" and inspection == "decomposition by class":
        return
    inspect, model, y = INSPECTIONS[inspection], fitted(name), OF[name].y
    whole = inspect(model, X, y)
    sizes = []
    monkeypatch.setattr(
        "sklearn_jointens.training._prediction.chunk_size",
        lambda *_: sizes.append(7) or 7,
    )

    actual = inspect(model, X, y)

    assert sizes
    whole.pop("classes", None)
    for key, values in whole.items():
        np.testing.assert_allclose(
            actual[key], values, rtol=1e-5, atol=1e-7, err_msg=key
        )
