"""The error that names all bad clips at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sklasd.utils._lists import name_some

_MOST_LISTED = 100  # a message that names more clips than this helps nobody


class ClipError(ValueError):
    """Clips that cannot be used, all of them at once.

    The message is made when it is read, so that a caller can still move the clips to their rows in
    a larger table.

    Parameters
    ----------
    n_clips : int
        Number of clips in the input, good and bad.
    reasons : mapping of int to str
        What is wrong with each bad clip and what to do about it, by its position in the input.
    paths : mapping of int to object, default={}
        Paths by position; other values are ignored.
    sentence : str, default=None
        Message if one remedy fits all clips; ``{clips}`` is replaced by the clips.

    Attributes
    ----------
    n_clips, reasons, paths, sentence
        As given.
    clips : dict of int to str
        What is wrong with each bad clip, with its name, by its position in the input.

    Examples
    --------
    >>> error = ClipError(3, {1: "is empty; leave it out"}, {1: "a.wav"})
    >>> print(error)
    1 of 3 clips cannot be used:
      clip 1 ('a.wav') is empty; leave it out.
    >>> print(ClipError(3, {1: "has 2 frames"}, sentence="{clips}; record longer ones."))
    clip 1 has 2 frames; record longer ones.
    """

    def __init__(
        self,
        n_clips: int,
        reasons: Mapping[int, str],
        paths: Mapping[int, Any] | None = None,
        sentence: str | None = None,
    ) -> None:
        self.n_clips = n_clips
        self.reasons = dict(sorted(reasons.items()))
        # A bad array stays out: an error travels from worker to worker.
        self.paths = {i: path for i, path in (paths or {}).items() if _is_path(path)}
        self.sentence = sentence
        # Pickle calls the class with these, and then restores the attributes and the notes.
        super().__init__(n_clips, self.reasons, self.paths, sentence)

    @property
    def clips(self) -> dict[int, str]:
        """What is wrong with each bad clip, by its position in the input."""
        end = "." if self.sentence is None else ""
        return {
            i: f"{clip_name(i, self.paths.get(i))} {reason}{end}"
            for i, reason in self.reasons.items()
        }

    def __str__(self) -> str:
        clips = list(self.clips.values())
        if self.sentence is not None:
            return self.sentence.replace("{clips}", name_some(clips))
        lines = [f"{len(clips)} of {self.n_clips} clips cannot be used:", *clips[:_MOST_LISTED]]
        if len(clips) > _MOST_LISTED:
            lines.append(f"... and {len(clips) - _MOST_LISTED} more (see the error's `clips`)")
        return "\n  ".join(lines)

    def moved(self, rows: Sequence[int] | NDArray[np.intp], n_clips: int) -> Self:
        """Return the same error with the clips named by their rows in a larger table.

        Parameters
        ----------
        rows : sequence of int
            Row of each clip of the input.
        n_clips : int
            Number of rows of the table.
        """
        reasons = {int(rows[i]): reason for i, reason in self.reasons.items()}
        paths = {int(rows[i]): path for i, path in self.paths.items()}
        return type(self)(n_clips, reasons, paths, self.sentence)._with_notes([self])

    @classmethod
    def joined(cls, errors: Sequence[ClipError]) -> Self:
        """Return one error for the bad clips of several errors about the same table.

        Parameters
        ----------
        errors : sequence of ClipError
            At least one.
        """
        sentences = {error.sentence for error in errors}
        sentence = errors[0].sentence if len(sentences) == 1 else None
        reasons: dict[int, str] = {}
        paths: dict[int, str] = {}
        for error in errors:
            # Without a common sentence, each clip gets the remedy at the end of its own.
            remedy = "" if sentence else (error.sentence or "").rpartition("{clips}")[2].rstrip(".")
            reasons |= {i: reason + remedy for i, reason in error.reasons.items()}
            paths |= error.paths
        return cls(errors[0].n_clips, reasons, paths, sentence)._with_notes(errors)

    def _with_notes(self, errors: Sequence[ClipError]) -> Self:
        for error in errors:
            for note in getattr(error, "__notes__", ()):
                self.add_note(note)
        return self


def clip_name(index: int, source: Any) -> str:
    """Return the name of a clip in messages: its position and, if it has one, its path.

    Examples
    --------
    >>> clip_name(3, "a.wav"), clip_name(3, None)
    ("clip 3 ('a.wav')", 'clip 3')
    """
    return f"clip {index} ({os.fspath(source)!r})" if _is_path(source) else f"clip {index}"


def _is_path(source: Any) -> bool:
    return isinstance(source, str | os.PathLike)
