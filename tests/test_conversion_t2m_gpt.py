"""placeholder"""
from published import linear, norm, stable_weights
from torch import Tensor
import torch
from hf_motion.nn.embeddings import sinusoidal_table
WIDTH, LAYERS, TEXT_WIDTH, HEADS, MAX_TOKENS = 16, 2, 8, 4, 12
CODES = 24


def official_weights(codes: int = CODES, width: int = WIDTH, seed: int = 3) -> dict[str, Tensor]:
    """Random weights under the published names; `LAYERS` blocks in each of the two stacks."""
    steps = MAX_TOKENS + 1
    shapes = {"trans_base.tok_emb.weight": (codes + 2, width), "trans_base.pos_embedding.weight": (steps, width)}
    shapes |= linear("trans_base.cond_emb", width, TEXT_WIDTH)
    for block in (f"{stack}.blocks.{index}" for stack in ("trans_base", "trans_head") for index in range(LAYERS)):
        shapes |= norm(f"{block}.ln1", width) | norm(f"{block}.ln2", width)
        for name in ("key", "query", "value", "proj"):
            shapes |= linear(f"{block}.attn.{name}", width, width)
        shapes |= linear(f"{block}.mlp.0", 4 * width, width) | linear(f"{block}.mlp.2", width, 4 * width)
    shapes |= norm("trans_head.ln_f", width) | {"trans_head.head.weight": (codes + 1, width)}
    weights = stable_weights(shapes, seed)
    mask = torch.ones(steps, steps).tril()[None, None]
    weights |= {f"{stack}.blocks.{index}.attn.mask": mask for stack in ("trans_base", "trans_head") for index in range(LAYERS)}
    return weights | {"trans_base.pos_embed.embed": sinusoidal_table(steps, width)[:, None]}
