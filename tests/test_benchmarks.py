"""The benchmarks measure what they say, and write what they have measured."""

import copy
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits, load_iris
from skorch.dataset import ValidSplit
from torch.utils.flop_counter import FlopCounterMode

from examples.benchmarks import __main__ as command
from examples.benchmarks import plot_scaling, scaling, search
from examples.benchmarks._measure import Figure, figure, interleave
from examples.benchmarks._peak import AVAILABLE, in_own_process, peak_megabytes
from examples.benchmarks._report import machine, read_json, write_json, write_tables
from examples.benchmarks._setting import Setting, synthetic
from examples.benchmarks._steps import joint_step, loop_step, time_steps
from examples.benchmarks.training import fit_regression, overhead
from examples.benchmarks.watching import watching
from sklearn_jointens import mlp_classifier
from sklearn_jointens.nn import split_members
from sklearn_jointens.training import JointNet

aten = torch.ops.aten
needs_linux = pytest.mark.skipif(not AVAILABLE, reason="reads what Linux keeps")


@pytest.fixture
def setting():
    return Setting(synthetic(600, n_features=12, n_classes=3), n_members=4, hidden=5)


@pytest.fixture
def grid():
    X, y = load_iris(return_X_y=True)
    # Folds of 75 rows: three full batches.
    member = mlp_classifier((5,), max_epochs=2, batch_size=25, device="cpu")
    return search.Grid(
        "2x5", X, y, member, lams=(0.0, 0.5, 1.0), n_folds=2, n_members=2
    )


@pytest.mark.parametrize(
    ("median", "target", "verdict"),
    [
        (1.0, "<= 1", "met"),
        (1.1, "<= 1", "missed"),
        (1.0, ">= 1", "met"),
        (0.9, ">= 1", "missed"),
        (1.0, "", ""),
    ],
)
def test_a_figure_meets_its_target_up_to_and_with_the_bound(median, target, verdict):
    assert Figure("", "", "", median, 0, 2, "x", target).verdict == verdict


def test_things_that_are_compared_run_in_turns():
    calls = []
    tasks = {name: lambda name=name: calls.append(name) for name in "ab"}

    times = interleave(tasks, rounds=3)

    assert "".join(calls) == "ab" + "ab" + "ba" + "ab"
    assert {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3}


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_joint_step_and_the_loop_train_the_same(setting, task):
    if task == "regression":
        setting = setting.of_numbers()
    modules = setting.modules()
    joint, loop = setting.vectorized(), copy.deepcopy(modules)
    steps = [
        step(module, 0.1, setting.family)
        for step, module in ((joint_step, joint), (loop_step, loop))
    ]

    for batch in setting.batches(3):
        for step in steps:
            step(*batch)

    for member, start, module in zip(split_members(joint), modules, loop, strict=True):
        for name, weight in member.named_parameters():
            torch.testing.assert_close(weight, module.get_parameter(name))
            assert not torch.equal(weight, start.get_parameter(name))


def test_time_steps_gives_seconds_of_one_step(setting):
    calls = []

    times = time_steps(
        {"step": lambda X, y: calls.append(len(X))}, setting.batches(2), 2, "cpu"
    )

    assert len(calls) > 100  # a turn of such short steps takes many of them
    assert (times["step"] < 1e-3).all()


@needs_linux
def test_peak_memory_counts_what_is_freed_again_and_not_what_was_held():
    n_bytes = 64_000_000
    held = np.ones(n_bytes, dtype=np.uint8)

    peak = peak_megabytes(lambda: held.copy().sum())

    assert peak == pytest.approx(64, abs=8)


@pytest.mark.slow
@needs_linux
def test_peak_memory_does_not_count_pages_of_a_memory_map(tmp_path):
    np.save(tmp_path / "X.npy", np.ones(64_000_000, dtype=np.uint8))
    X = np.load(tmp_path / "X.npy", mmap_mode="r")

    peak = peak_megabytes(lambda: X.max())

    assert peak < 8


@pytest.mark.slow
def test_a_fit_of_numbers_is_held_against_one_wide_skorch_regressor(setting):
    bare, wide = fit_regression(setting)

    assert bare.question == wide.question == "fit_regression"
    assert wide.what.startswith("JointEnsembleRegressor.fit / fit of one 20-unit")
    assert wide.target == "<= 1.15"


