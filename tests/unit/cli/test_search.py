import json
from typing import cast

from cardex.api.client import Client
from cardex.api.pb.v1 import job_pb2
from cardex.cli.search import run_search


class FakeClient:
    closed = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True

    def search(self, text, top_k, *, by=None):
        return job_pb2.Answer(model_version=f"{text} {top_k}")


def test_the_reports_of_a_text_are_json_where_asked_for(capsys):
    client = FakeClient()
    run_search(cast(Client, client), "sinus rhythm", 3, None, as_json=True)
    assert json.loads(capsys.readouterr().out)["model_version"] == "sinus rhythm 3"
    assert client.closed
