"""Decoders, one module per file format, that believe nothing a file says about itself."""