@pytest.mark.slow
def test_overhead_is_a_share_of_fit_and_leaves_the_net_as_it_was():
    fit_loop = JointNet.fit_loop

    share, whole = overhead(1, "cpu")

    assert 0 < share.low <= share.median <= share.high < 100
    assert whole.median > 0
    assert JointNet.fit_loop is fit_loop


@pytest.mark.slow
@pytest.mark.parametrize("has_rich", [True, False])
def test_fits_that_are_watched_are_held_against_one_that_is_not(
    has_rich, monkeypatch, capsys
):
    if has_rich:
        pytest.importorskip("rich")
    monkeypatch.setattr(
        "examples.benchmarks.watching.find_spec", lambda name: has_rich or None
    )
    few = tuple(part[:50] for part in load_digits(return_X_y=True))
    monkeypatch.setattr(
        "examples.benchmarks.watching.load_digits", lambda return_X_y: few
    )

    figures = list(watching(1, "cpu"))

    bar = ["ProgressBar"] if has_rich else []
    watchers = ["a callback that does nothing", *bar, "ScoringMonitor"]
    for one, watcher in zip(figures, watchers, strict=True):
        assert f"fit with {watcher} / fit" in one.what
        assert one.target == "<= 1.02"
        assert one.median > 0
    said = capsys.readouterr().out
    assert said == (
        "" if has_rich else "watching: rich is not installed, ProgressBar is left out\n"
    )


@pytest.mark.slow
def test_searches_that_are_compared_train_the_same_ensembles(grid):
    ratio, apart, of_products = search.compared("search", grid, 1, 1, {1: ">= 5"})

    assert ratio.target == ">= 5"
    assert ratio.median > 0
    assert apart.median == 0
    assert of_products.median > 1


@pytest.mark.slow
def test_searches_that_do_not_find_the_same_are_found_out(grid, monkeypatch):
    others = replace(grid, lams=(0.5, 1.0, 0.0), n_members=1).one_by_one(1)
    monkeypatch.setattr(search.Grid, "one_by_one", lambda *_: others)

    _, apart, _ = search.compared("search", grid, 1, 1, {})

    assert apart.median > 0


@pytest.mark.slow
def test_products_are_not_timed_where_the_number_of_steps_is_not_known(grid):
    grid.member.set_params(train_split=ValidSplit(5, stratified=True))

    figures = list(search.compared("search_stopping", grid, 1, 1, {}))

    assert [f.unit for f in figures] == ["x", "points"]


def test_products_are_those_of_the_program(grid):
    def products(task):
        with FlopCounterMode(display=False) as counter:
            task()
        counts = counter.get_flop_counts()["Global"]
        # `mm`, which is left out, averages the figures of an epoch.
        return sum(counts.get(op, 0) for op in (aten.bmm, aten.baddbmm))

    found = []
    for epochs in (1, 2):
        grid.member.set_params(max_epochs=epochs)
        fit = products(lambda: grid.together().fit(grid.X, grid.y))
        found.append((fit, products(search.products(grid))))

    of_an_epoch = np.diff(found, axis=0)[0]
    assert of_an_epoch[0] == of_an_epoch[1] > 0


@pytest.mark.slow
@needs_linux
def test_memory_of_a_search_is_a_share_of_what_it_may_take(grid):
    grid.member.set_params(module__hidden_layer_sizes=(10_000,), max_epochs=1)
    n_weights = 10_000 * (4 + 1) + 3 * (10_000 + 1)
    of_all = 3 * 2 * 2 * n_weights * grid.X.itemsize
    budget = 100 * of_all

    share, n_programs = in_own_process(search.searching, grid, budget)

    # Weights, gradients, and the two averages that Adam keeps.
    assert 4 * of_all < share * budget < budget
    assert n_programs == 1
    assert search.searching(grid, 1.0)[1] == 3 * 2


def test_figures_come_back_from_json(tmp_path):
    figures = [figure("step", "4x5", "a / b", [1.0, 2.0, 4.0], target="<= 2")]
    described = {**machine("cpu"), "rounds": 3}

    write_json(tmp_path / "f.json", described, figures)

    assert read_json(tmp_path / "f.json", described) == figures
    with pytest.raises(ValueError, match="must be of the same machine"):
        read_json(tmp_path / "f.json", {**described, "rounds": 5})


