"""From examples to a trained model: reweighting, trust, methods, the loop."""
