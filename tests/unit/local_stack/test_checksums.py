from pathlib import PurePosixPath

import pytest

from cardex.domain.errors import ConfigurationError
from cardex.local_stack.checksums import PublishedFile, parse_checksums, top_level_or_below

HASH = "a" * 64


@pytest.mark.parametrize("line", ["{} {}", "{}  {}", "{} *{}", "{}\t{} ", "\n{} {}\r\n"])
def test_lines_of_every_tool_are_read(line):
    text = line.format(HASH.upper(), "records100/00000/00001_lr.dat")
    path = PurePosixPath("records100/00000/00001_lr.dat")
    assert parse_checksums(text, "S") == [PublishedFile(path, HASH)]


@pytest.mark.parametrize(
    "path",
    [
        "../outside", "a/../../outside", "/etc/passwd", "..", "a/..", "..\\outside", "C:\\x", "C:x",
        "a\x00b", "a\x1b[2J", ".", "//host/share",
    ],
)  # fmt: skip
def test_a_path_that_leaves_the_folder_is_refused(path):
    with pytest.raises(ConfigurationError, match=r"S, line 2: the path .* leaves the folder"):
        parse_checksums(f"{HASH} fine\n{HASH} {path}\n", "S")


@pytest.mark.parametrize("line", ["<!doctype html>", "a" * 63 + " x", f"{HASH}", f"x{HASH} y"])
def test_another_text_is_refused_by_its_line(line):
    with pytest.raises(ConfigurationError, match="S, line 1"):
        parse_checksums(line, "S")


def test_the_files_of_some_folders_are_chosen():
    names = ["LICENSE.txt", "records100/a", "records500/b", "records1000/c"]
    files = [PublishedFile(PurePosixPath(name), HASH) for name in names]
    chosen = top_level_or_below(files, "records100")
    assert [str(file.path) for file in chosen] == names[:2]
