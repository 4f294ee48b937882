"""Universal Scene Description (.usd, .usda, .usdc, .usdz), through Pixar's own library."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import Motion
from ..skeletons import Skeleton
from ..utils.extras import require
from ..utils.files import atomic_path
from .body import Body, build_body
from .glb import MATERIALS, linear_light, rest_positions
from .solved import SolvedMotion, solve

SUFFIXES = (".usd", ".usda", ".usdc", ".usdz")


def _pxr(*names: str) -> list[Any]:
    return [require(f"pxr.{name}", "Writing USD files") for name in names]


def write_usd(
    motion: Motion,
    path: str | os.PathLike,
    *,
    rig: str | None = None,
    tolerance: float | str | None = "auto",
    keep_proportions: bool = False,
    root_motion: bool = False,
) -> Path:
    """Write a motion as a USD file: a `UsdSkel` skeleton with its animation, and the simple body of `write_glb` bound to it.

    The stage counts in metres, Y up, `timeCodesPerSecond` is the motion's frame rate and frames are time codes from 0; the skeleton and the
    body are those of `write_glb`. Joints are paths of names that USD allows (`mixamorig:Hips` is `mixamorig_Hips`); the names themselves
    are in `jointNames`. The text is the documentation of the root; a face is left out. `.usda` is text, `.usd` and `.usdc` are binary,
    `.usdz` is the package that phones open. Needs the package usd-core: `pip install 'hf-motion[usd]'`.

    Args:
        motion (`Motion`): The motion, on any skeleton.
        path (`str` or `os.PathLike`): File to write; missing folders are made. It appears whole or not at all.
        rig (`str`, *optional*): Joint names of a rig of `hf_motion.formats.WRITTEN_RIGS`, as in `write_glb`.
        tolerance (`float` or `str`, *optional*, defaults to `"auto"`): As in `write_glb`.
        keep_proportions (`bool`, defaults to `False`): As in `write_bvh`.
        root_motion (`bool`, defaults to `False`): As in `write_bvh`.

    Returns:
        `pathlib.Path`: The written file.

    Raises:
        ImportError: If usd-core is not installed.
        ValueError: If `rig` or `tolerance` is not one of the above, or the suffix is no USD file's.
        OSError: If the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"A USD file is one of {', '.join(SUFFIXES)}, got {str(path)!r}.")
    usd = require("pxr.Usd", "Writing USD files")
    solved = solve(motion, rig, tolerance, keep_proportions=keep_proportions, root_motion=root_motion)
    place = rest_positions(solved)
    kept = [index for index, joint in enumerate(solved.source) if joint >= 0]
    body = build_body(motion, place[kept], solved.moving[kept])
    stage = usd.Stage.CreateInMemory()
    _stage(stage, motion)
    _skeleton(stage, solved, place)
    _body(stage, body, kept)
    with atomic_path(path) as temporary:
        if suffix != ".usdz":
            stage.Export(str(temporary))
        else:
            _package(stage, temporary)
    return Path(path)


def _stage(stage: Any, motion: Motion) -> None:
    UsdGeom, UsdSkel = _pxr("UsdGeom", "UsdSkel")

    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    stage.SetTimeCodesPerSecond(motion.fps)
    stage.SetFramesPerSecond(motion.fps)
    stage.SetStartTimeCode(0)
    stage.SetEndTimeCode(len(motion) - 1)
    root = UsdSkel.Root.Define(stage, "/Character")
    stage.SetDefaultPrim(root.GetPrim())
    if motion.text:
        root.GetPrim().SetDocumentation(motion.text)


def _skeleton(stage: Any, solved: SolvedMotion, place: np.ndarray) -> None:
    """The skeleton, resting where `place` says, and its animation."""
    Gf, UsdSkel, Vt = _pxr("Gf", "UsdSkel", "Vt")

    paths = joint_paths(solved.skeleton)
    rest = np.where(np.arange(len(place))[:, None] > 0, solved.rest, place[:1])
    skeleton = UsdSkel.Skeleton.Define(stage, "/Character/Skeleton")
    skeleton.CreateJointsAttr(paths)
    skeleton.CreateJointNamesAttr(list(solved.skeleton.joint_names))
    for attribute, offsets in ((skeleton.CreateBindTransformsAttr, place), (skeleton.CreateRestTransformsAttr, rest)):
        attribute(Vt.Matrix4dArray([Gf.Matrix4d(1.0).SetTranslate(Gf.Vec3d(*map(float, offset))) for offset in offsets]))
    animation = UsdSkel.Animation.Define(stage, "/Character/Skeleton/Animation")
    animation.CreateJointsAttr(paths)
    animation.CreateScalesAttr(Vt.Vec3hArray(len(paths), Gf.Vec3h(1, 1, 1)))
    turns, moves = animation.CreateRotationsAttr(), animation.CreateTranslationsAttr()
    for frame, (quaternions, offsets) in enumerate(zip(solved.rotations.tolist(), solved.translations, strict=True)):
        turns.Set(Vt.QuatfArray([Gf.Quatf(*quaternion) for quaternion in quaternions]), frame)
        moves.Set(Vt.Vec3fArray.FromNumpy(offsets.astype(np.float32)), frame)
    binding = UsdSkel.BindingAPI.Apply(skeleton.GetPrim())
    binding.CreateAnimationSourceRel().SetTargets([animation.GetPath()])


