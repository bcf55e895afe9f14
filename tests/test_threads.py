"""Threads, processes, Ctrl-C: the number of threads never shows, and nobody waits for an epoch to end."""

import itertools
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.cases import OPTIMIZERS
from tests.check import normal, python, same, same_parameters

THREADS = (1, 2, 3)
pytestmark = pytest.mark.slow


def net(nn, dtype="float32", widths=(193, 521, 131, 10), activation="gelu"):
    """Wide enough that every kernel of a step has work for three threads."""
    hidden = [nn.Linear(a, b, activation=activation) for a, b in itertools.pairwise(widths[:-1])]
    return nn.Sequential(*hidden, nn.Linear(widths[-2], widths[-1]), seed=1, dtype=dtype)


def data(n=302, width=193, dtype="float32"):
    return normal((n, width), dtype), np.arange(n) * 7 % 10


def trained(fast, dtype, optimizer=None):
    x, t = data(dtype=dtype)
    model = net(fast, dtype)
    optimizer = optimizer or fast.AdamW(lr=1e-2, clip_norm=0.5)
    losses = [model.run_epoch(x, t, fast.CrossEntropyLoss(0.1), optimizer, batch_size=151) for _ in range(2)]
    return model, [*losses, model.step(x, t, fast.CrossEntropyLoss(), optimizer)]


# ---- the same bits ----


def test_gemm(fast, isa, dtype, threads):
    for m, n, k in [(301, 257, 193), (1, 4001, 517), (4001, 1, 517), (515, 10, 259), (17, 1029, 263)]:
        a, b, bias = normal((m, k), dtype), normal((k, n), dtype), normal((n,), dtype)
        results = []
        for count in THREADS:
            threads(count)
            results += [
                fast._kernels.gemm(a, b, bias, "silu"),
                fast._kernels.gemm(a.T.copy().T, b.T.copy().T, bias, "silu"),
            ]
        for other in results[1:]:
            same(other, results[0], (m, n, k))


def test_activation(fast, isa, dtype, threads):
    x, dy = normal((523, 1031), dtype), normal((523, 1031), dtype, seed=1)
    for name in ("relu", "gelu", "tanh", "softmax", "log_softmax"):
        for slope in (None, dy):
            threads(1)
            want = fast._kernels.activation(name, x, slope)
            for count in THREADS[1:]:
                threads(count)
                same(fast._kernels.activation(name, x, slope), want, name)


def test_training(fast, isa, dtype, threads):
    threads(1)
    want, losses = trained(fast, dtype)
    for count in THREADS[1:]:
        threads(count)
        got, others = trained(fast, dtype)
        same_parameters(got, want)
        assert others == losses


@pytest.mark.parametrize("case", [case for case in OPTIMIZERS if "weight_decay" in case.arguments],
                         ids=lambda case: case.name)
def test_optimizers(fast, dtype, threads, case):
    def run(count):
        threads(count)
        return trained(fast, dtype, case.make(fast))[0]

    same_parameters(run(1), run(3))


def test_one_update_of_matrices_and_all_between_them(fast, dtype, threads):
    """Without weight decay all parameters are one run, of which a thread has its columns, or rows, of each matrix."""
    def run(count):
        threads(count)
        model = fast.Sequential(
            fast.Linear(300, 257), fast.PReLU(257), fast.Linear(257, 900, bias=False), fast.BatchNorm1d(900),
            fast.Linear(900, 10), seed=1, dtype=dtype)
        model.step(*data(40, 300, dtype), fast.CrossEntropyLoss(), fast.SGD(lr=0.1))
        return model

    same_parameters(run(1), run(3))
    same_parameters(run(2), run(4))


def test_avx2_and_avx512(fast, dtype):
    """One chain of multiply-adds, sums over a fixed number of lanes: the width of a vector does not show."""
    if not {"x86_v3", "x86_v4"} <= set(fast._kernels.available()):
        pytest.skip("this machine does not run both x86_v3 and x86_v4")
    before = fast._kernels.use_isa("x86_v3")
    try:
        narrow, losses = trained(fast, dtype)
        fast._kernels.use_isa("x86_v4")
        wide, others = trained(fast, dtype)
    finally:
        fast._kernels.use_isa(before)
    same_parameters(narrow, wide)
    assert losses == others


# ---- how many ----

