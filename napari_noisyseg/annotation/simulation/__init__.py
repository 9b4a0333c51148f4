"""Simulated annotation noise: what careless people would have made of true masks.

`families` says what kinds of noise there are and writes each parameter once, `simulate` makes a
noisy mask of a true one, `calibration` finds the strength for a Dice that is wanted, and
`noisy_folder` does all this to files. The kinds themselves are small functions without any state:
`napari_noisyseg.annotation.noise` (polygons and boxes), `areas`, `markov`, `thresholds`, `mistakes`.
"""
