"""The `hf-motion` command: one file per subcommand, each importing what it runs only when it runs."""

from . import generate as generate
from .app import app


def main() -> None:
    """Entry point."""
    app()
