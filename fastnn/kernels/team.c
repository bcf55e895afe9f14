/* The threads that a kernel's parts are shared between.

   OpenMP says how many (dispatch.c), but its regions end in a barrier: where another process holds a core, all wait for the
   thread that does not get to run, and a step took forty times as long. Here whoever is free takes the next part, the caller
   first of all; it waits only for parts that somebody has begun. Which thread a part runs on shows in no result.

   The ticket is one word, (generation, parts, next part), so that taking a part is one compare-and-swap: if it succeeds, the
   job was the present one all the time. A job is over when `done` counts all its parts, and only then comes another. */
#if defined(__linux__)
#define _GNU_SOURCE                     /* sched_getcpu */
#endif
#include "kernels.h"

#if defined(__unix__) || defined(__APPLE__)

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#define MOST_PARTS 1024
#define SPIN_SECONDS 200e-6             /* a worker looks for the next job so long before it sleeps: kernels come in rows */
#define PATIENCE 2000                   /* looks of the caller before it lets others have the core */

static _Atomic uint64_t ticket;
static _Atomic(fastnn_part) job_part;
static _Atomic(const void *) job_data;
static _Atomic int done, sleepers, caller_core;
static atomic_flag busy = ATOMIC_FLAG_INIT;     /* one job at a time; who comes second works alone */
static int workers;                             /* touched by the holder of `busy` only */
static volatile int forked;                     /* in a forked child there are no workers */
static pthread_mutex_t sleep_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake_up = PTHREAD_COND_INITIALIZER;

static inline uint64_t next_of(uint64_t t) { return t & 0xFFFF; }
static inline uint64_t parts_in(uint64_t t) { return t >> 16 & 0xFFFF; }
static inline int all_taken(uint64_t t) { return next_of(t) >= parts_in(t); }

static inline void breathe(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* A worker that looks for work on the caller's own core only holds up the caller, and some schedulers leave it there: it moves
   to another that it may use, if there is one (256-256-10, batch 128, thus placed: 628 µs a step, 355 on one thread, 273 on
   two cores). */
#if defined(__linux__)
static inline int core(void) { return sched_getcpu(); }

static void move_away(void)
{
    cpu_set_t allowed, others;
    if (sched_getaffinity(0, sizeof allowed, &allowed)) return;
    others = allowed;
    CPU_CLR(atomic_load(&caller_core), &others);
    if (CPU_COUNT(&others) && !sched_setaffinity(0, sizeof others, &others))
        sched_setaffinity(0, sizeof allowed, &allowed);             /* it may be moved again, it is only elsewhere now */
}
#else
static inline int core(void) { return 0; }
static void move_away(void) {}
#endif

/* Takes parts of the present job until there is none left. */
static void help(void)
{
    uint64_t t = atomic_load(&ticket);
    while (!all_taken(t)) {
        const fastnn_part part = atomic_load_explicit(&job_part, memory_order_relaxed);
        const void *job = atomic_load_explicit(&job_data, memory_order_relaxed);
        if (!atomic_compare_exchange_weak(&ticket, &t, t + 1)) continue;
        part(job, (int)next_of(t), (int)parts_in(t));
        atomic_fetch_add(&done, 1);
        t = atomic_load(&ticket);
    }
}

static void *work(void *unused)
{
    for (;;) {
        const double until = fastnn_seconds() + SPIN_SECONDS;
        for (int look = 1; all_taken(atomic_load(&ticket)); ++look) {
            breathe();
            if (look % 64) continue;
            if (core() == atomic_load(&caller_core)) move_away();
            if (fastnn_seconds() < until) continue;
            pthread_mutex_lock(&sleep_lock);
            atomic_fetch_add(&sleepers, 1);             /* first this, then the look: the caller does it the other way round */
            while (all_taken(atomic_load(&ticket))) pthread_cond_wait(&wake_up, &sleep_lock);
            atomic_fetch_sub(&sleepers, 1);
            pthread_mutex_unlock(&sleep_lock);
        }
        help();
    }
    return unused;
}

/* As many workers as there can be made, up to `wanted`; signals are for the threads of the interpreter. */
static void hire(int wanted)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;
    if (workers >= wanted || pthread_attr_init(&attributes)) return;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (workers < wanted && !pthread_create(&thread, &attributes, work, NULL)) ++workers;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

static void in_the_child(void) { forked = 1; }
void fastnn_team_init(void) { pthread_atfork(NULL, NULL, in_the_child); }
int fastnn_team_lost(void) { return forked; }

void fastnn_parallel(fastnn_part part, const void *job, int parts)
{
    if (forked || parts > MOST_PARTS || atomic_flag_test_and_set(&busy)) {
        for (int i = 0; i < parts; ++i) part(job, i, parts);
        return;
    }
    hire(parts - 1);
    atomic_store_explicit(&job_part, part, memory_order_relaxed);
    atomic_store_explicit(&job_data, job, memory_order_relaxed);
    atomic_store(&done, 0);
    atomic_store(&caller_core, core());
    const uint64_t generation = (atomic_load(&ticket) >> 32) + 1;
    atomic_store(&ticket, generation << 32 | (uint64_t)parts << 16 | 1);        /* part 0 is the caller's */
    if (atomic_load(&sleepers)) {
        pthread_mutex_lock(&sleep_lock);
        pthread_cond_broadcast(&wake_up);
        pthread_mutex_unlock(&sleep_lock);
    }
    part(job, 0, parts);
    atomic_fetch_add(&done, 1);
    help();
    for (int look = 1; atomic_load(&done) < parts; ++look) {
        breathe();
        if (look % PATIENCE == 0) sched_yield();
    }
    atomic_flag_clear(&busy);
}

#else

void fastnn_team_init(void) {}
int fastnn_team_lost(void) { return 0; }

void fastnn_parallel(fastnn_part part, const void *job, int parts)
{
    for (int i = 0; i < parts; ++i) part(job, i, parts);
}

#endif
