"""The review dock: what the training contradicts, settled region by region."""
