import socket

from cardex.local_stack.milvus import milvus_process
from cardex.local_stack.ports import HOST


def test_only_this_machine_reaches_it_and_its_data_lie_where_they_should(tmp_path):
    part = milvus_process(tmp_path / "data", 1234, tmp_path / "log")
    options = dict(zip(part.argv[2::2], part.argv[3::2], strict=True))
    assert options == {"--data-dir": str(tmp_path / "data"), "--host": HOST, "--port": "1234"}
    assert str(tmp_path / "data") in part.remedy


def test_it_is_ready_when_it_takes_connections(tmp_path):
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        part = milvus_process(tmp_path / "data", sock.getsockname()[1], tmp_path / "log")
        assert not part.ready()
        sock.listen()
        assert part.ready()
