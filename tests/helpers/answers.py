"""Answers as the contract's bytes, turned back into the domain's words for comparing."""

from dataclasses import dataclass, fields
from typing import Any

from cardex.api.convert.cases import filter_of
from cardex.api.convert.jobs import decode_answer, encode_answer
from cardex.api.convert.reports import report_of
from cardex.api.pb.v1 import job_pb2, report_pb2
from cardex.domain.index import Hit
from cardex.domain.jobs import Answer, EncodedAnswer, StageTime
from cardex.domain.quality import SignalQuality, SignalWarning
from cardex.domain.reports import Draft, DraftSentence, Finding, Prediction

ANSWER = encode_answer(Answer((), (), "m", "i", "g"))
"""The smallest answer."""


@dataclass(frozen=True, slots=True)
class DecodedAnswer(Answer):
    """An answer and whether the cache had it."""

    from_cache: bool = False

    def cached(self) -> "DecodedAnswer":
        """Return the same answer as the cache gives it."""
        values = {field.name: getattr(self, field.name) for field in fields(Answer)}
        return DecodedAnswer(**values, from_cache=True)


def decoded(encoded: EncodedAnswer) -> DecodedAnswer:
    """Return what an encoded answer says."""
    message = decode_answer(encoded.message)
    return DecodedAnswer(
        hits=tuple(map(_hit, message.hits)),
        findings=tuple(_plain(Finding, found) for found in message.findings),
        model_version=message.model_version,
        index_name=message.index_name,
        index_generation=message.index_generation,
        stages=tuple(
            StageTime(stage.stage, stage.duration.ToMicroseconds() / 1e6)
            for stage in message.stages
        ),
        disclaimer=message.disclaimer,
        quality=_quality(message),
        predictions=tuple(_plain(Prediction, found) for found in message.predictions),
        draft=_draft(message.draft) if message.HasField("draft") else None,
        filter=filter_of(message.filter) if message.HasField("filter") else None,
        from_cache=message.from_cache,
    )


def _plain(kind: type, message: Any) -> Any:
    values = {field.name: getattr(message, field.name) for field in fields(kind)}
    return kind(**{k: tuple(v) if k == "report_ids" else v for k, v in values.items()})


def _hit(message: report_pb2.Hit) -> Hit:
    match = message.match if message.HasField("match") else None
    return Hit(report_of(message.report), message.score, message.rank, match)


def _draft(message: report_pb2.Draft) -> Draft:
    sentences = (DraftSentence(s.text, tuple(s.report_ids)) for s in message.sentences)
    return Draft(tuple(sentences), message.label)


def _quality(message: job_pb2.Answer) -> SignalQuality | None:
    if not message.HasField("signal_quality"):
        return None
    found = message.signal_quality
    rate = found.heart_rate_bpm if found.HasField("heart_rate_bpm") else None
    warnings = (SignalWarning(w.code, w.message, tuple(w.leads)) for w in message.warnings)
    return SignalQuality(found.index, rate, tuple(warnings))