def test_tables_say_the_same_in_markdown_and_csv(tmp_path):
    figures = [figure("step", "4x5", "a / b", [1.0, 2.0, 4.0], target="<= 1")]

    write_tables(tmp_path, "t", {"cpu": "some"}, figures)

    first, empty, *table = (tmp_path / "t.md").read_text().splitlines()
    cells = [cell.strip() for cell in table[2].strip("|").split("|")]
    assert (first, empty) == ("cpu: some", "")
    assert cells == ["step", "4x5", "a / b", "2 x", "1.5 to 3", "<= 1", "missed"]
    assert (tmp_path / "t.csv").read_text().splitlines()[1] == ",".join(cells)


@pytest.mark.slow
def test_the_command_keeps_the_questions_that_are_not_asked(tmp_path, monkeypatch):
    arguments = ["--config", "2x3", "--rounds", "1", "--out", str(tmp_path)]
    arguments += ["--json", str(tmp_path / "f.json")]

    for questions in (["exactness"], ["step", "--keep"]):
        monkeypatch.setattr("sys.argv", ["benchmarks", *questions, *arguments])
        command.main()

    content = json.loads((tmp_path / "f.json").read_text())
    asked = [row["question"] for row in content["figures"]]
    assert asked == ["step"] * 5 + ["exactness"] * 2
    assert {row["subject"] for row in content["figures"]} == {"2x3"}
    assert content["torch"] == torch.__version__
    assert len((tmp_path / "benchmarks.csv").read_text().splitlines()) == 8
    with_target, others = (tmp_path / "benchmarks.md").read_text().split("Besides:")
    assert with_target.count("\n| step ") == 0
    assert with_target.count("\n| exactness ") == 2
    assert others.count("\n| step ") == 5


def test_there_is_something_to_measure_for_every_question():
    options = command.parse_options([*command.QUESTIONS, "--config", "2x3"])

    assert {question for question, _ in command.jobs(options)} == {*command.QUESTIONS}


def test_an_unknown_question_is_refused(capsys):
    with pytest.raises(SystemExit):
        command.parse_options(["stepp"])
    assert "Got ['stepp'] instead" in capsys.readouterr().err


def points(curve, sizes, costs):
    return [
        scaling.Point(curve, "joint", n, cost, cost, cost, "")
        for n, cost in zip(sizes, costs, strict=True)
    ]


@pytest.mark.parametrize(
    ("curve", "costs", "verdict"),
    [
        ("classes", [5, 6, 60], "met"),  # ten times the classes, ten times the cost
        ("classes", [5, 6, 90], "missed"),
        ("rows", [5, 4, 4], "met"),  # of each row
        ("rows", [5, 4, 6], "missed"),
    ],
)
def test_a_cliff_in_a_curve_is_found(curve, costs, verdict):
    (found,) = scaling.summary(points(curve, [10, 100, 1000], costs))

    assert (found.subject, found.verdict) == (curve, verdict)


@pytest.mark.slow
def test_curves_are_measured_at_every_size_and_drawn(tmp_path, monkeypatch):
    sizes = {"members": [1, 1024], "classes": [2, 3]}
    for curve, few in sizes.items():
        monkeypatch.setitem(scaling.CURVES, curve, (scaling.CURVES[curve][0], few))
    arguments = ["--curves", *sizes, "--rounds", "1", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["scaling", *arguments])

    scaling.main()

    table = pd.read_csv(tmp_path / "scaling.csv")
    joint = table[table["series"] == "joint"]
    assert joint.groupby("curve")["size"].apply(list).to_dict() == sizes
    assert (table[["low", "median", "high"]] > 0).all(axis=None)
    picture = tmp_path / "scaling.png"
    drawn = picture.read_bytes()
    picture.unlink()
    monkeypatch.setattr("sys.argv", ["plot_scaling", str(tmp_path / "scaling.csv")])
    plot_scaling.main()
    assert picture.read_bytes() == drawn


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--config", "16y4"),
        ("--config", "0x4"),
        ("--rounds", "0"),
        ("--n-jobs", "-1"),
        ("--data", "nowhere.npz"),
    ],
)
def test_a_bad_option_is_refused_before_any_work(option, value, capsys):
    with pytest.raises(SystemExit):
        command.parse_options(["step", f"{option}={value}"])
    message = capsys.readouterr().err
    assert option in message
    assert f"Got {value}" in message.replace("'", "")
