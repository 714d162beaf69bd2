"""How much stack a program takes: of each function, and along the deepest chain of calls as the verifier sums it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from budget.elf import CALL, Function

LIMIT = 512
"""Bytes, along any chain of calls (MAX_BPF_STACK)."""
_FRAME = 32
"""Each function's part is rounded up to this (check_max_stack_depth); newer kernels round to 16 where they can."""
_FRAME_POINTER = 10
_LOAD, _STORE, _STORE_REGISTER, _ALU64 = 1, 2, 3, 7
_LOAD_64 = 0x18
_MOVE, _ADD, _SUBTRACT = 0xB0, 0x00, 0x10
_FROM_REGISTER = 0x08
_CLOBBERED = range(6)


def own_depth(function: Function) -> int:
    """Bytes below the frame pointer that a function reaches: by access, or by an address that it makes.

    The instructions are read in the order in which they stand, so an address made on two ways may be taken for deeper
    than it is. The verifier's figure is smaller where it finds that code is never reached.
    """
    deepest = 0
    addresses = {_FRAME_POINTER: 0}
    for operation, registers, offset, number in function.instructions:
        target, source = registers & 0xF, registers >> 4
        kind = operation & 0x07
        if kind in (_STORE, _STORE_REGISTER) and target in addresses:
            deepest = min(deepest, addresses[target] + offset)
        elif kind == _LOAD and source in addresses:
            deepest = min(deepest, addresses[source] + offset)
        if operation == CALL:
            for each in _CLOBBERED:
                addresses.pop(each, None)
        elif operation == _ALU64 | _MOVE | _FROM_REGISTER and source in addresses:
            addresses[target] = addresses[source]
        elif operation in (_ALU64 | _ADD, _ALU64 | _SUBTRACT) and target in addresses:
            addresses[target] += number if operation == _ALU64 | _ADD else -number
            deepest = min(deepest, addresses[target])
        elif kind in (_LOAD, 4, _ALU64) or operation == _LOAD_64:
            addresses.pop(target, None)
    return -deepest


def chain_depth(functions: Mapping[str, Function], name: str, depths: Mapping[str, int]) -> int:
    """Bytes along the deepest chain of calls that begins in a function."""
    below = [chain_depth(functions, each, depths) for each in functions[name].callees]
    return _frame(depths[name]) + max(below, default=0)


def verified_depth(functions: Mapping[str, Function], name: str, depths: Sequence[int]) -> int:
    """The same from the verifier's own figures, which come in the order in which libbpf put the functions together.

    Where the verifier dropped one that is never called, all others are summed: that is never less.
    """
    order = _loaded_order(functions, name)
    if len(order) != len(depths):
        return sum_depths(depths)
    return chain_depth(functions, name, dict(zip(order, depths, strict=True)))


def sum_depths(depths: Sequence[int]) -> int:
    """Bytes, were each function called by the one before it."""
    return sum(map(_frame, depths))


def _loaded_order(functions: Mapping[str, Function], name: str) -> list[str]:
    """The program, then each function that it calls and what that calls, at the first call."""
    order = [name]
    for callee in functions[name].callees:
        order += [each for each in _loaded_order(functions, callee) if each not in order]
    return order


def called_functions(functions: Mapping[str, Function], name: str) -> list[Function]:
    """A program and all that it calls, each once."""
    return [functions[each] for each in _loaded_order(functions, name)]


def _frame(depth: int) -> int:
    """A function without a stack takes one byte of it."""
    return -(-max(depth, 1) // _FRAME) * _FRAME
