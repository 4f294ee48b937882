"""The `hf-motion` command: one file per subcommand, each importing what it runs only when it runs."""

import sys

from ..utils.light import lighten_process
from . import convert as convert
from . import correct as correct
from . import corrections as corrections
from . import curves as curves
from . import data as data
from . import edit as edit
from . import evaluate as evaluate
from . import generate as generate
from . import prefer as prefer
from . import tokens as tokens
from . import video as video
from .app import app


def main() -> None:
    """Entry point."""
    if sys.argv[1:2] in (["generate"], ["edit"]):
        lighten_process()
    app()