NUMBER = "import fastnn; print(fastnn.get_num_threads())"
WORK = """
    import os, numpy as np, fastnn
    def tasks(): return len(os.listdir("/proc/self/task"))
    a = np.ones((700, 700), np.float32)
    before = tasks()
    fastnn._kernels.gemm(a[:64, :64], a[:64, :64])
    small = tasks()
    fastnn._kernels.gemm(a, a)
    print(small - before, tasks() - before)
"""
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.fixture
def openmp(fast, capsys):
    fast.show_config()
    if "without OpenMP" in capsys.readouterr().out:
        pytest.skip("fastnn was built without OpenMP: it has one thread")


@pytest.mark.parametrize(("given", "count"), [*zip(THREADS, THREADS, strict=True), (99999, 1024)])
def test_omp_num_threads(openmp, given, count):
    assert python(NUMBER, OMP_NUM_THREADS=str(given)).strip() == str(count)


@linux
@pytest.mark.parametrize("count", THREADS)
def test_as_many_threads_work(openmp, count):
    """Small work stays on one thread; large work starts the others."""
    assert python(WORK, OMP_NUM_THREADS=str(count)).split() == ["0", str(count - 1)]


def test_set_num_threads(fast, openmp, threads):
    for count in THREADS:
        threads(count)
        assert fast.get_num_threads() == count


def test_set_num_threads_has_a_range(fast):
    for wrong in (0, -1, 10**9):
        with pytest.raises(ValueError, match="n: expected an integer"):
            fast.set_num_threads(wrong)


def test_threadpoolctl(fast, openmp, threads):
    from threadpoolctl import threadpool_limits

    threads(3)
    with threadpool_limits(limits=1):
        assert fast.get_num_threads() == 1
    assert fast.get_num_threads() == 3


# ---- instruction set ----


def test_isa_is_chosen_by_name(fast):
    for name in fast._kernels.available():
        assert python("import fastnn; print(fastnn.isa())", FASTNN_ISA=name).strip() == name
    assert fast._kernels.available()[0] == "portable"


def test_unknown_isa():
    out = python(
        """
        try:
            import fastnn
        except ValueError as error:
            print(error)
        """,
        FASTNN_ISA="x86_v5",
    )
    assert out.startswith("FASTNN_ISA: unknown name 'x86_v5', did you mean 'x86_v")


def test_show_config(fast, capsys):
    fast.show_config()
    out = capsys.readouterr().out
    assert fast.isa() in out
    assert fast.__version__ in out
    assert str(fast.get_num_threads()) in out


# ---- fork ----


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_works_alone(openmp):
    """Threads do not survive a fork: the child computes on one, the same bits, and does not hang."""
    python(
        """
        import os, signal, warnings
        import numpy as np, fastnn as nn
        from tests.check import same_parameters
        from tests.test_threads import trained

        warnings.simplefilter("ignore", DeprecationWarning)
        nn.set_num_threads(3)
        model, losses = trained(nn, "float32")
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            assert nn.get_num_threads() == 1
            nn.set_num_threads(3)
            assert nn.get_num_threads() == 1
            again, others = trained(nn, "float32")
            same_parameters(again, model)
            assert others == losses
            x = np.ones((301, 193), np.float32)
            assert np.isfinite(model.predict(x)).all()
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        again, others = trained(nn, "float32")
        same_parameters(again, model)
        assert nn.get_num_threads() == 3
        """
    )


FORKED = """
    import os, signal, sys, threading, warnings
    import numpy as np, {package} as nn

    warnings.simplefilter("ignore", DeprecationWarning)
    model = nn.Sequential(nn.Linear(3, 2), dtype="float64")
    x, t = np.ones((4, 3)), np.zeros((4, 2))
    inside, forked = threading.Event(), threading.Event()

    def wait(batch):
        inside.set()
        forked.wait()

    arguments = x, t, nn.MSELoss(), nn.SGD()
    thread = threading.Thread(target=lambda: model.run_epoch(*arguments, on_batch_begin=wait))
    thread.start()
    inside.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        for call in (lambda: model.predict(x), lambda: model.step(*arguments), lambda: nn.Sequential(model)):
            try:
                call()
            except RuntimeError as error:
                assert "in use when this process was forked" in str(error), error
            else:
                os._exit(1)
        assert np.isfinite(nn.Sequential(nn.Linear(3, 2)).predict(x)).all()
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    forked.set()
    thread.join()
    assert model.predict(x).shape == (4, 2)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("package", ["fastnn", "fastnn_ref"])
def test_a_fork_while_another_thread_trains(package):
    """The child has the model, but not the thread that uses it: it is told so, and has models of its own."""
    python(FORKED.format(package=package))


def test_a_fork_while_another_thread_takes_a_model(ref):
    """The reference's mutex is free in the child, whichever thread had it."""
    model, taken, done = net(ref), threading.Event(), threading.Event()

    def take():
        with ref.network.MUTEX:
            taken.set()
            done.wait(60)

    thread = threading.Thread(target=take)
    thread.start()
    taken.wait(60)
    child = os.fork()
    if child == 0:
        signal.alarm(20)                            # ends a child that waits for a thread that is not there
        model.predict(data()[0])
        os._exit(0)
    try:
        assert os.waitpid(child, 0)[1] == 0
    finally:
        done.set()
        thread.join()


