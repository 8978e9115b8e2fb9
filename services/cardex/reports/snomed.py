"""SNOMED CT concepts of the SCP-ECG statements that PTB-XL uses.

Source: the conversion of PTB-XL for the PhysioNet/CinC Challenges 2020 and 2021, documented by
their tables ``dx_mapping_scored.csv`` and ``dx_mapping_unscored.csv``
(github.com/physionetchallenges/evaluation-2021). Which statements a concept stands for was verified
by counting: its column ``PTB_XL`` equals the number of PTB-XL 1.0.1 records with one of them. Two
entries differ from the Challenge: ``NORM``, there a sinus rhythm, is the normal ECG of DICOM's
context group 3677; ``AMI``, there an acute infarction, is a myocardial infarction like those of the
other walls.

A concept may be wider than its statement, but not narrower or different. Left out are therefore the
statements whose Challenge concept is: ``SVARR`` (premature beats), ``BIGU``, ``TRIGU`` and
``PRC(S)`` (ventricular, where PTB-XL leaves the origin open), and the injuries ``INJAS``,
``INJAL``, ``INJIN``, ``INJLA`` and ``INJIL`` (infarction).
"""

from typing import NamedTuple


class Concept(NamedTuple):
    """A concept of SNOMED CT: its id, and a name by which it is known."""

    snomed_code: str
    term: str


_CODES = {
    Concept("164854000", "normal ECG"): "NORM",
    Concept("426783006", "sinus rhythm"): "SR",
    Concept("164889003", "atrial fibrillation"): "AFIB",
    Concept("164890007", "atrial flutter"): "AFLT",
    Concept("426177001", "sinus bradycardia"): "SBRAD",
    Concept("427084000", "sinus tachycardia"): "STACH",
    Concept("427393009", "sinus arrhythmia"): "SARRH",
    Concept("426761007", "supraventricular tachycardia"): "SVTAC",
    Concept("67198005", "paroxysmal supraventricular tachycardia"): "PSVT",
    Concept("284470004", "premature atrial contraction"): "PAC",
    Concept("164884008", "ventricular ectopics"): "PVC",
    Concept("10370003", "pacing rhythm"): "PACE",
    Concept("270492004", "first degree AV block"): "1AVB",
    Concept("195042002", "second degree AV block"): "2AVB",
    Concept("27885002", "complete heart block"): "3AVB",
    Concept("713427006", "complete right bundle branch block"): "CRBBB",
    Concept("713426002", "incomplete right bundle branch block"): "IRBBB",
    Concept("164909002", "left bundle branch block"): "CLBBB",
    Concept("251120003", "incomplete left bundle branch block"): "ILBBB",
    Concept("445118002", "left anterior fascicular block"): "LAFB",
    Concept("445211001", "left posterior fascicular block"): "LPFB",
    Concept("698252002", "nonspecific intraventricular conduction disorder"): "IVCD",
    Concept("74390002", "Wolff-Parkinson-White pattern"): "WPW",
    Concept("164947007", "prolonged PR interval"): "LPR",
    Concept("111975006", "prolonged QT interval"): "LNGQT",
    Concept("164873001", "left ventricular hypertrophy"): "LVH VCLVH",
    Concept("89792004", "right ventricular hypertrophy"): "RVH",
    Concept("266249003", "ventricular hypertrophy"): "SEHYP",
    Concept("67741000119109", "left atrial enlargement"): "LAO/LAE",
    Concept("446358003", "right atrial hypertrophy"): "RAO/RAE",
    Concept("251146004", "low QRS voltages"): "LVOLT",
    Concept("164951009", "abnormal QRS"): "ABQRS HVOLT",
    Concept("164917005", "Q wave abnormal"): "QWAVE",
    Concept("164934002", "T wave abnormal"): "NDT NT_ TAB_ LOWT",
    Concept("59931005", "T wave inversion"): "INVT",
    Concept("429622005", "ST depression"): "STD_",
    Concept("164931005", "ST elevation"): "STE_",
    Concept("55930002", "ST changes"): "NST_",
    Concept("428750005", "nonspecific ST-T abnormality"): "DIG EL ANEUR",
    Concept("164865005", "myocardial infarction"): ("AMI IMI ASMI ILMI ALMI LMI IPLMI IPMI PMI"),
    Concept("426434006", "anterior ischemia"): "ISCAN",
    Concept("425419005", "inferior ischemia"): "ISCIN",
    Concept("425623009", "lateral ischemia"): "ISCLA",
    Concept("164861001", "myocardial ischemia"): "ISC_ ISCAL ISCIL ISCAS",
}

CONCEPTS: dict[str, Concept] = {
    code: concept for concept, codes in _CODES.items() for code in codes.split()
}
"""SCP code to concept."""


def snomed_code(code: str) -> str:
    """Return the id of the concept of an SCP code, "" where none is known to fit."""
    concept = CONCEPTS.get(code)
    return concept.snomed_code if concept else ""
