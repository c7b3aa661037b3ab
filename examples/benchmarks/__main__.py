"""Benchmarks, each a question with a target.

::

    python -m examples.benchmarks                        # all, 40 minutes
    python -m examples.benchmarks step fit --config 16x64
    python -m examples.benchmarks --data fashion_mnist.npz --out docs/images
    python -m examples.benchmarks --device cuda --out docs/images

=============== ====================================================================
step            training step of all members / of one wide network, a loop over members,
                vmap
networks        the same of convolutional, recurrent and attention members / a loop over
                them
fit             whole JointEnsembleClassifier.fit / bare loop over the same module
fit_regression  whole JointEnsembleRegressor.fit / the same, and / one wide network's
overhead        share of a small fit that is not training
watching        a fit that scikit-learn's callbacks watch / one that nobody watches
rivals          fit of BaggingClassifier and of torchensemble's classifiers / joint fit
predict         predict_proba of many rows and of one: a loop and BaggingClassifier /
                joint
million         predict_proba of a million rows: a loop over members / joint
ship            the same two by onnxruntime: torch, skl2onnx's graph of
                BaggingClassifier and half of the members / to_onnx's graph
memory          peak memory of fit, score_members and predict_proba, and on sparse
                matrices and memory maps
inspection      seconds and peak memory of what looks inside an ensemble
exactness       deviation from a plain loop over members
mission         GridSearchCV over lam against BaggingClassifier(MLPClassifier), on
                digits
tabular         the default member on 10,000 rows of a table: fit, prediction, and the
                search that the package is made for
search          GridSearchCV over lam / JointEnsembleClassifierCV, on digits
search_stopping the same with early stopping
search_table    the same on a table of 50,000 rows
search_memory   peak memory of JointEnsembleClassifierCV / its max_memory
densenets       training step of the paper's DenseNet ensembles; unless asked for, on
                CUDA only
=============== ====================================================================

Only ratios are reported where there is something to divide by, from runs in turns
within one process: the median and the quartiles over the rounds. Scaling curves have a
command of their own, ``python -m examples.benchmarks.scaling``.
"""

import argparse
import os
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from tqdm.auto import tqdm

from examples._data import load_data
from examples.benchmarks._measure import Figure
from examples.benchmarks._report import (
    machine,
    markdown,
    one_line,
    read_json,
    write_json,
    write_tables,
)
from examples.benchmarks._setting import ONE_CONFIG, Setting, synthetic
from examples.benchmarks.exactness import exactness
from examples.benchmarks.inspection import inspection
from examples.benchmarks.memory import kept_as_they_are, memory
from examples.benchmarks.mission import mission
from examples.benchmarks.networks import densenets, networks
from examples.benchmarks.prediction import million, predict
from examples.benchmarks.rivals import rivals
from examples.benchmarks.search import (
    search,
    search_memory,
    search_stopping,
    search_table,
)
from examples.benchmarks.shipping import ship
from examples.benchmarks.tabular import tabular
from examples.benchmarks.training import fit, fit_regression, overhead, step
from examples.benchmarks.watching import watching

QUESTIONS = (
    "step networks fit fit_regression overhead watching rivals predict million ship "
    "memory inspection exactness mission tabular search search_stopping search_table "
    "search_memory densenets"
).split()
# What a GPU changes; the others say the same there, or measure the CPU's memory.
ON_CUDA = (
    "step networks fit fit_regression overhead predict exactness densenets"
).split()
ON_CPU = [name for name in QUESTIONS if name != "densenets"]

# Asked once for each configuration.
OF_PERCEPTRONS = {
    "step": step,
    "fit": fit,
    "fit_regression": fit_regression,
    "rivals": rivals,
    "predict": predict,
    "ship": ship,
    "memory": memory,
    "inspection": inspection,
    "exactness": exactness,
}
CONFIGS = ("256x4", "64x16", "16x64")

Job = Callable[[], Iterator[Figure]]


