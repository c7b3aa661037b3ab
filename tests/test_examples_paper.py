"""The paper's figures: runs are kept, none is run twice, and protocols are its own."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import cross_entropy

from examples._data import Data, load_data
from examples.paper import _images
from examples.paper.__main__ import main
from examples.paper._images import Augmented
from examples.paper._protocols import (
    DENSENETS,
    PERCEPTRONS,
    PROTOCOLS,
    Case,
    Protocol,
)
from examples.paper._run import divided, drawn, run
from examples.paper.dominance import leaders
from sklearn_jointens import JointEnsembleClassifier
from sklearn_jointens.nn import MLP

COMMITTED = Path(__file__).parents[1] / "docs" / "paper" / "mlps.csv"


@pytest.fixture
def folder(tmp_path):
    """A file of images of noise, whose upper part is the class."""
    random = np.random.RandomState(0)
    arrays = {}
    for split, n in (("train", 120), ("test", 40)):
        y = random.randint(3, size=n).astype(np.uint8)
        X = random.randint(256, size=(n, 28, 28)).astype(np.uint8)
        X[:, :9] = 100 * y[:, None, None]
        arrays |= {f"X_{split}": X, f"y_{split}": y}
    np.savez(tmp_path / "images.npz", **arrays)
    return tmp_path


@pytest.fixture
def photographs(monkeypatch):
    """A few photographs of noise."""

    def load_photographs(path, split, name):
        random = np.random.RandomState(0)
        X = random.randint(256, size=(30, 32, 32, 3)).astype(np.uint8)
        return X, np.arange(30) % 3

    monkeypatch.setattr(_images, "load_photographs", load_photographs)


def run_command(command, folder, data=True):
    given = ["--data", str(folder / "images.npz")] if data else []
    options = ["--device", "cpu", "--out", str(folder / "out")]
    main([*command.split(), *given, *options])


def rows_of(folder, name):
    return pd.read_csv(folder / "out" / f"{name}.csv")


MLPS = "mlps --sizes 16x64 1x1024 --lams 0.5 --epochs 2"


@pytest.mark.slow
def test_a_run_is_kept_with_all_that_it_shows(folder):
    run_command(MLPS, folder)

    runs, epochs = rows_of(folder, "mlps"), rows_of(folder, "mlps_epochs")
    assert list(runs["configuration"]) == ["16x64"] * 2 + ["1x1024"] * 2
    assert list(runs["n_parameters"].unique()) == [785 * 64 + 65 * 3, 785 * 1024 + 3075]
    assert len(epochs) == 2 * 2 * 2  # runs, epochs, splits
    for row in runs[runs["split"] == "valid"].itertuples():
        is_own = epochs["configuration"] == row.configuration
        is_own &= epochs["split"] == "valid"
        # The restored epoch is one of least error.
        assert row.error == epochs.loc[is_own, "error"].min()
    np.testing.assert_allclose(
        runs["loss"], runs["member_loss"] - runs["diversity"], atol=1e-6
    )
    of_size = "configuration"
    dropped = rows_of(folder, "mlps_dropped")
    whole = dropped[dropped["dropped"] == 0].set_index(of_size)["error"]
    tested = runs[runs["split"] == "test"].set_index(of_size)["error"]
    np.testing.assert_allclose(whole, tested)
    written = {path.suffix for path in (folder / "out").iterdir()}
    assert written == {".csv", ".md", ".png"}


@pytest.mark.slow
def test_an_interrupted_run_is_run_again_and_no_other(folder, monkeypatch):
    run_command(MLPS, folder)
    before = {name: rows_of(folder, name) for name in ("mlps", "mlps_epochs")}
    # As if the second run had been cut short before its last rows.
    before["mlps"].head(2).to_csv(folder / "out" / "mlps.csv", index=False)

    run_command(MLPS, folder)

    of_figures = ["configuration", "split", "error", "loss"]
    for name, rows in before.items():
        after = rows_of(folder, name)
        pd.testing.assert_frame_equal(after[of_figures], rows[of_figures])
    monkeypatch.setattr(JointEnsembleClassifier, "fit", None)
    run_command(MLPS, folder)


def test_a_committed_result_is_found_again():
    """The one that needs no images but scikit-learn's."""
    rows = pd.read_csv(COMMITTED)
    of_digits = rows[(rows["data"] == "digits") & (rows["method"] == "joint")]
    assert len(of_digits) == 2
    case = Case(*of_digits[list(Case._fields)].iloc[0])

    found = run(case, load_data("digits"), "cpu").final

    for (_, kept), row in zip(of_digits.iterrows(), found, strict=True):
        assert (kept["split"], kept["epoch"]) == (row["split"], row["epoch"])
        # Another processor may round otherwise.
        for figure in ("loss", "member_loss", "diversity"):
            assert row[figure] == pytest.approx(kept[figure], rel=1e-3)
        for figure in ("error", "member_error"):
            assert row[figure] == pytest.approx(kept[figure], abs=0.005)