def test_threads_at_the_end_of_the_interpreter():
    """A daemon thread trains while Python ends: no crash, no hang."""
    python("""
        import threading
        import numpy as np, fastnn as nn

        model = nn.Sequential(nn.Linear(64, 64, activation="relu"), nn.Linear(64, 3))
        x, t = np.ones((50_000, 64), np.float32), np.zeros(50_000, np.int64)
        started = threading.Event()

        def train():
            while True:
                started.set()
                model.run_epoch(x, t, nn.CrossEntropyLoss(), nn.SGD())

        threading.Thread(target=train, daemon=True).start()
        started.wait()
        """)


def test_spawned_processes():
    """A model goes to a process that does not share memory, and its predictions come back."""
    code = """
        import multiprocessing
        import numpy as np, fastnn as nn

        if __name__ == "__main__":
            model = nn.Sequential(nn.Linear(3, 2), nn.Softmax())
            x = np.ones((5, 3), np.float32)
            with multiprocessing.get_context("spawn").Pool(2) as pool:
                for y in pool.map(model.predict, [x, x]):
                    assert (y == model.predict(x)).all()
        """
    python(code)


def test_free_threading_is_refused():
    """The locks rely on the GIL. A free-threaded Python turns it on for such modules, unless it is told not to."""
    python("""
        import sys

        sys._is_gil_enabled = lambda: False
        try:
            import fastnn
        except ImportError as error:
            assert "free-threaded" in str(error), error
        else:
            raise SystemExit("imported")
        """)


def test_a_subinterpreter():
    """Compiled modules are for the main interpreter: another one gets an ImportError, or works; nothing crashes."""
    python("""
        try:
            import _xxsubinterpreters as interpreters
        except ImportError:
            import _interpreters as interpreters
        import fastnn

        one = interpreters.create()
        try:
            interpreters.run_string(one, "import fastnn; fastnn.Linear(2, 3)")
        except Exception as error:
            assert "ImportError" in str(error) or "subinterpreter" in str(error), error
        interpreters.destroy(one)
        assert fastnn.Linear(2, 3)
        """)


# ---- while an epoch runs ----


class Interrupted(Exception):
    pass


def endless(fast):
    """Arguments of run_epoch that take many seconds."""
    x, t = np.zeros((2_000_000, 8), np.float32), np.zeros(2_000_000, np.int64)
    return fast.Sequential(fast.Linear(8, 64), fast.Linear(64, 3)), (
        x,
        t,
        fast.CrossEntropyLoss(),
        fast.SGD(lr=0.0),
    )


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer on this system")
def test_ctrl_c(fast):
    """An interrupted epoch ends within 0.2 s of this process's own time, whatever else the machine does."""

    def stop(number, frame):
        raise Interrupted

    model, arguments = endless(fast)
    old = signal.signal(signal.SIGVTALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.1)
        start = time.process_time()
        with pytest.raises(Interrupted):
            model.run_epoch(*arguments, batch_size=1)
        delay = time.process_time() - start - 0.1
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, old)
    assert delay <= 0.2
    assert 0 < model.steps < 2_000_000
    x, t, loss, optimizer = arguments
    assert np.isfinite(model.run_epoch(x[:100], t[:100], loss, optimizer))
    assert optimizer.steps == model.steps


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer on this system")
def test_ctrl_c_while_predicting(fast):
    """predict looks up between two of its pieces, far from its end: by its own clock, not the wall's."""

    def stop(number, frame):
        raise Interrupted

    model = fast.Sequential(fast.Linear(8, 512, activation="gelu"), fast.Linear(512, 3))
    x = np.zeros((400_000, 8), np.float32)
    start = time.process_time()
    model.predict(x[:40_000], batch_size=256)
    whole = 10 * (time.process_time() - start)
    old = signal.signal(signal.SIGVTALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, whole / 20)
        start = time.process_time()
        with pytest.raises(Interrupted):
            model.predict(x, batch_size=256)
        took = time.process_time() - start
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, old)
    assert took < whole / 2
    assert model(x[:3]).shape == (3, 3)  # and the model is free again


