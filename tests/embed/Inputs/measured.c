/* Puts means where the header says that they are, as a program does that reads saved weights. */
#include "measured.h"

#include <stdio.h>

static float params[MEASURED_PARAMS] __attribute__((aligned(64)));
static float state[MEASURED_STATE] __attribute__((aligned(64)));
static char arena[MEASURED_ARENA + 1] __attribute__((aligned(64)));

int main(void) {
    const float x[3] = {10, 20, 40};
    float p;
    measured_init(params, state, 1, arena);
    for (int i = 0; i < 3; i++) state[MEASURED_STATE_AT_centred1_mu + i] = (float)i + 1;
    measured_forward(params, state, x, &p, 1, arena);
    printf("p = %g\n", p);
    return 0;
}
