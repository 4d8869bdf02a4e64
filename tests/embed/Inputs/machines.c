/* Trains MODEL on examples that are the same everywhere and prints the losses. */
#include HEADER

#include <stdio.h>

enum { STEPS = 8, ELEMENTS = N * X_ELEMENTS };

static float params[PARAMS] __attribute__((aligned(64)));
static float state[STATE + 1] __attribute__((aligned(64)));
static char arena[ARENA] __attribute__((aligned(64)));
static X x[ELEMENTS];
static int32_t y[N];

static uint32_t next_number(void) {
    static uint32_t state = 12345;
    state = state * 1664525u + 1013904223u;
    return state >> 8;
}

int main(void) {
    INIT(params, state, 3, arena);
    for (uint64_t step = 1; step <= STEPS; step++) {
        for (int i = 0; i < ELEMENTS; i++)
            x[i] = CLASSES ? (X)(next_number() % (CLASSES + 1))
                           : (X)(next_number() % 2001 / 1000.0 - 1);
        for (int i = 0; i < N; i++) y[i] = (int32_t)(next_number() % 5);
        printf("%.9g\n", (double)STEP(params, state, x, y, step % 2 ? N : N - 3, 3, step, arena));
    }
    return 0;
}
