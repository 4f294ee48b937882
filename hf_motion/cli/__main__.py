"""`python -m hf_motion.cli`, which is also what `accelerate launch -m` takes."""

from . import main

main()
