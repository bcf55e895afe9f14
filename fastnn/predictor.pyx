"""Predictor: a model's prediction, apart from the model, with the parameters in the order in which kernels read them.

    pack        every layer prepares its parameters once (`Node.pack`); a pass reads them where the kernels in use are
                those that they were prepared for, and else the parameters as they stand

Nobody but this class sees the copy of the model, so its parameters cannot change.

Reference: fastnn_ref/predictor.py.
"""

import copy

from libc.stdint cimport INT64_MAX

from fastnn.model cimport Model, as_batch_size, fewer
from fastnn.network cimport Network, Node, Twin, set_seed, walk

from fastnn_ref.shared.objects import attributes_of, check_instance, put_attributes
from fastnn_ref.shared.prediction import classes_by, proba_by


cdef Model prepared(Model model, object seed, object dtype, list streams):
    """A copy of a model, which draws from the same random numbers, ready for predictions."""
    cdef Network network = model.climb()
    cdef Node node
    nodes = [node for _, node in walk(model, "")]
    set_seed(network, seed)
    network.chosen_dtype = dtype
    for node in nodes:
        node.own_gradients.clear()
    network.wake()
    for node, stream in zip(nodes, streams):
        node.stream = stream
    network.pack()
    return model


cdef list streams_of(Model model):
    cdef Node node
    return [node.stream for _, node in walk(model, "")]


cdef class Predictor:
    """Predictor(model)\n--\n\n"""

    cdef Model model
    cdef bint is_of_users                           # has the model's class a predict of its own?

    def __init__(self, model):
        cdef Network network
        cdef Twin twin = None
        check_instance("model", model, Model)
        network = (<Model>model).climb()
        if network.is_taken():                      # by another thread that predicts; until give_back nobody trains
            twin = network.borrow()
        else:
            (<Model>model).lock_in(network, False)
        try:
            network.wake()
            self.take(prepared(copy.deepcopy(model), network.seed, network.found_dtype, streams_of(model)))
        finally:
            if twin is None:
                network.unlock()
            else:
                network.give_back(twin)

    cdef int take(self, Model model) except -1:
        self.model, self.is_of_users = model, type(model).predict is not Model.predict
        return 0

    cdef Model ready(self):
        if self.model is None:
            raise RuntimeError(f"{type(self).__name__}: made without a call of __init__")
        return self.model

    @property
    def dtype(self):
        return self.ready().dtype

    @property
    def input_shape(self):
        return self.ready().input_shape

    def output_shape(self, shape):
        return self.ready().output_shape(shape)

    def __call__(self, x):
        if self.is_of_users or type(self) is not Predictor:     # a user's class may have a predict of its own
            return self.predict(x)
        return self.ready().predict_batches(x, 1024)

    def predict(self, x, batch_size=1024):
        if self.is_of_users:
            return self.model.predict(x, batch_size)
        return self.ready().predict_batches(x, fewer(as_batch_size(batch_size), INT64_MAX))

    def predict_proba(self, x, batch_size=1024, multilabel=False):
        return proba_by(self.ready(), self.predict, x, batch_size, multilabel)

    def predict_classes(self, x, batch_size=1024, multilabel=False):
        return classes_by(self.ready(), self.predict, x, batch_size, multilabel)

    def __repr__(self):
        return f"{type(self).__name__}({self.ready()!r})"

    def __copy__(self):
        return copy.deepcopy(self)

    def __reduce__(self):
        cdef Model model = self.ready()
        cdef Network network = model.climb()
        return restored, (type(self), copy.deepcopy(model), network.seed, network.found_dtype, streams_of(model),
                          attributes_of(self))


def restored(kind, model, seed, dtype, streams, attributes):
    """What copy and pickle call."""
    cdef Predictor predictor = kind.__new__(kind)
    predictor.take(prepared(model, seed, dtype, streams))
    put_attributes(predictor, attributes or {})
    return predictor
