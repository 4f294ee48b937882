"""glTF files for tests, written by hand: every way in which an animation can be stored, over two bones or a person."""

import base64
import json
import struct
from pathlib import Path

import numpy as np

TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
HALF = 2**-0.5
# A person in a T-pose facing +Z, metres: VRM's names, the bone above, and where the bone is from there (left side).
PERSON = {
    "hips": (None, (0, 0.95, 0)), "spine": ("hips", (0, 0.12, 0)), "chest": ("spine", (0, 0.13, 0)), "upperChest": ("chest", (0, 0.12, 0)),
    "neck": ("upperChest", (0, 0.13, 0)), "head": ("neck", (0, 0.09, 0)),
    "leftUpperLeg": ("hips", (0.09, -0.05, 0)), "leftLowerLeg": ("leftUpperLeg", (0, -0.4, 0)), "leftFoot": ("leftLowerLeg", (0, -0.42, 0)),
    "leftToes": ("leftFoot", (0, -0.07, 0.13)), "leftShoulder": ("upperChest", (0.04, 0.08, 0)),
    "leftUpperArm": ("leftShoulder", (0.12, 0, 0)), "leftLowerArm": ("leftUpperArm", (0.27, 0, 0)),
    "leftHand": ("leftLowerArm", (0.25, 0, 0)),
}  # fmt: skip


class Builder:
    """Collects numbers and writes them as .glb, or as .gltf with its buffer inside or beside it."""

    def __init__(self) -> None:
        self.document = {
            "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [], "accessors": [], "bufferViews": [],
            "animations": [],
        }  # fmt: skip
        self.data = b""

    def view(self, values: np.ndarray, kind: str, stride: int = 0) -> int:
        rows = [row.astype(kind).tobytes() for row in np.asarray(values).reshape(len(values), -1)]
        part = b"".join(row + bytes(max(0, stride - len(row))) for row in rows)
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(part)} | ({"byteStride": stride} if stride else {})
        self.document["bufferViews"].append(view)
        self.data += part + bytes(-len(part) % 4)
        return len(self.document["bufferViews"]) - 1

    def accessor(self, values, component: int = 5126, stride: int = 0, **more) -> int:
        kinds = {5126: "<f4", 5123: "<u2", 5122: "<i2", 5120: "i1", 5121: "u1", 5125: "<u4"}
        values = np.asarray(values)
        accessor = {"bufferView": self.view(values, kinds[component], stride), "componentType": component, "count": len(values)}
        self.document["accessors"].append(accessor | {"type": TYPES[values.reshape(len(values), -1).shape[1]]} | more)
        return len(self.document["accessors"]) - 1

    def node(self, name: str, parent: int | None = None, **more) -> int:
        self.document["nodes"].append({"name": name, **more})
        if parent is not None:
            self.document["nodes"][parent].setdefault("children", []).append(len(self.document["nodes"]) - 1)
        return len(self.document["nodes"]) - 1

    def animate(self, node: int, path: str, times, values, between: str = "LINEAR", animation: int = 0, **options) -> None:
        while len(self.document["animations"]) <= animation:
            self.document["animations"].append({"name": f"take {len(self.document['animations'])}", "channels": [], "samplers": []})
        found = self.document["animations"][animation]
        sampler = {"input": self.accessor(np.asarray(times, float)[:, None]), "output": self.accessor(values, **options)}
        found["channels"].append({"sampler": len(found["samplers"]), "target": {"node": node, "path": path}})
        found["samplers"].append(sampler | {"interpolation": between})

    def glb(self, path: Path) -> Path:
        text = json.dumps(self.document | {"buffers": [{"byteLength": len(self.data)}]}).encode()
        text += b" " * (-len(text) % 4)
        parts = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(self.data), 0x004E4942) + self.data
        path.write_bytes(b"glTF" + struct.pack("<II", 2, 12 + len(parts)) + parts)
        return path

    def gltf(self, path: Path, beside: str | None = None) -> Path:
        uri = beside or "data:application/octet-stream;base64," + base64.b64encode(self.data).decode()
        if beside:
            (path.parent / beside.replace("%20", " ")).write_bytes(self.data)
        path.write_text(json.dumps(self.document | {"buffers": [{"byteLength": len(self.data), "uri": uri}]}))
        return path


def person(frames: int = 8, fps: float = 30.0, prefix: str = "") -> Builder:
    """A person who lifts the left arm a little more in each frame and walks along Z, with a skin."""
    file = Builder()
    armature = file.node("Armature")
    names: dict[str, int] = {}
    for name, (above, place) in PERSON.items():
        for side in ("left", "right") if name.startswith("left") else ("",):
            called = name.replace("left", side) if side else name
            parent = above.replace("left", side) if above and side else above
            mirrored = (-place[0], *place[1:]) if side == "right" else place
            names[called] = file.node(prefix + called, names[parent] if parent else armature, translation=[float(x) for x in mirrored])
    times = np.arange(frames) / fps
    angle = 0.05 * np.arange(frames) / 2
    zeros = np.zeros(frames)
    file.animate(names["leftUpperArm"], "rotation", times, np.stack((zeros, zeros, np.sin(angle), np.cos(angle)), axis=1))
    file.animate(names["hips"], "translation", times, np.stack((zeros, zeros + 0.95, times), axis=1))
    file.document["skins"] = [{"joints": list(names.values())}]
    file.names = names
    return file
