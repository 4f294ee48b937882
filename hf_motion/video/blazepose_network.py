"""The two networks of BlazePose as plain torch: a list of operations, read from `graph.json`, over weights in safetensors."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from ..utils.faults import reading

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "relu6": F.relu6}


class BlazePoseNetwork(nn.Module):
    """One network: its operations in their order.

    Args:
        graph (`dict`): Numbers of the input's and outputs' tensors, side of the input image, and operations, as
            `hf_motion.conversion.blazepose` writes them. Channels come last in shapes and pads, as in TensorFlow, and first in weights.
        weights (`Mapping[str, torch.Tensor]`): Weights by the names that operations have for them; computed with in float32.

    Raises:
        ValueError: If an operation is unknown, or a weight is missing.
    """

    def __init__(self, graph: dict[str, Any], weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.size: int = graph["size"]
        self.graph = graph
        for entry in graph["operations"]:
            if entry["kind"] not in _RUN:
                raise ValueError(f"operation {entry['kind']!r} is unknown; known are {', '.join(sorted(_RUN))}")
            for key in ("weight", "bias", "constant"):
                if key in entry:
                    self.register_buffer(entry[key].replace(".", "_"), weights[entry[key]].float(), persistent=False)
        self.last_use = {index: at for at, entry in enumerate(graph["operations"]) for index in entry["inputs"]}

    @torch.no_grad()
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Run the network.

        Args:
            images (`torch.Tensor`): (batch, 3, size, size) float32, in the range that the network was trained with.

        Returns:
            `dict[str, torch.Tensor]`: Outputs by name; of rank 4 ones channels come second.
        """
        values, outputs = {self.graph["input"]: images}, set(self.graph["outputs"].values())
        for at, entry in enumerate(self.graph["operations"]):
            value = _RUN[entry["kind"]](self, entry, [values[index] for index in entry["inputs"]])
            values[entry["output"]] = _ACTIVATIONS[entry["activation"]](value) if "activation" in entry else value
            for index in entry["inputs"]:
                if self.last_use[index] == at and index not in outputs:
                    values.pop(index, None)
        return {name: values[index] for name, index in self.graph["outputs"].items()}

    def weight(self, entry: dict[str, Any], key: str) -> Tensor:
        """A weight of an operation."""
        return getattr(self, entry[key].replace(".", "_"))

    def convolve(self, entry: dict[str, Any], inputs: list[Tensor], groups: int = 1) -> Tensor:
        """A convolution, padded at each side as the graph says."""
        image, padding = _padded(inputs[0], entry["pads"], 0.0)
        weight, bias = self.weight(entry, "weight"), self.weight(entry, "bias")
        return F.conv2d(image, weight, bias, entry["stride"], padding, entry.get("dilation", 1), groups)

    def add(self, entry: dict[str, Any], inputs: list[Tensor]) -> Tensor:
        """A sum of two tensors, or of one and a constant."""
        return inputs[0] + (inputs[1] if len(inputs) == 2 else self.weight(entry, "constant"))


def load_networks(folder: str | os.PathLike) -> tuple[BlazePoseNetwork, BlazePoseNetwork]:
    """The detector's network and that of the landmarks.

    Args:
        folder (`str` or `os.PathLike`): Holds `graph.json` and `model.safetensors`.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If one is damaged, or they do not belong together.
    """
    folder = Path(folder)
    graph, weights = folder / "graph.json", folder / "model.safetensors"
    for path in (graph, weights):
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {str(path)!r}. hf_motion.conversion.blazepose writes both of published files.")
    with reading(weights, "a readable safetensors file"):
        tensors = load_file(weights)
    with reading(graph, f"the graph of the weights in {weights.name}"):
        graphs = json.loads(graph.read_text(encoding="utf-8"))
        detector, landmarks = (BlazePoseNetwork(graphs[name], tensors) for name in ("detector", "landmarks"))
    return detector.eval(), landmarks.eval()


def _padded(image: Tensor, pads: list[list[int]], value: float) -> tuple[Tensor, list[int]]:
    """An image and the padding that is left for the operation itself, which can only be equal on both sides."""
    if all(before == after for before, after in pads) and value == 0:
        return image, [before for before, _ in pads]
    return F.pad(image, (*pads[1], *pads[0]), value=value), [0, 0]


def _max_pool(network: BlazePoseNetwork, entry: dict[str, Any], inputs: list[Tensor]) -> Tensor:
    image, _ = _padded(inputs[0], entry["pads"], -torch.inf)
    return F.max_pool2d(image, entry["kernel"], entry["stride"])


def _pad(network: BlazePoseNetwork, entry: dict[str, Any], inputs: list[Tensor]) -> Tensor:
    _, height, width, channels = entry["pads"]
    return F.pad(inputs[0], (*width, *height, *channels))


def _reshape(network: BlazePoseNetwork, entry: dict[str, Any], inputs: list[Tensor]) -> Tensor:
    value = inputs[0].permute(0, 2, 3, 1) if inputs[0].ndim == 4 else inputs[0]
    return value.reshape(-1, *entry["shape"][1:])


def _resize(network: BlazePoseNetwork, entry: dict[str, Any], inputs: list[Tensor]) -> Tensor:
    if not entry["half_pixel_centers"] and not entry["align_corners"]:
        raise ValueError("The graph enlarges images as no network of BlazePose does (neither half_pixel_centers nor align_corners).")
    return F.interpolate(inputs[0], size=entry["size"], mode="bilinear", align_corners=entry["align_corners"])


def _depth_to_space(network: BlazePoseNetwork, entry: dict[str, Any], inputs: list[Tensor]) -> Tensor:
    block = entry["block"]
    value = inputs[0].unflatten(1, (block, block, -1)).permute(0, 3, 4, 1, 5, 2)
    return value.flatten(4, 5).flatten(2, 3)


_RUN: dict[str, Callable[[BlazePoseNetwork, dict[str, Any], list[Tensor]], Tensor]] = {
    "add": BlazePoseNetwork.add,
    "concat": lambda network, entry, inputs: torch.cat(inputs, dim=entry["axis"]),
    "conv": BlazePoseNetwork.convolve,
    "depth_to_space": _depth_to_space,
    "depthwise": lambda network, entry, inputs: network.convolve(entry, inputs, groups=inputs[0].shape[1]),
    "max_pool": _max_pool,
    "pad": _pad,
    "reshape": _reshape,
    "resize": _resize,
    "sigmoid": lambda network, entry, inputs: inputs[0].sigmoid(),
}
