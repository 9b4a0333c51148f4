"""The napari plugin: a thin face that translates layers to examples and events to overlays."""
