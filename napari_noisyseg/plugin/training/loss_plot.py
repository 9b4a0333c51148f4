"""The live plot of a training: losses above, Dice and mean trust below."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_noisyseg.plugin.training.curves import Curves, EpochPoint, LossPoint

# Colours that the colour-blind tell apart, with lines and marks of their own; the second is for
# bright themes.
_STYLES: dict[str, tuple[str, str, Any, str | None, str]] = {
    "noisy loss": ("#ff9a1f", "#b45f00", Qt.PenStyle.SolidLine, None, "\u2501"),
    "clean loss": ("#58c4ff", "#0069a8", Qt.PenStyle.DashLine, None, "\u2505"),
    "clean Dice": ("#5ed6a0", "#00724c", Qt.PenStyle.SolidLine, "o", "\u25cf"),
    "mean trust": ("#d99ad9", "#8a3f8a", Qt.PenStyle.DotLine, "s", "\u25a0"),
}


HEIGHT = 230
"""Pixels of both plots together."""


class LossPlot(QWidget):
    """Two plots over the same steps.

    Parameters
    ----------
    parent
        The widget that it lies in.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        import pyqtgraph  # chooses the Qt binding that qtpy has chosen by now

        self._graphics = pyqtgraph.GraphicsLayoutWidget()
        self._graphics.setFixedHeight(HEIGHT)
        self._graphics.setMinimumWidth(100)
        self._graphics.setFrameShape(self._graphics.Shape.NoFrame)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._graphics)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Plot of the training")
        self.setToolTip(
            "<qt>Above the mean losses of the noisy (weighted) and the clean images, below the Dice "
            "on clean images and the mean trust in the noisy pixels, both from 0 to 1, over the "
            "steps.</qt>"
        )
        self._losses = self._add_plot("loss", 0)
        self._measures = self._add_plot("Dice, trust", 1)
        self._measures.setLabel("bottom", "step")
        self._measures.setYRange(0, 1, padding=0.12)
        # pyqtgraph hides the labels at the ends otherwise, and always beside a grid.
        self._measures.showGrid(y=False)
        self._measures.getAxis("left").setStyle(hideOverlappingLabels=False)
        self._measures.getAxis("left").setTicks([[(0, "0"), (0.5, "0.5"), (1, "1")]])
        self._measures.setXLink(self._losses)
        self._losses.getAxis("bottom").setStyle(showValues=False)
        self._losses.enableAutoRange("xy", True)
        self._losses.setLimits(yMin=0)
        self._curves = {
            "noisy loss": self._losses.plot(name="noisy loss"),
            "clean loss": self._losses.plot(name="clean loss"),
            "clean Dice": self._measures.plot(name="clean Dice"),
            "mean trust": self._measures.plot(name="mean trust"),
        }
        self.set_colours(QColor("#262930"), QColor("#f0f1f2"))

    def show_curves(self, curves: Curves) -> None:
        """Draw the curves as they are now."""
        losses, epochs = curves.losses, curves.epochs
        self._draw("noisy loss", losses, "noisy")
        self._draw("clean loss", losses, "clean")
        self._draw("clean Dice", epochs, "dice")
        self._draw("mean trust", epochs, "trust")

    def set_colours(self, background: QColor, text: QColor) -> None:
        """Take on the colours of a theme."""
        import pyqtgraph

        bright = background.lightness() > 127
        self._graphics.setBackground(background)
        for plot in (self._losses, self._measures):
            for side in ("left", "bottom"):
                axis = plot.getAxis(side)
                axis.setPen(pyqtgraph.mkPen(text, width=1))
                axis.setTextPen(text)
        for plot, names in (
            (self._losses, ("noisy loss", "clean loss")),
            (self._measures, ("clean Dice", "mean trust")),
        ):
            # The legend stands above the curves, where it hides none of them.
            plot.setTitle("&nbsp;&nbsp;".join(_entry(n, bright) for n in names), size="8pt")
        for name, (dark, light, line, mark, _) in _STYLES.items():
            colour = QColor(light if bright else dark)
            curve = self._curves[name]
            curve.setPen(pyqtgraph.mkPen(colour, width=2, style=line))
            curve.setSymbol(mark)
            curve.setSymbolSize(6)
            curve.setSymbolBrush(colour)
            curve.setSymbolPen(None)

    def _add_plot(self, label: str, row: int) -> Any:
        plot = self._graphics.addPlot(row=row, col=0)
        plot.setLabel("left", label)
        plot.setMenuEnabled(False)
        plot.hideButtons()
        plot.setMouseEnabled(x=False, y=False)
        plot.showGrid(x=True, y=True, alpha=0.15)
        plot.titleLabel.setMaximumHeight(16)
        plot.layout.setRowFixedHeight(0, 16)
        for side in ("left", "bottom"):
            plot.getAxis(side).enableAutoSIPrefix(False)
        plot.getAxis("left").setWidth(46)
        return plot

    def _draw(self, name: str, points: list[LossPoint] | list[EpochPoint], value: str) -> None:
        there = [(p.step, getattr(p, value)) for p in points]
        there = [(step, y) for step, y in there if y == y]
        self._curves[name].setData([step for step, _ in there], [y for _, y in there])


def _entry(name: str, bright: bool) -> str:
    """Return an entry of the legend: the mark in the curve's colour, and its name."""
    dark, light, _, _, mark = _STYLES[name]
    return f"<span style='color: {light if bright else dark}'>{mark} {name}</span>"
