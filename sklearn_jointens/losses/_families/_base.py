"""What the joint loss, and whoever predicts, asks a family."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sklearn_jointens.losses._target import Target


class Family:
    """Base of the families.

    Natural parameters are held batch innermost, ``(n_members, n_outputs, n_samples)``:
    reductions over outputs then run over contiguous samples. Methods that take some
    ``(..., n_outputs, n_samples)`` work on one member, on all, and on groups of them.
    """

    # Whether the members' outputs are transformed before they are combined, so that
    # these natural parameters are not those of the loss.
    transforms_members = False

    # -- what the loss needs ---------------------------------------------------------

    def natural(self, output: Tensor, origin: Tensor | None = None) -> Tensor:
        """Natural parameters of members' outputs, at least in float32.

        Parameters
        ----------
        output : Tensor of shape (n_members, n_samples, ...)
        origin : Tensor of shape (n_groups, 1, n_outputs, n_samples) or None
            What the outputs of each group's members are measured from: `Target.origin`.

        Returns
        -------
        Tensor of shape (n_members, n_outputs, n_samples)
        """
        raise NotImplementedError

    def output(self, natural: Tensor, origin: Tensor | None = None) -> Tensor:
        """What one member with these natural parameters would have put out.

        Parameters
        ----------
        natural : Tensor of shape (..., n_outputs, n_samples)
        origin : Tensor or None
            As it was given to `natural`.

        Returns
        -------
        Tensor of shape (..., n_samples, ...)
        """
        raise NotImplementedError

    def target(self, y: Tensor, n_outputs: int, dtype: torch.dtype) -> Target:
        """What the criterion makes of encoded targets.

        Parameters
        ----------
        y : Tensor of shape (n_groups, n_samples) or (n_groups, n_samples, n_targets)
        n_outputs : int
            Outputs of a member's module for a row.
        dtype : torch.dtype
            Of the natural parameters.
        """
        raise NotImplementedError

    def nll_and_mean(self, natural: Tensor, target: Target) -> tuple[Tensor, Tensor]:
        """Negative log-likelihood, and its gradient but for the statistic.

        Parameters
        ----------
        natural : Tensor of shape (n_groups, n_members, n_outputs, n_samples)
            Measured from ``target.origin``.
        target : Target

        Returns
        -------
        nll : Tensor of shape (n_groups, n_members, n_samples)
            What the criterion averages over rows.
        mean : Tensor of shape (n_groups, n_members, n_outputs, n_samples)
            A new tensor, which the caller may overwrite.
        """
        raise NotImplementedError

    def nll_mean_and_correct(
        self, natural: Tensor, target: Target, y: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """`nll_and_mean` and `correct`, which may share their work.

        Parameters
        ----------
        natural : Tensor of shape (n_groups, n_members, n_outputs, n_samples)
        target : Target
        y : Tensor of shape (n_groups, n_samples) or (n_groups, n_samples, n_labels)
            What `correct` is asked about.

        Returns
        -------
        nll, mean : Tensor
        correct : Tensor or None
        """
        return *self.nll_and_mean(natural, target), self.correct(natural, y)

    # -- what is predicted -----------------------------------------------------------

    def predicted(self, natural: Tensor) -> Tensor:
        """Probabilities or means.

        Parameters
        ----------
        natural : Tensor of shape (..., n_outputs, n_samples)

        Returns
        -------
        Tensor of shape (..., n_samples, n_outputs)
        """
        raise NotImplementedError

    def log_proba(self, natural: Tensor) -> Tensor:
        """Logarithms of probabilities, finite where those would be 0.

        Parameters
        ----------
        natural : Tensor of shape (..., n_outputs, n_samples)

        Returns
        -------
        Tensor of shape (..., n_samples, n_outputs)
        """
        raise NotImplementedError

    def decide(self, proba: Any) -> Any:
        """Encoded targets of what is `predicted`.

        Parameters
        ----------
        proba : Tensor or ndarray of shape (..., n_samples, n_outputs)

        Returns
        -------
        Tensor or ndarray of shape (..., n_samples) or (..., n_samples, n_labels)
        """
        raise NotImplementedError

    def correct(self, natural: Tensor, y: Tensor) -> Tensor | None:
        """Whether `decide` says `y`; None where that is no question, as for numbers.

        Parameters
        ----------
        natural : Tensor of shape (..., n_members, n_outputs, n_samples)
        y : Tensor of shape (..., n_samples) or (..., n_samples, n_labels)

        Returns
        -------
        Tensor of shape (..., n_members, n_samples), dtype bool, or None
        """
        return None

    def diversity(self, natural: Tensor, y: Tensor) -> Tensor:
        """How much less the ensemble loses than its mean member (eq. 5), at least 0.

        Parameters
        ----------
        natural : Tensor of shape (n_members, n_outputs, n_samples)
        y : Tensor of shape (n_samples,) or (n_samples, n_targets)
            Only the convex losses look at it.

        Returns
        -------
        Tensor of shape (n_samples,)
        """
        raise NotImplementedError

    def with_nonlinearity(
        self,
        nonlinearity: Callable[[Tensor], Tensor] | None,
        threshold: float | None = None,
    ) -> "Family":
        """The family of predictions that a net makes in a way of its own.

        Parameters
        ----------
        nonlinearity : callable or None
            Makes probabilities or numbers of one network's output (n_samples, ...);
            ``None`` is the family's own.
        threshold : float or None, default=None
            Of a net for two classes: a row is of the second class where that is more
            probable.

        Returns
        -------
        Family
            Its loss is this one's unless it `transforms_members`.
        """
        raise NotImplementedError

    # -- what members and data must look like ----------------------------------------

    def n_raw(self, n_outputs: int) -> int:
        """How many outputs a module has for so many classes, labels or numbers.

        Parameters
        ----------
        n_outputs : int
            Classes, labels or numbers.

        Returns
        -------
        int
        """
        return n_outputs

    def target_shapes(self, n_samples: int, n_raw: int) -> set[tuple[int, ...]]:
        """Shapes that encoded targets may have for modules with so many outputs.

        Parameters
        ----------
        n_samples : int
        n_raw : int
            Outputs of a module for a row.

        Returns
        -------
        set of tuple of int
        """
        return {(n_samples,)}

    def check_output(
        self, output: Tensor, n_samples: int, n_outputs: int
    ) -> str | None:
        """What one member's `output` must be for this family; None where it is.

        Parameters
        ----------
        output : Tensor
        n_samples : int
        n_outputs : int
            Classes, labels or numbers.

        Returns
        -------
        str or None
            In words, for an error.
        """
        raise NotImplementedError

    def suspect(self, output: Tensor) -> str | None:
        """What a member's `output` had better be; None where nothing is suspicious.

        Parameters
        ----------
        output : Tensor

        Returns
        -------
        str or None
            In words, for a warning.
        """
        return None

    def check_target(self, y: Tensor) -> str | None:
        """What encoded targets must be for this family; None where they are.

        Parameters
        ----------
        y : Tensor

        Returns
        -------
        str or None
            In words, for an error.
        """
        return None

    def scaling(self, y: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Where numbers lie and in which unit they are easy to learn.

        Parameters
        ----------
        y : Tensor of shape (n_samples,) or (n_samples, n_outputs)
        weight : Tensor of shape (n_samples,) or None, default=None

        Returns
        -------
        origin, unit : Tensor of shape (n_outputs,), dtype float64
        """
        raise NotImplementedError


def at_least_float32(output: Tensor) -> Tensor:
    """The same in float32 where it is in half precision."""
    half = output.dtype in (torch.float16, torch.bfloat16)
    return output.float() if half else output


def batch_innermost(output: Tensor) -> Tensor:
    """(n_members, n_samples, n_outputs) -> contiguous (n_members, n_outputs, n)."""
    return at_least_float32(output).transpose(1, 2).contiguous()