@pytest.mark.slow
def test_other_methods_are_fitted_and_measured(folder):
    methods = "bagging BaggingClassifier stacking"
    run_command(f"mlps --sizes 16x64 --methods {methods} --epochs 20", folder)

    runs = rows_of(folder, "mlps")
    tested = runs[runs["split"] == "test"].set_index("method")
    assert list(tested.index) == methods.split()
    # They have learned what there is to learn.
    assert (tested["error"] < 0.25).all()
    assert tested["loss"].notna().all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "asked", ["--sizes 1x1024", "--sizes 16x64 --lams 0.995"], ids=["net", "lam"]
)
def test_what_is_there_is_shown(folder, asked):
    run_command(f"mlps {asked} --epochs 1", folder)
    assert asked.split()[1] in (folder / "out" / "mlps_errors.md").read_text()


@pytest.mark.slow
def test_beyond_the_paper(folder):
    run_command("mlps --sizes 16x64 --lams 0.9 0.99 0.995 1 --epochs 1", folder)
    run_command("mlps --sizes 1x1024 --epochs 1 --flipped 0.2", folder)
    for setting in ("--flipped 0.2", "--images 60"):
        run_command(f"mlps --sizes 16x64 --lams 0.9 1 --epochs 1 {setting}", folder)

    pictures = {path.name for path in (folder / "out").glob("*.png")}
    assert {"mlps_16x64_close_to_1.png", "mlps_flipped.png", "mlps_few.png"} < pictures


@pytest.mark.parametrize(
    ("option", "rule"),
    [
        ("--seeds 0", "at least 1. Got 0"),
        ("--images 0", "at least 1. Got 0"),
        ("--epochs 0", "at least 1. Got 0"),
        ("--lams 0.5 1.5", "in the range [0, 1]. Got 1.5"),
        ("--flipped 1", "in the range [0, 1). Got 1.0"),
        ("--seed 2", "unrecognized arguments: --seed"),
    ],
)
def test_wrong_options_are_refused(folder, option, rule, capsys):
    with pytest.raises(SystemExit):
        run_command(f"mlps {option}", folder)
    assert rule in capsys.readouterr().err


def test_a_row_names_the_command_but_no_folder(folder):
    run_command("mlps --sizes 1x1024 --epochs 1 --images 999", folder)
    (command,) = rows_of(folder, "mlps")["command"].unique()
    assert command == (
        "python -m examples.paper mlps --sizes 1x1024 --epochs 1 --images 999 "
        "--data images.npz --device cpu --out out"
    )
    assert set(rows_of(folder, "mlps")["n_images"]) == {120}  # all that there are


