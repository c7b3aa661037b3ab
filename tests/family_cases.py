"""Every family in every setting, with what its torch criterion says in plain words.

A contract that holds for all of them is written once and parametrized with
`every_family`. Outputs are made of *free* numbers, so that gradients can be compared
where outputs are probabilities, which may not change freely.
"""

from itertools import product
from typing import NamedTuple

import torch
from tools import cases_of
from torch import nn

from sklearn_jointens.losses import HeteroscedasticGaussianLoss, family_of

N_CLASSES = 4
CLASS_WEIGHT = torch.tensor([0.5, 2.0, 1.0, 3.0], dtype=torch.float64)
LABEL_WEIGHT = torch.tensor([0.4, 1.5, 1.0], dtype=torch.float64)


class FamilyCase(NamedTuple):
    """A criterion with the outputs and targets that it is for.

    Attributes
    ----------
    criterion : nn.Module
    kind : {"classes", "two classes", "labels", "numbers", "counts", "distributions"}
        Of the targets; the last are numbers, with means and variances for outputs.
    shape : tuple of int
        Of a row's output, as the module puts it out.
    n_targets : int
        For a row; 0 is targets of shape (n_samples,).
    """

    criterion: nn.Module
    kind: str
    shape: tuple
    n_targets: int = 0

    @property
    def family(self):
        n_labels = self.n_targets if self.kind == "labels" else None
        return family_of(self.criterion, n_labels)

    @property
    def plain(self):
        """The case without what the criterion knows beyond rows and targets."""
        if not self.counts_hits:
            return self
        return self._replace(criterion=type(self.criterion)())

    @property
    def n_outputs(self):
        """Classes, labels or numbers to predict."""
        of_classes = {"classes": N_CLASSES, "two classes": 2}
        return of_classes.get(self.kind, self.n_targets or 1)

    @property
    def counts_hits(self):
        """Whether a prediction is right or wrong."""
        return self.kind in ("classes", "two classes", "labels")

    def free(self, *lead, seed=0, scale=3.0):
        """Random numbers of shape (*lead, ...) that outputs are made of."""
        generator = torch.Generator().manual_seed(seed)
        shape = (*lead, *self.shape)
        free = torch.randn(shape, generator=generator, dtype=torch.float64)
        return (scale if self.counts_hits else 1.0) * free

    def outputs(self, free):
        """What modules put out."""
        return free.softmax(-1) if self._of_probabilities else free

    @property
    def _of_probabilities(self):
        return isinstance(self.criterion, nn.NLLLoss)

    def targets(self, *lead, seed=1):
        """Random encoded targets of shape (*lead[, n_targets])."""
        generator = torch.Generator().manual_seed(seed)
        shape = (*lead, self.n_targets) if self.n_targets else lead
        if self.kind in ("numbers", "distributions"):
            return 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
        n = {"classes": N_CLASSES, "counts": 6}.get(self.kind, 2)
        return torch.randint(n, shape, generator=generator)

    def loss(self, output, y):
        """What the criterion itself says of one network's output."""
        return self.criterion(*self._as_skorch_gives(output, y))

    def _as_skorch_gives(self, output, y):
        if self._of_probabilities:
            output = (output + torch.finfo(output.dtype).eps).log()
        if self.kind != "classes":
            if self.kind != "distributions":
                y = y.reshape(output.shape)
            y = y.to(output.dtype)
        return output, y

    def rowwise(self, output, y):
        """Each row's loss, and what a mean of rows divides by, both (n_samples,)."""
        criterion, ones = self.criterion, output.new_ones(len(output))
        if self.kind == "distributions":
            rows = [self.loss(output[i : i + 1], y[i : i + 1]) for i in range(len(y))]
            return torch.stack(rows), ones
        reduction, criterion.reduction = criterion.reduction, "none"
        losses = self.loss(output, y)
        criterion.reduction = reduction
        if self.kind != "classes":
            return losses.reshape(len(output), -1).mean(1), ones
        if criterion.weight is not None:
            ones = criterion.weight.to(output)[y]
        return losses, ones * (y != criterion.ignore_index)

    def combined(self, outputs, share):
        """The output of an ensemble, of members with shares (n_members, n_samples)."""
        share = share.reshape(*share.shape, *(1 for _ in self.shape))
        if self.kind == "distributions":
            means, log_variances = outputs.chunk(2, -1)
            precision = (share * torch.exp(-log_variances)).sum(0)
            mean = (share * torch.exp(-log_variances) * means).sum(0) / precision
            return torch.cat([mean, -precision.log()], -1)
        if self._of_probabilities:
            log_proba = (outputs + torch.finfo(outputs.dtype).eps).log()
            return (share * log_proba).sum(0).softmax(-1)
        return (share * outputs).sum(0)

    def joint_loss(self, outputs, y, lam, weight=None):
        """Eq. 4 word for word, for autograd to differentiate."""
        n_members, n_samples = outputs.shape[:2]
        weight = outputs.new_ones(n_samples) if weight is None else weight.to(outputs)
        weight = weight.expand(n_members, n_samples)
        _, divisor = self.rowwise(outputs[0], y)
        rows = weight / (weight * divisor).sum(1, keepdim=True)
        # A row that nobody sees has an ensemble of all, which has no part in the loss.
        seen = torch.where(rows.sum(0) > 0, rows, 1.0)
        ensemble = self.combined(outputs, seen / seen.sum(0))
        ensemble_loss = (rows.mean(0) * self.rowwise(ensemble, y)[0]).sum()
        members = [
            (own * self.rowwise(output, y)[0]).sum()
            for own, output in zip(rows, outputs, strict=True)
        ]
        return lam * ensemble_loss + (1 - lam) * torch.stack(members).mean()


