"""How well a motion does what a text asks for: rewards, verifiers and judges behind one interface.

| reward | reads | scale | higher is better |
|---|---|---|---|
| `VerifierReward` | kinematics, against a `Specification` | that of the task's criteria, or 0 ... 1 | yes |
| `ContrastiveReward` | a `T2MEvaluator`'s embeddings | minus their distance | yes |
| `TMRReward` | a `TMR`'s embeddings | cosine | yes |
| `VisionJudge` | pictures, by a vision-language model | that of the task's criteria | yes |

A motion that could not be judged has NaN; it is never a bad score.
"""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_names

if TYPE_CHECKING:
    from .base import Reward as Reward
    from .chat import ChatClient as ChatClient
    from .chat import LocalChat as LocalChat
    from .embedding import ContrastiveReward as ContrastiveReward
    from .embedding import TMRReward as TMRReward
    from .images import motion_images as motion_images
    from .specification import Specification as Specification
    from .specification import Wanted as Wanted
    from .verifiers import VerifierReward as VerifierReward
    from .verifiers import verify as verify
    from .vision_judge import VisionJudge as VisionJudge

_MODULES = {
    "ChatClient": "chat", "ContrastiveReward": "embedding", "LocalChat": "chat", "Reward": "base", "Specification": "specification",
    "TMRReward": "embedding", "VerifierReward": "verifiers", "VisionJudge": "vision_judge", "Wanted": "specification",
    "motion_images": "images", "verify": "verifiers",
}  # fmt: skip

__all__ = [*_MODULES]

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
