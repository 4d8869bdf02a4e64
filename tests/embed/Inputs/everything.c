/* Trains the model on one example, with memory that begins as garbage. */
#include "everything.h"

#include <stdio.h>
#include <string.h>

static float params[EVERYTHING_PARAMS] __attribute__((aligned(64)));
static float state[EVERYTHING_STATE + 1] __attribute__((aligned(64)));
static char arena[EVERYTHING_ARENA] __attribute__((aligned(64)));

int main(void) {
    float x[5] = {0.1f, -0.4f, 0.3f, 0.9f, -0.2f}, y[5] = {1, 2, 3, 2, 1}, out[5], first = 0,
          last = 0;
    int32_t kind = 2;
    memset(params, 0xff, sizeof params);
    memset(state, 0xff, sizeof state);
    memset(arena, 0xff, sizeof arena);
    everything_init(params, state, 7, arena);
    for (uint64_t step = 1; step <= 300; step++) {
        memset(arena, 0xff, sizeof arena);
        last = everything_step(params, state, x, &kind, y, 1, 7, step, arena);
        if (step == 1) first = last;
    }
    memset(arena, 0xff, sizeof arena);
    everything_forward(params, state, x, &kind, out, 1, arena);
    for (int i = 0; i < 5; i++)
        if (!(out[i] > y[i] - 1 && out[i] < y[i] + 1)) return printf("out[%d] = %g\n", i, out[i]);
    printf("from %g to %g: %s\n", first, last, last < first / 4 ? "learns" : "does not learn");
    return 0;
}