def test_ctrl_c_from_the_keyboard():
    """SIGINT itself, in an interpreter of its own: KeyboardInterrupt, and the model still works."""
    python(
        """
        import os, signal, threading
        import fastnn as nn
        from tests.test_threads import endless

        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        model, arguments = endless(nn)
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        try:
            model.run_epoch(*arguments, batch_size=1, progress=lambda *_: timer.ident or timer.start())
        except KeyboardInterrupt:
            steps = model.steps
        assert 0 < steps < 2_000_000
        model.step(arguments[0][:5], arguments[1][:5], *arguments[2:])
        assert model.steps == steps + 1
        """
    )


INTERRUPTED = """
    import sys, threading, numpy as np, {package} as nn

    class Pressed(BaseException):
        pass

    class Interrupt:
        # Raises where the k-th Ctrl-C could be noticed: at the beginning of a function, and behind a call of one in C.
        def __init__(self, k):
            self.left = k
        def __call__(self, frame, event, argument):
            if event in ("call", "c_return"):
                self.left -= 1
                if self.left == 0:
                    sys.setprofile(None)
                    raise Pressed

    x, t = np.eye(3, 4), np.arange(3)
    loss, optimizer = nn.CrossEntropyLoss(), nn.SGD(lr=0.1)
    calls = dict(
        predict=lambda model: model.predict(x), call=lambda model: model(x),
        step=lambda model: model.step(x, t, loss, optimizer),
        training=lambda model: model.forward(x, training=True), predictor=lambda model: model.predictor(),
        epoch=lambda model: model.run_epoch(x, t, loss, optimizer, batch_size=2),
        fit=lambda model: model.fit(x, t, loss=loss, optimizer=optimizer, epochs=1))
    stuck = []
    def train(name, k, model):
        try:
            model.step(x, t, loss, nn.SGD())
        except RuntimeError as error:
            stuck.append((name, k, str(error)))

    for name, call in calls.items():
        for k in range(1, 150):
            model, optimizer = nn.Sequential(nn.Linear(4, 5, activation="relu"), nn.Linear(5, 3)), nn.SGD(lr=0.1)
            model.predict(x)
            try:
                sys.setprofile(Interrupt(k))
                call(model)
            except Pressed:
                pass
            finally:
                sys.setprofile(None)
            thread = threading.Thread(target=train, args=(name, k, model))
            thread.start()
            thread.join()
            train(name, k, model)
    print(stuck)
"""


@pytest.mark.parametrize("package", ["fastnn", "fastnn_ref"])
def test_ctrl_c_anywhere_leaves_the_model_free(package):
    """Wherever it comes on the way into a pass or out of one, this thread and others go on with the model."""
    assert python(INTERRUPTED.format(package=package)) == "[]\n"


UNDONE = INTERRUPTED[:INTERRUPTED.index("    x, t =")] + """
    class Descent(nn.CustomOptimizer):
        slots = ("v",)
        def update(self, w, g, lr, decay, v):
            v += g
            w -= lr * v

    wrong = []
    for k in range(1, 400):
        model, optimizer = nn.Sequential(nn.Linear(3, 2, init="ones")), Descent(lr=0.1)
        model.predict(np.eye(3))
        try:
            sys.setprofile(Interrupt(k))
            model.step(np.eye(3), np.zeros((3, 2)), nn.MSELoss(), optimizer)
        except Pressed as error:
            kept = error            # and with it what its frames hold
        finally:
            sys.setprofile(None)
        layer, = model.layers
        done = [(layer.weight != 1).any(), (layer.bias != 0).any(), optimizer.steps == 1, model.steps == 1]
        done += [value.any() for value in optimizer.state_dict()["v"].values()]
        if len(set(map(bool, done))) > 1:
            wrong.append((k, done))
    print(k, done[0], wrong)
"""


