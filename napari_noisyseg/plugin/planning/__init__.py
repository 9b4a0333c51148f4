"""From marked layers to what a training is given, and to a sentence that says so."""
