"""Ctrl-C ends a search wherever it comes, and a fit keeps what it has learned."""

import ctypes
import functools
import random
import signal
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from joblib import parallel_config
from search_tools import member, search
from skorch.callbacks import Callback, EarlyStopping
from skorch.dataset import ValidSplit
from tools import OwnCallback, two_classes

from sklearn_jointens import JointEnsembleClassifier
from sklearn_jointens._guards import all_or_nothing
from sklearn_jointens.training import JointNet, interrupt
from sklearn_jointens.training._interrupts import is_interrupt
from sklearn_jointens.training.groups._run import GroupRun


@pytest.fixture(autouse=True)
def _handler():
    """Python's own: a shell that runs tests in the background ignores the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def data():
    return two_classes(60)


def ctrl_c(*args, **kwargs):
    signal.raise_signal(signal.SIGINT)


class CtrlC(Callback):
    """Comes while a callback runs."""

    def on_epoch_end(self, net, **kwargs):
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # A process of a search that was started before, by a shell as above.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        ctrl_c()


# -- which is which --------------------------------------------------------------------


def stop():
    raise KeyboardInterrupt


def stop_with_a_reason():
    try:
        raise ValueError("enough")
    except ValueError as error:
        raise KeyboardInterrupt("it is enough") from error


def stop_in_a_generator():
    yield
    raise KeyboardInterrupt


@contextmanager
def tidied():
    try:
        yield
    finally:
        sorted([2, 1])


def stop_within_a_block():
    with tidied():
        stop()


def stop_again():
    try:
        stop()
    except KeyboardInterrupt:
        raise


def stop_while_traced():
    before = sys.gettrace()
    sys.settrace(lambda *_: lambda *_: None)
    try:
        stop()
    finally:
        sys.settrace(before)


@pytest.mark.parametrize(
    "code",
    [
        stop,
        stop_with_a_reason,
        lambda: list(stop_in_a_generator()),
        stop_within_a_block,
        stop_again,
        stop_while_traced,
    ],
)
def test_a_raise_is_no_interrupt(code):
    with pytest.raises(KeyboardInterrupt) as caught:
        code()

    assert not is_interrupt(caught.value)


def ctrl_c_within_a_block():
    with tidied():
        ctrl_c()


def ctrl_c_that_is_raised_again():
    try:
        ctrl_c()
    except KeyboardInterrupt:
        raise


def ctrl_c_while_code_stops():
    try:
        stop()
    finally:
        ctrl_c()


def ctrl_c_while_asleep():
    """Of another thread, as it comes to code that waits in C."""
    main = threading.main_thread().ident
    threading.Timer(0.01, signal.pthread_kill, (main, signal.SIGINT)).start()
    time.sleep(20)


def set_in_a_loop():
    """As notebooks and debuggers stop a thread."""
    thread = ctypes.c_ulong(threading.get_ident())
    error = ctypes.py_object(KeyboardInterrupt)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, error)
    while True:
        pass


@pytest.mark.parametrize(
    "code",
    [
        ctrl_c,
        ctrl_c_within_a_block,
        ctrl_c_that_is_raised_again,
        ctrl_c_while_code_stops,
        ctrl_c_while_asleep,
        set_in_a_loop,
        interrupt,
    ],
)
def test_ctrl_c_is_an_interrupt(code):
    with pytest.raises(KeyboardInterrupt) as caught:
        code()

    assert is_interrupt(caught.value)


class Handling:
    def handle(self, number, frame, told=None):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "handler",
    [
        lambda number, frame: stop(),
        Handling().handle,
        functools.partial(Handling().handle, told="as asyncio does"),
    ],
)
def test_what_a_handler_of_signals_raises_is_an_interrupt(handler):
    signal.signal(signal.SIGINT, handler)
    with pytest.raises(KeyboardInterrupt) as caught:
        ctrl_c()

    assert is_interrupt(caught.value)


def test_another_error_is_no_interrupt():
    with pytest.raises(ZeroDivisionError) as caught:
        1 / 0  # noqa: B018

    assert not is_interrupt(caught.value)


# -- searches --------------------------------------------------------------------------


def as_before(clf, before):
    now = vars(clf)
    return now.keys() == before.keys() and all(
        now[name] is value for name, value in before.items()
    )


def fit_is_interrupted(clf, data):
    """Whether it raises and leaves the search as it was, fitted or not."""
    before = vars(clf).copy()
    with pytest.raises(KeyboardInterrupt):
        clf.fit(*data)
    return as_before(clf, before)


def stopping_member(*callbacks, patience=5):
    return member(
        max_epochs=6,
        train_split=ValidSplit(3),
        callbacks=[("stop", EarlyStopping(patience=patience)), *callbacks],
    )


def world():
    numpy_state = np.random.get_state()
    return torch.get_rng_state().tolist(), random.getstate(), numpy_state[1].tolist()


@pytest.mark.quick(1)
@pytest.mark.parametrize("step", [1, 4, 11])
@pytest.mark.parametrize("fitted_before", [False, True])
def test_ctrl_c_ends_the_search_and_leaves_it_as_it_was(
    step, fitted_before, data, monkeypatch
):
    """Also with early stopping, which skorch does by the same exception."""
    clf = search(stopping_member())
    if fitted_before:
        clf.fit(*data)
    state = world()
    one_step, n_steps = GroupRun.step, []

    def interrupted(self, batch):
        n_steps.append(1)
        if len(n_steps) == step:
            ctrl_c()
        return one_step(self, batch)

    monkeypatch.setattr(GroupRun, "step", interrupted)
    assert fit_is_interrupted(clf, data)

    assert len(n_steps) == step
    assert world() == state
    monkeypatch.undo()
    assert clf.fit(*data).batching_.method == "program"


def test_ctrl_c_in_early_stopping_is_no_early_stopping(data, monkeypatch):
    """It was taken for one when the callback had lost its patience."""

    def on_epoch_end(self, net, **kwargs):
        self.misses_ = self.patience
        ctrl_c()

    monkeypatch.setattr(EarlyStopping, "on_epoch_end", on_epoch_end)
    assert fit_is_interrupted(search(stopping_member()), data)


class HoldsIt(Callback):
    """Destroys an object that Ctrl-C comes in the destructor of."""

    def on_epoch_end(self, net, **kwargs):
        class Note:
            def __del__(self):
                ctrl_c()

        Note()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_that_python_drops_in_a_destructor_is_raised_at_the_end(data):
    clf = search(member(callbacks=[HoldsIt()]))
    with pytest.raises(KeyboardInterrupt):
        clf.fit(*data)
    assert not hasattr(clf, "cv_results_")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_that_raises_nothing_ends_no_search(data):
    came = []
    signal.signal(signal.SIGINT, lambda *_: came.append(1))
    clf = search(member(callbacks=[CtrlC()])).fit(*data)
    assert came
    assert clf.lam_ in clf.lams_


def test_ctrl_c_in_a_scorer(data):
    assert fit_is_interrupted(search(scoring=ctrl_c), data)


@pytest.mark.quick(1)
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_ctrl_c_in_a_callback_ends_the_search(n_jobs, data):
    """It was taken for the callback's own, and the half trained was scored."""
    clf = search(member(callbacks=[CtrlC()]), n_jobs=n_jobs, refit=False)
    assert fit_is_interrupted(clf, data)


