"""The house rules of ARCHITECTURE.md, checked. What breaks one is fixed, or listed here with its reason.

A list only shrinks: an entry that is no longer needed fails too. `python -m tests.test_architecture` prints the sizes.
"""

from __future__ import annotations

import ast
import functools
import io
import re
import statistics
import subprocess
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("gateway", "policies", "adapters")
STDLIB = frozenset(sys.stdlib_module_names)
HEAVY = frozenset({
    "cryptography", "jinja2", "litellm", "llama_cpp", "numpy", "onnx", "onnxruntime", "opentelemetry",
    "prometheus_client", "qdrant_client", "tiktoken", "usearch",
})  # fmt: skip
ACTING = frozenset({"asyncio", "http", "io", "logging", "os", "selectors", "socket", "ssl", "subprocess", "threading"})
POLICIES_FOR_ADAPTERS = ("policies.vocabulary", "policies.usage", "policies.redaction")  # words; what no text may show
CLOCKS_AND_DICE = frozenset({"random", "secrets", "time", "uuid"})
MUTATORS = frozenset({"add", "append", "clear", "extend", "insert", "pop", "popitem", "remove", "setdefault", "update"})

# --- the exceptions: what, and why ---

WITHOUT_MIRROR: dict[str, str] = {
    "adapters/base.py": "protocols and plain values; every adapter's test goes through them",
    "gateway/call.py": "plain values; every stage's test makes them",
    "gateway/embedding/embedder.py": "a protocol",
    "gateway/state/answers/store.py": "tested in tests/answer_store_suite.py",
    "gateway/state/limits/store.py": "tested in tests/limit_store_suite.py",
    "gateway/state/replays/store.py": "tested in tests/replay_store_suite.py",
    "gateway/errors.py": "the error tree, without behaviour of its own",
    "gateway/records/request_event.py": "tested in tests/test_log_docs.py",
    "gateway/upstream.py": "protocols and plain values",
    "gateway/version.py": "one constant",
    "policies/cache_rules.py": "plain values",
    "gateway/signals/sending.py": "protocols and plain values",
    "gateway/signals/span_values.py": "plain values; every test of spans makes them",
    "policies/tariffs.py": "plain values",
    "policies/usage.py": "plain values",
    "policies/vocabulary.py": "the glossary as plain values",
}
TESTS_WITHOUT_MODULE: dict[str, str] = {}
MANY_PARAMETERS: dict[str, str] = {}
HEAVY_AT_MODULE_LEVEL: dict[str, str] = {
    "gateway/local/choosing/constraint.py": "runs in the engine's worker process only",
    "gateway/local/binding/context.py": "runs in the engine's worker process only",
    "gateway/local/choosing/draws.py": "runs in the engine's worker process only",
    "gateway/local/binding/lora.py": "runs in the engine's worker process only",
    "gateway/local/choosing/sampling.py": "runs in the engine's worker process only",
    "gateway/local/scheduling/state_folder.py": "runs in the engine's worker process only",
    "gateway/local/preparing/template.py": "runs in the engine's worker process only",
    "gateway/local/preparing/template_sandbox.py": "runs in the engine's worker process only",
    "gateway/local/binding/vector_context.py": "runs in the engine's worker process only",
    "gateway/local/measuring/vectors.py": "runs in the engine's worker process only",
    "gateway/local/choosing/vocabulary.py": "runs in the engine's worker process only",
    "gateway/signals/metric_otlp.py": "imported when the configuration sends metrics by OTLP",
    "gateway/signals/otlp.py": "imported when the configuration names an OTLP endpoint",
    "gateway/signals/otlp_posting.py": "imported by the two above",
}
MUTABLE_GLOBALS: dict[str, str] = {}


def check_listed(found: Mapping[str, str], listed: Mapping[str, str]) -> None:
    """What was found is exactly what is listed; says which entry to mend or to strike out."""
    unlisted = [f"{key}: {detail}" for key, detail in found.items() if key not in listed]
    outlived = [f"{key}: listed as an exception, but no longer needed" for key in listed if key not in found]
    problems = "\n".join(unlisted + outlived)
    assert not problems, problems


