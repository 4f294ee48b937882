"""Training of the autoencoders that latent diffusion stands on."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from torch import Tensor, nn
from torch.nn import functional as F

from .. import components
from ..data.motion_text import MotionTextDataset
from ..models.motion_autoencoder import MotionAutoencoder
from ..nn.gaussian import Gaussian
from ..representation import MotionFeatureExtractor
from ..utils.faults import reading, writing
from ..utils.training_folder import checkpoint_in, leave_sign
from .motion_text import MotionTextTrainer, MotionTextTrainingArguments
from .tokenizer import without_texts

logger = logging.getLogger("hf_motion")


@dataclass
class AutoencoderTrainingArguments(MotionTextTrainingArguments):
    """`MotionTextTrainingArguments` and the weights of the loss; the defaults are MLD's.

    Args:
        kl_weight (`float`, defaults to 1e-4): Of the divergence from N(0, 1), a mean over the numbers of a latent.
        joint_weight (`float`, defaults to 1.0): Of the smooth L1 distance of decoded joints, in their unit.
        position_weight (`float`, defaults to 0.0): Of that of the positions among the features (SALAD: 0.5).
        velocity_weight (`float`, defaults to 0.0): Of that of the velocities among the features (SALAD: 0.5).
        fit_scaling_factor (`bool`, defaults to `True`): At the end, set the `scaling_factor` that gives latents a standard deviation of 1;
            published models leave it at 1.
    """

    kl_weight: float = field(default=1e-4, metadata={"help": "Weight of the divergence from N(0, 1)."})
    joint_weight: float = field(default=1.0, metadata={"help": "Weight of the loss on decoded joints."})
    position_weight: float = field(default=0.0, metadata={"help": "Weight of an extra loss on positions among the features."})
    velocity_weight: float = field(default=0.0, metadata={"help": "Weight of an extra loss on velocities among the features."})
    fit_scaling_factor: bool = field(default=True, metadata={"help": "Scale latents to a standard deviation of 1 at the end."})

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("kl_weight", "joint_weight", "position_weight", "velocity_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}.")


class AutoencoderObjective(nn.Module):
    """An autoencoder and its loss. The noise of an example comes from its own seed.

    Args:
        vae (`MotionAutoencoder`): The autoencoder.
        feature_extractor (`MotionFeatureExtractor`): With the statistics of its features.
        args (`AutoencoderTrainingArguments`): Weights.
    """

    def __init__(self, vae: MotionAutoencoder, feature_extractor: MotionFeatureExtractor, args: AutoencoderTrainingArguments) -> None:
        super().__init__()
        self.vae, self.feature_extractor, self.args = vae, feature_extractor, args

    def forward(self, motion_features: Tensor, attention_mask: Tensor, seeds: Tensor) -> dict[str, Tensor]:
        """Loss of a batch.

        Args:
            motion_features (`torch.Tensor`): Normalised features, (batch, frames, dim).
            attention_mask (`torch.Tensor`): (batch, frames), 1 on real frames.
            seeds (`torch.Tensor`): (batch,) int64.

        Returns:
            `dict`: `loss`, means over clips of means over real frames: smooth L1 of the features, of the joints that they decode to, of
            positions and velocities, and the divergence; each also by itself, without its weight.
        """
        posterior = self.vae.encode(motion_features, attention_mask)
        noise = seeded_noise(seeds, posterior.mean)
        made = self.vae.decode(posterior.sample(noise), attention_mask).float()
        slices = self.feature_extractor.features.slices
        terms = {"reconstruction": self._distance(made, motion_features, attention_mask)}
        if self.args.joint_weight:
            joints = (self._joints(features) for features in (made, motion_features))
            terms["joints"] = self._distance(*joints, attention_mask)
        for name, part in (("position", "positions"), ("velocity", "velocities")):
            if getattr(self.args, f"{name}_weight"):
                terms[part] = self._distance(made[..., slices[part]], motion_features[..., slices[part]], attention_mask)
        terms["kl"] = self._divergence(posterior, attention_mask)
        weights = {"reconstruction": 1.0, "joints": self.args.joint_weight, "positions": self.args.position_weight,
                   "velocities": self.args.velocity_weight, "kl": self.args.kl_weight}  # fmt: skip
        return {"loss": sum(weights[name] * term for name, term in terms.items()), **terms}

    def _joints(self, features: Tensor) -> Tensor:
        return self.feature_extractor.features.decode(self.feature_extractor.denormalize(features.float())).flatten(2)

    @staticmethod
    def _distance(made: Tensor, real: Tensor, mask: Tensor) -> Tensor:
        frames = F.smooth_l1_loss(made, real, reduction="none").mean(-1) * mask
        return (frames.sum(1) / mask.sum(1)).mean()

    def _divergence(self, posterior: Gaussian, attention_mask: Tensor) -> Tensor:
        steps = posterior.divergence().float().flatten(2).mean(-1)
        mask = self.vae.latent_mask(attention_mask.sum(1))
        return steps.mean() if mask is None else ((steps * mask).sum(1) / mask.sum(1)).mean()


class AutoencoderTrainer(MotionTextTrainer):
    """Trains an autoencoder on clips or windows of them.

    Args:
        vae (`MotionAutoencoder`): What to train, in place.
        args (`AutoencoderTrainingArguments`): Settings.
        train_dataset (`MotionTextDataset`): Clips; its feature extractor's `max_frames` is the longest part of a clip that is drawn.
        feature_extractor (`MotionFeatureExtractor`): What is saved beside it: the same statistics, and the longest motion.
        **kwargs: As for `transformers.Trainer`.

    Raises:
        ValueError: If the autoencoder takes no motions as long as those of the feature extractor.
    """

    def __init__(
        self,
        vae: MotionAutoencoder,
        args: AutoencoderTrainingArguments,
        train_dataset: MotionTextDataset,
        feature_extractor: MotionFeatureExtractor,
        **kwargs: Any,
    ) -> None:
        if feature_extractor.max_frames > vae.longest:
            raise ValueError(f"max_frames={feature_extractor.max_frames}: this autoencoder takes {vae.longest} frames at most.")
        self.vae, self.feature_extractor = vae, feature_extractor
        objective = AutoencoderObjective(vae, feature_extractor, args)
        super().__init__(
            model=objective, args=args, train_dataset=train_dataset, data_collator=lambda rows: without_texts(rows, "seeds"), **kwargs
        )

    def save_autoencoder(self, folder: str | Path) -> None:
        """Save the autoencoder and its feature extractor: what `train_diffusion.py --autoencoder` takes.

        Args:
            folder (`str` or `pathlib.Path`): Where to.
        """
        if not self.is_world_process_zero():
            return
        self.vae.eval()
        if self.args.fit_scaling_factor:
            factor = fit_scaling_factor(self.vae, self.train_dataset)
            logger.info("Latents have a standard deviation of %.3f; scaling_factor is %.3f.", 1 / factor, factor)
        with writing(Path(folder)):
            self.vae.save_pretrained(folder)
            self.feature_extractor.save_pretrained(folder)
        leave_sign(Path(self.args.output_dir), Path(folder))


def load_autoencoder(name: str | os.PathLike) -> tuple[MotionAutoencoder, MotionFeatureExtractor]:
    """A trained autoencoder and its feature extractor.

    Args:
        name (`str` or `os.PathLike`): Folder that `AutoencoderTrainer.save_autoencoder` wrote, or a latent diffusion pipeline.

    Raises:
        OSError: If there is no such checkpoint.
        ValueError: If it is of another kind.
    """
    folder = Path(checkpoint_in(name))
    folder = folder if folder.is_dir() else Path(snapshot_download(str(name)))
    whole = (folder / "model_index.json").is_file()
    place, features = (folder / "vae", folder / "feature_extractor") if whole else (folder, folder)
    if not (place / "config.json").is_file():
        raise OSError(f"{str(name)!r} holds no autoencoder. Train one with training/train_autoencoder.py.")
    with reading(place / "config.json", "the configuration of an autoencoder"):
        kind = json.loads((place / "config.json").read_text(encoding="utf-8")).get("_class_name")
    return autoencoder_class(kind).from_pretrained(place), MotionFeatureExtractor.from_pretrained(features)


def autoencoder_class(name: str | None) -> type[MotionAutoencoder]:
    """The autoencoder class of that name.

    Raises:
        ValueError: If there is none.
    """
    known = {kind.__name__: kind for kind in map(components.__dict__.get, components.__all__) if issubclass(kind, MotionAutoencoder)}
    if name not in known:
        raise ValueError(f"There is no autoencoder class {name!r}; known are {', '.join(known)}.")
    return known[name]


@torch.no_grad()
def fit_scaling_factor(vae: MotionAutoencoder, dataset: MotionTextDataset, clips: int = 512) -> float:
    """Set the factor that brings latents to a standard deviation of 1, as diffusion wants them.

    Args:
        vae (`MotionAutoencoder`): Its `scaling_factor` is set.
        dataset (`MotionTextDataset`): Clips.
        clips (`int`, defaults to 512): So many are looked at, spread over the data set.

    Returns:
        `float`: The factor.

    Raises:
        ValueError: If all latents are alike: the autoencoder has learned nothing.
    """
    chosen = torch.linspace(0, len(dataset) - 1, min(clips, len(dataset))).round().long().unique().tolist()
    rows = [vae.encode(dataset[clip, 0]["motion_features"][None].to(vae.device)).mean.float().flatten() for clip in chosen]
    deviation = float(torch.cat(rows).std())
    if not deviation > 1e-4:
        raise ValueError(
            f"The latents of {len(chosen)} clips have a standard deviation of {deviation:.1e}: the autoencoder tells nothing of them. "
            "Train it longer, or with a smaller kl_weight."
        )
    vae.register_to_config(scaling_factor=1 / deviation)
    return 1 / deviation


def seeded_noise(seeds: Tensor, like: Tensor) -> Tensor:
    """Normal noise of the shape of latents, each row from its own seed; another stream than that of the diffusion's noise."""
    rows = [
        torch.randn(like.shape[1:], generator=torch.Generator(like.device).manual_seed(seed + 2**40), device=like.device)
        for seed in seeds.tolist()
    ]
    return torch.stack(rows).to(like)
