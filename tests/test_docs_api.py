"""Every public name has a page in the API reference."""

import importlib
import re
from pathlib import Path

import pytest
from skorch import NeuralNetClassifier
from torch import nn

import sklearn_jointens
from sklearn_jointens import (
    JointEnsembleClassifier,
    JointEnsembleClassifierCV,
    JointEnsembleRegressor,
    JointEnsembleRegressorCV,
    mlp_classifier,
    mlp_regressor,
    tabular_classifier,
    tabular_regressor,
)

INDEX = Path(__file__).parents[1] / "docs" / "api" / "index.rst"
FLOORS = ["", ".inspection", ".losses", ".nn", ".training"]


def pages():
    """Dotted names that autosummary writes a page of."""
    package = None
    for line in INDEX.read_text(encoding="utf-8").splitlines():
        if module := re.fullmatch(r"\.\. currentmodule:: (\S+)", line):
            package = module[1]
        elif name := re.fullmatch(r"   ([A-Za-z_]\w*)", line):
            yield f"{package}.{name[1]}"
        elif name := re.fullmatch(r"   ~(\w+)\.(\w+)", line):
            yield f"{sklearn_jointens.__name__}.{name[1]}.{name[2]}"


def object_of(page):
    module, _, name = page.rpartition(".")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("floor", FLOORS)
def test_every_public_name_has_a_page(floor):
    module = importlib.import_module(sklearn_jointens.__name__ + floor)
    shown = [object_of(page) for page in pages()]

    missing = [
        name
        for name in module.__all__
        if not any(getattr(module, name) is it for it in shown)
    ]

    assert not missing


def test_every_public_module_is_among_them():
    found = {
        f".{path.parent.name}"
        for path in Path(sklearn_jointens.__file__).parent.glob("[!_]*/__init__.py")
    }

    assert found == set(FLOORS) - {""}


def test_boxes_in_notebooks_link_to_pages_that_are_there(iris):
    plain = NeuralNetClassifier(nn.Linear, criterion=nn.CrossEntropyLoss)
    plain.set_params(
        module__in_features=4, module__out_features=3, max_epochs=1, verbose=0
    )
    makers = (mlp_classifier, mlp_regressor, tabular_classifier, tabular_regressor)
    fitted = [
        JointEnsembleClassifier(member, n_estimators=2).fit(*iris)
        for member in (plain, mlp_classifier(max_epochs=1))
    ]
    shown = [
        JointEnsembleClassifier(),
        JointEnsembleRegressor(),
        JointEnsembleClassifierCV(),
        JointEnsembleRegressorCV(),
        *(maker() for maker in makers),
        *(clf.estimators_[0] for clf in fitted),
        *(clf.net_ for clf in fitted),
    ]

    links = [estimator._get_doc_link() for estimator in shown]

    assert {Path(link).stem for link in links} <= set(pages())
    assert all("/api/generated/" in link for link in links)


def test_a_class_of_somebody_else_has_no_link():
    class Own(JointEnsembleClassifier):
        pass

    assert Own()._get_doc_link() == ""
