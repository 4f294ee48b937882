"""VimoRAG (Xu et al., 2025): a language model with motion tokens that looks at a video while it makes a motion."""
