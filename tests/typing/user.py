"""Ten lines of a user, which type checkers must find nothing in: `make lint` runs mypy on them."""

from pathlib import Path

from hf_motion import MDMPipeline, Motion, get_skeleton, join_motions, load_embedded_pipeline, read_motion


def main(folder: Path) -> None:
    pipe: MDMPipeline = load_embedded_pipeline()
    made = pipe(["a person walks", "a person bows"], seconds=[2.0, 3.0], seed=0, guidance_scale=2.5)
    paths: list[Path] = [motion.save(folder / f"{index}.bvh") for index, motion in enumerate(made.motions)]
    walk: Motion = read_motion(paths[0], fps=20, skeleton=get_skeleton("humanml3d-22"))
    both: Motion = join_motions(pipe, [walk, read_motion(paths[1])], "a person stops", 1.0)
    print(both.resample(30)[10:20].joints.shape, both.duration, both.skeleton.joint_names, both.text or "")