def test_ctrl_c_between_callbacks_ends_the_search(data, monkeypatch):
    """skorch ends the fit, and the search went on with what was half trained."""
    monkeypatch.setattr(JointNet, "train_step", ctrl_c)
    assert fit_is_interrupted(search(member(callbacks=[OwnCallback()])), data)


@pytest.mark.quick(1)
@pytest.mark.parametrize("fitted_before", [False, True])
def test_ctrl_c_in_the_final_fit_ends_the_search(fitted_before, data, monkeypatch):
    """What was half trained became `best_estimator_`."""
    clf = search()
    if fitted_before:
        clf.fit(*data)
    one_step = JointNet.train_step

    def interrupted(self, batch, **params):
        if len(self.history) == 2:
            ctrl_c()
        return one_step(self, batch, **params)

    monkeypatch.setattr(JointNet, "train_step", interrupted)
    assert fit_is_interrupted(clf, data)


class ToTheMainThread(Callback):
    """Comes once, while the main thread waits for the others."""

    to_send = []

    def on_train_begin(self, net, **kwargs):
        if self.to_send:
            signal.pthread_kill(threading.main_thread().ident, self.to_send.pop())


@pytest.mark.parametrize("callback", [CtrlC, ToTheMainThread])
def test_ctrl_c_ends_a_search_of_several_threads(callback, data, monkeypatch):
    """Also one that is raised in a thread, as notebooks can."""
    monkeypatch.setattr(CtrlC, "on_epoch_end", lambda *_, **__: interrupt())
    monkeypatch.setattr(ToTheMainThread, "to_send", [signal.SIGINT])
    clf = search(member(callbacks=[callback()]))
    with parallel_config("threading", n_jobs=2):
        assert fit_is_interrupted(clf, data)


