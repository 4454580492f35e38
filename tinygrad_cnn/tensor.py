"""Tensor: an array that remembers how it was made. Its operators and most of its methods are the ops themselves."""

from __future__ import annotations

import itertools
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeAlias, overload

import numpy as np

from tinygrad_cnn import autograd, locks, ops, random
from tinygrad_cnn.autograd import Node, Variable, is_grad_enabled, wrap
from tinygrad_cnn.dtypes import can_cast, dtype_of
from tinygrad_cnn.ops.shape import unfold_along

if TYPE_CHECKING:
    from tinygrad_cnn.graph.step import BackwardSteps
    from tinygrad_cnn.random import Generator

__all__ = ["Handle", "Tensor", "check_device", "device"]

# Some methods below carry these names, so annotations inside the class need others.
_Bool: TypeAlias = bool
_Float: TypeAlias = float
_Int: TypeAlias = int


class device(str):  # noqa: N801 - PyTorch's name
    """Where tensors live: "cpu", the only device."""

    __slots__ = ()

    def __new__(cls, type: str = "cpu") -> device:
        check_device("device", type)
        return super().__new__(cls, "cpu")

    @property
    def type(self) -> str:
        """The kind of the device: "cpu"."""
        return "cpu"

    def __repr__(self) -> str:
        return "device(type='cpu')"


def check_device(name: str, device: Any) -> None:
    """Raise unless `device` is None or the CPU."""
    if device is not None and str(device) not in ("cpu", "cpu:0"):
        raise ValueError(
            f"{name}: device is {str(device)!r}, but only 'cpu' exists here: this framework runs on the CPU"
        )


def _swapped(function: Callable[..., Tensor], name: str) -> Callable[[Tensor, Any], Tensor]:
    """The reflected operator: `2 - t` is `sub(2, t)`."""

    def method(self: Tensor, other: Any) -> Tensor:
        return function(other, self)

    method.__name__ = name
    return method


def _unless_none(function: Callable[..., Any], name: str) -> Callable[[Tensor, Any], Any]:
    """`==` or `!=`, which compares with None as any object does: by being the same."""

    def method(self: Tensor, other: Any) -> Any:
        return NotImplemented if other is None else function(self, other)

    method.__name__ = name
    return method


def _unpacked(lengths: tuple[Any, ...], named: Any = None) -> Any:
    """`x.view(2, 3)` and `x.view((2, 3))` are the same; so are `x.flip(0)` and `x.flip(dims=[0])`."""
    if named is not None:
        return tuple(named)
    return tuple(lengths[0]) if len(lengths) == 1 and isinstance(lengths[0], (tuple, list)) else lengths


def _float_format(array: np.ndarray[Any, Any]) -> Callable[[Any], str]:
    """How floats are printed: as PyTorch does, whole numbers without decimals, others with four, or scientific."""
    sizes = np.abs(array[np.isfinite(array) & (array != 0)].astype(np.float64))
    if not (sizes % 1).any() and (not sizes.size or sizes.max() < 1e8):
        spec = ".0f"
    elif sizes.max() / sizes.min() > 1000 or sizes.max() >= 1e8 or sizes.min() < 1e-4:
        spec = ".4e"
    else:
        spec = ".4f"

    def text(x: Any) -> str:
        return f"{x:{spec}}." if spec == ".0f" and np.isfinite(x) else f"{x:{spec}}"

    width = max((len(text(x)) for x in array.ravel()), default=0) if array.size <= 1000 else 0
    return lambda x: text(x).rjust(width)


def _plain_index(index: Any) -> Any:
    """An index with the Tensors in it as arrays."""
    if isinstance(index, tuple):
        return tuple(_plain_index(i) for i in index)
    return index._array if isinstance(index, Variable) else index


def _shares_memory(tensor: Tensor) -> bool:
    """Whether somebody else may see this tensor's memory: who holds its array, or one that this is a view of.

    An op may return a view of an array that only it knew: then nobody else holds that one.
    """
    shared = sys.getrefcount(tensor._array) > 2  # the tensor's reference, and that of the call
    array = tensor._array
    while not shared and array.base is not None:
        shared = not isinstance(array.base, np.ndarray) or sys.getrefcount(array.base) > 2
        array = array.base
    return shared


def _in_place(function: Callable[..., Any]) -> Callable[..., Tensor]:
    """The in-place method of an op: `x.exp_()` makes the result of `x.exp()` the values of x."""
    name = function.__name__

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return self._change(f"{name}_", lambda x: function(x, *args, **kwargs), f"x.{name}(...)")

    method.__name__ = f"{name}_"
    method.__doc__ = f"`{name}` in place."
    return method


