"""Mean and standard deviation of motion features, gathered in a stream and kept in the conventions of the field."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..face import FACE_SETS
from ..representation import HumanML3DRepresentation
from ..representation.feature_extractor import FACE_KINDS, REPRESENTATIONS
from ..skeletons import get_skeleton
from ..utils.faults import reading
from ..utils.files import atomic_path

CONVENTIONS = ("humanml3d", "momask", "evaluator", "groups")
STATISTICS_FILE = "statistics.safetensors"
# Root motion and contacts weigh this much more in MoMask's space, and the square of it in the evaluator's.
_BIAS = 5.0
_SMALLEST = 1e-4
_ROOT_AND_CONTACTS = ("root_rotation", "root_velocity", "root_height", "contacts")


@dataclass
class RunningStatistics:
    """Count, mean and sum of squared deviations per feature, of any number of clips, in float64.

    Two of them merge into what one pass over both would have found (Chan, Golub and LeVeque 1979), so a data set can be measured in
    parts, by several processes, without being held in memory.

    Args:
        count (`int`, defaults to 0): Frames so far.
        mean (`numpy.ndarray`, *optional*): (dim,) float64.
        squares (`numpy.ndarray`, *optional*): Sum of squared deviations from the mean, (dim,) float64.

    Example:
        >>> import numpy as np
        >>> from hf_motion.data.statistics import RunningStatistics
        >>> frames = np.random.default_rng(0).normal(3, 2, size=(100, 4))
        >>> parts = RunningStatistics()
        >>> for part in (frames[:30], frames[30:]):
        ...     parts.update(part)
        >>> bool(np.allclose(parts.mean, frames.mean(0)) and np.allclose(parts.std, frames.std(0)))
        True
    """

    count: int = 0
    mean: np.ndarray = field(default_factory=lambda: np.zeros(0))
    squares: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def std(self) -> np.ndarray:
        """Population standard deviation, (dim,) float64."""
        return np.sqrt(self.squares / max(self.count, 1))

    def update(self, features: np.ndarray | Tensor) -> None:
        """Add the frames of a clip, (frames, dim)."""
        frames = np.asarray(features, dtype=np.float64)
        if len(frames):
            mean = frames.mean(0)
            self.merge(RunningStatistics(len(frames), mean, np.square(frames - mean).sum(0)))

    def merge(self, other: RunningStatistics) -> None:
        """Add what another one has seen.

        Raises:
            ValueError: If the two count features of different widths.
        """
        if not other.count:
            return
        if not self.count:
            self.count, self.mean, self.squares = other.count, other.mean.copy(), other.squares.copy()
            return
        if self.mean.shape != other.mean.shape:
            raise ValueError(f"Features of {len(self.mean)} and of {len(other.mean)} numbers cannot be counted together.")
        total = self.count + other.count
        difference = other.mean - self.mean
        self.squares += other.squares + np.square(difference) * (self.count * other.count / total)
        self.mean += difference * (other.count / total)
        self.count = total

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for a JSON file; floats keep every bit."""
        return {"count": self.count, "mean": self.mean.tolist(), "squares": self.squares.tolist()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RunningStatistics:
        """The reverse of `to_dict`."""
        return cls(values["count"], np.array(values["mean"]), np.array(values["squares"]))


def convention_std(std: np.ndarray, convention: str, skeleton: str = "humanml3d-22") -> np.ndarray:
    """The divisors of one of the published normalisations, from the plain standard deviation per feature.

    | convention | divisors | used by |
    |---|---|---|
    | `humanml3d` | averaged within each slice of the features | MDM, MLD, MotionLCM |
    | `momask` | those, root motion and contacts divided by 5 | MoMask |
    | `evaluator` | those, root motion and contacts divided by 25 | the text-to-motion evaluator; T2M-GPT, MotionGPT, SALAD |
    | `groups` | averaged within each slice, body and hands apart (`HumanML3DRepresentation.groups`) | whole bodies |

    `groups` is ours: HumanTOMATO's paper says nothing of its normalisation. Fingers move with their wrists, and an average over 52 joints,
    of which 30 are in hands, is theirs more than the body's. On `humanml3d-22` it is `humanml3d`.

    Args:
        std (`numpy.ndarray`): Plain standard deviation, (dim,).
        convention (`str`): One of the above.
        skeleton (`str`, defaults to `"humanml3d-22"`): The skeleton that the features describe.

    Returns:
        `numpy.ndarray`: (dim,) float64. Slices that never change get 1e-4, so that nothing is divided by zero.

    Raises:
        ValueError: If the convention is unknown or the width is not that of the skeleton's features.
    """
    if convention not in CONVENTIONS:
        raise ValueError(f"Unknown convention {convention!r}. Known ones: {', '.join(CONVENTIONS)}.")
    representation = HumanML3DRepresentation(skeleton)
    if len(std) != representation.dim:
        raise ValueError(f"Features of {skeleton} are {representation.dim} wide, got statistics of {len(std)}.")
    divisors = np.empty(len(std))
    if convention == "groups":
        for group in representation.groups.values():
            for part in representation.slices.values():
                both = [feature for feature in group if part.start <= feature < part.stop]
                if both:
                    divisors[both] = max(float(np.mean(std[both])), _SMALLEST)
        return divisors
    bias = {"humanml3d": 1.0, "momask": _BIAS, "evaluator": _BIAS**2}[convention]
    for name, part in representation.slices.items():
        divisors[part] = max(float(np.mean(std[part])), _SMALLEST) / (bias if name in _ROOT_AND_CONTACTS else 1.0)
    return divisors


@dataclass(frozen=True)
class FeatureStatistics:
    """What a feature extractor normalises with.

    Args:
        mean (`list[float]`): Per feature.
        std (`list[float]`): Per feature, all positive.
        skeleton (`str`): The skeleton that the features describe.
        convention (`str`): Which of the published normalisations this is.
        frames (`int`): Frames that were counted; 0 where a data set published its own.
        representation (`str`, defaults to `"humanml3d"`): Which features they are, a name that `MotionFeatureExtractor` knows.
        face_dim (`int`, defaults to 0): How many of them, the last, are coefficients of a face.
    """

    mean: list[float]
    std: list[float]
    skeleton: str
    convention: str
    frames: int
    representation: str = "humanml3d"
    face_dim: int = 0


def save_statistics(
    path: str | os.PathLike, statistics: RunningStatistics, skeleton: str, published: tuple[np.ndarray, np.ndarray] | None = None,
    faces: Mapping[str, RunningStatistics] | None = None,
) -> None:  # fmt: skip
    """Write statistics in all conventions as one safetensors file.

    Args:
        path (`str` or `os.PathLike`): The file.
        statistics (`RunningStatistics`): What was counted.
        skeleton (`str`): The skeleton that the features describe.
        published (`tuple[numpy.ndarray, numpy.ndarray]`, *optional*): Mean and std that came with the data set (`Mean.npy` and
            `Std.npy`), kept beside those counted here.
        faces (`Mapping[str, RunningStatistics]`, *optional*): Of the coefficients of faces, by kind (`hf_motion.face.FACE_SETS`).

    Raises:
        ValueError: If the width is not that of the skeleton's features, or nothing was counted.
    """
    from safetensors.numpy import save_file

    if not statistics.count:
        raise ValueError("No frame was counted, so there are no statistics to save.")
    tensors = {"mean": statistics.mean, "std": statistics.std}
    tensors |= {f"std_{name}": convention_std(statistics.std, name, skeleton) for name in CONVENTIONS}
    if published is not None:
        tensors |= {"published_mean": published[0], "published_std": published[1]}
    for kind, counted in (faces or {}).items():
        tensors |= {f"face_{kind}_mean": counted.mean, f"face_{kind}_std": counted.std}
    # One entry: safetensors writes several in a random order, and the same build should give the same bytes.
    metadata = {"hf_motion": json.dumps({"skeleton": get_skeleton(skeleton).name, "frames": statistics.count})}
    with atomic_path(path) as temporary:
        save_file({name: np.ascontiguousarray(values, np.float64) for name, values in tensors.items()}, temporary, metadata)


def load_statistics(
    path: str | os.PathLike, convention: str = "humanml3d", *, representation: str = "humanml3d", face_dim: int = 0
) -> FeatureStatistics:
    """Read mean and std of one convention, ready for `MotionFeatureExtractor(mean=..., std=...)`.

    Args:
        path (`str` or `os.PathLike`): A file that `save_statistics` wrote, or the folder of a built data set.
        convention (`str`, defaults to `"humanml3d"`): `"humanml3d"`, `"momask"`, `"evaluator"`, `"groups"`, or `"published"` for the
            numbers that came with the data set.
        representation (`str`, defaults to `"humanml3d"`): `"humantomato"` for its features, which are some of HumanML3D's.
        face_dim (`int`, defaults to 0): Coefficients of the face behind these, as in `MotionFeatureExtractor`; each is divided by the
            mean standard deviation of all of them.

    Returns:
        `FeatureStatistics`: Mean and std.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the convention or representation is unknown, or the file does not have what is wanted.

    Example:
        >>> import tempfile, numpy as np
        >>> from hf_motion import MotionFeatureExtractor
        >>> from hf_motion.data.statistics import RunningStatistics, load_statistics, save_statistics
        >>> counted = RunningStatistics()
        >>> counted.update(np.random.default_rng(0).normal(size=(50, 263)))
        >>> folder = tempfile.mkdtemp()
        >>> save_statistics(f"{folder}/statistics.safetensors", counted, "humanml3d-22")
        >>> plain, evaluator = load_statistics(folder), load_statistics(folder, "evaluator")
        >>> round(plain.std[0] / evaluator.std[0]), MotionFeatureExtractor(mean=plain.mean, std=plain.std).dim
        (25, 263)
    """
    from safetensors import safe_open

    path = Path(path)
    path = path / STATISTICS_FILE if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"No statistics at {str(path)!r}; `hf-motion data build` writes them beside the data.")
    if convention not in (*CONVENTIONS, "published"):
        raise ValueError(f"Unknown convention {convention!r}. Known ones: {', '.join(CONVENTIONS)}, published.")
    if representation not in REPRESENTATIONS or (face_dim and (representation != "humantomato" or face_dim not in FACE_KINDS)):
        raise ValueError(
            f"Statistics are of the representations {', '.join(REPRESENTATIONS)}, with faces of humantomato of face_dim "
            f"{', '.join(map(str, FACE_KINDS))}; got {representation!r} with face_dim={face_dim}."
        )
    names = ("published_mean", "published_std") if convention == "published" else ("mean", f"std_{convention}")
    with reading(path, "a readable statistics file"):
        with safe_open(path, framework="numpy") as file:
            metadata, known = json.loads((file.metadata() or {}).get("hf_motion", "{}")), set(file.keys())
            if not {*names} <= known:
                raise ValueError(f"{str(path)!r} has no {convention} statistics; it holds {sorted(known)}.")
            mean, std = (file.get_tensor(name) for name in names)
            skeleton = metadata.get("skeleton", "humanml3d-22")
            columns = _columns(representation, skeleton)
            mean, std = mean[columns], std[columns]
            if face_dim:
                face_mean, face_std = _face_statistics(file, path, known, FACE_SETS[FACE_KINDS[face_dim]])
                mean, std = np.concatenate((mean, face_mean)), np.concatenate((std, face_std))
        frames = 0 if convention == "published" else metadata.get("frames", 0)
    return FeatureStatistics(mean.tolist(), std.tolist(), skeleton, convention, frames, representation, face_dim)


