"""Guesses the language of a report from words that ECG reports use."""

import re

# Words of one language only; terms that the languages share are left out.
_WORDS = {
    "de": """
        ekg lagetyp sonst und bei nicht linkstyp rechtstyp überdrehter sinusrhythmus rhythmus
        normales ohne mit der die des im verdacht auf unauffälliges schenkelblock hypertrophie
        lateraler wahrscheinlich möglich linkslagetyp seitenlagetyp grenzbefund bestätigt
        unbestätigter bericht niederspannung periphere vorhofflimmern steiltyp kein keine ist
        oder infarkt ventrikulärer supraventrikuläre linksventrikuläre vorderwand hinterwand
        sinustachykardie sinusbradykardie av-knotenrhythmus
    """,
    "en": """
        sinus rhythm normal axis the and is are with of no for or left right block bundle branch
        ecg deviation hypertrophy consistent possible probable cannot be ruled out from waves
        borderline otherwise unconfirmed analysis fibrillation old trace requested only
    """,
    "sv": """
        sinusrytm rytm normalt vänster höger och ej för är med av avvikande förmaksflimmer
        ekg-fynd hypertrofi vänsterkammare ospecifika förändringar skänkelblock grenblock
        patologiskt frekvens sannolikt elaxel sinusbradykardi sinustakykardi förlängd
        t-vågsförändringar onormalt
    """,
}
_MARKERS = {language: frozenset(words.split()) for language, words in _WORDS.items()}
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)?")


def language_of(text: str) -> str:
    """Return "de", "en" or "sv"; "" if the text has none of the known words."""
    words = _WORD.findall(text.lower())
    votes = {code: sum(word in markers for word in words) for code, markers in _MARKERS.items()}
    best = max(votes, key=lambda code: votes[code])
    return best if votes[best] else ""
