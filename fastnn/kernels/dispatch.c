/* The instruction sets that this machine runs, the number of threads for a call, and the kernels without a dtype. */
#include <string.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#include "kernels.h"
#include "philox.h"

static const fastnn_kernels *sets[3];
static int set_count;
static int requested;           /* by set_num_threads; 0: no limit */
static _Thread_local int limit; /* of the calling thread alone, by limit_threads; 0: no limit */

int fastnn_first_level_ways;

void fastnn_init(void)
{
    if (set_count) return;
#ifdef _SC_LEVEL1_DCACHE_ASSOC
    fastnn_first_level_ways = (int)sysconf(_SC_LEVEL1_DCACHE_ASSOC);
#endif
    sets[set_count++] = fastnn_portable;
#ifdef FASTNN_X86
    __builtin_cpu_init();
    const int v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
        && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    const int v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq")
        && __builtin_cpu_supports("avx512vl");
    if (v3) sets[set_count++] = fastnn_x86_v3;
    if (v4) sets[set_count++] = fastnn_x86_v4;
#endif
    fastnn_team_init();
}

int fastnn_isa_count(void) { return set_count; }
const char *fastnn_isa_name(int i) { return sets[i]->isa; }
const fastnn_kernels *fastnn_table(int i, int is_double) { return &sets[i][is_double]; }

const char *fastnn_activation_name(int kind)
{
    static const char *const names[] = {
#define ACTIVATION_FROM_Y(NAME, name, ...) name,
#define ACTIVATION_FROM_SLOPE(NAME, name, ...) name,
#define ACTIVATION_OF_ROWS(NAME, name) name,
#include "activations.def"
    };
    return kind < (int)(sizeof names / sizeof *names) ? names[kind] : NULL;
}

const char *fastnn_loss_name(int kind)
{
    static const char *const names[] = {
#define LOSS(NAME, name, ...) name,
#include "losses.def"
    };
    return kind < (int)(sizeof names / sizeof *names) ? names[kind] : NULL;
}

int fastnn_has_openmp(void)
{
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}

/* The smallest of what set_num_threads asked for, what OpenMP allows now, and the limit of this thread. So
   OMP_NUM_THREADS, threadpoolctl and the two functions can each only lower the number that the others left. */
int fastnn_threads(void)
{
#ifdef _OPENMP
    if (fastnn_after_fork() || omp_in_parallel()) return 1;
    int allowed = omp_get_max_threads();
    if (allowed > FASTNN_THREADS) allowed = FASTNN_THREADS;
    if (requested && requested < allowed) allowed = requested;
    return limit && limit < allowed ? limit : allowed;
#else
    return 1;
#endif
}

void fastnn_set_threads(int n)
{
    requested = n;
#ifdef _OPENMP
    if (!fastnn_after_fork()) omp_set_num_threads(n);
#endif
}

/* Returns the limit that was there, so that it can be set back; several threads may do this at once. */
int fastnn_limit_threads(int n)
{
    const int before = limit;
    limit = n;
    return before;
}

const char *fastnn_compiler(void)
{
#if defined(__clang__)
    return "clang " __clang_version__;
#elif defined(__GNUC__)
    return "gcc " __VERSION__;
#else
    return "unknown";
#endif
}

void fastnn_words(uint32_t *out, int64_t n, uint64_t seed, uint32_t step, uint32_t stream)
{
    const fastnn_stream s = {seed, step, stream};
    for (int64_t i = 0; i < n; i += 4) {
        uint32_t words[4];
        philox(words, (uint64_t)(i / 4), &s);
        memcpy(out + i, words, sizeof(uint32_t) * (size_t)(n - i < 4 ? n - i : 4));
    }
}

void fastnn_permutation(int64_t *order, int64_t n, uint64_t seed, uint32_t step, uint32_t stream)
{
    const fastnn_stream s = {seed, step, stream};
    uint32_t words[64];
    for (int64_t i = 0; i < n; ++i) order[i] = i;
    for (int64_t i = 0; i + 1 < n;) {
        philox_line(words, (uint64_t)(i / 64), &s);
        for (int w = 0; w < 64 && i + 1 < n; ++w, ++i) {
            const int64_t j = i + (int64_t)(((uint64_t)words[w] * (uint64_t)(n - i)) >> 32), other = order[j];
            order[j] = order[i];
            order[i] = other;
        }
    }
}

/* Rows of a constant size: a call for each small one takes as long as to move four of them. */
ALWAYS_INLINE void gather_rows(char *out, const char *rows, const int64_t *order, int64_t n, const int64_t bytes)
{
    for (int64_t i = 0; i < n; ++i) memcpy(out + i * bytes, rows + order[i] * bytes, (size_t)bytes);
}

void fastnn_gather(void *out, const void *rows, const int64_t *order, int64_t n, int64_t bytes)
{
    if (bytes == 4) gather_rows(out, rows, order, n, 4);
    else if (bytes == 8) gather_rows(out, rows, order, n, 8);
    else if (bytes == 16) gather_rows(out, rows, order, n, 16);
    else gather_rows(out, rows, order, n, bytes);
}

int fastnn_bernoulli(uint64_t threshold, const fastnn_stream *s)
{
    uint32_t words[4];
    philox(words, 0, s);
    return words[0] >= threshold;
}

int64_t fastnn_bad_class(const int64_t *classes, int64_t n, int64_t k, int64_t other)
{
    uint64_t signs = 0;         /* of all classes and all k − 1 − class: if none is below 0, all are good */
    for (int64_t i = 0; i < n; ++i) signs |= (uint64_t)classes[i] | ((uint64_t)k - 1 - (uint64_t)classes[i]);
    for (int64_t i = 0; signs >> 63 && i < n; ++i)
        if ((classes[i] < 0 || classes[i] >= k) && classes[i] != other) return i;
    return -1;
}