def _columns(representation: str, skeleton: str) -> list[int]:
    """Which of HumanML3D's features a representation has."""
    whole = HumanML3DRepresentation(skeleton)
    part = REPRESENTATIONS[representation](skeleton)
    return [feature for name in part.slices for feature in range(whole.slices[name].start, whole.slices[name].stop)]


def _face_statistics(file: Any, path: Path, known: set[str], wanted: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mean of each coefficient, and the one divisor of all, from the first counted kind of face that has them."""
    kinds = [kind for kind in FACE_SETS if f"face_{kind}_mean" in known]
    kind = next((kind for kind in kinds if set(wanted) <= set(FACE_SETS[kind])), None)
    if kind is None:
        raise ValueError(f"{str(path)!r} has no statistics of a face of {len(wanted)} coefficients; it holds {kinds or 'none of faces'}.")
    columns = [FACE_SETS[kind].index(name) for name in wanted]
    std = file.get_tensor(f"face_{kind}_std")[columns]
    return file.get_tensor(f"face_{kind}_mean")[columns], np.full(len(columns), max(float(std.mean()), _SMALLEST))


def merged(parts: Iterable[RunningStatistics]) -> RunningStatistics:
    """All parts together, in their order."""
    total = RunningStatistics()
    for part in parts:
        total.merge(part)
    return total
