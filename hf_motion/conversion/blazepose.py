"""BlazePose's published TensorFlow Lite files to what `BlazePoseDetector` reads.

Bazarevsky et al., *BlazePose: On-device Real-time Body Pose Tracking*, CVPR workshops 2020. The files are Google's, Apache-2.0: the Python
package mediapipe 0.10.21 holds `pose_detection.tflite` and `pose_landmark_full.tflite`, the npm package `@mediapipe/pose`
0.5.1675469404 `pose_landmark_lite.tflite`, `_full` and `_heavy`. From a shell:

    python -m hf_motion.conversion.blazepose pose_detection.tflite pose_landmark_lite.tflite --output blazepose-lite

writes `model.safetensors`, in the files' own float16 without loss, and `graph.json`, the two networks as lists of operations.
"""

from __future__ import annotations

import argparse
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from ..utils.faults import reading
from ..utils.files import atomic_path, check_writable, write_json
from ..utils.limits import check_bytes
from .published import existing_file

_TYPES: dict[int, type] = {0: np.float32, 1: np.float16, 2: np.int32, 3: np.uint8, 4: np.int64, 9: np.int8}
_OPERATIONS = {
    0: "add", 2: "concat", 3: "conv", 4: "depthwise", 5: "depth_to_space", 6: "dequantize", 14: "sigmoid", 17: "max_pool", 22: "reshape",
    23: "resize", 34: "pad", 124: "densify",
}  # fmt: skip
_ACTIVATIONS = {0: None, 1: "relu", 3: "relu6"}
_FIELDS = {  # of the schema's options tables: name, field number, kind, default
    "conv": (("padding", 0, "b", 0), ("stride_w", 1, "i", 0), ("stride_h", 2, "i", 0), ("activation", 3, "b", 0), ("dilation", 4, "i", 1)),
    "depthwise": (
        ("padding", 0, "b", 0), ("stride_w", 1, "i", 0), ("stride_h", 2, "i", 0), ("activation", 4, "b", 0), ("dilation", 5, "i", 1),
    ),
    "max_pool": (
        ("padding", 0, "b", 0), ("stride_w", 1, "i", 0), ("stride_h", 2, "i", 0), ("kernel_w", 3, "i", 0), ("kernel_h", 4, "i", 0),
        ("activation", 5, "b", 0),
    ),
    "depth_to_space": (("block", 0, "i", 0),),
    "concat": (("axis", 0, "i", 0),),
    "add": (("activation", 0, "b", 0),),
    "resize": (("align_corners", 2, "b", 0), ("half_pixel_centers", 3, "b", 0)),
}  # fmt: skip


class _Table:
    """A table of a flatbuffer: fields are found through a small table of offsets that may leave any of them out."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at
        self.fields = at - struct.unpack_from("<i", data, at)[0]

    def place(self, field: int) -> int:
        """Where a field lies; 0 if it was left out."""
        size = struct.unpack_from("<H", self.data, self.fields)[0]
        where = 4 + 2 * field
        offset = struct.unpack_from("<H", self.data, self.fields + where)[0] if where < size else 0
        return self.at + offset if offset else 0

    def number(self, field: int, kind: str = "i", default: int = 0) -> int:
        """A number."""
        place = self.place(field)
        return struct.unpack_from("<" + kind, self.data, place)[0] if place else default

    def table(self, field: int) -> _Table | None:
        """A table below this one."""
        place = self.place(field)
        return _Table(self.data, place + struct.unpack_from("<I", self.data, place)[0]) if place else None

    def vector(self, field: int) -> tuple[int, int]:
        """Start and length of a vector."""
        place = self.place(field)
        if not place:
            return 0, 0
        start = place + struct.unpack_from("<I", self.data, place)[0]
        return start + 4, struct.unpack_from("<I", self.data, start)[0]

    def tables(self, field: int) -> list[_Table]:
        """A vector of tables."""
        start, count = self.vector(field)
        places = [start + 4 * index for index in range(count)]
        return [_Table(self.data, place + struct.unpack_from("<I", self.data, place)[0]) for place in places]

    def array(self, field: int, dtype: Any = np.int32) -> np.ndarray:
        """A vector of numbers."""
        start, count = self.vector(field)
        return np.frombuffer(self.data, dtype, count, start)


def read_tflite(path: str | os.PathLike, prefix: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The network in a TensorFlow Lite file, as far as BlazePose's go.

    Args:
        path (`str` or `os.PathLike`): The file. It is read as data.
        prefix (`str`): Put before the names of weights, such as `"detector"`.

    Returns:
        `tuple[dict, dict[str, torch.Tensor]]`: The graph (input, outputs and operations; tensors are numbers) and weights by name, as torch
        lays them out.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such file, or has operations that BlazePose's files do not have.
    """
    path = existing_file(path)
    check_bytes(path, path.stat().st_size)
    data = path.read_bytes()
    if data[4:8] != b"TFL3":
        raise ValueError(f"{str(path)!r} is no TensorFlow Lite file: it lacks the mark TFL3. Pass the published file unchanged.")
    with reading(path, "a TensorFlow Lite file of BlazePose"):
        model = _Table(data, struct.unpack_from("<I", data, 0)[0])
        return _Reader(model, prefix).read()


