"""Whether vectorized members compute what a plain loop over them computes."""

from collections.abc import Iterator

import torch

from examples.benchmarks._measure import Figure, figure
from examples.benchmarks._setting import Setting, proba_of_loop
from examples.benchmarks._steps import joint_step


def exactness(setting: Setting) -> Iterator[Figure]:
    """How far the vectorized members are from a plain loop over them."""
    batches = setting.batches(10)
    X = torch.cat([rows for rows, _ in batches])
    vectorized, looped = setting.vectorized(), setting.vectorized("loop")
    with torch.inference_mode():
        one = torch.softmax(vectorized(X).mean(0), dim=1)
        other = proba_of_loop(setting.modules(), X)
        deviation = float((one - other).abs().max())
    what = f"probabilities against a loop ({vectorized.method})"
    yield figure("exactness", setting.subject, what, deviation, "", "<= 1e-6")
    n_updates, lr = 3, 0.1
    for module in (vectorized, looped):
        step = joint_step(module, lr=lr)
        for batch in batches[:n_updates]:
            step(*batch)
    with torch.inference_mode():
        deviation = float((vectorized(X) - looped(X)).abs().max())
    what = f"logits against a loop after {n_updates} updates (lr={lr})"
    yield figure("exactness", setting.subject, what, deviation, "", "<= 1e-5")
