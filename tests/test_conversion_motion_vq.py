"""placeholder"""
import torch
from torch import Tensor
from published import linear, stable_weights

WIDTH, CODE_DIM, CODES, DEPTH, FEATURES = 16, 12, 24, 3, 251

def official_weights(books: int = 1, num_features: int = FEATURES, width: int = WIDTH, seed: int = 0) -> dict[str, Tensor]:
    """Random weights under the published names: T2M-GPT's with one book, MoMask's with several."""
    shapes = linear("encoder.model.0", width, num_features, 3) | linear("decoder.model.0", width, CODE_DIM, 3)
    for stage in (2, 3):
        shapes |= linear(f"encoder.model.{stage}.0", width, width, 4) | linear(f"decoder.model.{stage}.2", width, width, 3)
        for block in range(DEPTH):
            for name in (f"encoder.model.{stage}.1.model.{block}", f"decoder.model.{stage}.0.model.{block}"):
                shapes |= linear(f"{name}.conv1", width, width, 3) | linear(f"{name}.conv2", width, width, 1)
    shapes |= linear("encoder.model.4", CODE_DIM, width, 3) | linear("decoder.model.4", width, width, 3)
    shapes |= linear("decoder.model.6", num_features, width, 3)
    names = ["quantizer.codebook"] if books == 1 else [f"quantizer.layers.{index}.codebook" for index in range(books)]
    shapes |= dict.fromkeys(names, (CODES, CODE_DIM))
    weights = stable_weights(shapes, seed)
    return {f"vqvae.{name}": value for name, value in weights.items()} if books == 1 else weights
