"""Train a diffusion pipeline on captioned motion.

    python training/train_diffusion.py --config training/configs/mdm.yaml --dataset org/my-motions --output_dir runs/mdm
    accelerate launch --config_file training/accelerate/cpu_2.yaml training/train_diffusion.py --config training/configs/mdm.yaml ...

Every option of the YAML file can be given on the command line too. Run the same command again to go on from the last checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import set_seed

from hf_motion import MotionFeatureExtractor
from hf_motion.data.motion_text import MotionTextDataset, load_motion_rows, take_rows
from hf_motion.data.paraphrases import load_paraphrases
from hf_motion.hub.training_card import TrainingRecord
from hf_motion.pipelines.motion_diffusion import MotionDiffusionPipeline, pipeline_class
from hf_motion.trainers.autoencoder import load_autoencoder
from hf_motion.trainers.averaging import trained_parameters
from hf_motion.trainers.callbacks import EvaluateMotionsCallback, SampleMotionsCallback
from hf_motion.trainers.diffusion import DiffusionTrainer, DiffusionTrainingArguments
from hf_motion.trainers.known_actions import learn_known_actions
from hf_motion.trainers.new_pipeline import new_latent_pipeline, new_mdm_pipeline, patch_frames, refine_noise
from hf_motion.trainers.options import TrainingParser
from hf_motion.trainers.resuming import say_finished
from hf_motion.utils.files import check_writable
from hf_motion.utils.options import as_mapping


@dataclass
class ScriptArguments:
    """What to train, and on what."""

    dataset: str = field(metadata={"help": "Parquet file, folder of them, or data set on the Hub."})
    split: str = field(default="train", metadata={"help": "Split to train on."})
    mirror: bool = field(default=True, metadata={"help": "Also train on every clip mirrored, with sides exchanged in its captions."})
    min_frames: int = field(default=24, metadata={"help": "Leave shorter clips out."})
    level_floor: bool = field(default=False, metadata={"help": "Let feet stand at height 0 all along each clip, see data/floor.py."})
    fixed_bones: bool = field(default=False, metadata={"help": "Train on the very body that decoding ends on, see MotionTextDataset."})
    max_frames: int = field(default=196, metadata={"help": "Longest clip that the model makes; longer ones are cut at random."})
    strict: bool = field(default=True, metadata={"help": "Stop at an unreadable row rather than skip and count it."})
    max_train_samples: int | None = field(default=None, metadata={"help": "Train on so many clips, drawn once; fewer are part of more."})
    paraphrases: str | None = field(
        default=None, metadata={"help": "Folder of other wordings of captions, such as training/paraphrases; none by default."}
    )
    paraphrase_share: float = field(default=0.5, metadata={"help": "Probability of replacing a caption by another wording of it."})
    pipeline: str | None = field(default=None, metadata={"help": "Go on from this pipeline rather than from random weights."})
    example_share: float = field(
        default=0.0, metadata={"help": "Probability of reading a caption beside its action's plain sentence, as ground_prompts does."}
    )
    known_actions: bool = field(
        default=False,
        metadata={"help": "Let the pipeline warn of what is in no paraphrase; the captions of score_split say how far is far."},
    )
    noise_levels: int | None = field(default=None, metadata={"help": "Of a pipeline to go on from: more noise levels, see refine_noise."})
    patch_size: int | None = field(default=None, metadata={"help": "Of a pipeline to go on from: frames per token, see patch_frames."})
    autoencoder: str | None = field(
        default=None, metadata={"help": "Diffuse in latents of this one, see train_autoencoder.py; it decides the pipeline's class."}
    )
    pipeline_class: str = field(default="MDMPipeline", metadata={"help": "Of a new one without autoencoder: MDMPipeline, AdaQFPipeline."})
    denoiser: dict[str, Any] | str | None = field(default=None, metadata={"help": "Options of a new denoiser."})
    text_encoder: dict[str, Any] | str | None = field(default=None, metadata={"help": "Pretrained encoder, or options of a new one."})
    scheduler: dict[str, Any] | str | None = field(default=None, metadata={"help": "Options of the noise schedule."})
    max_text_tokens: int | None = field(default=22, metadata={"help": "Cut longer captions."})
    sample_prompts: list[str] = field(default_factory=list, metadata={"help": "Prompts to draw while training."})
    sample_steps: int = field(default=0, metadata={"help": "Steps between drawings; 0 draws none."})
    score_split: str = field(default="val", metadata={"help": "Split to score on while training, see score_steps."})
    score_steps: int = field(default=0, metadata={"help": "Steps between scores (FID, R-precision, skating); 0 for none."})
    score_clips: int | None = field(default=None, metadata={"help": "Clips to score on, all of the split by default."})
    score_inference_steps: int | None = field(default=None, metadata={"help": "Denoising steps of scored motions."})


def main(script: ScriptArguments, args: DiffusionTrainingArguments) -> None:
    check_writable(args.output_dir)
    set_seed(args.seed)
    push, args.push_to_hub = args.push_to_hub, False  # Trainer would push its raw states
    if script.known_actions and not script.paraphrases:
        raise ValueError("known_actions are learned from other wordings: pass --paraphrases too.")
    if script.noise_levels and not script.pipeline:
        raise ValueError("noise_levels refines a trained pipeline: pass --pipeline, or scheduler={num_train_timesteps: ...} for a new one.")
    with args.main_process_first(desc="reading the data set"):
        rows = take_rows(load_motion_rows(script.dataset, script.split), script.max_train_samples)
        score_rows = load_motion_rows(script.dataset, script.score_split) if script.score_steps or script.known_actions else None
    held_out = sorted({caption["text"] for captions in score_rows["captions"] for caption in captions}) if script.known_actions else []
    pipeline = MotionDiffusionPipeline.load(script.pipeline) if script.pipeline else None
    if script.patch_size and not script.pipeline:
        raise ValueError("patch_size changes a trained pipeline: pass --pipeline, or denoiser={patch_size: ...} for a new one.")
    if script.noise_levels:
        refine_noise(pipeline, script.noise_levels)
    if script.patch_size:
        patch_frames(pipeline, script.patch_size)
    if pipeline is not None and script.autoencoder:
        raise ValueError("The pipeline brings its autoencoder; pass --pipeline to go on, or --autoencoder for a new one.")
    vae, extractor = load_autoencoder(script.autoencoder) if script.autoencoder else (None, None)
    if extractor is None:
        extractor = pipeline.feature_extractor if pipeline else MotionFeatureExtractor(max_frames=script.max_frames)
    words = load_paraphrases(script.paraphrases) if script.paraphrases else None
    reading = script.mirror, script.min_frames, script.strict, not args.disable_tqdm
    shares = {"paraphrase_share": script.paraphrase_share, "example_share": script.example_share}
    dataset = MotionTextDataset(rows, extractor, *reading, script.level_floor, words, fixed_bones=script.fixed_bones, **shares)
    if pipeline is None:
        if vae is None:
            dataset.fit_statistics()
        captions = [text for texts in (*dataset.captions, *dataset.wordings.values()) for text in texts]
        parts = (as_mapping(part) for part in (script.denoiser, script.text_encoder, script.scheduler))
        if vae is not None:
            pipeline = new_latent_pipeline(captions, vae, extractor, *parts, script.max_text_tokens)
        else:
            pipeline = new_mdm_pipeline(captions, extractor, *parts, script.max_text_tokens, pipeline_class(script.pipeline_class))
    callbacks = [SampleMotionsCallback(pipeline, script.sample_prompts, script.sample_steps)]
    if script.score_steps:
        options = script.score_steps, script.score_clips, script.score_inference_steps
        callbacks.append(EvaluateMotionsCallback(pipeline, score_rows, *options, show_progress=False))
    trainer = DiffusionTrainer(pipeline, args, dataset, callbacks=callbacks)
    if trainer.is_world_process_zero():
        size = sum(parameter.numel() for parameter in trained_parameters(trainer.model))
        print(f"{len(dataset)} clips (left out: {dict(dataset.skipped) or 'none'}), {size / 1e6:.1f} M trained parameters")
        if words is not None:
            captions = {text for texts in dataset.captions for text in texts}
            print(f"{len(dataset.wordings)} of {len(captions)} captions have other wordings, {len(dataset.texts())} texts in all")
    trainer.train_or_resume()
    if script.known_actions:
        learn_known_actions(pipeline, words, held_out, ground_prompts=script.example_share > 0)
    repo_id = (args.hub_model_id or Path(args.output_dir).name) if push else None
    folder = Path(args.output_dir) / "pipeline"
    record = TrainingRecord.of(trainer, script.dataset, script.split, rows, dataset)
    trainer.save_pipeline(folder, repo_id, args.hub_token, record)
    say_finished(trainer, folder, 'hf-motion generate "a person walks forward" --model {}')


if __name__ == "__main__":
    main(*TrainingParser((ScriptArguments, DiffusionTrainingArguments)).parse())
