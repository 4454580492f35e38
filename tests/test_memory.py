"""The pool that kernels allocate from: arrays keep what is in them, memory comes back, and nobody else is concerned."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from processes import in_a_new_process

import tinygrad_cnn as tg
from tinygrad_cnn import kernels
from tinygrad_cnn.kernels.fast import load

allocator: Any = load("allocator")
PAGE_FAULTS = """
    import resource
    import numpy as np
    import tinygrad_cnn as tg
    from tinygrad_cnn import kernels, nn

    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3600, 10))
    x = tg.tensor(np.ones((64, 3, 32, 32), np.float32))

    def step():
        net.zero_grad()
        net(x).sum().backward()

    def faults():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            step()
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    step()
    faults()
"""


@pytest.fixture
def pool() -> Iterator[Any]:
    memory = allocator.new_pool()
    yield memory
    allocator.release.ctypes(memory.ctypes.data)
    assert memory[allocator.FREE] == 0
    assert memory[allocator.USED] == 0, "a test left a block behind"


def view(address: int, size: int) -> np.ndarray[Any, Any]:
    return np.frombuffer((ctypes.c_uint8 * size).from_address(address), np.uint8)


def holder_of(array: Any) -> str:
    return np._core.multiarray.get_handler_name(array)  # type: ignore[attr-defined, no-any-return]


def use(memory: Any, seed: int, rounds: int) -> None:
    """Many blocks of many sizes, taken, grown and given back in any order; each must keep what is written to it."""
    rng, pool, blocks = np.random.default_rng(seed), memory.ctypes.data, []
    for i in range(rounds):
        size = int(2 ** rng.uniform(0, 21))
        mark = (i * 7 + seed) % 251
        kind = rng.integers(4)
        if kind == 0 and blocks:
            address, old, written = blocks.pop(rng.integers(len(blocks)))
            address = allocator.realloc.ctypes(pool, address, size)
            assert (view(address, min(old, size)) == written).all()
        elif kind == 1:
            address = allocator.calloc.ctypes(pool, 1, size)
            assert not view(address, size).any()
        else:
            address = allocator.malloc.ctypes(pool, size)
        assert address % (64 if size >= 1024 else 16) == 0
        view(address, size)[:] = mark
        blocks.append((address, size, mark))
        while len(blocks) > 20:
            address, size, written = blocks.pop(rng.integers(len(blocks)))
            assert (view(address, size) == written).all()
            allocator.free.ctypes(pool, address, size)
    for address, size, written in blocks:
        assert (view(address, size) == written).all()
        allocator.free.ctypes(pool, address, size)


def test_a_block_keeps_what_is_written_to_it(pool: Any) -> None:
    use(pool, seed=0, rounds=3000)


def test_from_several_threads_at_once(pool: Any) -> None:
    """ctypes lets go of the GIL, so these are in the pool at the same time."""
    failed: list[BaseException] = []

    def job(seed: int) -> None:
        try:
            use(pool, seed, rounds=1000)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=job, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed[0]


@pytest.mark.parametrize(("size", "same"), [(100_000, True), (99_000, True), (55_000, True), (45_000, False)])
def test_a_freed_block_is_the_next_of_up_to_twice_the_size(pool: Any, size: int, same: bool) -> None:
    first = allocator.malloc.ctypes(pool.ctypes.data, 100_000)
    allocator.free.ctypes(pool.ctypes.data, first, 100_000)
    second = allocator.malloc.ctypes(pool.ctypes.data, size)
    assert (second == first) is same
    allocator.free.ctypes(pool.ctypes.data, second, size)


def test_what_is_held_is_at_most_twice_what_was_used(pool: Any) -> None:
    """Blocks of one size after the other: those of the first sizes go back to malloc."""
    at, most = pool.ctypes.data, 0
    for size in range(100_000, 3_000_000, 100_000):
        blocks = [allocator.malloc.ctypes(at, size) for _ in range(3)]
        for block in blocks:
            allocator.free.ctypes(at, block, size)
        most = max(most, int(pool[allocator.USED] + pool[allocator.FREE]))
        assert pool[allocator.USED] + pool[allocator.FREE] <= 2 * pool[allocator.PEAK]
    assert most > pool[allocator.PEAK]


def test_sizes_are_rounded_up_by_an_eighth_at_most() -> None:
    last = -1
    for size in [*range(32 * 1024, 34 * 1024, 7), *np.geomspace(1e5, 1e13, 500).astype(int).tolist()]:
        kind, rounded = allocator._class_of.py_func(size)
        assert size <= rounded <= size * 9 / 8
        assert last <= kind < allocator.CLASSES
        last = kind


def test_without_memory_there_is_none_and_nothing_breaks(pool: Any) -> None:
    at = pool.ctypes.data
    kept = allocator.malloc.ctypes(at, 1 << 20)
    allocator.free.ctypes(at, kept, 1 << 20)
    assert allocator.malloc.ctypes(at, 1 << 60) == 0
    assert pool[allocator.USED] == pool[allocator.FREE] == 0  # what was free went back before it gave up
    use(pool, seed=1, rounds=100)


def test_kernels_alone_allocate_from_it() -> None:
    x = tg.randn(8, 8, 16, 16, requires_grad=True)
    tg.nn.functional.conv2d(x, tg.randn(8, 8, 3, 3))  # loads the kernels
    with np.errstate():  # nothing of the caller's context changes
        y = tg.nn.functional.conv2d(x, tg.randn(8, 8, 3, 3))
        assert holder_of(np.empty(100_000)) == "default_allocator"
        (y * y).sum().backward()
        assert holder_of(np.empty(100_000)) == "default_allocator"
    assert x.grad is not None
    assert holder_of(y.array) == holder_of((y + 1).array) == holder_of(x.grad.array) == "tinygrad_cnn"
    before = kernels.reuse_memory(False)
    try:
        assert holder_of((y + 1).array) == "default_allocator"
    finally:
        assert kernels.reuse_memory(before) is False
    assert holder_of((y + 1).array) == "tinygrad_cnn"


def test_its_arrays_are_arrays_like_others() -> None:
    array = tg.nn.functional.relu(tg.randn(40, 50, 60)).array + 0
    pooled = tg.nn.functional.relu(tg.tensor(array)).numpy().copy()
    grown: Any = tg.exp(np.zeros(30_000))
    assert holder_of(grown) == "tinygrad_cnn"
    grown.resize((50_000,), refcheck=False)
    assert (grown[:30_000] == 1).all()
    assert not grown[30_000:].any()
    np.testing.assert_array_equal(pooled, array)


def test_a_step_has_no_page_faults() -> None:
    in_a_new_process(
        PAGE_FAULTS
        + """
    assert faults() < 100
    assert kernels.reuse_memory(False) is True
    faults()
    assert faults() > 1000
    assert kernels.reuse_memory() is False
    faults()
    assert faults() < 100
    """
    )


def test_the_environment_switches_it_off() -> None:
    in_a_new_process(PAGE_FAULTS + "    assert faults() > 1000", TINYGRAD_CNN_REUSE_MEMORY="0")


def test_memory_comes_back() -> None:
    in_a_new_process("""
    import tinygrad_cnn as tg
    from tinygrad_cnn import kernels

    def resident():
        with open("/proc/self/statm") as numbers:
            return int(numbers.read().split()[1]) * 4096

    x = tg.nn.functional.relu(tg.zeros(1, 100_000))  # loads the kernels
    before = resident()
    tensors = [tg.nn.functional.relu(tg.zeros(1, 3_000_000)) + 1 for _ in range(20)]
    del tensors
    assert resident() - before > 100e6
    kernels.reuse_memory(False)
    assert resident() - before < 50e6
    """)


def test_after_a_fork_and_at_the_end_of_the_process() -> None:
    """Arrays that live until the end are freed when little is left of the interpreter."""
    in_a_new_process("""
    import os
    import tinygrad_cnn as tg

    kept = [tg.nn.functional.relu(tg.zeros(1, 100_000)) for _ in range(10)]
    child = os.fork()
    kept += [tg.nn.functional.relu(tg.zeros(1, 100_000 + i)) for i in range(10)]
    del kept[:5]
    if child:
        assert os.waitpid(child, 0)[1] == 0
    """)


def test_kernels_do_without_a_pool_that_cannot_be_made() -> None:
    output = in_a_new_process("""
    import numpy as np
    from numpy._core import multiarray
    import tinygrad_cnn as tg
    from tinygrad_cnn.kernels import dispatch, memory

    def fails():
        raise OSError("no such symbol")

    memory._Numpy = fails
    y = [tg.nn.functional.relu(tg.zeros(1, 200_000)) for _ in range(3)][-1]
    assert "elementwise" in dispatch._modules and dispatch._broken is None
    assert multiarray.get_handler_name(y.array) == "default_allocator"
    """)
    assert output.count("memory is not reused between steps (OSError: no such symbol)") == 1


def test_switched_off_inside_a_backward() -> None:
    x = tg.ones(100_000, requires_grad=True)
    y = tg.nn.functional.relu(x)
    before = kernels.reuse_memory()
    try:
        y.register_hook(lambda g: kernels.reuse_memory(False) and None)
        y.sum().backward()
        assert holder_of((y + 1).array) == "default_allocator"
    finally:
        kernels.reuse_memory(before)
