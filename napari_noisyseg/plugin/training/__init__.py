"""The training dock: the job, its live plot, and the overlays that follow it."""