# --- reading the tree ---


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@functools.cache
@functools.cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def has_code(path: Path) -> bool:
    """An `__init__.py` with nothing but a docstring is a signpost, not a module."""
    return path.name != "__init__.py" or len(parse(path).body) > 1


def modules() -> list[Path]:
    return [path for path in sources(*PACKAGES) if has_code(path)]


Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[tuple[str, Function]]:
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{name_of(path)}:{node.name}", node


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module named by an import anywhere below `tree`; `from a import b` gives `a.b` (b may be a module)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def runtime_imports(body: list[ast.stmt]) -> Iterator[str]:
    """What importing a module imports with it: not what functions import, nor what type checkers see alone."""
    for node in body:
        if is_type_checking(node) or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imports(node)
        for field in ("body", "orelse", "finalbody"):
            yield from runtime_imports(getattr(node, field, []))


# --- mirror ---


def test_each_module_has_its_test() -> None:
    found = {}
    for path in modules():
        stem = path.parent.name if path.name == "__init__.py" else path.stem.strip("_")
        test = ROOT / "tests" / path.relative_to(ROOT).parent / f"test_{stem}.py"
        if not test.exists():
            found[name_of(path)] = f"has no {name_of(test)}"
    check_listed(found, WITHOUT_MIRROR)


def test_what_others_test_is_tested_there() -> None:
    """An exception that names a test file names one that exists."""
    named = [reason.removeprefix("tested in ") for reason in WITHOUT_MIRROR.values() if reason.startswith("tested in ")]
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_each_mirrored_test_has_its_module() -> None:
    found = {}
    for test in sources(*(f"tests/{package}" for package in PACKAGES)):
        if test.name.startswith("test_"):
            folder = ROOT / test.relative_to(ROOT / "tests").parent
            stem = test.stem.removeprefix("test_")
            if not any((folder / name).exists() for name in (f"{stem}.py", f"__{stem}__.py", "__init__.py")):
                found[name_of(test)] = "tests no module of that name"
    check_listed(found, TESTS_WITHOUT_MODULE)


# --- imports go one way ---


@pytest.mark.parametrize("path", sources("policies"), ids=name_of)
def test_policies_import_the_standard_library_and_each_other(path: Path) -> None:
    for name in imports(parse(path)):
        assert name.split(".")[0] in STDLIB | {"policies"}, name
    for name in runtime_imports(parse(path).body):
        assert name.split(".")[0] not in ACTING | CLOCKS_AND_DICE, f"{name}: `now` and `rng` are arguments"


@pytest.mark.parametrize("path", sources("adapters"), ids=name_of)
def test_adapters_translate_and_never_see_a_socket(path: Path) -> None:
    for name in imports(parse(path)):
        top = name.split(".")[0]
        assert top in STDLIB - ACTING | {"adapters", "msgspec"} or name.startswith(POLICIES_FOR_ADAPTERS), name


@pytest.mark.parametrize("path", sources("policies", "adapters"), ids=name_of)
def test_nothing_points_back_at_the_gateway(path: Path) -> None:
    assert [name for name in imports(parse(path)) if name.split(".")[0] in {"gateway", "tests", "benchmarks"}] == []


@pytest.mark.parametrize("path", sources("gateway"), ids=name_of)
def test_the_gateway_needs_nothing_of_tests_scripts_or_benchmarks(path: Path) -> None:
    assert [name for name in imports(parse(path)) if name.split(".")[0] in {"tests", "scripts", "benchmarks"}] == []


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    found = {}
    for path in sources("gateway"):
        heavy = {name.split(".")[0] for name in runtime_imports(parse(path).body)} & HEAVY
        if heavy:
            found[name_of(path)] = f"imports {', '.join(sorted(heavy))} with the module"
    check_listed(found, HEAVY_AT_MODULE_LEVEL)


IMPORT_AND_TELL = """
import sys

def refuse(event, args):
    if event.startswith(("socket.", "subprocess.", "os.exec", "os.posix_spawn")):
        raise RuntimeError(f"import caused {{event}} {{args}}")

sys.addaudithook(refuse)
import gateway.app
print(*sorted({heavy} & sys.modules.keys()))
"""


