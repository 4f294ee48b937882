"""placeholder"""
import torch
from published import linear, norm, stable_weights
from torch import Tensor

WIDTH, TOKEN_DIM, FEED_FORWARD, LAYERS, HEADS, TEXT_WIDTH = 12, 12, 24, 2, 2, 8
CODES, BOOKS, MAX_TOKENS = 24, 3, 9
Parts = dict[str, dict[str, Tensor]]


def _transformer(text_width: int) -> dict[str, tuple[int, ...]]:
    shapes = linear("input_process.poseEmbedding", WIDTH, TOKEN_DIM)
    for layer in (f"seqTransEncoder.layers.{index}" for index in range(LAYERS)):
        shapes |= linear(f"{layer}.self_attn.in_proj", 3 * WIDTH, WIDTH, joint="_") | linear(f"{layer}.self_attn.out_proj", WIDTH, WIDTH)
        shapes |= linear(f"{layer}.linear1", FEED_FORWARD, WIDTH) | linear(f"{layer}.linear2", WIDTH, FEED_FORWARD)
        shapes |= norm(f"{layer}.norm1", WIDTH) | norm(f"{layer}.norm2", WIDTH)
    shapes |= linear("cond_emb", WIDTH, text_width) | linear("output_process.dense", WIDTH, WIDTH)
    return shapes | norm("output_process.LayerNorm", WIDTH) | {"position_enc.pe": (5000, 1, WIDTH)}


def official_weights(shared: bool = True, codes: int = CODES, books: int = BOOKS, text_width: int = TEXT_WIDTH, seed: int = 20) -> Parts:
    """Random weights under the published names."""
    rows, base = codes + 1, _transformer(text_width)
    masked = base | linear("output_process.poseFinal", codes, WIDTH) | {"token_emb.weight": (codes + 2, TOKEN_DIM)}
    residual = base | linear("output_process.poseFinal", TOKEN_DIM, WIDTH) | linear("quant_emb", WIDTH, books)
    if shared:
        residual |= dict.fromkeys(("token_embed_weight_", "output_proj_weight_"), (1, rows, TOKEN_DIM))
        residual |= {"embed_proj_shared_weight": (books - 2, rows, TOKEN_DIM)}
    else:
        residual |= dict.fromkeys(("token_embed_weight", "output_proj_weight"), (books - 1, rows, TOKEN_DIM))
        residual |= {"output_proj_bias": (books, rows)}
    estimator = {}
    for index, (out, inp) in zip((0, 4, 8, 11), ((512, text_width), (256, 512), (128, 256), (MAX_TOKENS + 1, 128)), strict=True):
        estimator |= linear(f"output.{index}", out, inp) | (norm(f"output.{index + 1}", out) if index < 11 else {})
    shapes = {"t2m_transformer": masked, "res_transformer": residual, "estimator": estimator}
    return {part: stable_weights(each, seed + index) for index, (part, each) in enumerate(shapes.items())}
