"""The evaluator of Guo et al. (CVPR 2022)."""
