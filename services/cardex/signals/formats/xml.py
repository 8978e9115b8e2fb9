"""ECGs in XML: GE MUSE, HL7 aECG and Philips Sierra, told by their root elements."""

from collections.abc import Callable

from ecgdatakit.parsing.parser import Parser
from ecgdatakit.parsing.parsers.ge_muse_xml import GEMuseXMLParser
from ecgdatakit.parsing.parsers.hl7_aecg import HL7aECGParser
from ecgdatakit.parsing.parsers.sierra_xml import SierraXMLParser

from cardex.domain.ecg import Waveform
from cardex.signals.formats import ecgdatakit_adapter, markup
from cardex.signals.formats.limits import unknown_format

_PARSERS: dict[str, Callable[[], Parser]] = {
    "RestingECG": GEMuseXMLParser,
    "AnnotatedECG": HL7aECGParser,
    "restingecgdata": SierraXMLParser,
}


def matches(content: bytes) -> bool:
    """Tell whether the bytes start like XML, of an ECG or of anything else."""
    return markup.is_markup(content)


def opens_ecg(content: bytes) -> bool:
    """Tell an ECG from other markup, such as a page that describes it, without parsing it."""
    return markup.names_root(content, _PARSERS)


def read(content: bytes, subject_key: bytes) -> Waveform:
    """Read an ECG in XML.

    Raises:
        InvalidEcg: if the root element is not that of an ECG, or the document is damaged or over
            the limits.
    """
    document = markup.checked(content)
    parser = _PARSERS.get(document.root)
    if parser is None:
        raise unknown_format()
    return ecgdatakit_adapter.read_bytes(parser, document.content, subject_key)
