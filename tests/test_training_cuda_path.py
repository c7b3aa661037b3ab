"""The epoch that does not wait for the device, run where there is none to wait for."""

import pytest

from sklearn_jointens import JointEnsembleClassifier, mlp_classifier
from sklearn_jointens.training import JointNet


def test_an_epoch_that_reads_losses_at_its_end_records_what_skorchs_does(
    digits, monkeypatch
):
    X, y = digits
    net = mlp_classifier((8,), max_epochs=2)
    clf = JointEnsembleClassifier(net, n_estimators=3, random_state=0)
    stock = clf.fit(X, y).history_

    def run(self, iterator, training, prefix, step_fn, **params):
        if iterator is not None:
            self._run_without_waiting(iterator, training, prefix, step_fn, **params)

    monkeypatch.setattr(JointNet, "run_single_epoch", run)
    deferred = clf.fit(X, y).history_
    for column in ("train_loss", "train_diversity", "train_batch_count"):
        assert deferred[:, column] == stock[:, column]
    assert deferred[-1]["batches"] == stock[-1]["batches"]


@pytest.mark.gpu
def test_a_fit_on_cuda_gives_the_ensemble_of_the_cpu(digits):
    X, y = digits
    net = mlp_classifier((8,), max_epochs=2, iterator_train__shuffle=False)
    fits = [
        JointEnsembleClassifier(net, n_estimators=3, device=device, random_state=0)
        for device in ("cpu", "cuda")
    ]
    on_cpu, on_cuda = (clf.fit(X, y).predict_proba(X) for clf in fits)
    assert abs(on_cpu - on_cuda).max() < 1e-4
