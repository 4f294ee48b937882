"""AdaQF: motion quality feedback adapts the text encoder. Its denoiser is MDM's; see README.md."""
