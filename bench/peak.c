/* The most multiply-adds a core can do: nothing but registers. Compiled by machine.py for each dtype and instruction set
   with -DREAL=float or double and -DBYTES= the width of a vector. */

typedef REAL vector __attribute__((vector_size(BYTES)));

enum { CHAINS = 12, LANES = BYTES / sizeof(REAL) };     /* enough to hide the latency; with a and b, 14 of 16 registers */

double multiply_add(long rounds)
{
    vector x[CHAINS];
    vector a = (vector){0} + (REAL)0.999, b = (vector){0} + (REAL)0.001;    /* every x tends to 1 */
    for (int i = 0; i < CHAINS; i++)
        x[i] = (vector){0} + (REAL)i;
    for (long round = 0; round < rounds; round++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            x[i] = x[i] * a + b;
    }
    double sum = 0;
    for (int i = 0; i < CHAINS; i++)
        for (int j = 0; j < LANES; j++)
            sum += x[i][j];
    return sum;
}

long flops(void)
{
    return 2L * CHAINS * LANES;     /* of a round */
}