def _cross_entropies():
    options = product((None, CLASS_WEIGHT), (0.0, 0.1), (-100, 1))
    for weight, smoothing, ignored in (*options, (CLASS_WEIGHT, 1.0, -100)):
        names = ["cross entropy"]
        names += ["weights"] * (weight is not None)
        names += [f"smoothing {smoothing}"] * (smoothing > 0)
        names += ["ignored class"] * (ignored >= 0)
        criterion = nn.CrossEntropyLoss(
            weight, ignore_index=ignored, label_smoothing=smoothing
        )
        yield ", ".join(names), FamilyCase(criterion, "classes", (N_CLASSES,))


def _bce(weight=None, pos_weight=None):
    def tensor(value):
        return None if value is None else torch.as_tensor(value, dtype=torch.float64)

    return nn.BCEWithLogitsLoss(tensor(weight), pos_weight=tensor(pos_weight))


CASES = {
    **dict(_cross_entropies()),
    "probabilities": FamilyCase(nn.NLLLoss(), "classes", (N_CLASSES,)),
    "probabilities, weights, ignored class": FamilyCase(
        nn.NLLLoss(CLASS_WEIGHT, ignore_index=1), "classes", (N_CLASSES,)
    ),
    "one logit": FamilyCase(_bce(), "two classes", (1,)),
    "one logit, flat": FamilyCase(_bce(), "two classes", ()),
    "one logit, weights": FamilyCase(_bce([0.4], [2.5]), "two classes", (1,)),
    "one logit, pos_weight": FamilyCase(_bce(None, [2.5]), "two classes", ()),
    "labels": FamilyCase(_bce(), "labels", (3,), 3),
    "one label": FamilyCase(_bce(), "labels", (1,), 1),
    "labels, weight": FamilyCase(_bce([0.4]), "labels", (3,), 3),
    "labels, weights": FamilyCase(
        _bce(LABEL_WEIGHT, LABEL_WEIGHT.flip(0)), "labels", (3,), 3
    ),
    "squares": FamilyCase(nn.MSELoss(), "numbers", (1,)),
    "squares, flat": FamilyCase(nn.MSELoss(), "numbers", ()),
    "squares, column": FamilyCase(nn.MSELoss(), "numbers", (1,), 1),
    "squares, three outputs": FamilyCase(nn.MSELoss(), "numbers", (3,), 3),
    "counts": FamilyCase(nn.PoissonNLLLoss(), "counts", (1,)),
    "counts, full, two outputs": FamilyCase(
        nn.PoissonNLLLoss(full=True), "counts", (2,), 2
    ),
    "means and variances": FamilyCase(
        HeteroscedasticGaussianLoss(), "distributions", (2,)
    ),
    "means and variances, full, two outputs": FamilyCase(
        HeteroscedasticGaussianLoss(full=True), "distributions", (4,), 2
    ),
    "absolute": FamilyCase(nn.L1Loss(), "numbers", (1,)),
    "absolute, two outputs": FamilyCase(nn.L1Loss(), "numbers", (2,), 2),
    "smooth": FamilyCase(nn.SmoothL1Loss(), "numbers", (1,)),
    "smooth, beta": FamilyCase(nn.SmoothL1Loss(beta=0.4), "numbers", (2,), 2),
    "smooth, beta 0": FamilyCase(nn.SmoothL1Loss(beta=0), "numbers", (1,)),
    "huber": FamilyCase(nn.HuberLoss(), "numbers", (1,)),
    "huber, delta": FamilyCase(nn.HuberLoss(delta=0.4), "numbers", (2,), 2),
}

# One of every criterion, with all that it knows beyond rows and targets.
QUICK = (
    "cross entropy",
    "cross entropy, weights, smoothing 0.1, ignored class",
    "probabilities",
    "one logit, weights",
    "labels, weights",
    "squares",
    "squares, three outputs",
    "counts, full, two outputs",
    "means and variances",
    "means and variances, full, two outputs",
    "absolute",
    "smooth, beta",
    "huber, delta",
)

every_family = cases_of("case", CASES, QUICK)


def cases(*kinds):
    """`every_family` of some kinds only."""
    chosen = {name: case for name, case in CASES.items() if case.kind in kinds}
    return cases_of("case", chosen, set(QUICK).intersection(chosen))