def test_importing_the_application_loads_nothing_heavy_and_touches_no_network() -> None:
    program = IMPORT_AND_TELL.format(heavy=set(HEAVY))
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


# --- sizes ---


def function_lines() -> list[int]:
    return sorted((node.end_lineno or 0) - node.lineno + 1 for path in modules() for _, node in functions(path))


def file_lines() -> list[int]:
    return sorted(len(path.read_text().splitlines()) for path in modules())


def at_percent(ordered: list[int], percent: int) -> int:
    return ordered[len(ordered) * percent // 100]


def test_files_are_small() -> None:
    lines = file_lines()
    assert statistics.median(lines) < 120
    assert at_percent(lines, 90) < 250


def test_no_file_passes_the_ceiling() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in every_source()}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_functions_are_small() -> None:
    lines = function_lines()
    assert statistics.median(lines) < 10
    assert at_percent(lines, 90) < 30


def test_functions_take_few_parameters() -> None:
    found = {}
    for path in modules():
        for name, node in functions(path):
            given = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            count = len([argument for argument in given if argument.arg not in {"self", "cls"}])
            if count > 5:
                found[name] = f"takes {count} parameters"
    check_listed(found, MANY_PARAMETERS)


# --- state and names ---


def test_nothing_takes_arbitrary_keywords() -> None:
    found = [name for path in modules() for name, node in functions(path) if node.args.kwarg]
    assert found == []


def assigned_names(node: ast.stmt) -> Iterator[ast.Name]:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    for target in targets:
        for part in ast.walk(target) if target is not None else ():
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                yield part


def is_constant(name: str, node: ast.stmt) -> bool:
    if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation).startswith(("Final", "typing.Final")):
        return True
    is_type = re.fullmatch(r"_?[A-Z][A-Za-z0-9]*", name)
    return bool(name.startswith("__") or name in {"log", "logger"} or name.isupper() or is_type)


def mutations(path: Path) -> Iterator[str]:
    """Where a function changes a name of its module: `global`, `NAME[...] = `, `NAME.append(...)` and the like."""
    names = {name.id for node in parse(path).body for name in assigned_names(node)}
    for where, function in functions(path):
        for node in ast.walk(function):
            if isinstance(node, ast.Global):
                yield f"{where}: global {', '.join(node.names)}"
            changed = None
            if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
                changed = node.value
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
                changed = node.func.value
            if isinstance(changed, ast.Name) and changed.id in names:
                yield f"{where}: changes {changed.id}"


def test_modules_hold_no_state() -> None:
    found = {}
    for path in modules():
        for node in parse(path).body:
            for name in assigned_names(node):
                if not is_constant(name.id, node):
                    found[f"{name_of(path)}:{name.id}"] = "a module-level name that is not a constant"
        found |= dict.fromkeys(mutations(path), "a function changes its module")
    check_listed(found, MUTABLE_GLOBALS)


def every_source() -> list[Path]:
    return sources(*PACKAGES, "dashboards", "tests", "scripts", "benchmarks")


def test_names_say_what_a_file_is_for() -> None:
    vague = re.compile(r"(^|_)(utils?|helpers?|managers?|misc|common)(_|$)")
    assert [name_of(path) for path in every_source() if vague.search(path.stem)] == []


def test_no_work_is_left_as_a_remark() -> None:
    word = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
    assert [name_of(path) for path in every_source() if word.search(path.read_text())] == []


# --- the same as a table ---


def comments_per_hundred_lines() -> float:
    comments = lines = 0
    for path in modules():
        text = path.read_text()
        lines += len(text.splitlines())
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        comments += sum(token.type == tokenize.COMMENT and "noqa" not in token.string for token in tokens)
    return 100 * comments / lines


def report() -> str:
    """The sizes, one line each."""
    rows = [
        f"{len(lines)} {what}: median {statistics.median(lines):g} lines, 90% {at_percent(lines, 90)}, most {lines[-1]}"
        for what, lines in (("files", file_lines()), ("functions", function_lines()))
    ]
    return "\n".join([*rows, f"comments per hundred lines: {comments_per_hundred_lines():.1f}"])


if __name__ == "__main__":
    print(report())  # noqa: T201 - a report
