"""The names that carts and spreadsheets give the leads."""

import re

from cardex.domain.ecg import LEADS

_CANONICAL = {lead.upper(): lead for lead in LEADS}
_ALIAS = re.compile(
    rf"(?:MDC_ECG_LEAD_|(?:(?:ECG|EKG|LEAD)[ _:-]*)+)({'|'.join(_CANONICAL)})", re.IGNORECASE
)
_LONGEST_ALIAS = 40


def canonical(name: str) -> str | None:
    """Return the lead of `LEADS` that a name such as "avr" or "ECG I" stands for, or None."""
    exact = _CANONICAL.get(name.upper())
    if exact is not None or len(name) > _LONGEST_ALIAS:
        return exact
    name = name.strip()
    alias = _ALIAS.fullmatch(name)
    return _CANONICAL.get((alias[1] if alias else name).upper())
