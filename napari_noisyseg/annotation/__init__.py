"""What a person said about pixels, in numpy and scikit-image; no torch."""
