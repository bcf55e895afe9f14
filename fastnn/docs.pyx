"""Docstrings: they stand in the reference, and are put onto compiled classes and functions when one is used first.

A compiled class has its constructor's signature as its docstring, a method or a function its own, which
`inspect.signature` reads; the text follows it here. In examples fastnn takes the place of fastnn_ref. Where Python has
dropped docstrings (-OO), there are none here either.
"""

import importlib
import sys

from cpython.object cimport PyObject
from cpython.type cimport PyType_Modified

from types import BuiltinFunctionType, GetSetDescriptorType, MethodDescriptorType

cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        const char *tp_doc
        PyObject *tp_dict
    ctypedef struct PyGetSetDef:
        const char *doc
    ctypedef struct PyGetSetDescrObject:
        PyGetSetDef *d_getset
    ctypedef struct PyMethodDef:
        const char *ml_doc
    ctypedef struct PyMethodDescrObject:
        PyMethodDef *d_method
    ctypedef struct PyCFunctionObject:
        PyMethodDef *m_ml

cdef list texts = []            # the bytes that C strings point to
cdef set done = set()           # the modules that have theirs


cdef object text_of(object thing):
    """The docstring of a part of the reference, its examples run by this package; None without one."""
    doc = getattr(thing, "__doc__", None) if hasattr(thing, "__get__") or isinstance(thing, type) else None
    return doc.replace("import numpy as np, fastnn_ref as nn", "import numpy as np, fastnn as nn").replace(
        "import fastnn_ref as nn", "import fastnn as nn") if doc else None


cdef const char *kept_bytes(object text) except NULL:
    data = text.encode()
    texts.append(data)
    return <const char *>data


cdef object find(object kind, object name):
    """What a class or a base of it has under a name, without its being called."""
    for base in kind.__mro__:
        if name in base.__dict__:
            return base.__dict__[name]
    return None


cdef const char *behind_signature(const char *doc, object text) except NULL:
    """The docstring in C: what `inspect.signature` reads there, and then the text."""
    signature, end, _ = (doc if doc != NULL else b"").decode().partition("\n--\n\n")
    return kept_bytes(signature + end + text if end else text)


cdef int set_doc(PyMethodDef *method, object text) except -1:
    method.ml_doc = behind_signature(method.ml_doc, text)
    return 0


cdef int attach_class(object kind, object original) except -1:
    """The docstrings of a compiled class, its methods and its properties."""
    from fastnn_ref.shared.parameter import Parameter       # `import fastnn` alone has no use for it

    cdef PyTypeObject *type_object = <PyTypeObject *><PyObject *>kind
    text = text_of(original)
    if text:
        type_object.tp_doc = behind_signature(type_object.tp_doc, text)
        (<object>type_object.tp_dict)["__doc__"] = text
        PyType_Modified(kind)
    for name, value in list(kind.__dict__.items()):
        if name[:2] == "__":
            continue
        text = text_of(find(original, name))
        if not text:
            continue
        if type(value) is GetSetDescriptorType:
            (<PyGetSetDescrObject *><PyObject *>value).d_getset.doc = kept_bytes(text)
        elif type(value) is Parameter:
            value.__doc__ = text
        elif type(value) is MethodDescriptorType:
            set_doc((<PyMethodDescrObject *><PyObject *>value).d_method, text)
    return 0


def attach(package, reference):
    """Puts the docstrings of ``reference`` onto everything compiled that ``package`` defines twice and has imported."""
    for module_name, module in sys.modules.copy().items():
        home, _, name = module_name.partition(".")
        if home != package or name not in reference.CONTENTS or module_name in done:
            continue
        originals = vars(importlib.import_module(f"{reference.__name__}.{name}"))
        if getattr(module.__spec__, "_initializing", False):
            continue                            # another thread imports it, and will come here after that
        for key, value in list(vars(module).items()):
            if getattr(value, "__module__", None) != module_name or key not in originals:
                continue
            if isinstance(value, type):
                attach_class(value, originals[key])
            elif type(value) is BuiltinFunctionType and text_of(originals[key]):
                set_doc((<PyCFunctionObject *><PyObject *>value).m_ml, text_of(originals[key]))
        done.add(module_name)


def attach_functions(package, reference):
    """Puts the docstrings of the functions that stand in the reference itself onto those of the package."""
    for name, original in vars(reference).items():
        if getattr(original, "__module__", None) == reference.__name__ and name in reference.__all__:
            getattr(package, name).__doc__ = text_of(original)
