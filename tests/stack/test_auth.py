"""Who is let in: a gateway with keys and TLS beside the stack's own, on the same parts."""

import datetime
import ipaddress
import os
import ssl
import subprocess
import sys
import time
from pathlib import Path

import grpc
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.api.pb.v1 import (
    ecg_retrieval_pb2_grpc,
    report_index_pb2,
    report_index_pb2_grpc,
)
from cardex.gateway.keys import add_to_file
from tests.helpers.real import dicom
from tests.helpers.stack import dicom_ecg, free_port, health, refusal, said, variant

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
DENIED = grpc.StatusCode.PERMISSION_DENIED


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate of 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cardex test")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file


def environment(settings, **more: object) -> dict[str, str]:
    base = {
        "CARDEX_STATE_URL": settings.state_url,
        "CARDEX_CACHE_URL": settings.cache_url,
        "CARDEX_MILVUS_URI": settings.milvus_uri,
        "CARDEX_TRITON_URL": settings.triton_url,
    }
    return {**os.environ, **base, **{name: str(value) for name, value in more.items()}}


def gateway(env: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cardex", "gateway"],
        env=env, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def door(settings, tmp_path_factory):
    """A gateway with TLS, client certificates and keys; yields its port, files and keys."""
    folder = tmp_path_factory.mktemp("door")
    cert, key = certificate(folder)
    file = folder / "keys.toml"
    keys = {
        name: add_to_file(file, name, scopes)
        for name, scopes in {
            "bedside": ["submit"],
            "archive": ["submit"],
            "reader": ["search"],
            "librarian": ["index"],
            "chief": ["admin"],
        }.items()
    }
    port, ready = free_port(), folder / "ready"
    process = gateway(
        environment(
            settings,
            CARDEX_GATEWAY_BIND=f"0.0.0.0:{port}",
            CARDEX_TLS_CERT=cert,
            CARDEX_TLS_KEY=key,
            CARDEX_CLIENT_CA=cert,
            CARDEX_API_KEYS=file,
            CARDEX_READY_FILE=ready,
        )
    )
    deadline = time.monotonic() + 60
    while not ready.exists():
        assert process.poll() is None, said(process)
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield port, cert, key, keys
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 0


@pytest.fixture(scope="module")
def secure(door):
    port, cert, key, _ = door
    credentials = grpc.ssl_channel_credentials(
        cert.read_bytes(), key.read_bytes(), cert.read_bytes()
    )
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
        yield channel


@pytest.fixture(scope="module")
def browser(door, tmp_path_factory):
    """A client that keeps cookies, of a web process with TLS before that gateway."""
    gateway_port, cert, key, _ = door
    port, ready = free_port(), tmp_path_factory.mktemp("browser") / "ready"
    more = {
        "CARDEX_GATEWAY_TARGET": f"127.0.0.1:{gateway_port}",
        "CARDEX_GATEWAY_CA": cert,
        "CARDEX_WEB_BIND": f"127.0.0.1:{port}",
        "CARDEX_TLS_CERT": cert,
        "CARDEX_TLS_KEY": key,
        "CARDEX_CLIENT_CA": cert,
        "CARDEX_READY_FILE": ready,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "cardex", "web"],
        env=os.environ | {name: str(value) for name, value in more.items()},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not ready.exists():
        assert process.poll() is None, said(process)
        assert time.monotonic() < deadline
        time.sleep(0.1)
    context = ssl.create_default_context(cafile=cert)
    context.load_cert_chain(cert, key)
    with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=context, timeout=60) as client:
        yield client
    process.terminate()
    process.communicate(timeout=20)


@pytest.fixture
def as_key(door):
    return lambda name: [("authorization", f"Bearer {door[3][name]}")]


CALLS = {
    "Retrieve": ("submit", lambda e, _: (e.Retrieve, pb.RetrieveRequest(ecg=dicom_ecg()))),
    "GetJob": ("submit", lambda e, _: (e.GetJob, pb.GetJobRequest(job_id="x"))),
    "SearchReports": (
        "search",
        lambda e, _: (e.SearchReports, pb.SearchReportsRequest(text="normal")),
    ),
    "DeleteReports": (
        "index",
        lambda _, i: (i.DeleteReports, report_index_pb2.DeleteReportsRequest()),
    ),
}
HOLDERS = {"submit": "bedside", "search": "reader", "index": "librarian"}


@pytest.mark.parametrize("name", CALLS)
def test_each_scope_opens_its_calls_only(secure, as_key, name):
    scope, make = CALLS[name]
    call, request = make(
        ecg_retrieval_pb2_grpc.EcgRetrievalServiceStub(secure),
        report_index_pb2_grpc.ReportIndexServiceStub(secure),
    )
    assert refusal(call, request, timeout=10).reason == "API_KEY_MISSING"
    wrong = [("authorization", "Bearer cdx_wrong")]
    found = refusal(call, request, timeout=10, metadata=wrong)
    assert (found.code, found.reason) == (UNAUTHENTICATED, "API_KEY_UNKNOWN")
    for other, holder in HOLDERS.items():
        if other != scope:
            found = refusal(call, request, timeout=10, metadata=as_key(holder))
            assert (found.code, found.reason) == (DENIED, "PERMISSION_DENIED")
    for allowed in (HOLDERS[scope], "chief"):
        try:
            call(request, timeout=30, metadata=as_key(allowed))
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND, error.details()