@pytest.mark.parametrize("package", ["fastnn", "fastnn_ref"])
def test_ctrl_c_in_an_optimizer_of_ones_own(package):
    """Wherever it comes, the step is done with all that it changes, or nothing of it."""
    assert python(UNDONE.format(package=package)) == "399 True []\n"


@pytest.mark.parametrize("stop", [1, 3, 8])
def test_ctrl_c_breaks_off_no_step_of_the_reference(ref, monkeypatch, stop):
    """run_epoch ends between two steps, and goes on to the same bits."""
    x, t = data(24, 5)
    found, before = [], signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for interrupted in (False, True):
            model = ref.Sequential(ref.Linear(5, 4), ref.BatchNorm1d(4), ref.Dropout(0.3), ref.Linear(4, 10), seed=1)
            loss, optimizer, update = ref.CrossEntropyLoss(), ref.Adam(), ref.Adam.update
            left = [stop if interrupted else 0]

            def press(*given, update=update, left=left, **named):
                left[0] -= 1
                if left[0] == 0:
                    signal.raise_signal(signal.SIGINT)
                update(*given, **named)

            with monkeypatch.context() as patch:
                patch.setattr(ref.Adam, "update", press)
                if interrupted:
                    with pytest.raises(KeyboardInterrupt):
                        model.run_epoch(x, t, loss, optimizer, batch_size=6)
                    assert optimizer.steps == model.steps == model.network.batch == (stop + 5) // 6
                model.run_epoch(x, t, loss, optimizer, batch_size=6, resume=interrupted)
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
            found.append(model.state_dict())
    finally:
        signal.signal(signal.SIGINT, before)
    for name, value in found[0].items():
        np.testing.assert_array_equal(value, found[1][name], name)


def test_another_thread_goes_on(fast):
    """While an epoch runs, a Python thread computes, too: the system gives both threads as much time.

    With the GIL held the other one would have it for 5 ms after each 50 ms, at best.
    """
    used, over = [0.0], threading.Event()

    def work():
        while not over.is_set():
            used[0] = time.thread_time()

    model, (x, t, loss, optimizer) = endless(fast)
    other = threading.Thread(target=work)
    other.start()
    try:
        first, start = used[0], time.thread_time()
        while time.thread_time() < start + 0.2:
            model.run_epoch(x[:200_000], t[:200_000], loss, optimizer, batch_size=1, shuffle=False)
        share = (used[0] - first) / (time.thread_time() - start)
    finally:
        over.set()
        other.join()
    assert share > 0.3


@pytest.mark.parametrize(
    "call",
    [
        lambda model, x, t, loss, optimizer: model(x),
        lambda model, x, t, loss, optimizer: model.predict(x),
        lambda model, x, t, loss, optimizer: model.forward(x, training=True),
        lambda model, x, t, loss, optimizer: model.backward(np.zeros((23, 10), np.float32)),
        lambda model, x, t, loss, optimizer: model.step(x, t, loss, optimizer),
        lambda model, x, t, loss, optimizer: model.run_epoch(x, t, loss, optimizer),
        lambda model, x, t, loss, optimizer: model.layers[0](x),
    ],
    ids=["call", "predict", "forward", "backward", "step", "run_epoch", "layer"],
)
def test_one_model_one_thread_at_a_time(fast, call):
    """progress() is called in the middle of an epoch: there another thread tries its luck."""
    x, t = data(23, 13)
    arguments = x, t, fast.CrossEntropyLoss(), fast.SGD()
    model, alone = net(fast, widths=(13, 7, 10)), net(fast, widths=(13, 7, 10))
    caught = []

    def intruder():
        try:
            call(model, *arguments)
        except BaseException as error:
            caught.append(error)

    def progress(done, total):
        thread = threading.Thread(target=intruder)
        thread.start()
        thread.join()

    model.run_epoch(*arguments, batch_size=5, progress=progress)
    assert caught
    assert all(type(error) is RuntimeError and "in use" in str(error) for error in caught)
    alone.run_epoch(*arguments[:3], fast.SGD(), batch_size=5)
    same_parameters(model, alone)


