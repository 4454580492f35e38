"""The registered ops, one family a file; forward and gradient rules stand together."""

from __future__ import annotations

from tinygrad_cnn.autograd import broadcast_to, cast, sum_to

# Under names of their own, since `linear` and `norm` are ops too.
from tinygrad_cnn.ops import activation as _activation
from tinygrad_cnn.ops import comparison as _comparison
from tinygrad_cnn.ops import conv as _conv
from tinygrad_cnn.ops import elementwise as _elementwise
from tinygrad_cnn.ops import index as _index
from tinygrad_cnn.ops import linear as _linear
from tinygrad_cnn.ops import loss as _loss
from tinygrad_cnn.ops import norm as _norm
from tinygrad_cnn.ops import pool as _pool
from tinygrad_cnn.ops import reduce as _reduce
from tinygrad_cnn.ops import shape as _shape
from tinygrad_cnn.ops import trigonometry as _trigonometry
from tinygrad_cnn.ops.activation import *
from tinygrad_cnn.ops.comparison import *
from tinygrad_cnn.ops.conv import *
from tinygrad_cnn.ops.elementwise import *
from tinygrad_cnn.ops.index import *
from tinygrad_cnn.ops.linear import *
from tinygrad_cnn.ops.loss import *
from tinygrad_cnn.ops.norm import *
from tinygrad_cnn.ops.pool import *
from tinygrad_cnn.ops.reduce import *
from tinygrad_cnn.ops.shape import *
from tinygrad_cnn.ops.trigonometry import *

__all__ = ["broadcast_to", "cast", "sum_to"]
__all__ += _activation.__all__
__all__ += _comparison.__all__
__all__ += _conv.__all__
__all__ += _elementwise.__all__
__all__ += _index.__all__
__all__ += _linear.__all__
__all__ += _loss.__all__
__all__ += _norm.__all__
__all__ += _pool.__all__
__all__ += _reduce.__all__
__all__ += _shape.__all__
__all__ += _trigonometry.__all__
__all__.sort()
