"""Names of leads, as carts and spreadsheets write them."""

import re

from cardex.domain.ecg import LEADS

_CANONICAL = {lead.upper(): lead for lead in LEADS}
_ALIAS = re.compile(
    rf"(?:MDC_ECG_LEAD_|(?:(?:ECG|EKG|LEAD)[ _:-]*)+)({'|'.join(_CANONICAL)})", re.IGNORECASE
)
_LONGEST_ALIAS = 40


def canonical(name: str) -> str | None:
    """Return the lead of `LEADS` that a name means ("avr", "ECG I", "MDC_ECG_LEAD_V1"), or None."""
    exact = _CANONICAL.get(name.upper())
    if exact is not None or len(name) > _LONGEST_ALIAS:
        return exact
    name = name.strip()
    alias = _ALIAS.fullmatch(name)
    return _CANONICAL.get((alias[1] if alias else name).upper())
