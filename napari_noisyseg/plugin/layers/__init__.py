"""What layers hold and what was said of them: geometry, marks, pairing, labels."""