def test_streams_are_guarded_too(secure, as_key):
    ecgs = ecg_retrieval_pb2_grpc.EcgRetrievalServiceStub(secure)
    index = report_index_pb2_grpc.ReportIndexServiceStub(secure)
    for call, request in (
        (ecgs.WatchJobs, pb.WatchJobsRequest()),
        (ecgs.SubmitBatch, iter([pb.SubmitBatchRequest(ecg=dicom_ecg())])),
        (index.UpsertReports, iter([report_index_pb2.UpsertReportsRequest()])),
    ):
        found = refusal(call, request, timeout=10, metadata=as_key("reader"))
        assert found.code == DENIED


def test_a_job_is_its_owners_and_the_administrators(secure, as_key):
    ecgs = ecg_retrieval_pb2_grpc.EcgRetrievalServiceStub(secure)
    request = pb.SubmitEcgRequest(ecg=variant(30))
    job = ecgs.SubmitEcg(request, timeout=10, metadata=as_key("bedside")).job
    ask = pb.GetJobRequest(job_id=job.job_id)
    assert ecgs.GetJob(ask, timeout=10, metadata=as_key("bedside")).job.job_id == job.job_id
    assert ecgs.GetJob(ask, timeout=10, metadata=as_key("chief")).job.job_id == job.job_id
    found = refusal(ecgs.GetJob, ask, timeout=10, metadata=as_key("archive"))
    assert found.reason == "JOB_NOT_FOUND"


def test_health_needs_no_key(secure):
    assert health(secure, "cardex.v1.EcgRetrievalService") == "SERVING"


def test_without_a_client_certificate_or_tls_nobody_comes_in(door):
    port, cert, *_ = door
    no_certificate = grpc.ssl_channel_credentials(cert.read_bytes())
    for channel in (
        grpc.secure_channel(f"127.0.0.1:{port}", no_certificate),
        grpc.insecure_channel(f"127.0.0.1:{port}"),
    ):
        with channel:
            assert refusal(health, channel).code == grpc.StatusCode.UNAVAILABLE


def test_a_browser_signs_in_asks_and_signs_out(browser, door):
    state = {"needs_key": True, "signed_in": False, "csrf": ""}
    assert browser.get("/v1/session").json() == state
    files = {"files": ("a.dcm", dicom().read_bytes())}
    assert browser.post("/v1/ecgs:trace", files=files).status_code == 401
    assert browser.post("/v1/session", json={"key": "cdx_wrong"}).status_code == 401

    signed_in = browser.post("/v1/session", json={"key": door[3]["bedside"]})
    cookie = signed_in.headers["set-cookie"]
    assert cookie.startswith("__Host-")
    assert {"Secure", "HttpOnly", "SameSite=strict"} <= set(cookie.split("; "))
    token = {"x-cardex-csrf": signed_in.json()["csrf"]}
    assert browser.get("/v1/server").status_code == 200
    for path in ("/v1/ecgs:trace", "/v1/ecgs:retrieve"):
        assert browser.post(path, files=files).json()["error"]["reason"] == "CSRF"
        assert browser.post(path, files=files, headers=token).status_code == 200
    search = browser.post("/v1/reports:search", json={"text": "normal"}, headers=token)
    assert (search.status_code, search.json()["error"]["reason"]) == (403, "PERMISSION_DENIED")

    assert browser.delete("/v1/session").status_code == 204
    assert browser.get("/v1/session").json() == state
    assert browser.get("/v1/server").status_code == 401


@pytest.mark.parametrize("command", ["gateway", "web"])
def test_an_open_door_to_others_is_refused_at_the_start(settings, command):
    bind = {f"CARDEX_{command.upper()}_BIND": f"0.0.0.0:{free_port()}"}
    done = subprocess.run(
        [sys.executable, "-m", "cardex", command],
        env=environment(settings, **bind), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "DOOR_OPEN" in done.stderr
    for name in ("CARDEX_TLS_CERT", "CARDEX_TLS_KEY", "CARDEX_API_KEYS", "--insecure"):
        assert name in done.stderr


def test_a_taken_port_is_named(settings, stack):
    done = subprocess.run(
        [sys.executable, "-m", "cardex", "gateway"],
        env=environment(settings, CARDEX_GATEWAY_BIND=stack.gateway_bind),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "PORT_TAKEN" in done.stderr
    assert stack.gateway_bind in done.stderr.replace("\n", "")


def test_redis_asks_for_a_password(settings):
    import redis

    host, port = settings.state_url.split("@")[1].split("/")[0].split(":")
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(host=host, port=int(port)).ping()
