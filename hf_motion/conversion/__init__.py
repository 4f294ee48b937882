"""Weights that other projects published, converted once to checkpoints of this library."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..utils.lazy import lazy_names

if TYPE_CHECKING:
    from .mdm import convert_mdm_checkpoint, convert_mdm_state_dict, mdm_config_from_official
    from .mld import convert_mld_checkpoint, convert_mld_state_dict, mld_config_from_official
    from .momask import convert_momask_checkpoint, convert_momask_state_dict, momask_config_from_official
    from .motion_vq import convert_motion_vq_checkpoint, convert_motion_vq_state_dict, motion_vq_config_from_official
    from .motiongpt import convert_motiongpt_checkpoint, convert_motiongpt_state_dict
    from .salad import convert_salad_checkpoint, convert_salad_state_dict, salad_config_from_official
    from .t2m_evaluator import convert_t2m_evaluator_checkpoint, convert_t2m_evaluator_state_dict, t2m_evaluator_config_from_official
    from .t2m_gpt import convert_t2m_gpt_checkpoint, convert_t2m_gpt_state_dict, t2m_gpt_config_from_official
    from .tmr import convert_tmr_checkpoint, convert_tmr_state_dict, tmr_config_from_official

__all__ = [
    "convert_mdm_checkpoint",
    "convert_mdm_state_dict",
    "convert_mld_checkpoint",
    "convert_mld_state_dict",
    "convert_momask_checkpoint",
    "convert_momask_state_dict",
    "convert_motion_vq_checkpoint",
    "convert_motion_vq_state_dict",
    "convert_motiongpt_checkpoint",
    "convert_motiongpt_state_dict",
    "convert_salad_checkpoint",
    "convert_salad_state_dict",
    "convert_t2m_evaluator_checkpoint",
    "convert_t2m_evaluator_state_dict",
    "convert_t2m_gpt_checkpoint",
    "convert_t2m_gpt_state_dict",
    "convert_tmr_checkpoint",
    "convert_tmr_state_dict",
    "mdm_config_from_official",
    "mld_config_from_official",
    "momask_config_from_official",
    "motion_vq_config_from_official",
    "salad_config_from_official",
    "t2m_evaluator_config_from_official",
    "t2m_gpt_config_from_official",
    "tmr_config_from_official",
]

# Not imported early, so that `python -m hf_motion.conversion.mdm` runs a module that has not been imported yet.
_MODULES = {name: re.sub("^convert_|_(checkpoint|state_dict|config_from_official)$", "", name) for name in __all__}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
