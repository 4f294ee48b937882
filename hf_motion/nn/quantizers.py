"""Vector quantizers whose codebooks are moving averages of what they stand for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F


@dataclass
class QuantizerOutput:
    """What a quantizer makes of latents.

    Args:
        latents (`torch.Tensor`): Quantised, (batch, tokens, dim); gradients pass straight through to the input, once per book.
        codes (`torch.Tensor`): (batch, quantizers, tokens) int64; -1 on padding and in books that were dropped.
        commitment (`torch.Tensor`): Mean squared distance of what was quantised to its code, averaged over the books in use.
        perplexity (`torch.Tensor`): Codes in effective use in this batch, averaged over the books in use.
        dead_codes (`torch.Tensor`): Share of codes that are hardly used, over all books.
    """

    latents: Tensor
    codes: Tensor
    commitment: Tensor
    perplexity: Tensor
    dead_codes: Tensor


class EMACodebook(nn.Module):
    """One book of codes, each the moving average of the latents that chose it (van den Oord et al. 2017, appendix A.1).

    Its statistics are buffers, so that a loaded book goes on where it was: the published code keeps them outside of the checkpoint and
    draws a new book from the first batch after loading. On several processes they count the latents of all.

    Args:
        codebook_size (`int`): Codes.
        dim (`int`): Width of a code.
        decay (`float`, defaults to 0.99): Of the moving averages.
        reset_threshold (`float`, defaults to 1.0): A code that stands for fewer latents per batch than this is replaced by one of them.
    """

    def __init__(self, codebook_size: int, dim: int, decay: float = 0.99, reset_threshold: float = 1.0) -> None:
        super().__init__()
        self.codebook_size, self.decay, self.reset_threshold = codebook_size, decay, reset_threshold
        self.register_buffer("codebook", torch.zeros(codebook_size, dim))
        self.register_buffer("code_sum", torch.zeros(codebook_size, dim))
        self.register_buffer("code_count", torch.zeros(codebook_size))
        self.register_buffer("initialized", torch.tensor(False))

    def nearest(self, latents: Tensor, temperature: float = 0.0) -> Tensor:
        """The code nearest to each latent, (n, dim) to (n,).

        Args:
            latents (`torch.Tensor`): (n, dim).
            temperature (`float`, defaults to 0.0): Above 0 codes are drawn with probability softmax(-distance² / temperature) instead.
        """
        book = self.codebook.float()
        distance = latents.square().sum(1, keepdim=True) - 2 * latents @ book.T + book.square().sum(1)
        if not temperature:
            return distance.argmin(1)
        gumbel = -torch.empty_like(distance).exponential_().log()
        return (gumbel - distance / temperature).argmax(1)

    @torch.no_grad()
    def initialize(self, latents: Tensor) -> None:
        """Draw the book from latents (n, dim)."""
        self.codebook.copy_(self._draw(latents))
        self.code_sum.copy_(self.codebook)
        self.code_count.fill_(1.0)
        self.initialized.fill_(True)

    @torch.no_grad()
    def update(self, latents: Tensor, codes: Tensor) -> None:
        """Move the averages towards latents (n, dim) that chose codes (n,)."""
        count = _over_processes(torch.bincount(codes, minlength=self.codebook_size).to(latents.dtype))
        total = _over_processes(torch.zeros_like(self.code_sum).index_add_(0, codes, latents))
        self.code_count.mul_(self.decay).add_(count, alpha=1 - self.decay)
        self.code_sum.mul_(self.decay).add_(total, alpha=1 - self.decay)
        used = self.code_count >= self.reset_threshold
        means = self.code_sum / self.code_count.clamp_min(1e-10)[:, None]
        self.codebook.copy_(torch.where(used[:, None], means, self._draw(latents)))

    def _draw(self, latents: Tensor) -> Tensor:
        """As many of the latents as there are codes; too few are repeated with a little noise."""
        repeats = -(-self.codebook_size // len(latents))
        if repeats > 1:
            latents = latents.repeat(repeats, 1)
            latents = latents + torch.randn_like(latents) * (0.01 * latents.shape[1] ** -0.5)
        drawn = latents[torch.randperm(len(latents), device=latents.device)[: self.codebook_size]].contiguous()
        if dist.is_available() and dist.is_initialized():
            dist.broadcast(drawn, 0)
        return drawn


class ResidualQuantizer(nn.Module):
    """Books that quantise, each, what those before it left over (MoMask, CVPR 2024). With one book it is a plain quantizer.

    Args:
        num_quantizers (`int`): Books.
        codebook_size (`int`): Codes per book.
        dim (`int`): Width of latents and codes.
        shared_codebook (`bool`, defaults to `False`): One book does for all.
        dropout (`float`, defaults to 0.0): Probability, in training, of leaving out all books behind a random one.
        temperature (`float`, defaults to 0.0): In training codes are drawn at this temperature; 0 takes the nearest.
        decay (`float`, defaults to 0.99): See `EMACodebook`.
        reset_threshold (`float`, defaults to 1.0): See `EMACodebook`.
    """

    def __init__(
        self,
        num_quantizers: int,
        codebook_size: int,
        dim: int,
        shared_codebook: bool = False,
        dropout: float = 0.0,
        temperature: float = 0.0,
        decay: float = 0.99,
        reset_threshold: float = 1.0,
    ) -> None:
        super().__init__()
        self.num_quantizers, self.dropout, self.temperature = num_quantizers, dropout, temperature
        books = [EMACodebook(codebook_size, dim, decay, reset_threshold) for _ in range(1 if shared_codebook else num_quantizers)]
        self.books = nn.ModuleList(books)

    def book(self, index: int) -> EMACodebook:
        """The book of that quantizer."""
        return self.books[index if len(self.books) > 1 else 0]

    def forward(self, latents: Tensor, mask: Tensor | None = None, num_quantizers: int | None = None) -> QuantizerOutput:
        """Quantise, and in training update the books.

        Args:
            latents (`torch.Tensor`): (batch, tokens, dim).
            mask (`torch.Tensor`, *optional*): (batch, tokens) bool, True on real tokens; others are neither quantised nor counted.
            num_quantizers (`int`, *optional*): Use the first books only.

        Returns:
            `QuantizerOutput`: `latents` are zero where `mask` is False.

        Raises:
            ValueError: If `num_quantizers` is out of range.
        """
        wanted = self.num_quantizers if num_quantizers is None else num_quantizers
        if not 1 <= wanted <= self.num_quantizers:
            raise ValueError(f"num_quantizers must be from 1 to {self.num_quantizers}, got {num_quantizers}.")
        mask = torch.ones(latents.shape[:2], dtype=torch.bool, device=latents.device) if mask is None else mask.bool()
        if self.training and self.dropout and float(torch.rand(())) < self.dropout:
            wanted = min(wanted, int(torch.randint(self.num_quantizers, ())) + 1)
        # Distances of nearby codes drown in bf16.
        with torch.autocast(latents.device.type, enabled=False):
            residual = latents[mask].float()
            codes = latents.new_full((*latents.shape[:2], self.num_quantizers), -1, dtype=torch.long)
            quantized, commitments, perplexities = torch.zeros_like(residual), [], []
            for index in range(wanted):
                book = self.book(index)
                if self.training and not book.initialized:
                    book.initialize(residual.detach())
                chosen = book.nearest(residual.detach(), self.temperature if self.training else 0.0)
                code = book.codebook[chosen].float()
                if self.training:
                    book.update(residual.detach(), chosen)
                commitments.append(F.mse_loss(residual, code))
                perplexities.append(_perplexity(chosen, book.codebook_size))
                # As published, each book passes the gradient on: the encoder gets it once per book.
                quantized, residual = quantized + residual + (code - residual).detach(), residual - code
                layer = codes[..., index]
                layer[mask] = chosen
            output = torch.zeros_like(latents, dtype=torch.float32)
            output[mask] = quantized
        dead = torch.cat([book.code_count < book.reset_threshold for book in self.books]).float().mean()
        means = torch.stack(commitments).mean(), torch.stack(perplexities).mean()
        return QuantizerOutput(output.to(latents.dtype), codes.transpose(1, 2), *means, dead)

    def lookup(self, codes: Tensor) -> Tensor:
        """Sum of the codes of all books.

        Args:
            codes (`torch.Tensor`): (batch, quantizers or fewer, tokens) int64; -1 adds nothing.

        Returns:
            `torch.Tensor`: (batch, tokens, dim).
        """
        latents = 0
        for index in range(codes.shape[1]):
            layer = codes[:, index]
            latents = latents + F.embedding(layer.clamp_min(0), self.book(index).codebook) * (layer >= 0)[..., None]
        return latents


class HierarchicalQuantizer(nn.Module):
    """Two streams with a book each: the hands' latents first, then the body's, which know the hands' codes (Lu et al., HumanTOMATO).

    Algorithm 1 of the paper: the hands' codes are projected, put beside the body's latents of their time, and a convolution makes of both
    what the body's book quantises.

    Args:
        codebook_size (`int`): Codes per book.
        dim (`int`): Width of latents and codes.
        body_codes (`int`, defaults to 2): Codes of the body for each of the hands.
        temperature (`float`, defaults to 0.0): See `ResidualQuantizer`.
        decay (`float`, defaults to 0.99): See `EMACodebook`.
        reset_threshold (`float`, defaults to 1.0): See `EMACodebook`.
    """

    def __init__(
        self, codebook_size: int, dim: int, body_codes: int = 2, temperature: float = 0.0, decay: float = 0.99, reset_threshold: float = 1.0
    ) -> None:
        super().__init__()
        self.dim, self.body_codes = dim, body_codes
        options = {"temperature": temperature, "decay": decay, "reset_threshold": reset_threshold}
        self.hands = ResidualQuantizer(1, codebook_size, dim, **options)
        self.body = ResidualQuantizer(1, codebook_size, dim, **options)
        self.transform = nn.Conv1d(dim, dim, 1)
        self.fuse = nn.Conv1d(2 * dim, dim, 3, padding=1)

    def forward(self, latents: Tensor, mask: Tensor | None = None, num_quantizers: int | None = None) -> QuantizerOutput:
        """Quantise, and in training update both books.

        Args:
            latents (`torch.Tensor`): (batch, steps, (body_codes + 1) * dim), the body's of each step and then the hands'.
            mask (`torch.Tensor`, *optional*): (batch, steps) bool, True on real steps.
            num_quantizers (`int`, *optional*): Has to be None: the streams are no refinements of each other.

        Returns:
            `QuantizerOutput`: `latents` are those of `join`; `codes` (batch, body_codes + 1, steps); `commitment` is the sum of both books'
            (equation 3), perplexity and dead codes are means.

        Raises:
            ValueError: If `num_quantizers` is given.
        """
        if num_quantizers is not None:
            raise ValueError(f"Streams of body and hands have one book each, got num_quantizers={num_quantizers}; leave it out.")
        mask = torch.ones(latents.shape[:2], dtype=torch.bool, device=latents.device) if mask is None else mask.bool()
        count, body_mask = self.body_codes, mask.repeat_interleave(self.body_codes, dim=1)
        body = latents[..., : count * self.dim].unflatten(-1, (count, self.dim)).flatten(1, 2)
        hands = self.hands(latents[..., count * self.dim :], mask)
        known = self.transform(hands.latents.transpose(1, 2)).repeat_interleave(count, dim=-1)
        fused = self.fuse(torch.cat((known, body.transpose(1, 2)), dim=1) * body_mask[:, None])
        quantized = self.body(fused.transpose(1, 2), body_mask)
        codes = torch.cat((quantized.codes[:, 0].unflatten(-1, (-1, count)).transpose(1, 2), hands.codes), dim=1)
        perplexity, dead = (quantized.perplexity + hands.perplexity) / 2, (quantized.dead_codes + hands.dead_codes) / 2
        commitment = quantized.commitment + hands.commitment
        return QuantizerOutput(self.join(quantized.latents, hands.latents), codes, commitment, perplexity, dead)

    def lookup(self, codes: Tensor) -> Tensor:
        """Latents of codes (batch, body_codes + 1, steps), as `join` gives them; -1 is zero."""
        body = codes[:, : self.body_codes].transpose(1, 2).flatten(1)
        return self.join(self.body.lookup(body[:, None]), self.hands.lookup(codes[:, self.body_codes :]))

    def join(self, body: Tensor, hands: Tensor) -> Tensor:
        """(batch, body_codes * steps, dim) and (batch, steps, dim) side by side, the hands' repeated: what the decoder reads."""
        return torch.cat((body, hands.repeat_interleave(self.body_codes, dim=1)), dim=-1)


def _over_processes(tensor: Tensor) -> Tensor:
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(tensor)
    return tensor


def _perplexity(codes: Tensor, codebook_size: int) -> Tensor:
    share = torch.bincount(codes, minlength=codebook_size).float() / len(codes)
    return torch.exp(-(share * torch.log(share + 1e-7)).sum())
