"""Writes cases into an index, and keeps the reports that they bear in step."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from cardex.domain.cases import Case, FiledCase
from cardex.domain.ecg import Embedding
from cardex.domain.index import IndexInfo
from cardex.domain.jobs import Priority
from cardex.domain.reports import Report
from cardex.inference.encoder import Encoder, ModelInfo
from cardex.reports.records import names_all, report_of_case, with_case, without_case
from cardex.stores.case_index import CaseRow
from cardex.stores.report_index import ReportIndex

TOUCHED_EVERY_S = 60.0


class CaseWriter:
    """Adds and removes cases; the caller holds the right to write."""

    def __init__(self, encoder: Encoder, store: ReportIndex, require: Callable[[], None]) -> None:
        """Write into `store`.

        Args:
            encoder: embeds the texts that are new.
            store: the index.
            require: called right before each write; raises where the right to write was lost.
        """
        self._encoder = encoder
        self._store = store
        self._require = require

    def put(
        self, index: IndexInfo, model: ModelInfo, rows: Sequence[tuple[Case, CaseRow]]
    ) -> IndexInfo:
        """Add or replace cases, and return the index with its new generation.

        Reports are written before cases, and a record that a report names is not counted again. A
        case that is to count for another report, or with other statements, is removed first. So the
        same call after one that was cut off puts all right.

        Args:
            index: where to.
            model: embeds the reports.
            rows: each case with its text, and as the index keeps it; of equal ids the last stays.

        Raises:
            Unavailable: if a part is down, or the right to write was lost.
        """
        last = {case.case_id: (case, row) for case, row in rows}
        before = self._store.cases.get(index, list(last))
        # What was sent later stays. What is there already is written again: it may be a part.
        new = {
            case_id: (case, row)
            for case_id, (case, row) in last.items()
            if (old := before.get(case_id)) is None or old.submitted <= row.filed.submitted
        }
        if new:
            self._put(index, model, new, {one: before[one] for one in new if one in before})
        self._require()
        return self._written(index)

    def _put(
        self,
        index: IndexInfo,
        model: ModelInfo,
        new: Mapping[str, tuple[Case, CaseRow]],
        before: Mapping[str, FiledCase],
    ) -> None:
        reports = self._reports(
            index,
            {report_of_case(case) for case, _ in new.values()}
            | {filed.report_id for filed in before.values()},
        )
        others = {one for one, old in before.items() if _differ(old, new[one][1].filed)}
        self._take_off(index, reports, [old for one, old in before.items() if one in others])
        for case_id, (case, _) in new.items():
            report = reports.get(report_of_case(case))
            if report and case_id in before.keys() - others and not names_all(report):
                continue  # it is counted, though its name may be cut off
            reports[report_of_case(case)] = with_case(report, case)
        self._write(index, model, reports.values(), set(new))
        self._require()
        self._store.cases.upsert(index, [row for _, row in new.values()])

    def _written(self, index: IndexInfo) -> IndexInfo:
        """Have searches see what was written; an index that does not answer keeps its generation.

        It gets a new one now and then, which says that it is not abandoned.
        """
        if index.answered or time.time() - index.changed > TOUCHED_EVERY_S:
            return self._store.touch(index)
        self._store.settle(index)
        return index

    def remove(self, index: IndexInfo, case_ids: Sequence[str]) -> int:
        """Remove cases, and the reports that no record is left of; returns how many were there.

        The index keeps its generation.
        """
        there = self._store.cases.get(index, case_ids)
        reports = self._reports(index, {filed.report_id for filed in there.values()})
        self._take_off(index, reports, list(there.values()), also=case_ids)
        return len(there)

    def remove_of(self, index: IndexInfo, report_ids: Sequence[str]) -> None:
        """Remove all cases of reports."""
        while report_ids:
            filed, _ = self._store.cases.of_reports(index, report_ids)
            if not filed:
                return
            self._require()
            self._store.cases.delete(index, [one.case.case_id for one in filed])
            self._store.cases.settle(index)

    def _take_off(
        self,
        index: IndexInfo,
        reports: dict[str, Report],
        gone: Sequence[FiledCase],
        also: Sequence[str] = (),
    ) -> None:
        """Remove cases, and take them off their reports; of `reports` those stay that are left.

        What may be left of the cases `also`, such as a trace, goes too.
        """
        ids = dict.fromkeys([*(filed.case.case_id for filed in gone), *also])
        if not ids:
            return
        own = {filed.report_id for filed in gone if filed.report_id in reports}
        for filed in gone:
            if filed.report_id in own:
                reports[filed.report_id] = without_case(reports[filed.report_id], filed.case)
        going = {filed.case.case_id for filed in gone}
        left = self._write(index, None, [reports[one] for one in sorted(own)], going)
        for one in own:
            if one in left:
                reports[one] = left[one]
            else:
                del reports[one]
        self._require()
        self._store.cases.delete(index, list(ids))

    def _reports(self, index: IndexInfo, report_ids: Iterable[str]) -> dict[str, Report]:
        return self._store.get(index, sorted(report_ids))

    def _write(
        self,
        index: IndexInfo,
        model: ModelInfo | None,
        reports: Iterable[Report],
        changing: set[str],
    ) -> dict[str, Report]:
        """Write the reports that are left, delete the others, and return those that are left.

        A report is deleted only where no case bears it but those that are `changing`: what a broken
        call took off twice must not be taken from others.
        """
        kept: dict[str, Report] = {}
        gone = []
        for report in reports:
            if report.record_count > 0:
                kept[report.report_id] = report
            elif left := self._borne_by(index, report, changing):
                kept[report.report_id] = replace(report, record_count=left)
            else:
                gone.append(report.report_id)
        if kept:
            embeddings = self._embedded(index, model, list(kept.values()))
            self._require()
            self._store.upsert(index, list(kept.values()), embeddings)
        if gone:
            self._require()
            self._store.delete(index, gone)
        return kept

    def _borne_by(self, index: IndexInfo, report: Report, changing: set[str]) -> int:
        filed, _ = self._store.cases.of_reports(index, [report.report_id])
        return sum(one.case.case_id not in changing for one in filed)

    def _embedded(
        self, index: IndexInfo, model: ModelInfo | None, reports: Sequence[Report]
    ) -> Embedding:
        """Return (reports, E) embeddings of reports; those that are there are not made anew."""
        known = dict(self._store.embeddings(index, [report.report_id for report in reports]))
        new = [report for report in reports if report.report_id not in known]
        if new:
            assert model is not None
            texts = [report.text for report in new]
            made = self._encoder.embed_texts(model, texts, Priority.ROUTINE)
            known |= dict(zip((report.report_id for report in new), made, strict=True))
        return np.stack([known[report.report_id] for report in reports])


def _differ(old: FiledCase, new: FiledCase) -> bool:
    """Return whether a case counts otherwise than before."""
    return old.report_id != new.report_id or old.case.statements != new.case.statements
