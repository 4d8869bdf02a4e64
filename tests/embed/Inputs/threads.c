/* Trains a model with threads of one's own and without, and compares the parameters. */
#include "wide.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static float params[2][WIDE_PARAMS] __attribute__((aligned(64)));
static float state[2][WIDE_STATE] __attribute__((aligned(64)));
static char arena[WIDE_ARENA] __attribute__((aligned(64)));
static float x[WIDE_BATCH][64], p[2][WIDE_BATCH][10];
static int32_t y[WIDE_BATCH];

struct work {
    void (*task)(const void *argument, int64_t part, int64_t worker);
    const void *argument;
    int64_t parts;
    _Atomic int64_t next;
};

struct worker {
    struct work *work;
    int64_t number;
};

static void *work(void *data) {
    const struct worker *worker = data;
    struct work *w = worker->work;
    int64_t part;
    while ((part = atomic_fetch_add(&w->next, 1)) < w->parts)
        w->task(w->argument, part, worker->number);
    return NULL;
}

/* The simplest that works: threads that live for one kernel. */
static void run(void *context, void (*task)(const void *, int64_t, int64_t), const void *argument,
                int64_t parts) {
    pthread_t threads[WIDE_WORKERS];
    struct worker workers[WIDE_WORKERS];
    struct work w = {task, argument, parts, 0};
    for (int i = 0; i < WIDE_WORKERS; i++) {
        workers[i].work = &w;
        workers[i].number = i;
        if (i > 0) pthread_create(&threads[i], NULL, work, &workers[i]);
    }
    work(&workers[0]);
    for (int i = 1; i < WIDE_WORKERS; i++) pthread_join(threads[i], NULL);
    *(int *)context += 1;
}

int main(void) {
    int runs = 0;
    struct dlc_parallel parallel = {run, &runs};
    for (int i = 0; i < WIDE_BATCH; i++) {
        for (int k = 0; k < 64; k++) x[i][k] = (float)((i * 31 + k * 17) % 23) / 23;
        y[i] = i % 10;
    }
    for (int threads = 0; threads < 2; threads++) {
        const struct dlc_parallel *with = threads ? &parallel : NULL;
        wide_init(params[threads], state[threads], 1, arena);
        for (uint64_t step = 1; step <= 5; step++)
            wide_step(params[threads], state[threads], x[0], y, WIDE_BATCH - (int64_t)step, 1, step,
                      arena, with);
        wide_forward(params[threads], state[threads], x[0], p[threads][0], WIDE_BATCH, arena, with);
    }
    if (memcmp(params[0], params[1], sizeof params[0]) != 0) puts("different parameters");
    if (memcmp(p[0], p[1], sizeof p[0]) != 0) puts("different outputs");
    printf("%s kernels were divided among %d threads\n", runs >= 10 ? "some" : "hardly any",
           WIDE_WORKERS);
    return 0;
}
