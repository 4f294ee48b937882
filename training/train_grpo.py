"""Tune a motion language model on a reward while it speaks: GRPO, by TRL.

    python training/train_grpo.py --config training/configs/atom_grpo.yaml --model runs/motion_lm --output_dir runs/atom_grpo
    accelerate launch --config_file training/accelerate/gpu_multi.yaml training/train_grpo.py --config ...

The model comes from `train_sft.py`; prompts are made by the templates of `hf-motion prefer build`. Run the same command again to go on from
the last checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import set_seed

from hf_motion import MotionLanguageModel
from hf_motion.hub.training_card import TrainingRecord
from hf_motion.preferences import make_prompts
from hf_motion.rewards import ContrastiveReward, Reward, TMRReward, VerifierReward
from hf_motion.trainers.motion_language import save_trained
from hf_motion.trainers.online_preference import MotionGRPOConfig, MotionGRPOTrainer
from hf_motion.trainers.options import TrainingParser
from hf_motion.trainers.resuming import say_finished
from hf_motion.utils.files import check_writable


@dataclass
class ScriptArguments:
    """What to tune, and for what."""

    model: str = field(metadata={"help": "Motion language model to tune."})
    tasks: list[str] = field(default_factory=lambda: ["temporal"], metadata={"help": "Prompts: integrity, temporal, frequency."})
    prompts_per_task: int = field(default=100, metadata={"help": "How many prompts of each."})
    reward: str = field(default="verifier", metadata={"help": "What is to grow: verifier, contrastive or tmr."})
    reward_model: str | None = field(default=None, metadata={"help": "Retrieval model of the latter two; a small one by default."})
    lora_rank: int = field(default=8, metadata={"help": "Rank of adapters; 0 tunes all weights."})
    lora_alpha: int = field(default=16, metadata={"help": "Strength of adapters."})
    lora_dropout: float = field(default=0.0, metadata={"help": "Dropout of adapters."})
    merge: bool = field(default=True, metadata={"help": "Add adapters to the weights at the end rather than save them alone."})


def make_reward(name: str, model: str | None) -> Reward:
    if name == "verifier":
        return VerifierReward(scale="share")
    kinds = {"contrastive": ContrastiveReward, "tmr": TMRReward}
    if name not in kinds:
        raise ValueError(f"reward must be verifier, contrastive or tmr, got {name!r}.")
    return kinds[name].from_pretrained(model)


def main(script: ScriptArguments, args: MotionGRPOConfig) -> None:
    check_writable(args.output_dir)
    set_seed(args.seed)
    push, args.push_to_hub = args.push_to_hub, False  # Trainer would push its raw states
    reward = make_reward(script.reward, script.reward_model)
    prompts = [prompt for task in script.tasks for prompt in make_prompts(task, script.prompts_per_task, args.seed)]
    model = MotionLanguageModel.from_pretrained(script.model, dtype=torch.float32)
    if model.has_adapters:
        model.merge_adapters()
    trainer = MotionGRPOTrainer(model, reward, args, prompts, script.lora_rank, script.lora_alpha, script.lora_dropout)
    trainer.train_or_resume()
    repo_id = (args.hub_model_id or Path(args.output_dir).name) if push else None
    record = TrainingRecord.of_pairs(trainer, f"templates: {', '.join(script.tasks)}", "train", len(prompts), {})
    folder = save_trained(trainer, model, script.merge, record, repo_id)
    say_finished(trainer, folder, 'hf-motion generate "a person jumps three times" --model {}')


if __name__ == "__main__":
    main(*TrainingParser((ScriptArguments, MotionGRPOConfig)).parse())
