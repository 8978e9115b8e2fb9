import pytest

from cardex.reports.language import language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("sinusrhythmus normales ekg", "de"),
        ("Vorhofflimmern. Überdrehter Linkstyp, sonst unauffälliges EKG", "de"),
        ("sinus rhythm. normal ecg.", "en"),
        ("atrial fibrillation with rapid ventricular response", "en"),
        ("sinusrytm. vänsterställd elaxel. normalt ekg", "sv"),
        ("Förmaksflimmer, ospecifika ST-T förändringar", "sv"),
        ("", ""),
        ("12345 - ?", ""),
        ("ritmo sinusal", ""),
    ],
)
def test_the_language_is_told_by_its_words(text, language):
    assert language_of(text) == language
