"""Where a kernel has the fields of its structures, from its headers: they hold no numbers, so the compiler is asked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from podcorder_agent.recorder.bcc.clang import SourceRefused, compile_text
from podcorder_agent.recorder.bcc.headers import Headers
from podcorder_agent.recorder.errors import CompilationFailed
from podcorder_agent.recorder.instructions import INSTRUCTION
from podcorder_agent.recorder.kernel_types import VOID

_QUESTIONS = "questions"
_ERROR = re.compile(r"^([^\s:]+):(\d+):\d+: (?:fatal )?error: (.*)$", re.MULTILINE)
_OLD_BCC = "#define OLD_BCC\n"
"""Asks kernel_headers.h for what older ones of bcc lack."""
_HELPERS = "include/uapi/linux/bpf.h"
_TRACEPOINTS = "include/trace/events"
_PROTOTYPE = r"\b(?:TRACE_EVENT|DEFINE_EVENT|DECLARE_TRACE)\w*\(\s*(?:\w+,\s*)?{},\s*TP_PROTO\(([^;{{}}]*?)\),\s*TP_"
_POINTER = re.compile(r"(?:const\s+)?(?:(?:struct|union)\s+(\w+)|(void))\s*\*\s*\w+")
_EVERYTHING = ("-ferror-limit=0", "-Wno-everything", "-fms-extensions")


class HeaderTypes:
    """Answers what KernelTypes does, for the structures of kernel.h."""

    def __init__(self, headers: Headers, includes: str, fields: Iterable[tuple[str, str]]) -> None:
        """`includes`: the text that includes the headers. `fields`: all that will be asked for.

        Raises CompilationFailed.
        """
        self._headers = headers
        fields = list(fields)
        questions = [f"__builtin_offsetof(struct {structure}, {field})" for structure, field in fields]
        questions += [f"sizeof(struct {structure})" for structure, _ in fields]
        try:
            self._answers = _ask(headers, includes, sorted(set(questions)))
        except CompilationFailed:
            self._answers = _ask(headers, f"{_OLD_BCC}{includes}", sorted(set(questions)))

    def size_of(self, name: str) -> int | None:
        """Bytes of a structure; None: it is in no header."""
        return self._answers.get(f"sizeof(struct {name})")

    def offset_of(self, structure: str, field: str) -> int | None:
        """Bytes from its beginning; None: it is in no header, or single bits."""
        return self._answers.get(f"__builtin_offsetof(struct {structure}, {field})")

    def has_helper(self, name: str) -> bool:
        """Whether programs may call `bpf_NAME`."""
        listed = (self._headers.source / _HELPERS).read_text(
            errors="replace"
        )  # bcc puts a list of its own in its place
        return re.search(rf"\bFN\({name}[,)]", listed) is not None

    def pointees(self, tracepoint: str) -> list[str] | None:
        """For each argument of a raw tracepoint what structure it points to; None: no header declares it.

        VOID where the header does not say, empty where the argument is no pointer to a structure.
        """
        return find_pointees(self._headers.source / _TRACEPOINTS, tracepoint)


def find_pointees(directory: Path, tracepoint: str) -> list[str] | None:
    """As the headers of a directory declare it."""
    declaration = re.compile(_PROTOTYPE.format(tracepoint))
    for path in sorted(directory.glob("*.h")):
        found = declaration.search(path.read_text(errors="replace"))
        if found:
            return [_pointee(argument) for argument in found[1].split(",")]
    return None


def _pointee(argument: str) -> str:
    pointer = _POINTER.fullmatch(argument.strip())
    return (pointer[1] or VOID) if pointer else ""


def _ask(headers: Headers, includes: str, questions: list[str]) -> dict[str, int]:
    """The number that each C expression stands for; those that the compiler does not understand are left out."""
    answers = _compile(headers, includes, questions)
    if isinstance(answers, set):
        questions = [each for number, each in enumerate(questions, 1) if number not in answers]
        answers = _compile(headers, includes, questions)
    if isinstance(answers, set):
        raise CompilationFailed("the kernel's headers do not say the same twice")
    return answers


def _compile(headers: Headers, includes: str, questions: list[str]) -> dict[str, int] | set[int]:
    """Each number, or which of the questions, counted from 1, are not understood. Raises CompilationFailed.

    Each is a function of its own on a line of its own: by that it is known again, in errors and in instructions.
    """
    functions = [f"int answer_{number}(void *context) {{ return {each}; }}" for number, each in enumerate(questions)]
    text = "\n".join([includes, f'#line 1 "{_QUESTIONS}"', *functions, ""])
    names = [f"answer_{number}" for number in range(len(questions))]
    try:
        compiled = compile_text(text, names, [*headers.include_flags(), *_EVERYTHING], headers.source)
    except SourceRefused as refusal:
        errors = [(Path(name).name, int(line), error) for name, line, error in _ERROR.findall(str(refusal))]
        elsewhere = [f"{name}:{line}: {error}" for name, line, error in errors if name != _QUESTIONS]
        if elsewhere or not errors:
            reason = elsewhere[0] if elsewhere else "it does not say why"
            raise CompilationFailed(f"bcc cannot read the headers in {headers.built} ({reason})") from None
        return {line for _, line, _ in errors}
    return {each: INSTRUCTION.unpack_from(compiled[name])[3] for name, each in zip(names, questions, strict=True)}
