"""What every dock needs of napari's window: scrolling, keys, colours, notices."""
