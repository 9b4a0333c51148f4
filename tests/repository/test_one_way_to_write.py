"""Every file that the package writes goes through `files.write_file`: atomic, flushed, whole."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "napari_noisyseg"

# What the modules may do themselves that hold up the rule for all others.
EXEMPT = {
    "files.py": {"open", "replace"},
    "annotation/whole_folders.py": {"rename"},  # moves a whole folder of finished files into place
    "cli/console.py": {"open"},  # the null device, in place of a closed descriptor
    # A measure table gives its JSON as a text; `write_file` writes it.
    "cli/evaluate_command.py": {"to_json"},
    "cli/predict_command.py": {"to_json"},
    # A large map's memory: a file without a name, gone with the process.
    "plugin/layers/array_room.py": {"memmap", "TemporaryFile"},
    "model/locks.py": {"open"},  # the empty file that the system's lock is on
}

# Names of functions and methods that write to a path, whatever they are called on.
WRITERS = {
    "write_text", "write_bytes", "savez", "savez_compressed", "savetxt", "tofile", "to_csv",
    "to_json", "to_excel", "to_parquet", "to_pickle", "to_html", "savefig", "write_image",
    "copyfile", "copy2", "copytree", "copyfileobj", "rename", "renames", "truncate", "mkstemp",
    "NamedTemporaryFile", "TemporaryFile", "FileHandler", "open_memmap", "symlink_to",
    "hardlink_to", "write_html", "extractall", "FileIO", "TiffWriter",
}  # fmt: skip
# Names that write to a path, or to a buffer in memory, which is what they must be given here.
WRITERS_TO_BUFFERS = {"save", "imwrite", "imsave", "dump", "writePNG", "export"}
OPENERS = {"open", "fdopen", "memmap", "GzipFile", "BZ2File", "LZMAFile", "ZipFile", "TarFile"}
HARMLESS_FLAGS = {
    "O_RDONLY", "O_BINARY", "O_NONBLOCK", "O_NOFOLLOW", "O_DIRECTORY", "O_CLOEXEC",
}  # fmt: skip


def other_ways(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of every call that may write a file in another way."""
    tree = ast.parse(source)
    buffers = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _is_new_buffer(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    } | {
        item.optional_vars.id
        for node in ast.walk(tree)
        if isinstance(node, ast.With)
        for item in node.items
        if _is_new_buffer(item.context_expr) and isinstance(item.optional_vars, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := _name(node.func)):
            values = [*node.args, *(word.value for word in node.keywords)]
            if name in WRITERS:
                yield node.lineno, name
            elif name in WRITERS_TO_BUFFERS and values:
                if not any(_is_buffer(value, buffers) for value in values[:2]):
                    yield node.lineno, name
            elif name in OPENERS and not _only_reads(node):
                if not any(_is_buffer(value, buffers) for value in values[:1]):
                    yield node.lineno, name
            # Path.replace and os.replace: str.replace has two or three texts.
            elif name == "replace" and (len(values) == 1 or _is_os(node.func)):
                yield node.lineno, name


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _is_os(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id in ("os", "shutil")
    )


def _is_new_buffer(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and _name(value.func) in ("BytesIO", "StringIO")


def _is_buffer(value: ast.expr, buffers: set[str]) -> bool:
    return _is_new_buffer(value) or (isinstance(value, ast.Name) and value.id in buffers)


def _only_reads(call: ast.Call) -> bool:
    name = _name(call.func)
    modes = [word.value for word in call.keywords if word.arg == "mode"]
    if name == "open" and _is_os(call.func):
        flags = {node.attr for node in ast.walk(call.args[1]) if isinstance(node, ast.Attribute)}
        return bool(flags) and flags <= HARMLESS_FLAGS
    # Image.open(path), path.open(), tarfile.open(path): the mode is the text among the arguments.
    texts = [
        argument
        for argument in call.args
        if not isinstance(argument, ast.Constant) or isinstance(argument.value, str)
    ]
    if not modes and name == "open" and isinstance(call.func, ast.Attribute) and call.args:
        first = call.args[0]
        is_mode = isinstance(first, ast.Constant) and str(first.value)[:1] in ("r", "w", "a", "x")
        modes = texts[:1] if is_mode else texts[1:2]
    elif not modes:
        modes = texts[1:2]
    if not modes:
        return name != "memmap"  # whose default is to write
    return all(
        isinstance(mode, ast.Constant)
        and isinstance(mode.value, str)
        and not set(mode.value) & set("wax+")
        for mode in modes
    )


def test_the_package_writes_files_in_no_other_way() -> None:
    found = []
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 10
    for path in files:
        place = path.relative_to(PACKAGE).as_posix()
        for line, name in other_ways(path.read_text("utf-8")):
            if name not in EXEMPT.get(place, ()):
                found.append(f"{place}:{line} {name}")
    assert not found, "use napari_noisyseg.files.write_file: " + ", ".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "open(path, 'w')",
        "open(path, mode='ab')",
        "open(path, 'r+')",
        "open(path, mode)",
        "path.open('x')",
        "path.open(mode='w')",
        "io.open(path, 'wb')",
        "gzip.open(path, 'wt')",
        "os.open(path, os.O_WRONLY | os.O_CREAT)",
        "os.open(path, flags)",
        "os.fdopen(number, 'w')",
        "path.write_text('a')",
        "path.write_bytes(b'a')",
        "np.save(path, array)",
        "np.savez(path, array)",
        "array.tofile(path)",
        "np.memmap(path)",
        "np.memmap(path, mode='w+')",
        "torch.save(state, path)",
        "torch.save(state, f=path)",
        "torch.save(state, open(path, 'wb'))",
        "tifffile.imwrite(path, array)",
        "imsave(path, array)",
        "image.save(path)",
        "image.save(folder / 'a.png')",
        "json.dump(values, stream)",
        "table.to_csv(path)",
        "figure.savefig(path)",
        "zipfile.ZipFile(path, 'w')",
        "os.replace(one, other)",
        "one.replace(other)",
        "one.rename(other)",
        "shutil.copyfile(one, other)",
        "tempfile.NamedTemporaryFile()",
        "logging.FileHandler(path)",
    ],
)
def test_another_way_to_write_is_found(source: str) -> None:
    assert list(other_ways(source))


@pytest.mark.parametrize(
    "source",
    [
        "open(path)",
        "open(path, 'rb')",
        "open(path, mode='r', encoding='utf-8')",
        "path.open()",
        "path.open('rb')",
        "Image.open(path)",
        "os.open(path, os.O_RDONLY | getattr(os, 'O_BINARY', 0))",
        "os.fdopen(number, 'rb')",
        "np.memmap(path, mode='r')",
        "np.load(path)",
        "buffer = io.BytesIO()\ntorch.save(state, buffer)",
        "buffer = BytesIO()\nnp.save(buffer, array)\nimage.save(buffer, format='PNG')",
        "with io.BytesIO() as buffer:\n    tifffile.imwrite(buffer, array)",
        "zipfile.ZipFile(stream)",
        "buffer = io.BytesIO()\nzipfile.ZipFile(buffer, 'w')",
        "text.replace('a', 'b')",
        "write_file(path, content)",
        "json.dumps(values)",
    ],
)
def test_reading_and_writing_to_memory_are_allowed(source: str) -> None:
    assert not list(other_ways(source))
