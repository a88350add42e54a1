"""Muon for weight matrices and AdamW for the other parameters, as one optimizer for transformers' Trainer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch


class MuonAdamW(torch.optim.Optimizer):  # type: ignore[misc]  # torch is not followed by mypy
    """torch's Muon for weight matrices, and torch's AdamW for embeddings, convolutions, norms and biases.

    Both use this optimizer's learning rate. Muon's update is rescaled to AdamW's root mean square
    (Liu et al. 2025, arXiv 2502.16982, section 2.2), so that the same rate suits both.
    """

    def __init__(
        self, named: Iterable[tuple[str, torch.nn.Parameter]], lr: float, weight_decay: float
    ) -> None:
        matrices: list[torch.nn.Parameter] = []
        others: list[torch.nn.Parameter] = []
        for name, parameter in named:
            (matrices if parameter.ndim == 2 and "embed" not in name else others).append(parameter)
        super().__init__([{"params": matrices}, {"params": others}], {"lr": lr})
        self.parts: list[torch.optim.Optimizer] = [
            torch.optim.Muon(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.95), weight_decay=weight_decay),
        ]

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Takes a step of both optimizers with the scheduled learning rates."""
        loss = closure() if closure is not None else None
        for group, part in zip(self.param_groups, self.parts, strict=True):
            # A scheduler changes the learning rate in this optimizer's groups only.
            part.param_groups[0]["lr"] = group["lr"]
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Returns the state of this optimizer and of both parts."""
        return {**super().state_dict(), "parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Loads what `state_dict` returned."""
        states = state_dict["parts"]
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "parts"})
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)