def _dense(values: np.ndarray, shape: list[int], sparsity: _Table) -> np.ndarray:
    """An array of the values that are not zero: dimension by dimension, either all places or a list of those that are filled."""
    order, blocks = sparsity.array(0), sparsity.array(1)
    places, sizes = np.zeros((1, 0), np.int64), []
    for level in sparsity.tables(2):
        if level.number(0, "b") == 0:
            size = level.number(1)
            inner, counts = np.tile(np.arange(size), len(places)), size
        else:
            segments, inner = (_index_vector(level, field) for field in (2, 4))
            counts, size = np.diff(segments), 0
        places = np.concatenate([np.repeat(places, counts, axis=0), inner[:, None]], axis=1)
        sizes.append(size)
    where = np.zeros((len(places), len(shape)), np.int64)
    for level, dimension in enumerate(order):
        if dimension < len(shape):
            where[:, dimension] += places[:, level]
    for level, dimension in enumerate(order):
        if dimension >= len(shape):
            target = blocks[dimension - len(shape)]
            where[:, target] = where[:, target] * sizes[level] + places[:, level]
    array = np.zeros(shape, values.dtype)
    array[tuple(where.T)] = values
    return array


def _index_vector(level: _Table, field: int) -> np.ndarray:
    table = level.table(field + 1)
    if table is None:
        raise ValueError("a sparse tensor lacks its indices")
    return table.array(0, {1: np.int32, 2: np.uint16, 3: np.uint8}[level.number(field, "B")]).astype(np.int64)


