import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException, shared_memory

from cardex.domain.errors import ConfigurationError
from cardex.inference import regions as module
from cardex.inference.regions import Inline, Shared, memory_of

IMAGE = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
TOKENS = np.arange(6, dtype=np.int32).reshape(2, 3)
SMALLEST = 1 << 16


class Library:
    """tritonclient's utilities of one kind of memory, with what they wrote."""

    def __init__(self) -> None:
        self.made: list[SimpleNamespace] = []

    def create_shared_memory_region(self, name, *where):
        region = SimpleNamespace(name=name, where=where, written=None, there=True)
        self.made.append(region)
        return region

    def set_shared_memory_region(self, region, arrays):
        assert region.there
        assert all(array.flags.c_contiguous for array in arrays), "copied as it stands in memory"
        region.written = b"".join(array.tobytes() for array in arrays)

    def get_raw_handle(self, region):
        return f"raw {region.name}"

    def destroy_shared_memory_region(self, region):
        region.there = False


class Client:
    """The server's side: knows the regions that it was told of."""

    def __init__(self) -> None:
        self.system: list[tuple] = []
        self.cuda: list[tuple] = []
        self.left: list[tuple] = []
        self.error: InferenceServerException | None = None

    def register_system_shared_memory(self, name, key, size, *, client_timeout):
        assert client_timeout < 5
        self.system.append((name, key, size))
        if self.error is not None:
            raise self.error

    def register_cuda_shared_memory(self, name, handle, device, size, *, client_timeout):
        assert client_timeout < 5
        self.cuda.append((name, handle, device, size))

    def unregister_system_shared_memory(self, name, *, client_timeout):
        self.left.append(("system", name))
        if self.error is not None:
            raise self.error

    def unregister_cuda_shared_memory(self, name, *, client_timeout):
        self.left.append(("cuda", name))


@pytest.fixture
def client():
    return Client()


@pytest.fixture
def library():
    return Library()


@pytest.fixture
def memory(client, library):
    return Shared(client, kind="system", library=library)


def use(memory, **tensors) -> list[dict]:
    """Lend the tensors, and return how the request tells of each."""
    with memory.lend(tensors or {"image": IMAGE}) as inputs:
        return [told(one) for one in inputs]


def told(tensor) -> dict:
    message = tensor._get_tensor()
    where = message.parameters
    return {
        "name": message.name,
        "kind": message.datatype,
        "shape": list(message.shape),
        "region": where["shared_memory_region"].string_param,
        "bytes": where["shared_memory_byte_size"].int64_param,
        "offset": where["shared_memory_offset"].int64_param,
    }


# Inside the request.


def test_inline_tensors_are_copied_into_the_request(client):
    with Inline(client).lend({"image": IMAGE, "token_ids": TOKENS}) as inputs:
        assert [(one.name(), one.datatype(), one.shape()) for one in inputs] == [
            ("image", "UINT8", [1, 3, 4]),
            ("token_ids", "INT32", [2, 3]),
        ]
        assert [one._get_content() for one in inputs] == [IMAGE.tobytes(), TOKENS.tobytes()]


# In memory of this host.


def test_tensors_stand_in_a_region_one_after_another(memory, library):
    image, tokens = use(memory, image=IMAGE, token_ids=TOKENS)
    (region,) = library.made
    assert region.written == IMAGE.tobytes() + TOKENS.tobytes()
    assert image == {
        "name": "image", "kind": "UINT8", "shape": [1, 3, 4],
        "region": region.name, "bytes": 12, "offset": 0,
    }  # fmt: skip
    assert tokens == {
        "name": "token_ids", "kind": "INT32", "shape": [2, 3],
        "region": region.name, "bytes": 24, "offset": 12,
    }  # fmt: skip


def test_rows_of_another_array_are_written_as_they_stand_in_order(memory, library):
    use(memory, image=IMAGE.transpose(0, 2, 1))
    assert library.made[0].written == IMAGE.transpose(0, 2, 1).tobytes()


def test_a_region_is_introduced_to_the_server_once(memory, client, library):
    for _ in range(3):
        use(memory)
    (region,) = library.made
    assert client.system == [(region.name, f"/{region.name}", SMALLEST)]
    assert region.where == (f"/{region.name}", SMALLEST)


def test_after_forget_a_region_is_introduced_again(memory, client, library):
    use(memory)
    memory.forget()
    use(memory)
    assert len(library.made) == 1
    assert len(client.system) == 2


def test_a_region_that_the_server_knows_already_is_fine(memory, client):
    client.error = InferenceServerException("shared memory region 'x' already in manager")
    use(memory)
    use(memory)
    assert len(client.system) == 1


