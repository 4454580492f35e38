"""The fast kernels: float32, Numba with explicit SIMD (simd.py). Each module compiles when it is first imported.

Nothing here checks its arguments: the dispatcher (kernels/dispatch.py) sends only what a kernel can do.
Arrays must be C-contiguous; they may be read-only.
"""
