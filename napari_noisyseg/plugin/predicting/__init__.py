"""The prediction dock: a trained model applied to layers and folders."""
