"""napari's notifications, and what is the user's to mend as one of them."""

from __future__ import annotations

from typing import Literal

from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.plugin.background.failures import describe_failure


def show(severity: Literal["error", "warning", "info"], sentence: str) -> None:
    """Show a notification in napari's window."""
    from napari.utils import notifications

    shows = {
        "error": notifications.show_error,
        "warning": notifications.show_warning,
        "info": notifications.show_info,
    }
    shows[severity](sentence)


class Told:
    """A ``with`` block in which a `UserError` or `StoppedError` becomes one notification."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, UserError | StoppedError):
            return False
        show("error", describe_failure(error))
        return True
