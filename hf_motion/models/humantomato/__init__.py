"""HumanTOMATO: one sentence to body, hands and face (Lu et al., ICML 2024)."""
