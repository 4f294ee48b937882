"""MDM the plain way: torch's own transformer layers, two passes per step, the text projected anew each time, float32.

It does what the published code does at sampling time, on the weights of one of our denoisers, and serves as the yardstick.
"""

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn

from hf_motion import MDMDenoiser

_LAYER = {
    "self_attn.in_proj": "self_attention.qkv",
    "self_attn.out_proj": "self_attention.out",
    "norm1": "self_attention_norm",
    "linear1": "mlp.0",
    "linear2": "mlp.3",
    "norm2": "mlp_norm",
}


class PlainMDM(nn.Module):
    """A `trans_enc` denoiser over (frames, batch, features)."""

    def __init__(self, denoiser: MDMDenoiser) -> None:
        super().__init__()
        config = denoiser.config
        layer = nn.TransformerEncoderLayer(
            config.hidden_size, config.num_attention_heads, config.intermediate_size, config.dropout, activation="gelu"
        )
        self.transformer = nn.TransformerEncoder(layer, config.num_layers, enable_nested_tensor=False)
        self.denoiser = denoiser
        weights = denoiser.state_dict()
        for index, block in enumerate(self.transformer.layers):
            for theirs, ours in _LAYER.items():
                for kind in ("weight", "bias"):
                    name = f"{theirs}_{kind}" if theirs.endswith("in_proj") else f"{theirs}.{kind}"
                    block.state_dict()[name].copy_(weights[f"blocks.{index}.{ours}.{kind}"])

    def forward(self, sample: Tensor, timesteps: Tensor, text: Tensor) -> Tensor:
        model = self.denoiser
        condition = model.text_projection(text) + model.time_projection(model.positions[timesteps])
        frames = model.input_projection(sample.permute(1, 0, 2))
        sequence = torch.cat((condition[None], frames)) + model.positions[: len(frames) + 1, None]
        return model.output_projection(self.transformer(sequence)[1:]).permute(1, 0, 2)


@torch.no_grad()
def sample(model: PlainMDM, scheduler: DDPMScheduler, noise: Tensor, text: Tensor, scale: float, generators: list) -> Tensor:
    """Guided ancestral sampling in two passes per step."""
    latents = noise
    scheduler.set_timesteps(scheduler.config.num_train_timesteps)
    for timestep in scheduler.timesteps:
        steps = timestep.expand(len(latents))
        conditional = model(latents, steps, text)
        unconditional = model(latents, steps, torch.zeros_like(text))
        prediction = unconditional + scale * (conditional - unconditional)
        latents = scheduler.step(prediction, timestep, latents, generator=generators).prev_sample
    return latents