def test_a_region_that_the_server_refuses_is_introduced_again_at_the_next_call(
    memory, client, library
):
    client.error = InferenceServerException("Unable to open shared memory region")
    with pytest.raises(InferenceServerException, match="Unable to open"):
        use(memory)
    client.error = None
    use(memory)
    assert len(library.made) == 1
    assert len(client.system) == 2


def test_a_region_is_used_again_after_an_error_of_the_call(memory, library):
    with pytest.raises(RuntimeError), memory.lend({"image": IMAGE}):
        raise RuntimeError("the call failed")
    use(memory)
    assert len(library.made) == 1


def test_calls_at_a_time_have_a_region_each(memory, library):
    with memory.lend({"image": IMAGE}) as first, memory.lend({"image": IMAGE + 1}) as second:
        assert told(first[0])["region"] != told(second[0])["region"]
        assert [region.written for region in library.made] == [
            IMAGE.tobytes(),
            (IMAGE + 1).tobytes(),
        ]
    use(memory)
    assert len(library.made) == 2


@pytest.mark.parametrize(
    ("needed", "size"),
    [(1, SMALLEST), (SMALLEST, SMALLEST), (SMALLEST + 1, 2 * SMALLEST), (200_000, 262_144)],
)
def test_a_region_has_the_next_power_of_two(memory, client, needed, size):
    use(memory, image=np.zeros((1, needed), np.uint8))
    assert [one[2] for one in client.system] == [size]


def test_a_larger_batch_gets_a_larger_region_and_smaller_ones_share_it(memory, library):
    use(memory)
    use(memory, image=np.zeros((2, SMALLEST), np.uint8))
    assert [region.where[1] for region in library.made] == [SMALLEST, 2 * SMALLEST]
    with memory.lend({"image": IMAGE}), memory.lend({"image": IMAGE}):
        assert len(library.made) == 2


def test_two_processes_have_regions_of_different_names(client, library):
    for _ in range(2):
        use(Shared(client, kind="system", library=library))
    assert len({region.name for region in library.made}) == 2


@pytest.mark.parametrize("kind", ["system", "cuda"])
def test_all_memory_is_given_back_at_the_end_here_and_at_the_server(client, library, kind):
    memory = Shared(client, kind=kind, library=library)
    with memory.lend({"image": IMAGE}), memory.lend({"image": IMAGE}):
        pass
    memory.close()
    assert [region.there for region in library.made] == [False, False]
    assert client.left == [(kind, region.name) for region in library.made]


def test_the_end_of_the_process_gives_the_memory_back(client, library, monkeypatch):
    at_the_end = []
    monkeypatch.setattr(module.atexit, "register", at_the_end.append)
    use(Shared(client, kind="system", library=library))
    (close,) = at_the_end
    close()
    assert not library.made[0].there


def test_memory_is_given_back_where_the_server_is_gone(memory, client, library):
    use(memory)
    client.error = InferenceServerException("failed to connect")
    memory.close()
    assert not library.made[0].there


def test_a_tensor_is_in_the_memory_that_other_processes_map(client):
    memory = Shared(client, kind="system", library=shared_memory)
    try:
        with memory.lend({"image": IMAGE, "token_ids": TOKENS}):
            ((_, key, size),) = client.system
            found = Path(f"/dev/shm{key}").read_bytes()
    finally:
        memory.close()
    assert (len(found), found[:36]) == (size, IMAGE.tobytes() + TOKENS.tobytes())
    assert not Path(f"/dev/shm{key}").exists()


# In memory of a GPU.


def test_a_region_of_a_gpu_is_introduced_by_its_handle_and_device(client, library):
    use(Shared(client, kind="cuda", library=library, device=1))
    (region,) = library.made
    assert region.where == (SMALLEST, 1)
    assert client.cuda == [(region.name, f"raw {region.name}", 1, SMALLEST)]
    assert client.system == []


# By the setting.


def test_inline_needs_no_library():
    assert memory_of("inline") is Inline


def test_system_memory_needs_no_more_than_the_client(client):
    made = memory_of("system")
    assert isinstance(made, partial)
    assert isinstance(made(client), Shared)


def test_cuda_memory_without_its_library_names_the_setting_and_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda", None)
    monkeypatch.delitem(sys.modules, "tritonclient.utils.cuda_shared_memory", raising=False)
    with pytest.raises(
        ConfigurationError, match=r"CARDEX_TRITON_MEMORY=cuda.*tritonclient\[cuda\]"
    ):
        memory_of("cuda")
