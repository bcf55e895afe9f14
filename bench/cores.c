/* How far two cores are apart: a number goes from one to the other and back. Compiled by machine.py; each of two
   threads, pinned, calls one of the functions. */

#include <stdatomic.h>
#include <time.h>

static _Atomic long turn;

void answer(long trips)
{
    for (long i = 0; i < trips; i++) {
        while (atomic_load(&turn) != 2 * i + 1) {}
        atomic_store(&turn, 2 * i + 2);
    }
}

double ask(long trips)          /* seconds of a round trip, on average */
{
    struct timespec start, end;
    atomic_store(&turn, 0);
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (long i = 0; i < trips; i++) {
        atomic_store(&turn, 2 * i + 1);
        while (atomic_load(&turn) != 2 * i + 2) {}
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    return ((double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec)) / (double)trips;
}
