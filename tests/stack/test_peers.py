"""The work that the benchmark's peers do is Cardex's own: the same answers as the stack's."""

from concurrent.futures import ThreadPoolExecutor

from cardex.api.convert.ecg import to_payload
from cardex.api.convert.jobs import decode_answer
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from loadtest.peers.comparison import check_alike
from loadtest.peers.work import Work
from tests.helpers.real import ROOT, reports
from tests.helpers.stack import cpsc_ecgs, variant


def test_peers_answer_as_the_stack_does(ecgs, tmp_path):
    asked = [*cpsc_ecgs(), *(variant(700 + number) for number in range(4))]
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda ecg: ecgs.Retrieve(pb.RetrieveRequest(ecg=ecg), timeout=60), asked)
        expected = [response.answer for response in found]
    work = Work(ROOT / "model_repository", reports(), tmp_path)
    answers = [decode_answer(each) for each in work.answer([to_payload(ecg) for ecg in asked])]
    check_alike("a peer", expected, answers)
    for ours, theirs in zip(expected, answers, strict=True):
        assert ours.hits[0].report.text == theirs.hits[0].report.text
        assert ours.draft.sentences[0].text == theirs.draft.sentences[0].text
        assert ours.signal_quality == theirs.signal_quality
        assert {warning.code for warning in ours.warnings} == {
            warning.code for warning in theirs.warnings
        }
