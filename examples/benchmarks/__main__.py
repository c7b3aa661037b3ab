"""Benchmarks, each a question with a target.

::

    python -m examples.benchmarks                        # all, minutes
    python -m examples.benchmarks step fit --config 16x64
    python -m examples.benchmarks --data fashion_mnist.npz --json figures.json

========= ==========================================================================
step      joint training step / step of one wide network
fit       whole JointEnsembleClassifier.fit / bare loop over the same module
rivals    fit of BaggingClassifier over skorch nets and of torchensemble / joint fit
predict   predict_proba against a loop over members; one row
memory    peak memory of predict_proba on a million rows
exactness deviation from a plain loop over members
mission   GridSearchCV over lam against BaggingClassifier(MLPClassifier), on digits
========= ==========================================================================

Only ratios are reported, from runs in turns within one process: the median and the
quartiles over the rounds.
"""

import argparse
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from tqdm.auto import tqdm

from examples._data import load_data
from examples.benchmarks._measure import Figure, machine, table
from examples.benchmarks._setting import Setting, synthetic
from examples.benchmarks.mission import mission
from examples.benchmarks.prediction import exactness, memory, predict
from examples.benchmarks.training import fit, rivals, step

QUESTIONS = {
    "step": step,
    "fit": fit,
    "rivals": rivals,
    "predict": predict,
    "memory": memory,
    "exactness": exactness,
}
CONFIGS = ("256x4", "64x16", "16x64")


def measure(options: argparse.Namespace) -> Iterator[Figure]:
    """Yield every figure that was asked for."""
    data = load_data(path=options.data) if options.data else synthetic(10_000)
    settings = [
        Setting(
            data,
            *map(int, config.split("x")),
            device=options.device,
            rounds=options.rounds,
            n_jobs=options.n_jobs,
        )
        for config in options.config
    ]
    jobs = [
        (f"{question} {setting.subject}", QUESTIONS[question], (setting,))
        for question in options.questions
        if question in QUESTIONS
        for setting in settings
    ]
    if "mission" in options.questions:
        jobs.append(("mission", mission, (options.n_jobs, options.rounds)))
    with tqdm(jobs, unit="job", smoothing=0) as bar:
        for name, job, arguments in bar:
            bar.set_description(name)
            yield from job(*arguments)


def main() -> None:
    """Measure, print a table, and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [*QUESTIONS, "mission"]
    add = parser.add_argument
    add("questions", nargs="*", metavar="question", help=f"of {names} (default: all)")
    add("--config", nargs="+", default=CONFIGS, metavar="MxH")
    add("--data", type=Path, help="npz file (default: random rows of 784)")
    add("--device", default="cpu")
    add("--rounds", type=int, default=5)
    add("--n-jobs", type=int, default=2, help="processes that Bagging and searches use")
    add("--json", type=Path, default=Path("output/benchmarks.json"))
    options = parser.parse_args()
    unknown = set(options.questions) - set(names)
    if unknown:
        parser.error(f"questions must be of {names}. Got {sorted(unknown)} instead.")
    options.questions = options.questions or names
    # MLPClassifier warns when it stops after max_iter, which is what it is asked to do.
    # Worker processes take their filters from the environment.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:Stochastic Optimizer")
    warnings.filterwarnings("ignore", "Stochastic Optimizer")
    described = machine(options.device)
    figures = list(measure(options))
    print("\n" + ", ".join(f"{key}: {value}" for key, value in described.items()))
    print(f"rounds: {options.rounds}\n\n{table(figures)}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "machine": described,
        "data": str(options.data or "synthetic"),
        "rounds": options.rounds,
        "figures": [{**f._asdict(), "verdict": f.verdict} for f in figures],
    }
    options.json.write_text(json.dumps(report, indent=1))
    print(f"\nWritten: {options.json}")


if __name__ == "__main__":
    main()
