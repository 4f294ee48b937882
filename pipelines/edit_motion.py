"""Change a clip by a sentence: keep its legs and make the upper body anew, in files for an animator.

python pipelines/edit_motion.py walk.bvh "a person waves the left hand" --body_part upper_body --output outputs
"""

import argparse
from pathlib import Path

import torch

from hf_motion import load_embedded_pipeline
from hf_motion.formats.read import read_motion
from hf_motion.pipelines.motion_diffusion import MotionDiffusionPipeline
from hf_motion.utils.device import choose_device

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("clip", type=Path)
parser.add_argument("text")
parser.add_argument("--body_part", nargs="+", help="what is made anew; by default everything between the first and the last quarter")
parser.add_argument("--model", help="folder or Hub repository; the checkpoint inside hf_motion by default")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--output", type=Path, default=Path("outputs"))
arguments = parser.parse_args()

pipe = MotionDiffusionPipeline.load(arguments.model) if arguments.model else load_embedded_pipeline()
pipe.to(choose_device())
clip = read_motion(arguments.clip, fps=pipe.feature_extractor.fps, skeleton=pipe.feature_extractor.skeleton)
generator = torch.Generator().manual_seed(arguments.seed)
motion = pipe(arguments.text, motion=clip, body_part=arguments.body_part, generator=generator).motions[0]
for suffix in (".bvh", ".html", ".npz"):
    print(motion.save(arguments.output / f"edited{suffix}"))