class _Reader:
    """Walks through one subgraph."""

    def __init__(self, model: _Table, prefix: str) -> None:
        self.prefix, self.buffers = prefix, model.tables(4)
        self.codes = [max(code.number(3), code.number(0, "b")) for code in model.tables(1)]
        self.graph = model.tables(2)[0]
        self.tensors = self.graph.tables(0)
        self.shapes = [tensor.array(0).tolist() for tensor in self.tensors]
        self.constants: dict[int, np.ndarray] = {}
        self.weights: dict[str, torch.Tensor] = {}
        for index, tensor in enumerate(self.tensors):
            content = self.buffers[tensor.number(2, "I")].array(0, np.uint8)
            if len(content):
                values, sparsity = np.frombuffer(content.tobytes(), _TYPES[tensor.number(1, "b")]), tensor.table(6)
                self.constants[index] = _dense(values, self.shapes[index], sparsity) if sparsity else values.reshape(self.shapes[index])

    def read(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        operations = [entry for operation in self.graph.tables(3) if (entry := self.operation(operation))]
        outputs = {name: int(index) for index in self.graph.array(2) for name in [self.output_name(self.shapes[index])]}
        (given,) = self.graph.array(1)
        return {"input": int(given), "size": self.shapes[given][1], "outputs": outputs, "operations": operations}, self.weights

    def output_name(self, shape: list[int]) -> str:
        """What BlazePose's outputs are is told by their shapes."""
        names = {(1, 2254, 12): "boxes", (1, 2254, 1): "scores", (1, 195): "landmarks", (1, 1): "presence", (1, 64, 64, 39): "heatmaps",
                 (1, 256, 256, 1): "mask", (1, 117): "world"}  # fmt: skip
        return names[tuple(shape)]

    def operation(self, operation: _Table) -> dict[str, Any] | None:
        kind = _OPERATIONS[self.codes[operation.number(0, "I")]]
        inputs, (output,) = operation.array(1).tolist(), operation.array(2).tolist()
        if kind in ("dequantize", "densify"):
            self.constants[output] = self.constants[inputs[0]]
            return None
        options, table = {}, operation.table(4)
        for name, field, letter, default in _FIELDS.get(kind, ()):
            options[name] = table.number(field, letter, default) if table else default
        entry: dict[str, Any] = {"kind": kind, "inputs": [index for index in inputs if index not in self.constants], "output": output}
        if kind == "pad":
            entry["pads"] = self.constants[inputs[1]].tolist()
        elif kind == "reshape":
            entry["shape"] = self.shapes[output]
        elif kind == "resize":
            entry |= {"size": self.shapes[output][1:3], **{name: bool(value) for name, value in options.items()}}
        elif kind in ("depth_to_space", "concat"):
            entry |= options
        elif kind in ("conv", "depthwise", "max_pool"):
            self.window(entry, kind, inputs, options)
        elif len(entry["inputs"]) != len(inputs):
            entry["constant"] = self.keep(f"constant_{output}", self.constants[next(i for i in inputs if i in self.constants)])
        if (activation := _ACTIVATIONS[options.get("activation", 0)]) is not None:
            entry["activation"] = activation
        return entry

    def window(self, entry: dict[str, Any], kind: str, inputs: list[int], options: dict[str, int]) -> None:
        """Weights, stride and padding of a convolution or a pooling."""
        if kind == "max_pool":
            kernel = [options["kernel_h"], options["kernel_w"]]
            entry["kernel"] = kernel
        else:
            weight = self.constants[inputs[1]]
            kernel = list(weight.shape[1:3])
            order = (0, 3, 1, 2) if kind == "conv" else (3, 0, 1, 2)
            entry["weight"] = self.keep(f"weight_{entry['output']}", weight.transpose(order))
            entry["bias"] = self.keep(f"bias_{entry['output']}", self.constants[inputs[2]])
        stride, dilation = [options["stride_h"], options["stride_w"]], options.get("dilation", 1)
        entry["stride"], pads = stride, []
        for side, size, step in zip(self.shapes[inputs[0]][1:3], kernel, stride, strict=True):
            reach = (size - 1) * dilation + 1
            total = max((-(-side // step) - 1) * step + reach - side, 0) if options["padding"] == 0 else 0
            pads.append([total // 2, total - total // 2])
        entry["pads"] = pads
        if dilation != 1:
            entry["dilation"] = dilation

    def keep(self, name: str, array: np.ndarray) -> str:
        """Remember a weight; those that were stored as float16 stay so."""
        name = f"{self.prefix}.{name}"
        tensor = torch.from_numpy(np.array(array, order="C"))
        half = tensor.half()
        self.weights[name] = half if torch.equal(half.to(tensor.dtype), tensor) else tensor
        return name


def convert_blazepose(detector: str | os.PathLike, landmarks: str | os.PathLike, output: str | os.PathLike) -> None:
    """Write `graph.json` and `model.safetensors`.

    Args:
        detector (`str` or `os.PathLike`): `pose_detection.tflite`.
        landmarks (`str` or `os.PathLike`): `pose_landmark_lite.tflite`, `_full` or `_heavy`.
        output (`str` or `os.PathLike`): Folder to write.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If one is no network of BlazePose, or is the other one.
        OSError: If the folder cannot be written.
    """
    output = Path(output)
    check_writable(output)
    graphs, weights = {}, {}
    for name, path, needed in (
        ("detector", detector, {"boxes", "scores"}),
        ("landmarks", landmarks, {"landmarks", "presence", "heatmaps"}),
    ):
        graphs[name], found = read_tflite(path, name)
        if not needed <= graphs[name]["outputs"].keys():
            raise ValueError(f"{str(path)!r} is not BlazePose's {name} network: it gives {', '.join(graphs[name]['outputs'])}.")
        kept = _needed(graphs[name], needed)
        weights |= {key: found[key] for key in kept}
    with atomic_path(output / "model.safetensors") as temporary:
        save_file(weights, temporary, metadata={"format": "pt"})
    write_json(output / "graph.json", graphs)


def _needed(graph: dict[str, Any], outputs: set[str]) -> list[str]:
    """Leave out operations that no wanted output needs (the mask of the body); names of the weights of the others."""
    graph["outputs"] = {name: index for name, index in graph["outputs"].items() if name in outputs}
    wanted, kept = set(graph["outputs"].values()), []
    for entry in reversed(graph["operations"]):
        if entry["output"] in wanted:
            wanted |= set(entry["inputs"])
            kept.append(entry)
    graph["operations"] = kept[::-1]
    return [entry[key] for entry in graph["operations"] for key in ("weight", "bias", "constant") if key in entry]


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert from the command line.

    Args:
        arguments (`Sequence[str]`, *optional*): Command line, the process's own by default.
    """
    parser = argparse.ArgumentParser(prog="python -m hf_motion.conversion.blazepose", description="Convert BlazePose's published files.")
    parser.add_argument("detector", help="pose_detection.tflite")
    parser.add_argument("landmarks", help="pose_landmark_lite.tflite, or _full or _heavy")
    parser.add_argument("--output", required=True, help="folder to write")
    options = parser.parse_args(arguments)
    convert_blazepose(options.detector, options.landmarks, options.output)


if __name__ == "__main__":
    main()
