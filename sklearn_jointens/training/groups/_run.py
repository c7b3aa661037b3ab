"""The members of several ensembles as one module, with one optimizer."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_jointens.losses import JointTerms, joint_terms
from sklearn_jointens.nn._copying import named_tensors
from sklearn_jointens.training._callbacks import MemberNormClipping
from sklearn_jointens.training._folds import SomeMembers
from sklearn_jointens.training._joint_net import joint_net
from sklearn_jointens.training._precision import forward_precision, training_precision
from sklearn_jointens.training.groups._collate import GroupedBatch
from sklearn_jointens.training.groups._stream import Group


class GroupRun:
    """Members of G ensembles, group by group, that take their steps together.

    Parameters
    ----------
    prototype : skorch net
        Of all members.
    groups : sequence of Group
        Their nets hold the initial weights.
    """

    def __init__(self, prototype: Any, groups: Sequence[Group]) -> None:
        first = groups[0].net
        self.n_members = first.plain_module.n_members
        module = first.plain_module.select([*range(self.n_members)] * len(groups))
        self.net = joint_net(
            prototype,
            module,
            first.family_,
            first.lam_,
            first.targets_,
            first.precision_,
            verbose=0,
        )
        self.groups = list(groups)
        self.lam = torch.tensor(
            [group.net.lam_ for group in groups],
            dtype=torch.float64,
            device=self.net.device,
        )
        # Of the learning rate, where callbacks have lowered that of a group.
        self.shares = [1.0] * len(groups)
        for g, group in enumerate(groups):
            self._copy(g, group, to_run=True)
        # Those of the groups that were validated last, and no others: they are copies.
        self._validated: list[int] = []
        self._some_members = SomeMembers()
        self._clippings = [
            callback
            for _, callback in self.net.callbacks_
            if type(callback) is MemberNormClipping
        ]

    @property
    def module(self) -> Any:
        """All members of all groups."""
        return self.net.plain_module

    def _tensors(self) -> list[Tensor]:
        """Parameters and buffers, each once."""
        tensors = named_tensors(self.module.members).values()
        return list({id(tensor): tensor for tensor in tensors}.values())

    def _copy(self, g: int, group: Group, to_run: bool) -> None:
        members = slice(g * self.n_members, (g + 1) * self.n_members)
        own = named_tensors(group.net.plain_module.members)
        with torch.no_grad():
            for name, stacked in named_tensors(self.module.members).items():
                if to_run:
                    stacked[members].copy_(own[name])
                else:
                    own[name].copy_(stacked[members])

    def hand_back(self, g: int) -> None:
        """Give group g's net the weights that the group has now."""
        self._copy(g, self.groups[g], to_run=False)

    def step(self, batch: GroupedBatch) -> JointTerms:
        """One training step of all members."""
        net = self.net
        self.module.train()
        net.optimizer_.zero_grad()
        replay = self._replay if self.module.draws else None
        with training_precision(net.precision_):
            with forward_precision(net.precision_, net.device):
                outputs = self.module.forward_blocks(
                    batch.inputs, n_groups=len(self.groups), replay=replay
                )
            terms = self._terms(outputs, batch, self.lam)
            terms.loss.backward()
            for clipping in self._clippings:
                parameters = self.module.named_parameters()
                clipping.on_grad_computed(net, named_parameters=parameters)
            self._take_step()
        return terms

    def _take_step(self) -> None:
        """The optimizer's, of which groups with smaller learning rates take a share.

        What it adds to a weight is proportional to the rate.
        """
        if min(self.shares) == 1:
            self.net.optimizer_.step()
            return
        parameters = list(dict.fromkeys(self.module.members.parameters()))
        before = [parameter.detach().clone() for parameter in parameters]
        self.net.optimizer_.step()
        shares = torch.tensor(self.shares, device=self.net.device)
        shares = shares.repeat_interleave(self.n_members)
        with torch.no_grad():
            for parameter, old in zip(parameters, before, strict=True):
                share = shares.to(old).view(-1, *[1] * (old.ndim - 1))
                parameter.copy_(torch.lerp(old, parameter, share))

    def take_over(self, g: int) -> None:
        """Go on as group g's callbacks have left its weights and its learning rate."""
        rates = [
            net.optimizer_.param_groups[0]["lr"]
            for net in (self.groups[g].net, self.net)
        ]
        share = rates[0] / rates[1]
        if share != self.shares[g]:
            self.shares[g] = share
            self._copy(g, self.groups[g], to_run=True)

    def _replay(self, g: int) -> Any:
        return self.groups[g].drawing()

    def evaluate(
        self, chosen: Sequence[int], batch: GroupedBatch, members: Tensor | None
    ) -> JointTerms:
        """Terms of some of the groups, and of some of their members, in validation."""
        module = self.module
        if list(chosen) != self._validated:
            self._validated, self._some_members = list(chosen), SomeMembers()
        if len(chosen) < len(self.groups) or members is not None:
            module = self._some_members.of(module, self._members_of(chosen, members))
        module.eval()
        with torch.no_grad():
            outputs = module.forward_blocks(batch.inputs)
            return self._terms(outputs, batch, self.lam[chosen])

    def _terms(self, outputs: Any, batch: GroupedBatch, lam: Tensor) -> JointTerms:
        outputs = outputs[0] if isinstance(outputs, tuple) else outputs
        return joint_terms(
            outputs,
            batch.y,
            lam,
            batch.weight,
            self.net.family_,
            gradient_scale=self.n_members,
            predicting=self.net.prediction_family_,
        )

    def follow(self, optimizer: Any) -> None:
        """Take over what a scheduler has made of the optimizer's settings."""
        pairs = zip(
            self.net.optimizer_.param_groups, optimizer.param_groups, strict=True
        )
        for own, other in pairs:
            own.update({name: other[name] for name in other if name != "params"})

    def _members_of(
        self, groups: Sequence[int], members: Tensor | None = None
    ) -> Tensor:
        first = torch.tensor(groups) * self.n_members
        if members is None:
            members = torch.arange(self.n_members)
        return (first[:, None] + members).flatten()

    def keep(self, groups: Sequence[int]) -> None:
        """Go on with these groups alone; the others cost nothing more."""
        members = self._members_of(groups).to(self.net.device)
        for parameter, state in self.net.optimizer_.state.items():
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    state[name] = value[members]
        for tensor in self._tensors():
            tensor.data = tensor.data[members]
            if isinstance(tensor, nn.Parameter):
                tensor.grad = None
        self.module.n_members = len(members)
        self._validated = []
        self.lam = self.lam[list(groups)]
        self.shares = [self.shares[g] for g in groups]
        self.groups = [self.groups[g] for g in groups]