def test_models_side_by_side(fast):
    """Two threads, two models: each trains as if it were alone."""
    x, t = data(301)
    want = net(fast)
    want.run_epoch(x, t, fast.CrossEntropyLoss(), fast.Adam(), batch_size=17)
    models = [net(fast) for _ in range(3)]
    crew = [
        threading.Thread(
            target=m.run_epoch, args=(x, t, fast.CrossEntropyLoss(), fast.Adam()), kwargs={"batch_size": 17}
        )
        for m in models
    ]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    for model in models:
        same_parameters(model, want)


def test_one_loss_serves_two_models(fast):
    """A loss shared with a model in the middle of its epoch is refused or works: it never mixes them up."""
    x, t = data(23, 13)
    loss = fast.CrossEntropyLoss()
    model, other, alone, again = (net(fast, widths=(13, 7, 10)) for _ in range(4))
    calls, refused = [], []

    def progress(done, total):
        calls.append(done)
        try:
            other.step(x[:7], t[:7], loss, fast.SGD())
        except RuntimeError as error:
            refused.append(error)

    model.run_epoch(x, t, loss, fast.SGD(), batch_size=5, progress=progress)
    assert calls
    assert other.steps + len(refused) == len(calls)
    assert all("in use" in str(error) for error in refused)
    for _ in range(other.steps):
        again.step(x[:7], t[:7], fast.CrossEntropyLoss(), fast.SGD())
    same_parameters(other, again)
    alone.run_epoch(x, t, fast.CrossEntropyLoss(), fast.SGD(), batch_size=5)
    same_parameters(model, alone)


# ---- the team ----


def test_the_team_serves_one_caller_at_a_time(fast, openmp):
    """Callers that come while the team is at work do theirs alone: nobody waits, and every bit is the same."""
    before = fast.get_num_threads()
    fast.set_num_threads(3)
    try:
        want, _ = trained(fast, "float32")
        with ThreadPoolExecutor(4) as pool:
            for found, _ in pool.map(lambda _: trained(fast, "float32"), range(8)):
                same_parameters(found, want)
    finally:
        fast.set_num_threads(before)


# ---- the floating-point mode ----

MODE = """
    import ctypes, platform, numpy as np, fastnn
    from fastnn import _kernels

    # glibc's fenv_t: MXCSR at byte 28 on x86-64, FPCR at byte 0 on aarch64.
    c = ctypes.CDLL(None)
    at, modes = {{"x86_64": (28, {{"default": 0, "flush": 0x8040, "up": 0x4000}}),
                 "aarch64": (0, {{"default": 0, "flush": 1 << 24, "up": 1 << 22}})}}[platform.machine()]
    field = 0xE040 if at else 0x1C00000

    def read():
        env = (ctypes.c_uint32 * 16)()
        assert c.fegetenv(env) == 0
        return env

    def set_mode(name):
        env = read()
        env[at // 4] = env[at // 4] & ~field | modes[name]
        assert c.fesetenv(env) == 0

    def mode():
        return read()[at // 4] & field

    n = np.arange(2048, dtype=np.float32)
    jobs = [  # subnormal results, and sums that are rounded
        ((n[:, None] + 1) * np.float32(1e-30), np.full((1, 1100), 1e-15, np.float32)),
        (np.tile(1 / (n[:1100] + 3), (64, 1)).T.copy(), np.tile(1 / (n[:64] + 7), (64, 1))),
    ]

    def results(threads, name):
        fastnn.set_num_threads(threads)
        set_mode(name)
        found = [_kernels.gemm(a, b) for a, b in jobs]
        kept = mode() == modes[name]
        set_mode("default")
        assert kept, "a kernel changed its caller's mode"
        return [x.view(np.uint32) for x in found]

    first, second = {order}
    want = {{name: results(1, name) for name in (first, second)}}
    assert any((a != b).any() for a, b in zip(want[first], want[second])), "the mode does not show"
    for name in (first, second, first):
        for _ in range(20):
            for a, b in zip(results(2, name), want[name]):
                assert (a == b).all(), f"{{(a != b).sum()}} of {{a.size}} values differ in mode {{name}}"
"""


@pytest.mark.parametrize("order", list(itertools.permutations(("default", "flush", "up"), 2)), ids="-".join)
@pytest.mark.skipif(sys.platform != "linux" or os.uname().machine not in ("x86_64", "aarch64"), reason="reads fenv_t")
def test_parts_run_in_their_callers_mode(openmp, order):
    """Flush-to-zero and rounding are the calling thread's, whoever started the workers, and stay as they are."""
    python(MODE.format(order=order))
