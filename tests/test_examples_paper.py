"""The paper's figures: each run is kept, and none is run twice."""

import numpy as np
import pandas as pd
import pytest

from examples.paper import __main__ as command
from sklearn_jointens import JointEnsembleClassifier


def test_each_member_is_followed_epoch_by_epoch(tmp_path, monkeypatch):
    def photographs(path, split="train"):
        random = np.random.RandomState(0)
        X = random.randint(256, size=(30, 32, 32, 3)).astype(np.uint8)
        return X, np.arange(30) % 3

    monkeypatch.setattr(command, "load_photographs", photographs)
    asked = "dominance --images 20 --widths 2 2 2 2 2 --lams 1 --seeds 1 --epochs 2"
    options = command.parse_options(
        [*asked.split(), "--device", "cpu", "--out", str(tmp_path)]
    )

    command.dominance(options)

    members = rows_of(options, "dominance_members")
    assert len(members) == 2 * 10  # epochs, members
    by_epoch = members.groupby("epoch")
    gains = by_epoch["gain"].apply(lambda gain: np.clip(gain, 0, None))
    total, squares = gains.groupby("epoch").sum(), (gains**2).groupby("epoch").sum()
    effective = by_epoch["effective_members"].first()
    np.testing.assert_allclose(effective, total**2 / squares)
    assert len(list(tmp_path.glob("*.png"))) == 2


@pytest.fixture
def options(tmp_path):
    """Two tiny runs on images of noise, in which the first pixel is the class."""
    random = np.random.RandomState(0)
    arrays = {}
    for split, n in (("train", 120), ("test", 40)):
        y = random.randint(3, size=n).astype(np.uint8)
        X = random.randint(256, size=(n, 2, 2)).astype(np.uint8)
        X[:, 0, 0] = 100 * y
        arrays |= {f"X_{split}": X, f"y_{split}": y}
    np.savez(tmp_path / "images.npz", **arrays)
    asked = "mlps --sizes 16x64 1x1024 --lams 0.5 --seeds 1 --epochs 2 --device cpu"
    folders = ["--data", str(tmp_path / "images.npz"), "--out", str(tmp_path / "out")]
    return command.parse_options([*asked.split(), *folders])


def rows_of(options, name):
    return pd.read_csv(options.out / f"{name}.csv")


def test_a_run_is_kept_with_all_that_it_shows(options):
    command.mlps(options)

    runs, epochs = rows_of(options, "mlps"), rows_of(options, "mlps_epochs")
    assert list(runs["size"]) == ["16x64"] * 2 + ["1x1024"] * 2
    assert len(epochs) == 2 * 2 * 2  # runs, epochs, splits
    for run in runs[runs["split"] == "valid"].itertuples():
        is_own = (epochs["size"] == run.size) & (epochs["split"] == "valid")
        # The restored epoch is one of least error.
        assert run.error == epochs.loc[is_own, "error"].min()
    np.testing.assert_allclose(
        runs["loss"], runs["member_loss"] - runs["diversity"], atol=1e-6
    )
    dropped = rows_of(options, "mlps_dropped")
    whole = dropped[dropped["dropped"] == 0].set_index("size")["error"]
    tested = runs[runs["split"] == "test"].set_index("size")["error"]
    np.testing.assert_allclose(whole, tested)
    assert {path.suffix for path in options.out.iterdir()} == {".csv", ".md", ".png"}


def test_an_interrupted_run_is_run_again_and_no_other(options, monkeypatch):
    command.mlps(options)
    before = {name: rows_of(options, name) for name in ("mlps", "mlps_epochs")}
    # As if the second run had been cut short before its last rows.
    before["mlps"].head(2).to_csv(options.out / "mlps.csv", index=False)

    command.mlps(options)

    of_figures = ["size", "split", "error", "loss"]
    for name, rows in before.items():
        after = rows_of(options, name)
        pd.testing.assert_frame_equal(after[of_figures], rows[of_figures])
    monkeypatch.setattr(JointEnsembleClassifier, "fit", None)
    command.mlps(options)
