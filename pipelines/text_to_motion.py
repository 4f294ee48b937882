"""A sentence to a motion, in files for an animator.

python pipelines/text_to_motion.py "a person walks forward and waves" --output outputs
"""

import argparse
from pathlib import Path

import torch
from transformers import pipeline

import hf_motion  # noqa: F401  registers the task
from hf_motion.utils.device import choose_device

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("text")
parser.add_argument("--model", help="folder or Hub repository; the checkpoint inside hf_motion by default")
parser.add_argument("--num_frames", type=int)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--output", type=Path, default=Path("outputs"))
arguments = parser.parse_args()

text_to_motion = pipeline("text-to-motion", model=arguments.model, device=choose_device())
motion = text_to_motion(arguments.text, arguments.num_frames, generator=torch.Generator().manual_seed(arguments.seed))
for suffix in (".bvh", ".html", ".npz"):
    print(motion.save(arguments.output / f"motion{suffix}"))