class Handle:
    """What registering a hook returns: `remove()` takes the hook away again."""

    counter: ClassVar[Any] = itertools.count()

    def __init__(self, hooks: dict[int, Any], hook: Any, prepend: bool = False) -> None:
        self.hooks = hooks
        self.key = next(Handle.counter)  # a key of its own: a second `remove` must not reach a later hook
        others = dict(hooks) if prepend else {}
        for key in others:
            del hooks[key]
        hooks.update({self.key: hook, **others})

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        self.hooks.pop(self.key, None)

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


class Tensor(Variable):
    """An n-dimensional array of numbers that can take part in a graph, with PyTorch's methods.

    `Tensor(data)` wraps an ndarray without a copy, and `Tensor(2, 3)` is PyTorch's old word for `empty(2, 3)`; use
    `tensor(data)` otherwise.
    """

    __slots__ = ()
    __hash__ = Variable.__hash__

    def __init__(self, data: Any = (), *lengths: _Int) -> None:
        if isinstance(data, Variable):
            self._array = data._array
        elif lengths or type(data) is int:
            self._array = np.empty((data, *lengths), dtype_of(None))
        else:
            self._array = (
                locks.share(np.asarray(data)) if isinstance(data, np.ndarray) else np.array(data, dtype_of(None))
            )
        self.tracked = False
        self.node = None
        self._grad = None
        self.hooks = None

    # ---- what it is ----

    @property
    def requires_grad(self) -> _Bool:
        """Whether gradients flow to this tensor."""
        return self.tracked

    @requires_grad.setter
    def requires_grad(self, value: _Bool) -> None:
        self.requires_grad_(value)

    @property
    def grad_fn(self) -> Node | None:
        """The recorded call that made this tensor, None for a leaf."""
        return self.node

    @property
    def is_leaf(self) -> _Bool:
        """Whether no recorded op made it."""
        return self.node is None

    @property
    def array(self) -> np.ndarray[Any, Any]:
        """The ndarray itself, sharing memory, of any tensor: `numpy()` gives it of one that does not require grad.

        It is read-only while a graph needs its values. A graph that comes to need them later keeps a copy of its own,
        since a view that NumPy made of this array before cannot be locked.
        """
        return locks.hand_out(self._array)

    @property
    def data(self) -> Tensor:
        """The same memory, cut off from the graph; or, assigned, another tensor's memory in place of this one's.

        Data of another shape or dtype raise a RuntimeError while a live graph would send this tensor a gradient of the
        old ones.
        """
        return wrap(self._array)

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"data: the new data are a {type(value).__name__}, expected a Tensor")
        if self.tracked and not value.is_floating_point():
            raise TypeError(f"data: this tensor requires grad, so it expects floats, the new data are {value.dtype}")
        if self.tracked and (value.shape, value.dtype) != (self.shape, self.dtype):
            needed = f"it is the result of {self.node!r}" if self.node is not None else autograd.user_of(self)
            if needed is not None:
                raise RuntimeError(
                    f"data: a live graph expects a gradient for this tensor of {self.dtype} {self.shape} ({needed}),"
                    f" the new data are {value.dtype} {value.shape}; run backward first, or let go of the graph"
                )
        self._array = value._array

    @property
    def ndim(self) -> _Int:
        """The number of dimensions."""
        return self._array.ndim

    @property
    def device(self) -> device:
        """Always the CPU."""
        return device("cpu")

    @property
    def itemsize(self) -> _Int:
        """The bytes of one element."""
        return self._array.itemsize

    @property
    def nbytes(self) -> _Int:
        """The bytes of all elements."""
        return self._array.nbytes

    @property
    def T(self) -> Tensor:  # noqa: N802 - PyTorch's name
        """The dimensions in reverse order."""
        return ops.permute(self, tuple(reversed(range(self.ndim))))

    @property
    def mT(self) -> Tensor:  # noqa: N802 - PyTorch's name
        """The last two dimensions swapped."""
        return ops.transpose(self, -2, -1)

    @overload
    def size(self, dim: None = None) -> tuple[_Int, ...]: ...
    @overload
    def size(self, dim: _Int) -> _Int: ...
    def size(self, dim: _Int | None = None) -> Any:
        """The shape, or the length of one dimension."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> _Int:
        """The number of dimensions."""
        return self._array.ndim

    def numel(self) -> _Int:
        """The number of elements."""
        return self._array.size

    nelement = numel

    def element_size(self) -> _Int:
        """The bytes of one element."""
        return self._array.itemsize

    def is_floating_point(self) -> _Bool:
        """Whether the elements are floats."""
        return self.dtype.kind == "f"

    @property
    def is_cuda(self) -> _Bool:
        """False."""
        return False

    def is_contiguous(self) -> _Bool:
        """Whether the elements stand in memory in order, without gaps."""
        return self._array.flags.c_contiguous

    def __len__(self) -> _Int:
        if not self.ndim:
            raise TypeError("len: a tensor without dimensions has no length")
        return len(self._array)

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("iter: a tensor without dimensions cannot be iterated over")
        return (self[i] for i in range(len(self._array)))

    def __contains__(self, value: Any) -> _Bool:
        return bool((self._array == getattr(value, "_array", value)).any())

    # ---- out of it ----

    def item(self) -> _Int | _Float | _Bool:
        """The one element as a Python number."""
        if self._array.size != 1:
            raise ValueError(f"item: the tensor has shape {self.shape}, expected one element")
        number: _Int | _Float | _Bool = self._array.item()
        return number

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return self._array.tolist()

    def numpy(self, *, force: _Bool = False) -> np.ndarray[Any, Any]:
        """The `array`, sharing memory; of a tensor that requires grad only by `force`."""
        if self.tracked and not force:
            raise RuntimeError("numpy: this tensor requires grad, and NumPy cannot record; use t.detach().numpy()")
        return self.array

    def __array__(self, dtype: Any = None, copy: _Bool | None = None) -> np.ndarray[Any, Any]:
        if not self.tracked:
            array = np.array(self._array, dtype, copy=copy)
            if array is not self._array and array.base is None:
                return array  # a copy: nobody outside gets to know the memory
        return np.array(self.numpy(), dtype, copy=copy)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        from tinygrad_cnn import numpy_api

        return numpy_api.apply_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        from tinygrad_cnn import numpy_api

        return numpy_api.apply_function(func, args, kwargs)

    def __bool__(self) -> _Bool:
        if self._array.size != 1:
            raise ValueError(f"bool: the tensor has shape {self.shape}; use all() or any()")
        return bool(self._array.item())

    def __float__(self) -> _Float:
        return float(self.item())

    def __int__(self) -> _Int:
        return int(self.item())

    def __index__(self) -> _Int:
        if self.dtype.kind not in "iub":
            raise TypeError(f"index: the tensor holds {self.dtype}, expected integers")
        return int(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    def __repr__(self) -> str:
        formats: Any = {"float_kind": _float_format(self._array)} if self.dtype.kind == "f" else None
        text = np.array2string(self._array, separator=", ", prefix="tensor(", formatter=formats)
        if self.dtype not in (dtype_of(None), np.int64, np.bool_):
            text += f", dtype={self.dtype}"
        if self.node is not None:
            text += f", grad_fn=<{self.node.op.name}>"
        elif self.tracked:
            text += ", requires_grad=True"
        return f"tensor({text})"

    def __deepcopy__(self, memo: dict[_Int, Any]) -> Tensor:
        if self.node is not None:
            raise ValueError("deepcopy: only leaves can be copied deeply; use detach() first")
        new = memo[id(self)] = type(self).__new__(type(self))
        new.__setstate__((self._array.copy(), self.tracked))
        return new

    def __reduce__(self) -> Any:
        if self.node is not None:
            raise ValueError("pickle: only leaves can be pickled; use detach() first")
        # Copies, on both ways: what holds the bytes may be somebody else's, by the pickle protocol 5.
        return (type(self).__new__, (type(self),), (self._array.copy(), self.tracked))

    def __setstate__(self, state: Any) -> None:
        Tensor.__init__(self)
        array, self.tracked = state
        self._array = array if array.base is None else array.copy()

    def __copy__(self) -> Tensor:
        if self.node is not None:
            raise ValueError("copy: only leaves can be copied; use detach() first")
        new = type(self).__new__(type(self))
        Tensor.__init__(new, self)
        new.tracked = self.tracked
        return new

    # ---- others of its dtype ----

    def _made(self, function: str, *args: Any, dtype: Any, **options: Any) -> Tensor:
        """What the creation function of that name makes, of this tensor's dtype if none is given."""
        from tinygrad_cnn import creation

        made: Tensor = getattr(creation, function)(*args, dtype=self.dtype if dtype is None else dtype, **options)
        return made

    def new_tensor(self, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: _Bool = False) -> Tensor:
        """A copy of `data` as a tensor of this one's dtype: `x.new_tensor([1, 2])`."""
        return self._made("tensor", data, dtype=dtype, device=device, requires_grad=requires_grad)

    def new_zeros(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: _Bool = False) -> Tensor:
        """Zeros of this tensor's dtype: `x.new_zeros(2, 3)` or `x.new_zeros((2, 3))`.

        >>> import tinygrad_cnn as tg
        >>> tg.tensor([7]).new_zeros(2)
        tensor([0, 0])
        """
        return self._made("zeros", *size, dtype=dtype, device=device, requires_grad=requires_grad)

    def new_ones(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: _Bool = False) -> Tensor:
        """Ones of this tensor's dtype."""
        return self._made("ones", *size, dtype=dtype, device=device, requires_grad=requires_grad)

    def new_empty(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: _Bool = False) -> Tensor:
        """Unset elements of this tensor's dtype."""
        return self._made("empty", *size, dtype=dtype, device=device, requires_grad=requires_grad)

    def new_full(
        self, size: Any, fill_value: _Float, *, dtype: Any = None, device: Any = None, requires_grad: _Bool = False
    ) -> Tensor:
        """`fill_value` everywhere, in this tensor's dtype."""
        return self._made("full", size, fill_value, dtype=dtype, device=device, requires_grad=requires_grad)

    # ---- into other types ----

    def to(
        self,
        *args: Any,
        dtype: Any = None,
        device: Any = None,
        non_blocking: _Bool = False,
        copy: _Bool = False,
        memory_format: Any = None,
    ) -> Tensor:
        """The same values in another dtype: `x.to(tg.float64)`, `x.to("cpu")`, `x.to(other)`.

        The tensor itself where nothing changes, unless `copy`. What speaks of other devices has no effect.
        """
        for x in args:
            if isinstance(x, Tensor):
                dtype = x.dtype
            elif isinstance(x, str) and x.split(":")[0] in ("cpu", "cuda", "mps", "xpu", "meta"):
                device = x
            elif not isinstance(x, bool):
                dtype = x
        check_device("to", device)
        if dtype is None or dtype_of(dtype) == self.dtype:
            return ops.clone(self) if copy else self
        return ops.cast(self, dtype_of(dtype))

    def type(self, dtype: Any) -> Tensor:
        """The same values in another dtype."""
        return self.to(dtype)

    def type_as(self, other: Tensor) -> Tensor:
        """The same values in the dtype of `other`."""
        return self.to(other.dtype)

    def half(self) -> Tensor:
        """As float16."""
        return self.to(np.float16)

    def double(self) -> Tensor:
        """As float64."""
        return self.to(np.float64)

    def long(self) -> Tensor:
        """As int64."""
        return self.to(np.int64)

    def short(self) -> Tensor:
        """As int16."""
        return self.to(np.int16)

    def byte(self) -> Tensor:
        """As uint8."""
        return self.to(np.uint8)

    def float(self) -> Tensor:
        """As float32."""
        return self.to(np.float32)

    def int(self) -> Tensor:
        """As int32."""
        return self.to(np.int32)

    def bool(self) -> Tensor:
        """As booleans."""
        return self.to(np.bool_)

    def cpu(self) -> Tensor:
        """The tensor itself: it is on the CPU already."""
        return self

    def contiguous(self, memory_format: Any = None) -> Tensor:
        """The tensor itself, or a copy in order where its memory is not."""
        return self if self._array.flags.c_contiguous else ops.clone(self)

    def cuda(self, *_: Any) -> NoReturn:
        """There is none."""
        raise RuntimeError(
            "cuda: there is no CUDA here; this framework runs on the CPU, and .cpu() or .to('cpu') do nothing"
        )

    # ---- gradients ----

    def backward_steps(self, gradient: Tensor | None = None, *, model: Any = None) -> BackwardSteps:
        """Backward in single steps: iterate over what it returns, or go on `until` a module.

        See `graph.backward_steps`. model: gives the picture of the steps its names.
        """
        from tinygrad_cnn.graph.step import backward_steps

        return backward_steps(self, gradient, model=model)

    def backward(
        self, gradient: Any = None, retain_graph: _Bool | None = None, create_graph: _Bool = False, inputs: Any = None
    ) -> None:
        """Add the gradient of this tensor to the `.grad` of each leaf that it depends on.

        gradient: the gradient that comes in, of this tensor's shape; it may be left out where there is one element.
        """
        autograd.backward(self, gradient, retain_graph, create_graph, inputs)

    def requires_grad_(self, requires_grad: _Bool = True) -> Tensor:
        """Switch on or off that gradients flow to this leaf; only floats can."""
        if requires_grad and self.dtype.kind != "f":
            raise TypeError(f"requires_grad_: only floats can require grad, this tensor holds {self.dtype}")
        if not requires_grad and self.node is not None:
            raise ValueError("requires_grad_: this tensor is the result of an op; use detach() to cut it off")
        self.tracked = requires_grad or self.node is not None
        return self

    def detach(self) -> Tensor:
        """The same memory as a tensor of its own that no graph knows."""
        return wrap(self._array)

    def detach_(self) -> Tensor:
        """Cut this very tensor off from its graph."""
        self.node = None
        self.tracked = False
        return self

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Handle:
        """Call `hook` with this tensor's gradient when backward has it; what it returns, if anything, replaces it."""
        if not self.tracked:
            raise ValueError("register_hook: this tensor does not require grad, so no gradient will come")
        edge = self.edge
        if edge.hooks is None:
            edge.hooks = {}
        return Handle(edge.hooks, hook)

    def retain_grad(self) -> None:
        """Fill `.grad` of this result of an op too, when backward passes it."""
        if self.node is None:
            return
        if self.node.hooks is None:
            self.node.hooks = {}
        target = weakref.ref(self)

        def keep(g: Tensor) -> None:
            tensor = target()
            if tensor is not None:
                tensor.grad = g if tensor.grad is None else tensor.grad + g

        self.node.hooks[sys.maxsize] = keep  # after all other hooks, and once

    # ---- in place ----

    def _change(self, name: str, change: Callable[[Tensor], Any], functional: str) -> Tensor:
        """Make `change(x)` the values of this tensor x. While a graph needs the old ones, that raises.

        A result that is to be recorded gives the tensor a new array and a new node, so its memory must be its own.
        The errors name the functional form.
        """
        if self.tracked and self.node is None and is_grad_enabled():
            raise RuntimeError(f"{name}: this leaf requires grad; change it under no_grad(), or use {functional}")
        if (holder := autograd.holder(self._array)) is not None:
            raise RuntimeError(f"{name}: a live graph still needs this tensor's values ({holder}); use {functional}")
        shared = _shares_memory(self)
        before = wrap(self._array, self.node)
        out = change(before)
        out = out if isinstance(out, Variable) else wrap(np.asarray(out))
        if out.shape != self.shape:
            raise ValueError(f"{name}: the result has shape {out.shape}, the tensor {self.shape}")
        if not can_cast(out.dtype, self.dtype):
            raise TypeError(f"{name}: the result is {out.dtype}, which does not go into a tensor of {self.dtype}")
        if not out.tracked and not (self.tracked and is_grad_enabled()):
            np.copyto(locks.writeable(self), out._array, casting="unsafe")
            return self
        if shared:
            raise RuntimeError(
                f"{name}: this tensor shares its memory, and a gradient is to be recorded; use {functional}"
            )
        if not out.tracked:  # overwritten: a gradient of 0 goes on to what was there before
            out = ops.where(True, out, before)
        out = out if out.dtype == self.dtype else ops.cast(out, self.dtype)
        self._array, self.node, self.tracked = out._array, out.node, out.tracked
        return self

    def zero_(self) -> Tensor:
        """Set every element to 0."""
        return self._change("zero_", lambda x: np.zeros(x.shape, x.dtype), "zeros_like(x)")

    def fill_(self, value: Any) -> Tensor:
        """Set every element to `value`."""
        return self._change("fill_", lambda x: np.full(x.shape, value, x.dtype), "full_like(x, value)")

    def copy_(self, src: Any, non_blocking: _Bool = False) -> Tensor:
        """Take over the values of `src`, which broadcasts to this shape; non_blocking changes nothing."""
        source = src if isinstance(src, Variable) else wrap(np.asarray(src))
        return self._change("copy_", lambda x: ops.cast(ops.broadcast_to(source, x.shape), x.dtype), "src.clone()")

    def fill_diagonal_(self, fill_value: _Float, wrap: _Bool = False) -> Tensor:
        """Set the main diagonal to `fill_value`: the elements all of whose positions are equal.

        wrap: in a matrix higher than wide, begin again after each N columns, with a row between. With more than two
        dimensions their lengths must be equal.

        >>> import tinygrad_cnn as tg
        >>> tg.zeros(2, 2).fill_diagonal_(3)
        tensor([[3., 0.],
                [0., 3.]])
        """
        mask = np.zeros(self.shape, bool)
        np.fill_diagonal(mask, True, wrap)
        return self._change("fill_diagonal_", lambda x: ops.where(mask, fill_value, x), "where(mask, value, x)")

    def normal_(self, mean: _Float = 0.0, std: _Float = 1.0, *, generator: Generator | None = None) -> Tensor:
        """Fill with normal numbers."""
        stream = (generator or random.default_generator).numpy
        return self._change("normal_", lambda x: stream.normal(mean, std, x.shape).astype(x.dtype), "randn_like(x)")

    def uniform_(self, from_: _Float = 0.0, to: _Float = 1.0, *, generator: Generator | None = None) -> Tensor:
        """Fill with uniform numbers between `from_` and `to`."""
        stream = (generator or random.default_generator).numpy
        return self._change("uniform_", lambda x: stream.uniform(from_, to, x.shape).astype(x.dtype), "rand_like(x)")

    def __setitem__(self, index: Any, value: Any) -> None:
        if is_grad_enabled() and (self.tracked or (isinstance(value, Variable) and value.tracked)):
            self._change("t[i] = v", lambda x: ops.index_put(x, index, value), "index_put(t, i, v)")
            return
        if (holder := autograd.holder(self._array)) is not None:
            raise RuntimeError(f"t[i] = v: a live graph still needs the values of t ({holder}); use index_put(t, i, v)")
        locks.writeable(self)[_plain_index(index)] = value._array if isinstance(value, Variable) else value

    abs_ = _in_place(ops.abs)
    acos_ = _in_place(ops.acos)
    add_ = _in_place(ops.add)
    addcdiv_ = _in_place(ops.addcdiv)
    addcmul_ = _in_place(ops.addcmul)
    addmm_ = _in_place(ops.addmm)
    asin_ = _in_place(ops.asin)
    atan2_ = _in_place(ops.atan2)
    atan_ = _in_place(ops.atan)
    baddbmm_ = _in_place(ops.baddbmm)
    bitwise_and_ = _in_place(ops.bitwise_and)
    bitwise_not_ = _in_place(ops.bitwise_not)
    bitwise_or_ = _in_place(ops.bitwise_or)
    bitwise_xor_ = _in_place(ops.bitwise_xor)
    ceil_ = _in_place(ops.ceil)
    clamp_ = _in_place(ops.clamp)
    clamp_max_ = _in_place(ops.clamp_max)
    clamp_min_ = _in_place(ops.clamp_min)
    clip_ = _in_place(ops.clip)
    cos_ = _in_place(ops.cos)
    cosh_ = _in_place(ops.cosh)
    cumprod_ = _in_place(ops.cumprod)
    cumsum_ = _in_place(ops.cumsum)
    div_ = _in_place(ops.div)
    eq_ = _in_place(ops.eq)
    erf_ = _in_place(ops.erf)
    exp2_ = _in_place(ops.exp2)
    exp_ = _in_place(ops.exp)
    expm1_ = _in_place(ops.expm1)
    floor_ = _in_place(ops.floor)
    floor_divide_ = _in_place(ops.floor_divide)
    ge_ = _in_place(ops.ge)
    gt_ = _in_place(ops.gt)
    index_add_ = _in_place(ops.index_add)
    index_put_ = _in_place(ops.index_put)
    le_ = _in_place(ops.le)
    lerp_ = _in_place(ops.lerp)
    log10_ = _in_place(ops.log10)
    log1p_ = _in_place(ops.log1p)
    log2_ = _in_place(ops.log2)
    log_ = _in_place(ops.log)
    logical_and_ = _in_place(ops.logical_and)
    logical_not_ = _in_place(ops.logical_not)
    logical_or_ = _in_place(ops.logical_or)
    logical_xor_ = _in_place(ops.logical_xor)
    lt_ = _in_place(ops.lt)
    masked_fill_ = _in_place(ops.masked_fill)
    mul_ = _in_place(ops.mul)
    nan_to_num_ = _in_place(ops.nan_to_num)
    ne_ = _in_place(ops.ne)
    neg_ = _in_place(ops.neg)
    pow_ = _in_place(ops.pow)
    reciprocal_ = _in_place(ops.reciprocal)
    relu_ = _in_place(ops.relu)
    remainder_ = _in_place(ops.remainder)
    round_ = _in_place(ops.round)
    rsqrt_ = _in_place(ops.rsqrt)
    scatter_ = _in_place(ops.scatter)
    scatter_add_ = _in_place(ops.scatter_add)
    scatter_reduce_ = _in_place(ops.scatter_reduce)
    sigmoid_ = _in_place(ops.sigmoid)
    sign_ = _in_place(ops.sign)
    sin_ = _in_place(ops.sin)
    sinc_ = _in_place(ops.sinc)
    sinh_ = _in_place(ops.sinh)
    sqrt_ = _in_place(ops.sqrt)
    square_ = _in_place(ops.square)
    sub_ = _in_place(ops.sub)
    tan_ = _in_place(ops.tan)
    tanh_ = _in_place(ops.tanh)
    tril_ = _in_place(ops.tril)
    triu_ = _in_place(ops.triu)
    true_divide_ = _in_place(ops.true_divide)
    trunc_ = _in_place(ops.trunc)

    __iadd__ = add_
    __isub__ = sub_
    __imul__ = mul_
    __itruediv__ = div_
    __ifloordiv__ = floor_divide_
    __imod__ = remainder_
    __ipow__ = pow_
    __iand__ = bitwise_and_
    __ior__ = bitwise_or_
    __ixor__ = bitwise_xor_

    # ---- operators ----

    __add__ = ops.add
    __radd__ = _swapped(ops.add, "__radd__")
    __sub__ = ops.sub
    __rsub__ = _swapped(ops.sub, "__rsub__")
    __mul__ = ops.mul
    __rmul__ = _swapped(ops.mul, "__rmul__")
    __truediv__ = ops.div
    __rtruediv__ = _swapped(ops.div, "__rtruediv__")
    __floordiv__ = ops.floor_divide
    __rfloordiv__ = _swapped(ops.floor_divide, "__rfloordiv__")
    __mod__ = ops.remainder
    __rmod__ = _swapped(ops.remainder, "__rmod__")
    __pow__ = ops.pow
    __rpow__ = _swapped(ops.pow, "__rpow__")
    __matmul__ = ops.matmul
    __rmatmul__ = _swapped(ops.matmul, "__rmatmul__")
    __neg__ = ops.neg
    __abs__ = ops.abs
    __eq__ = _unless_none(ops.eq, "__eq__")
    __ne__ = _unless_none(ops.ne, "__ne__")
    __lt__ = ops.lt
    __le__ = ops.le
    __gt__ = ops.gt
    __ge__ = ops.ge
    __and__ = ops.bitwise_and
    __rand__ = ops.bitwise_and
    __or__ = ops.bitwise_or
    __ror__ = ops.bitwise_or
    __xor__ = ops.bitwise_xor
    __rxor__ = ops.bitwise_xor
    __invert__ = ops.bitwise_not
    __getitem__: ClassVar[Callable[[Tensor, Any], Tensor]] = ops.getitem  # a function of ops, which gives Any

    def __pos__(self) -> Tensor:
        return self

    # ---- methods that take lengths or dimensions one by one ----

    def reshape(self, *lengths: Any, shape: Any = None) -> Tensor:
        """The same elements in another shape: `x.reshape(2, -1)`."""
        return ops.reshape(self, _unpacked(lengths, shape))

    def view(self, *shape: Any) -> Tensor:
        """The same elements in another shape: `x.view(2, -1)`; as `reshape`, it copies where memory asks for it."""
        return ops.reshape(self, _unpacked(shape))

    def permute(self, *order: Any, dims: Any = None) -> Tensor:
        """The dimensions in another order."""
        return ops.permute(self, _unpacked(order, dims))

    def tile(self, *counts: Any, dims: Any = None) -> Tensor:
        """As `repeat`, with missing leading counts taken as 1."""
        out: Tensor = ops.tile(self, _unpacked(counts, dims))
        return out

    def flip(self, *along: Any, dims: Any = None) -> Tensor:
        """The elements in reverse order along the dimensions."""
        return ops.flip(self, _unpacked(along, dims))

    def view_as(self, other: Tensor) -> Tensor:
        """The same elements in the shape of `other`."""
        return ops.reshape(self, other.shape)

    def reshape_as(self, other: Tensor) -> Tensor:
        """The same elements in the shape of `other`."""
        return ops.reshape(self, other.shape)

    def expand_as(self, other: Tensor) -> Tensor:
        """The input expanded to the shape of `other`."""
        out: Tensor = ops.expand(self, *other.shape)
        return out

    def multinomial(
        self, num_samples: _Int, replacement: _Bool = False, *, generator: Generator | None = None
    ) -> Tensor:
        """Positions drawn with these weights; see `tinygrad_cnn.multinomial`."""
        from tinygrad_cnn import creation

        return creation.multinomial(self, num_samples, replacement, generator=generator)

    def where(self, condition: Any, other: Any) -> Tensor:
        """This tensor's elements where `condition` is true, those of `other` elsewhere."""
        out: Tensor = ops.where(condition, self, other)
        return out

    # ---- methods that are the ops themselves ----
    abs = ops.abs
    acos = ops.acos
    add = ops.add
    addcdiv = ops.addcdiv
    addcmul = ops.addcmul
    addmm = ops.addmm
    all = ops.all
    allclose = ops.allclose
    amax = ops.amax
    amin = ops.amin
    any = ops.any
    argmax = ops.argmax
    argmin = ops.argmin
    argsort = ops.argsort
    asin = ops.asin
    atan = ops.atan
    atan2 = ops.atan2
    bitwise_and = ops.bitwise_and
    bitwise_not = ops.bitwise_not
    bitwise_or = ops.bitwise_or
    bitwise_xor = ops.bitwise_xor
    baddbmm = ops.baddbmm
    bincount = ops.bincount
    bmm = ops.bmm
    broadcast_to = ops.broadcast_to
    ceil = ops.ceil
    chunk = ops.chunk
    clamp = ops.clamp
    clamp_max = ops.clamp_max
    clamp_min = ops.clamp_min
    clip = ops.clip
    clone = ops.clone
    cos = ops.cos
    cosh = ops.cosh
    count_nonzero = ops.count_nonzero
    cumprod = ops.cumprod
    cumsum = ops.cumsum
    diag = ops.diag
    diagonal = ops.diagonal
    div = ops.div
    dot = ops.dot
    eq = ops.eq
    equal = ops.equal
    erf = ops.erf
    exp = ops.exp
    exp2 = ops.exp2
    expand = ops.expand
    expm1 = ops.expm1
    flatten = ops.flatten
    floor = ops.floor
    floor_divide = ops.floor_divide
    gather = ops.gather
    ge = ops.ge
    gt = ops.gt
    hardshrink = ops.hardshrink
    index_add = ops.index_add
    index_put = ops.index_put
    index_select = ops.index_select
    isclose = ops.isclose
    isfinite = ops.isfinite
    isinf = ops.isinf
    isnan = ops.isnan
    le = ops.le
    lerp = ops.lerp
    log = ops.log
    log10 = ops.log10
    log1p = ops.log1p
    log2 = ops.log2
    log_softmax = ops.log_softmax
    logaddexp = ops.logaddexp
    logical_and = ops.logical_and
    logical_not = ops.logical_not
    logical_or = ops.logical_or
    logical_xor = ops.logical_xor
    logsumexp = ops.logsumexp
    lt = ops.lt
    masked_fill = ops.masked_fill
    masked_select = ops.masked_select
    matmul = ops.matmul
    max = ops.max
    maximum = ops.maximum
    mean = ops.mean
    min = ops.min
    minimum = ops.minimum
    mm = ops.mm
    movedim = ops.movedim
    mul = ops.mul
    mv = ops.mv
    nan_to_num = ops.nan_to_num
    narrow = ops.narrow
    ne = ops.ne
    neg = ops.neg
    nonzero = ops.nonzero
    norm = ops.norm
    outer = ops.outer
    pow = ops.pow
    prod = ops.prod
    ravel = ops.ravel
    reciprocal = ops.reciprocal
    relu = ops.relu
    remainder = ops.remainder
    repeat = ops.repeat
    repeat_interleave = ops.repeat_interleave
    roll = ops.roll
    round = ops.round
    rsqrt = ops.rsqrt
    scatter = ops.scatter
    scatter_add = ops.scatter_add
    scatter_reduce = ops.scatter_reduce
    select = ops.select
    sigmoid = ops.sigmoid
    sign = ops.sign
    sin = ops.sin
    sinc = ops.sinc
    sinh = ops.sinh
    softmax = ops.softmax
    sort = ops.sort
    split = ops.split
    sqrt = ops.sqrt
    square = ops.square
    squeeze = ops.squeeze
    std = ops.std
    sub = ops.sub
    sum = ops.sum
    swapaxes = ops.swapaxes
    t = ops.t
    take_along_dim = ops.take_along_dim
    tan = ops.tan
    tanh = ops.tanh
    topk = ops.topk
    trace = ops.trace
    transpose = ops.transpose
    tril = ops.tril
    triu = ops.triu
    true_divide = ops.true_divide
    trunc = ops.trunc
    unbind = ops.unbind
    unflatten = ops.unflatten
    unfold = unfold_along
    unique = ops.unique
    unsqueeze = ops.unsqueeze
    var = ops.var


Variable.kind = Tensor  # the one knot: the engine makes Tensors, and Tensor is built on the engine


# Type checkers see the ops in the class; what runs are plain functions, which Python calls faster.
for _name, _method in list(vars(Tensor).items()):
    if isinstance(_method, autograd.Op):
        setattr(Tensor, _name, _method.method())
