"""One or several training processes: who I am, which device is mine, and sums over all. Started by
torchrun."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from model.network.devices import check_device
from model.training.malloc import return_large_maps


@dataclass(frozen=True)
class Processes:
    """Place of this process among all; ``count`` is 1 without torchrun."""

    rank: int = 0
    count: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def first(self) -> bool:
        """True for the one process that writes files and speaks to the person."""
        return self.rank == 0

    @classmethod
    def join(cls, device: str | None = None) -> Processes:
        """Joins the group that torchrun describes in the environment; nccl on GPUs, gloo on
        CPUs."""
        local, count = int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        name = device or ("cuda" if torch.cuda.is_available() else "cpu")
        chosen = torch.device(f"cuda:{local}") if name == "cuda" else torch.device(name)
        check_device(chosen)
        if chosen.type == "cuda":
            torch.cuda.set_device(chosen)
        else:
            return_large_maps()
        if count > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
        return cls(int(os.environ.get("RANK", 0)) if count > 1 else 0, count, chosen)

    def leave(self) -> None:
        """Ends the group."""
        if self.count > 1 and dist.is_initialized():
            dist.destroy_process_group()

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            dist.barrier()

    def spread(self, tensors) -> None:
        """Copies the first process's tensors to all."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def any(self, flag: bool) -> bool:
        """True everywhere if true in one process."""
        if self.count == 1:
            return flag
        value = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(value, dist.ReduceOp.MAX)
        return bool(value.item())

    def least(self, number: int) -> int:
        """The smallest of the processes' numbers."""
        return min(self.gather([number]))

    def gather(self, items: list[Any]) -> list[Any]:
        """The items of all processes, in the order of the processes; plain Python values."""
        if self.count == 1:
            return items
        lists: list[Any] = [None] * self.count
        dist.all_gather_object(lists, items)
        return [item for part in lists for item in part]

    def share(self, values: dict[str, float]) -> dict[str, float]:
        """Sum over the processes of each value."""
        if self.count == 1:
            return values
        total: dict[str, float] = defaultdict(float)
        for part in self.gather([values]):
            for name, value in part.items():
                total[name] += value
        return dict(total)