def test_code_that_stops_a_fit_does_not_end_the_search(data, monkeypatch):
    class Enough(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    clf = search(member(callbacks=[Enough()])).fit(*data)

    assert clf.batching_.method == "one by one"
    assert len(clf.history_) == 1


@contextmanager
def ctrl_c_at(is_place, which=1):
    """Ctrl-C at a call or return that `is_place` says, the first or a later one.

    Between the two the signal comes in earnest: Python looks for it where functions
    begin, and after calls of C.
    """
    left = [which]

    def watch(frame, event, arg):
        if is_place(frame, event, arg):
            left[0] -= 1
            if not left[0]:
                sys.setprofile(None)
                ctrl_c()

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        yield left
    finally:
        sys.setprofile(before)


# Of the package and of skorch.
PLACES = {
    "program": """_fit splits_of first_net begin begin_epoch collate _ends_with
        on_epoch_end _finish fitted cv_results _choose fit_to_the_end partial_fit
        fit_loop get_iterator run_single_epoch train_step""",
    "one by one": """_fit_alone fit_loop get_split_datasets validation_step on_epoch_end
        notify on_train_end""",
}


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("way", "place"),
    [(way, place) for way, places in PLACES.items() for place in places.split()],
)
def test_ctrl_c_is_raised_wherever_it_comes(way, place, data):
    callbacks = [] if way == "program" else [("quiet", OwnCallback())]
    clf = search(stopping_member(*callbacks, patience=2), lams=(0.0, 0.5), cv=2)
    clf.fit(*data)

    def is_place(frame, event, arg):
        return event == "call" and frame.f_code.co_name == place

    with ctrl_c_at(is_place) as left:
        assert fit_is_interrupted(clf, data)
    assert left == [0]


@pytest.mark.quick(2)
@pytest.mark.parametrize("kind", ["search", "ensemble"])
@pytest.mark.parametrize("which", range(1, 8))
def test_ctrl_c_while_attributes_are_put_back(kind, which, data):
    """All of them were lost, parameters too."""
    X, y = data
    clf = search(refit=False) if kind == "search" else ensemble()
    clf.fit(X, y)
    codes = {type(clf).fit.__code__, all_or_nothing.__wrapped__.__code__}
    before = vars(clf).copy()

    def is_place(frame, event, arg):
        return event == "c_return" and frame.f_code in codes

    with (
        pytest.raises((KeyboardInterrupt, ValueError)),
        ctrl_c_at(is_place, which),
    ):
        clf.fit(X, y[:-1])

    assert as_before(clf, before)


# -- fits ------------------------------------------------------------------------------


def ensemble(estimator=None):
    estimator = member() if estimator is None else estimator
    return JointEnsembleClassifier(estimator, n_estimators=2, random_state=0)


@pytest.mark.parametrize("stops", [CtrlC.on_epoch_end, stop])
def test_a_fit_keeps_what_it_has_learned(stops, data):
    """Whether Ctrl-C or a callback ends it."""

    class Ends(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                stops(*() if stops is stop else (self, net))

    clf = ensemble(member(max_epochs=9, callbacks=[Ends()])).fit(*data)

    two = ensemble(member(max_epochs=2)).fit(*data)
    np.testing.assert_allclose(clf.member_proba(data[0]), two.member_proba(data[0]))
    assert clf.net_.has_ended_ is (stops is stop)


def test_ctrl_c_before_anything_was_learned_is_no_other_error(data):
    """Callbacks failed at the end of a training that had no epoch."""
    net = stopping_member(OwnCallback()).set_params(
        callbacks__stop__load_best=True, train_split=ctrl_c
    )

    assert fit_is_interrupted(ensemble(net), data)
    assert fit_is_interrupted(search(net), data)


def test_ctrl_c_after_the_training_leaves_the_ensemble_as_it_was(data, monkeypatch):
    clf = ensemble().fit(*data)
    monkeypatch.setattr(
        JointEnsembleClassifier, "_score_members_after_training", ctrl_c
    )

    assert fit_is_interrupted(clf, data)


def test_ctrl_c_in_another_epoch_leaves_the_ensemble_usable(data):
    X, y = data
    net = member(callbacks=[("own", OwnCallback())])
    clf = ensemble(net).fit(X, y)
    proba = clf.member_proba(X)
    dict(clf.net_.callbacks_)["own"].on_train_end = ctrl_c

    with pytest.raises(KeyboardInterrupt):
        clf.partial_fit(X, y)

    np.testing.assert_array_equal(clf.member_proba(X), proba)
    assert len(clf.history_) == 3


def test_an_error_of_a_callback_is_its_own(data):
    class Fails(Callback):
        def on_train_begin(self, net, **kwargs):
            raise TypeError("broken")

    with pytest.raises(TypeError, match="broken"):
        ensemble(member(callbacks=[Fails()])).fit(*data)
