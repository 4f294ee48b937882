"""One folder per system."""

# Registers our configurations, which needs all of them: before one is imported by itself, and would be asked for while it is half there.
import transformers.models.auto.configuration_auto  # noqa: F401
