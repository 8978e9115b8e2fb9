"""How tensors reach Triton: inside the request, or in memory that both processes have mapped."""

import atexit
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from cardex.domain.errors import ConfigurationError

SHORT_S = 2.0
"""How long the server may take to map a region."""
_KINDS = {np.dtype(np.uint8): "UINT8", np.dtype(np.int32): "INT32"}


class Memory(Protocol):
    """Lends each call what its tensors stand in."""

    def lend(self, tensors: Mapping[str, NDArray[Any]]) -> Any:  # noqa: ANN401
        """Return a context of the call's `InferInput`s; they are free again after it."""

    def forget(self) -> None:
        """Take nothing for granted that the server knew: it may be another one now."""


class Inline:
    """Tensors inside the request."""

    def __init__(self, client: triton.InferenceServerClient) -> None:
        """Need nothing of `client`."""

    @contextmanager
    def lend(self, tensors: Mapping[str, NDArray[Any]]) -> Iterator[list[triton.InferInput]]:
        """Copy the tensors into the request."""
        inputs = [_input(name, tensor) for name, tensor in tensors.items()]
        for made, tensor in zip(inputs, tensors.values(), strict=True):
            made.set_data_from_numpy(tensor)
        yield inputs

    def forget(self) -> None:
        """Know nothing."""


class Region:
    """One mapped piece of memory, and whether the server knows it."""

    def __init__(self, name: str, size: int, handle: Any) -> None:  # noqa: ANN401
        """Hold `handle`, as the library made it."""
        self.name = name
        self.size = size
        self.handle = handle
        self.known = False


class Shared:
    """Tensors in shared memory of this host: "system" (RAM) or "cuda" (one GPU's).

    Each call takes a region of its own from a pool, which grows to the calls in flight. Only inputs
    are shared: an ECG's answer has a kilobyte.
    """

    def __init__(
        self,
        client: triton.InferenceServerClient,
        *,
        kind: str,
        library: ModuleType,
        device: int = 0,
    ) -> None:
        """Share with the server behind `client`, by tritonclient's `library` of this kind."""
        self._client = client
        self._kind = kind
        self._library = library
        self._device = device
        self._prefix = f"cardex_{secrets.token_hex(4)}"
        self._free: list[Region] = []
        self._all: list[Region] = []
        self._lock = threading.Lock()
        atexit.register(self.close)

    @contextmanager
    def lend(self, tensors: Mapping[str, NDArray[Any]]) -> Iterator[list[triton.InferInput]]:
        """Copy the tensors into a region one after another."""
        needed = sum(tensor.nbytes for tensor in tensors.values())
        region = self._take(needed)
        try:
            if not region.known:
                self._introduce(region)
            arrays = [np.ascontiguousarray(tensor) for tensor in tensors.values()]
            with self._explained():
                self._library.set_shared_memory_region(region.handle, arrays)
            yield _placed(region.name, dict(zip(tensors, arrays, strict=True)))
        finally:
            with self._lock:
                self._free.append(region)

    def forget(self) -> None:
        """Introduce every region anew before its next use."""
        for region in self._all:
            region.known = False

    def close(self) -> None:
        """Give the memory back, here and at the server, if that is still there."""
        leave = getattr(self._client, f"unregister_{self._kind}_shared_memory")
        with self._lock:
            for region in self._all:
                with suppress(InferenceServerException):
                    leave(region.name, client_timeout=1.0)
                self._library.destroy_shared_memory_region(region.handle)
            self._all.clear()
            self._free.clear()

    def _take(self, needed: int) -> Region:
        with self._lock:
            for place, region in enumerate(self._free):
                if region.size >= needed:
                    return self._free.pop(place)
            region = self._make(needed)
            self._all.append(region)
            return region

    def _make(self, needed: int) -> Region:
        # The next power of two, so that micro-batches of any size share a few regions.
        size = 1 << max(16, (needed - 1).bit_length())
        name = f"{self._prefix}_{len(self._all)}"
        if self._kind == "cuda":
            make = partial(self._library.create_shared_memory_region, name, size, self._device)
        else:
            make = partial(self._library.create_shared_memory_region, name, f"/{name}", size)
        with self._explained():
            return Region(name, size, make())

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the library raises, an exception of its own for each kind, into one of the tree."""
        try:
            yield
        except Exception as error:
            raise ConfigurationError(
                f"cannot share {self._kind} memory with Triton ({error}): make room, or set"
                " CARDEX_TRITON_MEMORY=inline"
            ) from error

    def _introduce(self, region: Region) -> None:
        if self._kind == "cuda":
            handle = self._library.get_raw_handle(region.handle)
            introduce = partial(
                self._client.register_cuda_shared_memory,
                region.name, handle, self._device, region.size, client_timeout=SHORT_S,
            )  # fmt: skip
        else:
            introduce = partial(
                self._client.register_system_shared_memory,
                region.name, f"/{region.name}", region.size, client_timeout=SHORT_S,
            )  # fmt: skip
        try:
            introduce()
        except InferenceServerException as error:
            if "already in manager" not in str(error):
                raise
        region.known = True


def memory_of(kind: str) -> Any:  # noqa: ANN401  # a maker of Memory
    """Return what makes the memory of a kind: "inline", "system" or "cuda".

    Raises:
        ConfigurationError: if the libraries of that kind are not there.
    """
    if kind == "inline":
        return Inline
    try:
        if kind == "cuda":
            from tritonclient.utils import cuda_shared_memory as library
        else:
            from tritonclient.utils import shared_memory as library
    except (
        ImportError,
        RuntimeError,
    ) as error:  # it raises either where CUDA's bindings are missing
        raise ConfigurationError(
            f"CARDEX_TRITON_MEMORY={kind}: {error}; install `tritonclient[cuda]`, or set inline"
        ) from error
    return partial(Shared, kind=kind, library=library)


def _input(name: str, tensor: NDArray[Any]) -> triton.InferInput:
    return triton.InferInput(name, list(tensor.shape), _KINDS[tensor.dtype])


def _placed(region: str, tensors: Mapping[str, NDArray[Any]]) -> list[triton.InferInput]:
    offset = 0
    inputs = []
    for name, tensor in tensors.items():
        made = _input(name, tensor)
        made.set_shared_memory(region, tensor.nbytes, offset=offset)
        offset += tensor.nbytes
        inputs.append(made)
    return inputs
