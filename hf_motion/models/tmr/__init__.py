"""TMR: text-to-motion retrieval (Petrovich et al., ICCV 2023)."""
