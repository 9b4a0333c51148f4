"""The command line: a thin face that translates flags to functions and events to lines."""