def joint_paths(skeleton: Skeleton) -> list[str]:
    """Where each joint hangs, as USD names joints.

    Example:
    >>> from hf_motion import Skeleton
    >>> from hf_motion.formats.usd import joint_paths
    >>> joint_paths(Skeleton("two", ("mixamorig:Hips", "2nd"), (-1, 0)))
    ['mixamorig_Hips', 'mixamorig_Hips/_2nd']
    """
    paths: list[str] = []
    for name, parent in zip(skeleton.joint_names, skeleton.parents, strict=True):
        plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
        plain = f"_{plain}" if plain[:1].isdigit() else plain
        path = plain if parent < 0 else f"{paths[parent]}/{plain}"
        while path in paths:
            path += "_"
        paths.append(path)
    return paths


def _body(stage: Any, body: Body, kept: list[int]) -> None:
    """One mesh per colour, each of the vertices that it has."""
    Gf, Sdf, UsdGeom, UsdShade, UsdSkel, Vt = _pxr("Gf", "Sdf", "UsdGeom", "UsdShade", "UsdSkel", "Vt")

    for side, name, colour in MATERIALS:
        if side not in body.triangles:
            continue
        used, corners = np.unique(body.triangles[side], return_inverse=True)
        mesh = UsdGeom.Mesh.Define(stage, f"/Character/Body_{name}")
        mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
        mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(body.vertices[used])))
        mesh.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(body.normals[used])))
        mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
        mesh.CreateFaceVertexCountsAttr(Vt.IntArray(len(body.triangles[side]), 3))
        mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(corners.ravel().astype(np.int32)))
        mesh.CreateExtentAttr([Gf.Vec3f(*map(float, end)) for end in (body.vertices[used].min(axis=0), body.vertices[used].max(axis=0))])
        linear = Gf.Vec3f(*map(float, linear_light(colour)))
        mesh.CreateDisplayColorAttr([linear])
        material = UsdShade.Material.Define(stage, f"/Character/Materials/{name}")
        shader = UsdShade.Shader.Define(stage, f"/Character/Materials/{name}/Surface")
        shader.CreateIdAttr("UsdPreviewSurface")
        shader.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).Set(linear)
        shader.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(0.75)
        material.CreateSurfaceOutput().ConnectToSource(shader.ConnectableAPI(), "surface")
        UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)
        binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
        binding.CreateSkeletonRel().SetTargets([Sdf.Path("/Character/Skeleton")])
        binding.CreateGeomBindTransformAttr(Gf.Matrix4d(1.0))
        joints, weights = np.where(body.weights > 0, np.asarray(kept)[body.joints], 0)[used], body.weights[used]
        binding.CreateJointIndicesPrimvar(False, joints.shape[1]).Set(Vt.IntArray.FromNumpy(joints.astype(np.int32).ravel()))
        binding.CreateJointWeightsPrimvar(False, joints.shape[1]).Set(Vt.FloatArray.FromNumpy(weights.astype(np.float32).ravel()))


def _package(stage: Any, path: Path) -> None:
    Sdf, UsdUtils = _pxr("Sdf", "UsdUtils")

    with tempfile.TemporaryDirectory(prefix="hf_motion-usd-") as folder:
        content = Path(folder) / "motion.usdc"
        stage.Export(str(content))
        made = Path(folder) / "motion.usdz"
        if not UsdUtils.CreateNewUsdzPackage(Sdf.AssetPath(str(content)), str(made)):
            raise OSError(f"Cannot write {str(path)!r}: USD could not pack it.")
        path.write_bytes(made.read_bytes())