@pytest.mark.parametrize(
    ("configuration", "lam", "rate", "batch_size"),
    [
        *[(name, 0.95, 0.02, 100) for name in PERCEPTRONS],
        *[(name, 0.99, 0.006, 100) for name in PERCEPTRONS],
        ("10xConvNet-1", 0.99, 0.006, 100),
        ("10xConvNet-1", 1.0, 0.002, 100),
    ],
)
def test_members_are_trained_as_in_the_paper(configuration, lam, rate, batch_size):
    asked = case(configuration, lam=lam)
    member = PROTOCOLS[configuration].member(asked, None, "cpu")
    assert member.lr == pytest.approx(rate)
    assert member.optimizer is torch.optim.SGD
    assert member.get_params()["optimizer__momentum"] == 0.9
    assert member.batch_size == batch_size


def test_members_of_a_seed_begin_alike_for_every_lam():
    data = noise(shape=(784,))
    starts = []
    for lam in (0, 1):
        ensemble = PERCEPTRONS["16x64"].ensemble(case("16x64", lam=lam), None, "cpu")
        ensemble.set_params(estimator__max_epochs=0, estimator__callbacks=None)
        module = ensemble.fit(data.X_train, data.y_train).estimators_[3].module_
        starts.append(list(module.parameters()))
    bound = 784**-0.5
    for first, second in zip(*starts, strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert 0.99 * bound < starts[0][0].abs().max() <= bound
    assert starts[0][1].abs().max() <= bound


def case(configuration, **changes):
    values = Case("noise", configuration, "joint", 0.5, 0, 2, 100)
    return values._replace(**changes)


def noise(n=100, shape=(4,), n_classes=4):
    random = np.random.RandomState(0)
    X = random.standard_normal((n, *shape)).astype(np.float32)
    return Data("noise", X, np.arange(n) % n_classes, X, np.arange(n) % n_classes)


def test_a_share_of_the_labels_is_wrong():
    data = noise()
    flipped = drawn(data, case("16x64", flipped=0.2))
    assert (flipped.y_train != data.y_train).sum() == 20
    assert set(flipped.y_train) == set(range(4))
    np.testing.assert_array_equal(flipped.y_test, data.y_test)
    few = drawn(data, case("16x64", n_images=40, flipped=0.5))
    assert len(few.y_train) == 40


def test_no_image_is_learned_from_that_the_epoch_is_chosen_by():
    data = noise()
    learnt, valid = divided(data, PROTOCOLS["16x64"], case("16x64"))
    both = np.concatenate([learnt.X_train, valid.X])
    assert len(both) == 100
    assert len(np.unique(both, axis=0)) == 100
    tiny = DENSENETS["DN-Tiny"]
    assert divided(data, tiny, case("DN-Tiny"))[1] is None
    assert len(divided(data, tiny, case("DN-Tiny", method="stacking"))[1]) > 0


def test_photographs_are_mirrored_and_shifted_to_learn_from_and_not_to_predict():
    X = np.random.RandomState(0).rand(40, 2, 6, 6).astype(np.float32)
    y = np.arange(40)
    torch.manual_seed(0)
    shifts = set()
    for i, (image, label) in enumerate(Augmented(X, y).__getitems__(range(40))):
        assert label == i
        found = []
        for is_mirrored in (False, True):
            wide = np.pad(
                X[i, :, :, ::-1] if is_mirrored else X[i], ((0, 0), (4,) * 2, (4,) * 2)
            )
            for top in range(9):
                for left in range(9):
                    part = wide[:, top : top + 6, left : left + 6]
                    if np.array_equal(part, image):
                        found.append((is_mirrored, top, left))
        assert len(found) == 1
        shifts |= set(found)
    assert len(shifts) > 30
    plain = [image for image, _ in Augmented(X).__getitems__(range(40))]
    np.testing.assert_array_equal(plain, X)


def test_rate_and_decay_of_densenets_are_those_of_the_divided_loss():
    """As the authors train: one SGD step on the joint loss, lr 0.1, decay 1e-4."""
    protocol = DENSENETS["DN-Low"]
    settings = {"hidden_layer_sizes": (3,), "n_features_in": 4, "n_outputs": 4}
    small = protocol._replace(
        module=MLP, settings=settings, augmented=False, milestones=(), batch_size=100
    )
    assert isinstance(small, Protocol)
    X, y = noise().X_train, noise().y_train
    asked = case("DN-Low", n_epochs=1)
    ensemble = small.ensemble(asked, None, "cpu")
    start = small.ensemble(asked, None, "cpu").set_params(estimator__max_epochs=0)
    members = [net.module_ for net in start.fit(X, y).estimators_]
    outputs = torch.stack([module(torch.from_numpy(X)) for module in members])
    target = torch.from_numpy(y)
    joint = cross_entropy(outputs.mean(0), target)
    alone = torch.stack([cross_entropy(z, target) for z in outputs]).mean()
    (0.5 * joint + 0.5 * alone).backward()
    weights = [w for module in members for w in module.parameters()]
    torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=1e-4).step()

    ensemble.fit(X, y)

    for net, module in zip(ensemble.estimators_, members, strict=True):
        for found, expected in zip(
            net.module_.parameters(), module.parameters(), strict=True
        ):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["perceptron", "SmallConvNet"])
