/* The threads that a kernel's parts are shared between, and the clock.

   OpenMP says how many threads to use (dispatch.c), but its regions end in a barrier: where another process holds a
   core, all threads wait for the one that does not run, and a step took forty times as long. Here every free thread
   takes the next part, the caller first, and the caller waits only for parts that some thread has begun. Which thread
   runs a part shows in no result.

   The ticket is one word, (generation, parts, next part), so taking a part is one compare-and-swap: if it succeeds, the
   job was the current one all the time. A job is over when `done` counts all its parts; only then can another begin. */
#if defined(__linux__)
#define _GNU_SOURCE                     /* sched_getcpu */
#endif
#include <time.h>
#include "kernels.h"

double fastnn_seconds(void)
{
    struct timespec now;
#ifdef CLOCK_MONOTONIC                  /* this clock is never set back */
    clock_gettime(CLOCK_MONOTONIC, &now);
#else
    timespec_get(&now, TIME_UTC);
#endif
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#if defined(__unix__) || defined(__APPLE__)

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define SPIN_SECONDS 200e-6             /* a worker spins so long before it sleeps: kernels follow each other closely */
#define SPINS_BEFORE_YIELD 2000         /* of the caller, while it waits for the last parts */

static _Atomic uint64_t ticket;
static _Atomic(fastnn_part) job_part;
static _Atomic(const void *) job_data;
static _Atomic uint64_t job_mode;
static _Atomic int done, sleepers, caller_core;
static atomic_flag busy = ATOMIC_FLAG_INIT;     /* one job at a time; a second caller works alone */
static int workers;                             /* only the holder of `busy` touches it */
static volatile int forked;                     /* a forked child has no workers */
static pthread_mutex_t sleep_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake_up = PTHREAD_COND_INITIALIZER;

static inline uint64_t next_part(uint64_t t) { return t & 0xFFFF; }
static inline uint64_t part_total(uint64_t t) { return t >> 16 & 0xFFFF; }
static inline int all_taken(uint64_t t) { return next_part(t) >= part_total(t); }

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* The floating-point mode of this thread: rounding, and whether subnormal numbers count as 0. A thread is born with the
   mode of the thread that starts it; so that no result depends on who did, a part runs in the mode of its caller. The
   flags of exceptions are left out, and so is trapping: a signal in a worker would end the process. */
#if defined(__x86_64__)
#define MODE_BITS 0xE040u               /* flush to zero, rounding, denormals are zeros */
static inline uint64_t fp_mode(void) { return _mm_getcsr() & MODE_BITS; }
static inline void set_fp_mode(uint64_t mode)
{
    const unsigned now = _mm_getcsr(), next = (now & ~MODE_BITS) | (unsigned)mode;
    if (next != now) _mm_setcsr(next);
}
#elif defined(__aarch64__)
#define MODE_BITS 0x7C80007u            /* AHP, DN, FZ, RMode, FZ16; NEP, AH, FIZ */
static inline uint64_t read_fpcr(void)
{
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    return fpcr;
}
static inline uint64_t fp_mode(void) { return read_fpcr() & MODE_BITS; }
static inline void set_fp_mode(uint64_t mode)
{
    const uint64_t now = read_fpcr(), next = (now & ~(uint64_t)MODE_BITS) | mode;
    if (next != now) __asm__ volatile("msr fpcr, %0" : : "r"(next) : "memory");
}
#else
static inline uint64_t fp_mode(void) { return 0; }
static inline void set_fp_mode(uint64_t mode) { (void)mode; }
#endif

/* A worker that spins on the caller's own core delays the caller, and some schedulers leave it there. So it moves to
   another core that it may use, if there is one. A step of 256-256-10, batch 128: 628 µs with the worker on the
   caller's core, 355 on one thread, 273 on two cores. */
#if defined(__linux__)
static inline int current_core(void) { return sched_getcpu(); }

static void leave_callers_core(void)
{
    cpu_set_t allowed, others;
    if (sched_getaffinity(0, sizeof allowed, &allowed)) return;
    others = allowed;
    CPU_CLR(atomic_load(&caller_core), &others);
    if (CPU_COUNT(&others) && !sched_setaffinity(0, sizeof others, &others))
        sched_setaffinity(0, sizeof allowed, &allowed);     /* the thread has migrated: all cores are allowed again */
}
#else
static inline int current_core(void) { return 0; }
static void leave_callers_core(void) {}
#endif

/* Runs parts of the current job until all are taken, in the mode of its caller (for whom that changes nothing). */
static void run_remaining(void)
{
    uint64_t t = atomic_load(&ticket);
    while (!all_taken(t)) {
        const fastnn_part part = atomic_load_explicit(&job_part, memory_order_relaxed);
        const void *job = atomic_load_explicit(&job_data, memory_order_relaxed);
        const uint64_t mode = atomic_load_explicit(&job_mode, memory_order_relaxed);
        if (!atomic_compare_exchange_weak(&ticket, &t, t + 1)) continue;
        set_fp_mode(mode);
        part(job, (int)next_part(t), (int)part_total(t));
        atomic_fetch_add(&done, 1);
        t = atomic_load(&ticket);
    }
}

static void *worker_main(void *unused)
{
    for (;;) {
        const double until = fastnn_seconds() + SPIN_SECONDS;
        for (int spins = 1; all_taken(atomic_load(&ticket)); ++spins) {
            cpu_relax();
            if (spins % 64) continue;
            if (current_core() == atomic_load(&caller_core)) leave_callers_core();
            if (fastnn_seconds() < until) continue;
            pthread_mutex_lock(&sleep_lock);
            /* The worker counts itself before it reads the ticket again; the caller stores the ticket before it reads
               the count. So one of the two sees the other, and no wake-up is lost. */
            atomic_fetch_add(&sleepers, 1);
            while (all_taken(atomic_load(&ticket))) pthread_cond_wait(&wake_up, &sleep_lock);
            atomic_fetch_sub(&sleepers, 1);
            pthread_mutex_unlock(&sleep_lock);
        }
        run_remaining();
    }
    return unused;
}

/* Starts workers until there are `count`, or as many as the system allows. They block all signals, which are for the
   threads of the interpreter. */
static void start_workers(int count)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;
    if (workers >= count || pthread_attr_init(&attributes)) return;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (workers < count && !pthread_create(&thread, &attributes, worker_main, NULL)) ++workers;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

static void after_fork_child(void) { forked = 1; }
void fastnn_team_init(void) { pthread_atfork(NULL, NULL, after_fork_child); }
int fastnn_after_fork(void) { return forked; }

void fastnn_parallel(fastnn_part part, const void *job, int parts)
{
    if (forked || parts > FASTNN_THREADS || atomic_flag_test_and_set(&busy)) {
        for (int i = 0; i < parts; ++i) part(job, i, parts);
        return;
    }
    start_workers(parts - 1);
    atomic_store_explicit(&job_part, part, memory_order_relaxed);
    atomic_store_explicit(&job_data, job, memory_order_relaxed);
    atomic_store_explicit(&job_mode, fp_mode(), memory_order_relaxed);
    atomic_store(&done, 0);
    atomic_store(&caller_core, current_core());
    const uint64_t generation = (atomic_load(&ticket) >> 32) + 1;
    atomic_store(&ticket, generation << 32 | (uint64_t)parts << 16 | 1);        /* part 0 is the caller's */
    if (atomic_load(&sleepers)) {
        pthread_mutex_lock(&sleep_lock);
        pthread_cond_broadcast(&wake_up);
        pthread_mutex_unlock(&sleep_lock);
    }
    part(job, 0, parts);
    atomic_fetch_add(&done, 1);
    run_remaining();
    for (int spins = 1; atomic_load(&done) < parts; ++spins) {
        cpu_relax();
        if (spins % SPINS_BEFORE_YIELD == 0) sched_yield();
    }
    atomic_flag_clear(&busy);
}

#else

/* Without POSIX threads the caller runs all parts. */
void fastnn_team_init(void) {}
int fastnn_after_fork(void) { return 0; }

void fastnn_parallel(fastnn_part part, const void *job, int parts)
{
    for (int i = 0; i < parts; ++i) part(job, i, parts);
}

#endif