def jobs(options: argparse.Namespace) -> Iterator[tuple[str, Job]]:
    """Yield what there is to measure, by question."""
    data = load_data(path=options.data) if options.data else synthetic(12_000)
    device, rounds, n_jobs = options.device, options.rounds, options.n_jobs
    setting = Setting(data, *ONE_CONFIG, device, rounds, n_jobs)
    others: dict[str, list[Job]] = {
        "networks": [partial(networks, rounds, device)],
        "overhead": [partial(overhead, rounds, device)],
        "watching": [partial(watching, rounds, device)],
        "million": [partial(million, setting)],
        "memory": [partial(kept_as_they_are, device)],
        "mission": [partial(mission, n_jobs, rounds)],
        "tabular": [partial(tabular, rounds, device)],
        "search": [partial(search, n_jobs, rounds, device)],
        "search_stopping": [partial(search_stopping, n_jobs, rounds, device)],
        "search_table": [partial(search_table, n_jobs, rounds, device)],
        "search_memory": [partial(search_memory, rounds)],
        "densenets": [partial(densenets, rounds, device)],
    }
    for question in options.questions:
        if question in OF_PERCEPTRONS:
            for config in options.config:
                n_members, hidden = map(int, config.split("x"))
                sized = replace(setting, n_members=n_members, hidden=hidden)
                yield question, partial(OF_PERCEPTRONS[question], sized)
        for job in others.get(question, ()):
            yield question, job


def _config(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", text):
        raise argparse.ArgumentTypeError(
            f"must be members x hidden units, such as 16x64. Got {text!r} instead."
        )
    return text


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"must be at least 1. Got {text!r} instead.")
    return int(text)


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("questions", nargs="*", metavar="question", help=f"of {QUESTIONS}")
    add("--config", nargs="+", default=CONFIGS, metavar="MxH", type=_config)
    add("--data", type=Path, help="npz file (default: random rows of 784)")
    add("--device", default="cpu")
    add("--rounds", type=_count, default=5)
    add(
        "--n-jobs",
        type=_count,
        default=2,
        help="processes that Bagging and searches use",
    )
    add("--json", type=Path, help="file for all figures")
    add("--out", type=Path, default=Path("output"), help="folder for tables")
    add(
        "--keep",
        action="store_true",
        help="keep what the JSON file says of questions that are not asked now",
    )
    options = parser.parse_args(arguments)
    unknown = set(options.questions) - set(QUESTIONS)
    if unknown:
        names = ", ".join(QUESTIONS)
        parser.error(f"questions must be of {names}. Got {sorted(unknown)} instead.")
    if options.data and not options.data.exists():
        parser.error(f"--data must be a file. Got {options.data} instead.")
    on_cuda = options.device.startswith("cuda")
    if on_cuda and not torch.cuda.is_available():
        parser.error("--device must be one that torch has. Got 'cuda' instead.")
    options.questions = options.questions or (ON_CUDA if on_cuda else ON_CPU)
    options.name = "benchmarks_cuda" if on_cuda else "benchmarks"
    options.json = options.json or Path("output") / f"{options.name}.json"
    return options


def main() -> None:
    """Measure, and write JSON and tables after every question."""
    options = parse_options()
    # MLPClassifier warns when it stops after max_iter, which is what it is asked to do.
    # Worker processes take their filters from the environment.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:Stochastic Optimizer")
    warnings.filterwarnings("ignore", "Stochastic Optimizer")
    described = {
        **machine(options.device),
        "data": options.data.stem if options.data else "random",
        "rounds": options.rounds,
    }
    figures: list[Figure] = []
    if options.keep and options.json.exists():
        kept = read_json(options.json, described)
        figures = [f for f in kept if f.question not in options.questions]
    with tqdm(list(jobs(options)), unit="job", smoothing=0) as bar:
        for question, job in bar:
            bar.set_description(question)
            figures += job()
            figures.sort(key=lambda f: QUESTIONS.index(f.question))
            write_json(options.json, described, figures)
            write_tables(options.out, options.name, described, figures)
    print(f"\n{one_line(described)}\n\n{markdown(figures)}")
    print(f"\nWritten: {options.json}, {options.out / options.name}.md and .csv")


if __name__ == "__main__":
    main()
