"""What corrections are compared with (CigTime, section 4.1): a language model that is shown examples, and a caption of the target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor
from tqdm.auto import tqdm

from ..models.motion_language.modeling_motion_language import MotionLanguageModel
from ..motion import Motion
from ..utils.text import say

if TYPE_CHECKING:
    from ..corrections import Triplet

# Fig. 4 of Fang et al., "CigTime" (NeurIPS 2024).
_BEGIN = (
    "I utilize some tokens to represent human motion. You are asked to compare two sequences and output the correctional instruction "
    "about what modifications the person should make to transfer from the first action to the second action.\n\n[Start of examples]\n\n"
)
_EXAMPLE = "Example {number}: Action 1: {source} Action 2: {target} Correction instruction: {instruction}\n\n"
_END = (
    "[End of examples]\n\nI will give you two new sequences. You need to compare the two and provide corresponding corrective "
    "instructions. Action 1: {source} Action 2: {target}"
)


def in_context_corrections(
    model: MotionLanguageModel,
    examples: Sequence[Triplet],
    sources: Sequence[Motion],
    targets: Sequence[Motion],
    *,
    max_new_tokens: int = 60,
    batch_size: int = 16,
    show_progress: bool = False,
) -> list[str]:
    """Corrections by a language model that was not taught them, from examples in its prompt: the paper's baseline, by its Fig. 4.

    Args:
        model (`MotionLanguageModel`): `MotionLanguageModel.from_base` of any base, with motions as numbers (`format="list"`).
        examples (`Sequence[Triplet]`): What it is shown, as many from the first on as fit into its context, which a warning says.
        sources (`Sequence[Motion]`): What was done.
        targets (`Sequence[Motion]`): What was meant.
        max_new_tokens (`int`, defaults to 60): Longest answer.
        batch_size (`int`, defaults to 16): Prompts at once.
        show_progress (`bool`, defaults to `False`): Show a progress bar.

    Returns:
        `list[str]`: The first line of each answer.

    Raises:
        ValueError: If there are no examples, or not even one fits.
    """
    if not len(examples):
        raise ValueError("In-context learning needs at least one example.")
    shown = model.encode_motions([motion for one in examples for motion in (one.source, one.target)])
    told = [
        _EXAMPLE.format(number=number, source=_written(model, one), target=_written(model, two), instruction=example.instruction)
        for number, (example, one, two) in enumerate(zip(examples, shown[::2], shown[1::2], strict=True), 1)
    ]
    asked = [
        _END.format(source=_written(model, one), target=_written(model, two))
        for one, two in zip(model.encode_motions(sources), model.encode_motions(targets), strict=True)
    ]
    questions, fewest = [], len(told)
    for question in asked:
        prompt, count = _fitting(model, told, question, max_new_tokens)
        questions.append(prompt)
        fewest = min(fewest, count)
    if fewest < len(told):
        say(
            f"Of {len(told)} examples not all fit into the {model.prompts.context} tokens that the model reads: {fewest} at least do.",
            "were cut",
        )
    said: list[str] = []
    for start in tqdm(range(0, len(questions), batch_size), desc="Correcting from examples", disable=not show_progress):
        said += model.say_words(questions[start : start + batch_size], max_new_tokens)
    return [text.split("Example")[0].split("Action 1")[0].removeprefix("Correction instruction:").strip() or text for text in said]


def caption_corrections(model: MotionLanguageModel, targets: Sequence[Motion], *, batch_size: int = 16) -> list[str]:
    """Captions of the targets in place of corrections: the paper's MotionGPT-M2T.

    Args:
        model (`MotionLanguageModel`): One that describes motions.
        targets (`Sequence[Motion]`): What was meant.
        batch_size (`int`, defaults to 16): Motions at once.
    """
    return [
        text for start in range(0, len(targets), batch_size) for text in model.caption_motion(list(targets[start : start + batch_size]))
    ]


def _fitting(model: MotionLanguageModel, told: Sequence[str], question: str, new_tokens: int) -> tuple[str, int]:
    """The prompt with as many examples as fit, and how many these are."""
    context = model.prompts.context
    for count in range(len(told), 0, -1):
        prompt = _BEGIN + "".join(told[:count]) + question
        if context is None or len(model.prompts.question(prompt)) + new_tokens <= context:
            return prompt, count
    raise ValueError(
        f"Not one example fits into the {context} tokens that this model reads, beside two motions. Cut the motions, or take a motion "
        "tokenizer with fewer tokens a second."
    )


def _written(model: MotionLanguageModel, codes: Tensor) -> str:
    return model.motion_text(codes[:, : model.max_tokens])
