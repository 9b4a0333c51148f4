"""Many trainings side by side: what is compared, the runs, their tables and plots."""
