"""What there is once in each session, whichever dock asks for it first."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from napari_noisyseg.plugin.session import Session


class PerSession:
    """Made by `of` from the session when first asked for; kept as long as the session lives."""

    _of_session: ClassVar[weakref.WeakKeyDictionary[Any, Any]]

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        cls._of_session = weakref.WeakKeyDictionary()

    def __init__(self, session: Session) -> None: ...

    @classmethod
    def of(cls, session: Session) -> Self:
        """Return the one of a session; made when first asked for."""
        if session not in cls._of_session:
            cls._of_session[session] = cls(session)
        found: Self = cls._of_session[session]
        return found
