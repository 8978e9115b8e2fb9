"""Strips device marks, dates, headers and second readers' codes from report text."""

import re
from typing import NamedTuple


class Rule(NamedTuple):
    """A pattern to remove or replace; docs/reports.md has the reason and the count of each.

    Attributes:
        name: the rule's name in docs/reports.md.
        pattern: the text that is found.
        replacement: the text that is put in its place.
    """

    name: str
    pattern: re.Pattern[str]
    replacement: str = " "


def _beginnings(phrase: str) -> str:
    """Return a pattern that matches `phrase` and each of its prefixes, the empty one too."""
    pattern = ""
    for letter in reversed(phrase):
        pattern = f"(?:{re.escape(letter)}{pattern})?"
    return pattern


def _find(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_DAY, _MONTH, _YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:19|20)?\d\d"
_DATE = (
    rf"(?:\b{_DAY}(?:[:/.]{_MONTH})? ?(?:&|and|und|och) ?)?"
    rf"\b{_DAY}[:/.]{_MONTH}[:/.,]{_YEAR}\b"
)
_CLOCK = r"\b(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?: ?(?:uhr|hrs?|am|pm))?\b(?![:/])"
_MARK = "(?:unbestätigter bericht|unconfirmed report)"

# The order matters: a clause on an earlier tracing is removed before the rule for dates.
RULES = (
    Rule("second reader", _find(r"\bedit:.*$")),
    Rule("patient header", _find(r"^nr: ?\d.*?\bmed:")),
    Rule("unconfirmed", _find(rf"(?:\b\d\.\d\d\b *)?\b{_MARK}\b")),
    Rule(
        "unconfirmed, cut",
        _find(
            rf"\b4\.4\d\b *(?:{_beginnings('unbestätigter bericht')}"
            rf"|{_beginnings('unconfirmed report')})$"
        ),
    ),
    Rule("not read", _find(r"\btrace only(?: requested)?\b\.?")),
    Rule(
        "recording",
        _find(
            r"(?:(?<=\. )|(?<=^))(?:leads? [^.]{1,20} shows? [^.]*\bartifact|artifact in leads? "
            r"|(?:there is|both tracings show) [^.]*\bartifact)[^.]*(?:\.|$)"
        ),
    ),
    Rule("recording, German", _find(r"\bmuskelzittern\b")),
    Rule(
        "earlier tracing",
        _find(
            r"\b(?:compared with (?:submitted |recent )?tracings?|verglichen mit (?:dem )?ekg)"
            rf"(?: (?:of|dated|vom) (?:{_DATE}(?: and {_DATE})?|earlier today|yesterday))?"
            r"\b[,.:]? ?"
        ),
    ),
    Rule(
        "date",
        _find(
            r"(?:,? ?\b(?:than on|to(?: that)?(?: submitted,)?(?: of| dated)?"
            r"|since(?: trace| tracing| ecg)?(?: of)?|of|dated|from|on|vom|am) )?"
            rf"{_DATE}"
        ),
    ),
    Rule("time", _find(_CLOCK)),
    Rule("broken ü", _find(r"\bf#r\b"), "für"),
    Rule("broken ü, first letter", _find(r"(?<!\w)#(?=bergang\b)"), "ü"),
    Rule("stray signs", re.compile(r"[`\\|{}*¬¿©½]+")),
    Rule("punctuation", re.compile(r"([.,;!?])(?:\s*[.,;!?])+"), r"\1"),
    Rule("space before punctuation", re.compile(r"\s+(?=[.,;](?:\s|$))"), ""),
)

_CAPITAL = re.compile("[A-Z]")
_EDGES = " ,;:-"


def clean_report(text: str) -> str:
    """Return the part of a report that describes the ECG, in its own words.

    Removed are a device's mark of unconfirmed reports, a second reader's codes, notes on the
    recording, dates and times, and the patient header. Broken umlauts, repeated punctuation and
    white space are repaired.

    Returns:
        The report; "" if nothing of it describes the ECG, as with "trace only requested.".
    """
    text = " ".join(text.split())
    for rule in RULES:
        text = " ".join(rule.pattern.sub(rule.replacement, text).split())
    if not _CAPITAL.search(text):
        text = text.lower()  # PTB-XL's words are in lower case except for umlauts: "ischÄmie"
    text = text.strip(_EDGES)
    return text if any(character.isalnum() for character in text) else ""
