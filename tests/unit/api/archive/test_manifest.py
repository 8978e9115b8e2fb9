import json

import pytest

from cardex.api.archive.manifest import Entry, Manifest, Scope
from cardex.domain.errors import ConfigurationError
from cardex.domain.jobs import Question

SCOPE = Scope("/archive", Question(5), "night.jsonl")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "manifest"


def entries(path) -> dict[str, Entry]:
    with Manifest(SCOPE, path) as manifest:
        return {name: manifest.get(name) for name in ("a", "b", "c\udcff")}


def write(path) -> None:
    with Manifest(SCOPE, path) as manifest:
        manifest.submitted("a", (3, 7), "aa", "j1")
        manifest.submitted("c\udcff", (1, 2), "cc", "j2")
        manifest.finish("a", (3, 7), "aa", "ANSWERED", 120)
        manifest.finish("b", (0, 0), "", "INVALID_ECG", 150)


EXPECTED = {
    "a": Entry((3, 7), "aa", "j1", "ANSWERED", 120),
    "b": Entry((0, 0), "", "", "INVALID_ECG", 150),
    "c\udcff": Entry((1, 2), "cc", "j2"),
}


def test_what_was_noted_is_known_to_the_next(path):
    write(path)
    assert entries(path) == EXPECTED
    with Manifest(SCOPE, path) as manifest:
        assert dict(manifest.open_jobs()) == {"c\udcff": EXPECTED["c\udcff"]}
        assert [name for name, _ in manifest.finished()] == ["a", "b"]


def test_a_line_that_was_cut_off_is_ignored_wherever_it_was_cut(path):
    write(path)
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    for end in range(last, len(whole)):
        path.write_bytes(whole[:end])
        assert entries(path) == EXPECTED | {"b": Entry()}
        assert path.read_bytes() == whole[:last]


def test_a_head_that_was_cut_off_is_written_anew(path):
    write(path)
    head = path.read_bytes().split(b"\n")[0]
    for end in (0, 20, len(head)):
        path.write_bytes(head[:end])
        with Manifest(SCOPE, path) as manifest:
            assert not manifest.resumed
        assert json.loads(path.read_text())["root"] == "/archive"


def test_request_ids_hold_from_call_to_call_and_differ_in_all_else(path, tmp_path):
    with Manifest(SCOPE, path) as manifest:
        first = manifest.request_id("a", "aa")
        assert manifest.request_id("a", "ab") != first != manifest.request_id("b", "aa")
    with Manifest(SCOPE, path) as again:
        assert again.request_id("a", "aa") == first
    with Manifest(SCOPE, tmp_path / "other") as other:
        assert other.request_id("a", "aa") != first
    assert len(first) <= 128


def test_a_file_that_changed_has_no_outcome_until_its_new_job_has(path):
    write(path)
    with Manifest(SCOPE, path) as manifest:
        manifest.submitted("a", (4, 8), "ab", "j3")
    assert entries(path)["a"] == Entry((4, 8), "ab", "j3")


def test_a_manifest_has_one_user(path):
    with Manifest(SCOPE, path), pytest.raises(ConfigurationError) as caught:
        Manifest(SCOPE, path)
    assert caught.value.reason == "MANIFEST_TAKEN"
    assert str(path) in caught.value.message
    Manifest(SCOPE, path).close()


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        (Scope("/other", Question(5), "night.jsonl"), "the folder /archive, not /other"),
        (Scope("/archive", Question(6), "night.jsonl"), "5, 0, not 6, 0"),
        (Scope("/archive", Question(5, 32), "night.jsonl"), "5, 0, not 5, 32"),
        (Scope("/archive", Question(5)), "the results file night.jsonl, not none"),
    ],
)
def test_another_scope_is_refused_with_both(path, scope, said):
    write(path)
    with pytest.raises(ConfigurationError, match=said):
        Manifest(scope, path)
    assert entries(path) == EXPECTED


@pytest.mark.parametrize(
    "content", [b"an ECG", b"{}\n", b"\x00" * 10_000, b'{"file": "a"}\n', b'{"cardex_manifest": 9'
                b', "id": "a", "root": "/", "top_k": 5, "rerank": 0, "results": ""}\n']
)  # fmt: skip
def test_another_file_is_no_manifest_and_stays_as_it_is(path, content):
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="no manifest"):
        Manifest(SCOPE, path)
    assert path.read_bytes() == content


def test_a_damaged_line_in_the_midst_is_named(path):
    write(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"damaged\n" + b"".join(lines[1:]))
    with pytest.raises(ConfigurationError, match="line 2 cannot be read"):
        Manifest(SCOPE, path)


def test_a_manifest_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot write the manifest"):
        Manifest(SCOPE, tmp_path / "none" / "manifest")


def test_without_a_file_nothing_is_kept(tmp_path):
    with Manifest(SCOPE) as manifest:
        manifest.submitted("a", (3, 7), "aa", "j1")
        assert manifest.get("a").job_id == "j1"
    assert list(tmp_path.iterdir()) == []
