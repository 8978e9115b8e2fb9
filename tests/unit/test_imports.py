"""Imports go one way: domain <- signals, inference, stores <- retrieval <- worker, gateway <- web."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

SERVICES = Path(__file__).resolve().parents[2] / "services"

# room: the rooms that it may import. A room that is not listed (stack, cli, client, ...) is at the top.
ALLOWED = {
    "domain":    "",
    "signals":   "domain",
    "inference": "domain signals",
    "stores":    "domain",
    "retrieval": "domain signals inference stores",
    "pb":        "",
    "process":   "domain",
    "wire":      "domain stores pb",
    "worker":    "domain signals inference stores retrieval wire pb process",
    "gateway":   "domain signals inference stores retrieval wire pb process",
    "web":       "domain wire pb process",
    "evaluation": "domain signals inference retrieval",
    "serving":   "domain signals inference retrieval evaluation",
    "training":  "domain signals inference retrieval evaluation serving",
}  # fmt: skip

# Single modules that a room may import beyond the table.
BESIDE = {
    "services.wire.channel": {"services.gateway.door"},
    "services.web.process": {"services.gateway.door"},
}

# package: the only rooms that may import it.
ONLY_IN = {
    "torch": {"training"},
    "onnxruntime": {"evaluation", "serving", "training"},
    "tensorrt": {"serving"},
    "tensorrt_rtx": {"serving"},
    "fastapi": {"web"},
    "celery": {"stores", "worker"},
    "tritonclient": {"inference"},
    "pymilvus": {"stores"},
    "ecgdatakit": {"signals"},
}

# room: packages that it must never import.
NEVER_IN = {
    "domain": {"grpc", "celery", "fastapi", "redis", "pymilvus", "tritonclient"},
    "signals": {"grpc", "celery", "fastapi", "redis", "pymilvus", "tritonclient"},
    "retrieval": {"grpc", "celery", "fastapi", "redis", "pymilvus", "tritonclient"},
    "worker": {"fastapi"},
    "gateway": {"fastapi"},
}

MODULES = sorted(SERVICES.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(SERVICES.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    _, _, rest = module.partition(".")
    return rest.partition(".")[0]


@cache
def imports_of(path: Path) -> frozenset[str]:
    """Return every module that a file imports, also inside functions."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    package = name_of(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (
                [f"{module}.{a.name}" for a in node.names] if module == "services" else [module]
            )


def rooms_imported(path: Path) -> Iterator[tuple[str, str]]:
    for module in imports_of(path):
        room = room_of(module)
        if module.startswith("services.") and (
            (SERVICES / room).is_dir() or (SERVICES / f"{room}.py").is_file()
        ):
            yield room, module


def test_every_restricted_room_exists():
    there = {room_of(name_of(path)) for path in MODULES}
    assert ALLOWED.keys() <= there


def test_imports_inside_functions_are_seen():
    assert "services.gateway.process" in imports_of(SERVICES / "cli.py")


@pytest.mark.parametrize(
    "path", [path for path in MODULES if room_of(name_of(path)) in ALLOWED], ids=name_of
)
def test_a_module_imports_only_rooms_below_its_own(path):
    module, own = name_of(path), room_of(name_of(path))
    allowed = {own, *ALLOWED[own].split()}
    upwards = {
        imported
        for room, imported in rooms_imported(path)
        if room not in allowed and imported not in BESIDE.get(module, set())
    }
    assert not upwards


@pytest.mark.parametrize("package", ONLY_IN)
def test_a_package_stays_in_its_rooms(package):
    users = {
        room_of(name_of(path))
        for path in MODULES
        if package in {module.partition(".")[0] for module in imports_of(path)}
    }
    assert users <= ONLY_IN[package]


@pytest.mark.parametrize("room", NEVER_IN)
def test_a_room_never_imports_what_would_tie_it_to_an_edge(room):
    packages = {
        module.partition(".")[0]
        for path in MODULES
        if room_of(name_of(path)) == room
        for module in imports_of(path)
    }
    assert not packages & NEVER_IN[room]


def test_retrieval_knows_no_messages_of_the_contract():
    modules = {m for path in (SERVICES / "retrieval").glob("*.py") for m in imports_of(path)}
    assert not [module for module in modules if module.startswith("services.pb")]
