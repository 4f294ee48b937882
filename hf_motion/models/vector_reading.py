"""What causal language models have in common that read vectors, of videos or of motions, in the places of a token."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor
from transformers import GenerationMixin
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast


class VectorReadingMixin(GenerationMixin):
    """Head, loss and steps of a model whose `model` puts vectors in the places of a token. Embeddings are found by transformers itself."""

    vector_inputs: ClassVar[tuple[str, ...]]
    """Inputs that hold vectors, or what they are made of."""

    lm_head: Any
    loss_function: Any

    def read(
        self, outputs: BaseModelOutputWithPast, labels: Tensor | None, logits_to_keep: int | Tensor, **kwargs: Any
    ) -> CausalLMOutputWithPast:
        """Logits, and with labels the loss.

        Args:
            outputs (`BaseModelOutputWithPast`): Of `model`.
            labels (`torch.Tensor`, *optional*): (batch, tokens), -100 where nothing is to be learned.
            logits_to_keep (`int` or `torch.Tensor`): Logits of so many last tokens only, or of these; 0 keeps all.
            **kwargs: Of the loss.
        """
        hidden = outputs.last_hidden_state
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(hidden[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=logits.shape[-1], **kwargs)
        return CausalLMOutputWithPast(loss, logits, outputs.past_key_values, outputs.hidden_states, outputs.attentions)

    def prepare_inputs_for_generation(self, input_ids: Tensor, is_first_iteration: bool = False, **kwargs: Any) -> dict[str, Any]:
        """Inputs of a step: vectors at the first one only, whose states are kept from then on unless nothing is (`use_cache=False`)."""
        inputs = super().prepare_inputs_for_generation(input_ids, is_first_iteration=is_first_iteration, **kwargs)
        if not is_first_iteration and kwargs.get("use_cache", True):
            inputs.update(dict.fromkeys(self.vector_inputs))
        return inputs
