"""Words in names and labels that mean normal or anomalous, training or test."""

from __future__ import annotations

import re

_LABEL_WORDS = {
    1: "normal ok okay good healthy nominal intact",
    -1: "anomaly anomalies anomalous anomal abnormal abnormality fault faults faulty failure "
    "failures broken defect defects defective bad nok ng damage damaged malfunction unhealthy",
}
# Held-out clips are "test", no matter what they are held out for.
_SPLIT_WORDS = {
    "train": "train training",
    "test": "test testing eval evaluation val valid validation",
    "supplemental": "supplemental",
}
_LABELS = {word: label for label, words in _LABEL_WORDS.items() for word in words.split()}
_SPLITS = {word: split for split, words in _SPLIT_WORDS.items() for word in words.split()}
_NEGATIONS = frozenset({"not", "no", "non", "un", "without"})
# A word ends at anything but a letter, and before the capital of the next word.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def find_words(text: str) -> list[str]:
    """Split a name into words and numbers, in lower case.

    Examples
    --------
    >>> find_words("NotOK_pump07-bookend")
    ['not', 'ok', 'pump', '07', 'bookend']
    """
    return [word.lower() for word in _WORD.findall(text)]


def find_label(text: str) -> int | None:
    """Return the label that a name states: +1 normal, -1 anomalous.

    A negation reverses the word after it. None if there is no such word, or words contradict.

    Examples
    --------
    >>> find_label("healthy_03"), find_label("not_ok"), find_label("abnormal"), find_label("book")
    (1, -1, -1, None)
    """
    labels = set()
    before = ""
    for word in find_words(text):
        label = _LABELS.get(word)
        if label is not None:
            labels.add(-label if before in _NEGATIONS else label)
        before = word
    return labels.pop() if len(labels) == 1 else None


def find_split(text: str) -> str | None:
    """Return the split in a name; None if no word says it, or words contradict.

    Examples
    --------
    >>> find_split("Training set"), find_split("eval_data"), find_split("latest")
    ('train', 'test', None)
    """
    # Capitals do not separate words here: ToyTrain is a machine.
    splits = {_SPLITS[word] for word in re.findall("[a-z]+", text.lower()) if word in _SPLITS}
    return splits.pop() if len(splits) == 1 else None
