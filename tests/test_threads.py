"""What other threads and processes do while one fits."""

import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
from search_tools import member
from skorch.callbacks import Callback
from tools import OwnLoader
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.data import DataLoader

from sklearn_jointens import JointEnsembleClassifier

# Longer than any of it takes: what waits for a fit that waits for it never ends.
DEADLINE = 20


class Beside(Callback):
    """Has another thread do something while batches go by.

    That thread stops in the midst of it, until two more batches are through.
    """

    def __init__(self, action):
        self.action = action

    def on_train_begin(self, net, **kwargs):
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.amidst, self.go_on = threading.Event(), threading.Event()
        self.hook = register_module_forward_hook(self.stop)

    def on_train_end(self, net, **kwargs):
        self.hook.remove()

    def run(self):
        self.action()
        self.amidst.set()

    def on_batch_end(self, net, **kwargs):
        batch = len(net.history[-1, "batches"])
        if len(net.history) == 1 and batch == 2:
            self.thread.start()
            assert self.amidst.wait(DEADLINE), "waits for the fit"
        elif len(net.history) == 1 and batch == 4:
            self.go_on.set()
            self.thread.join(DEADLINE)
            assert not self.thread.is_alive(), "waits for the fit"

    def stop(self, module, inputs, outputs):
        if threading.current_thread() is self.thread:
            self.amidst.set()
            self.go_on.wait(DEADLINE)


def ensemble(**params):
    net = member((5,), dropout=0.3, **params)
    return JointEnsembleClassifier(net, n_estimators=2, random_state=0)


ACTIONS = {
    "predict": lambda clf, X, y: clf.predict(X),
    "predict_proba of some": lambda clf, X, y: clf.predict_proba(X, members=[1]),
    "member_proba": lambda clf, X, y: clf.member_proba(X),
    "score_members": lambda clf, X, y: clf.score_members(X, y),
    "score_members by a scorer": lambda clf, X, y: clf.score_members(
        X, y, scoring="neg_log_loss"
    ),
    "drop_members": lambda clf, X, y: clf.drop_members([0]),
    "pickle": lambda clf, X, y: pickle.loads(pickle.dumps(clf)),
}


@pytest.mark.quick(1)
@pytest.mark.parametrize("iterator_valid", [DataLoader, OwnLoader])
@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_what_only_reads_does_not_disturb_a_fit_in_another_thread(
    action, iterator_valid, iris
):
    """It drew from the generators of the fit, or put back an earlier state of them."""
    X, y = iris
    other = ensemble(iterator_valid=iterator_valid).fit(X, y)

    def fitted_beside(what):
        beside = Beside(what)
        clf = ensemble(callbacks=[("beside", beside)])
        return clf.fit(X, y).member_proba(X)

    found = fitted_beside(lambda: action(other, X, y))

    np.testing.assert_array_equal(found, fitted_beside(lambda: None))


FORK = f"""
import os, signal, sys, threading, warnings
import numpy as np, torch
from skorch.callbacks import Callback
from sklearn_jointens import JointEnsembleClassifier, mlp_classifier

class Waits(Callback):
    def on_batch_end(self, net, **kwargs):
        within.set()
        over.wait()

def ensemble(**params):
    net = mlp_classifier((3,), max_epochs=2, **params)
    return JointEnsembleClassifier(net, n_estimators=2, random_state=0)

torch.set_num_threads(1)
within, over = threading.Event(), threading.Event()
X, y = np.random.RandomState(0).randn(20, 3), np.arange(20) % 2
expected = ensemble().fit(X, y).predict_proba(X)
thread = threading.Thread(target=ensemble(callbacks=[Waits()]).fit, args=(X, y))
thread.start()
within.wait()
warnings.simplefilter("ignore")  # of forks beside threads
child = os.fork()
if not child:
    signal.alarm({DEADLINE})
    found = ensemble().fit(X, y).predict_proba(X)
    os._exit(not np.array_equal(found, expected))
_, status = os.waitpid(child, 0)
over.set()
thread.join()
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="has no forks")
def test_a_child_that_was_forked_beside_a_fit_can_fit():
    """It waited for a thread that only its parent has."""
    subprocess.run([sys.executable, "-c", FORK], check=True)
