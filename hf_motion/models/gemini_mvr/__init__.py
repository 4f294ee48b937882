"""Gemini-MVR, the video retriever of VimoRAG (Xu et al., 2025): finds videos of people by what they do, and by what is to be seen."""
