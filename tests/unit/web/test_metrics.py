from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.api.pb.v1 import job_pb2
from cardex.web.metrics import exposition


def test_every_queue_has_its_depth_age_and_running_jobs():
    info = pb.GetServerInfoResponse(
        queues=[
            pb.QueueInfo(priority=job_pb2.PRIORITY_STAT, depth=1, oldest_age_s=0.5, running=2),
            pb.QueueInfo(priority=job_pb2.PRIORITY_ROUTINE, depth=300, oldest_age_s=9.0),
        ]
    )
    lines = exposition(info).decode().splitlines()
    assert 'cardex_queue_depth{queue="stat"} 1.0' in lines
    assert 'cardex_queue_depth{queue="routine"} 300.0' in lines
    assert 'cardex_queue_oldest_age_seconds{queue="routine"} 9.0' in lines
    assert 'cardex_queue_running{queue="stat"} 2.0' in lines