def test_capacity_is_shown_for_each_size(folder, kind):
    run_command(f"capacity --members {kind} --lams 1 --images 60 --epochs 1", folder)
    runs = rows_of(folder, "capacity")
    assert runs["n_parameters"].nunique() == 4
    assert [path.name for path in (folder / "out").glob("capacity_*.png")] == [
        f"capacity_{kind}_Fashion-MNIST_60_1.png"
    ]


@pytest.mark.slow
def test_densenets_are_trained_on_photographs_in_all_ways(tmp_path, photographs):
    run_command("densenets --images 24 --lams 1 --epochs 2", tmp_path, data=False)
    runs = rows_of(tmp_path, "densenets")
    tested = runs[runs["split"] == "test"]
    assert list(tested["method"]) == ["joint", "bagging", "stacking"]
    of_joint = 100 * tested["error"].iloc[0]
    assert f" {of_joint:.2f} " in (tmp_path / "out" / "densenets.md").read_text()


@pytest.mark.slow
def test_each_member_is_followed_epoch_by_epoch(folder):
    command = "dominance --ensembles 10xSmallConvNet-1 16x64 --lams 1 --epochs 2"
    run_command(command, folder)

    members = rows_of(folder, "dominance_members")
    assert len(members) == 2 * (10 + 16)  # epochs, members
    by_epoch = members.groupby(["configuration", "epoch"])
    gains = members["gain"].clip(lower=0)
    total, squares = (
        values.groupby([members["configuration"], members["epoch"]]).sum()
        for values in (gains, gains**2)
    )
    np.testing.assert_allclose(
        by_epoch["effective_members"].first(), (total**2 / squares).fillna(0)
    )
    pictures = {path.name for path in (folder / "out").glob("*.png")}
    assert "dominance_10xSmallConvNet-1_lam_1_filters.png" in pictures
    assert "dominance_16x64.png" in pictures


def test_the_leader_is_the_member_of_least_error():
    errors = {1: [0.5, 0.4, 0.6], 2: [0.3, 0.35, 0.6], 3: [0.2, 0.3, 0.6]}
    rows = [
        {
            **case("16x64")._asdict(),
            "epoch": epoch,
            "member": j,
            "error": error,
            "effective_members": 2.0,
        }
        for epoch, of_members in errors.items()
        for j, error in enumerate(of_members)
    ]
    (found,) = leaders(pd.DataFrame(rows)).to_dict("records")
    assert found["leader"] == pytest.approx(20)
    assert found["second"] == pytest.approx(30)
    assert found["others"] == pytest.approx(45)
    assert (found["leads from 1"], found["leads from 2"]) == (False, True)
    assert "leads from 3" not in found  # which is the end
