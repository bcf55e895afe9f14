"""Penalties and limits: large weights cost something, or are not allowed; and no gradient may be too long.

    L2          R = ½λ·Σ w²     g ← g + λ·w
    L1          R = λ·Σ |w|     after the update w ← sign(w)·max(|w| − η·λ, 0): exact zeros
    ElasticNet  both
    MaxNorm     no R            after the update each output unit's weights are scaled to a norm of at most c

η is the optimizer's step size for the weight (`Optimizer.step_size`, `fastnn_step_size`).

A network notes for each parameter that a penalty applies to what is to be done (`fastnn_constraint`); the step runs
over that list. The functions for clipping are called by hand, between ``backward`` and ``optimizer.step``; optimizers
have clipping as an argument, too.

Reference: fastnn_ref/penalty.py, which has the reasons and the sources.
"""


from fastnn._kernels cimport table
from fastnn.closed cimport Closed
from fastnn.layer cimport Layer
from fastnn.network cimport Network

from fastnn_ref.shared import checks
from fastnn_ref.shared.objects import check_instance


cdef class Penalty(Closed):
    """Penalty()\n--\n\n"""

    cdef readonly bint biases
    cdef bint is_made

    def __init__(self):
        self.check_unmade()
        self.is_made = True

    cdef bint made(self):
        return self.is_made

    @property
    def adds_to_loss(self):
        l1, l2, *_ = self._coefficients()
        return l1 > 0 or l2 > 0

    def applies_to(self, decays):
        self.check_made()
        return decays or self.biases

    def _coefficients(self):
        """(l1, l2, whether l1 is proximal, the largest norm or None): what the kernels are told."""
        return 0.0, 0.0, False, None


cdef class ElasticNet(Penalty):
    """ElasticNet(l1, l2, mode="proximal", biases=False)\n--\n\n"""

    cdef readonly double l1, l2
    cdef readonly str mode

    def __init__(self, l1, l2, mode="proximal", biases=False):
        l1, l2 = checks.as_number("l1", l1, 0), checks.as_number("l2", l2, 0)
        mode = checks.as_choice("mode", mode, ("proximal", "subgradient"))
        biases = checks.as_flag("biases", biases)
        Penalty.__init__(self)
        self.l1, self.l2, self.mode, self.biases = l1, l2, mode, biases

    def _coefficients(self):
        return self.l1, self.l2, self.mode == "proximal", None


cdef class L1(ElasticNet):
    """L1(strength, mode="proximal", biases=False)\n--\n\n"""

    def __init__(self, strength, mode="proximal", biases=False):
        ElasticNet.__init__(self, checks.as_number("strength", strength, 0), 0.0, mode, biases)

    @property
    def strength(self):
        return self.l1


cdef class L2(ElasticNet):
    """L2(strength, biases=False)\n--\n\n"""

    def __init__(self, strength, biases=False):
        ElasticNet.__init__(self, 0.0, checks.as_number("strength", strength, 0), biases=biases)

    @property
    def strength(self):
        return self.l2


cdef class MaxNorm(Penalty):
    """MaxNorm(limit)\n--\n\n"""

    cdef readonly double limit

    def __init__(self, limit):
        limit = checks.as_number("limit", limit, 0, low_open=True)
        Penalty.__init__(self)
        self.limit = limit

    def _coefficients(self):
        return 0.0, 0.0, False, self.limit


def clip_grad_norm(model, max_norm):
    cdef Layer layer = check_instance("model", model, Layer)
    cdef double limit = checks.as_number("max_norm", max_norm, 0, low_open=True)
    cdef Network network = layer.climb()
    network.wake()
    return network.clip_norm(table(network.real_size), limit)


def clip_grad_value(model, clip_value):
    cdef Layer layer = check_instance("model", model, Layer)
    cdef double limit = checks.as_number("clip_value", clip_value, 0, low_open=True)
    cdef Network network = layer.climb()
    network.wake()
    network.clamp_gradients(table(network.real_size), limit)
