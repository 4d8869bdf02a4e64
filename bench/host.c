/* bench/host.c: a compiled model in a C program, timed as the peers are.
 *
 * in:   DIR/params.bin, DIR/x.bin, DIR/y.bin (raw numbers, written by run.py)     out: a JSON line
 * built by run.py for each model, with
 *
 *     cc -DMODEL=mlp -DSIZE=MLP_ -DHEADER='"mlp.h"' -DINPUT=float host.c mlp.o
 *
 * and for N threads -DTHREADS=N -fopenmp, with an object compiled for as many.
 *
 *     ./mlp train DIR SECONDS [processor]    time of a training step
 *     ./mlp infer DIR SECONDS [processor]    time of a forward pass
 *     ./mlp check DIR STEPS                  the losses of the first steps
 *
 * One second of warm-up, then single steps for SECONDS and at least ten, batch after batch. What is
 * faster than the clock can tell is timed in groups. `processor`: the time that the processor
 * worked for this process, whatever others did meanwhile.
 */
#include HEADER

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

#define PASTE(a, b)   a##b
#define NAME(a, b)    PASTE(a, b)
#define SIZE_OF(what) NAME(SIZE, what)

enum { MOST = 200000, LEAST = 10, ALIGNMENT = 64 };

typedef struct Host {
    float *params, *state, *outputs;
    void *arena;
    const INPUT *x;
    const int32_t *y;
    long batches, x_elements, y_elements; /* of a batch */
    uint64_t steps;
    clockid_t clock;
} Host;

static double now(const Host *h) {
    struct timespec t;
    clock_gettime(h->clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *memory(size_t bytes) {
    void *block = aligned_alloc(ALIGNMENT, bytes / ALIGNMENT * ALIGNMENT + ALIGNMENT);
    if (!block) exit(1);
    return memset(block, 0, bytes);
}

static void *contents(const char *folder, const char *name, long *bytes) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        exit(1);
    }
    *bytes = ftell(file);
    rewind(file);
    void *block = memory((size_t)*bytes);
    if (fread(block, 1, (size_t)*bytes, file) != (size_t)*bytes) exit(1);
    fclose(file);
    return block;
}

static Host host_open(const char *folder) {
    Host h = {0};
    long bytes;
    h.state = memory((size_t)SIZE_OF(STATE) * sizeof(float));
    h.arena = memory(SIZE_OF(ARENA));
    float *initial = memory((size_t)SIZE_OF(PARAMS) * sizeof(float));
    NAME(MODEL, _init)(initial, h.state, 1, h.arena);
    free(initial);
    h.params = contents(folder, "params.bin", &bytes);
    if (bytes != (long)SIZE_OF(PARAMS) * (long)sizeof(float)) {
        fprintf(stderr, "params.bin is that of another model\n");
        exit(1);
    }
    h.batches = BATCHES;
    h.x = contents(folder, "x.bin", &bytes);
    h.x_elements = bytes / (long)sizeof(INPUT) / h.batches;
    h.y = contents(folder, "y.bin", &bytes);
    h.y_elements = bytes / (long)sizeof(int32_t) / h.batches;
    h.outputs = memory((size_t)OUTPUTS * sizeof(float));
    return h;
}

/* ---- the model ------------------------------------------------------------------------------- */

#ifdef THREADS
#include <omp.h>

static void divide(void *context, void (*task)(const void *argument, int64_t part, int64_t worker),
                   const void *argument, int64_t parts) {
    (void)context;
#pragma omp parallel for schedule(static) num_threads(THREADS)
    for (int64_t part = 0; part < parts; part++) task(argument, part, omp_get_thread_num());
}

static const struct dlc_parallel threads = {divide, NULL};
#define AND_THREADS , &threads
#else
#define AND_THREADS
#endif

#ifdef TRAINS
static float run(Host *h) {
    long batch = (long)(h->steps % (uint64_t)h->batches);
    h->steps++;
    return NAME(MODEL, _step)(h->params, h->state, h->x + batch * h->x_elements,
                              h->y + batch * h->y_elements, SIZE_OF(BATCH), 1, h->steps,
                              h->arena AND_THREADS);
}
#else
static float run(Host *h) {
    long batch = (long)(h->steps % (uint64_t)h->batches);
    h->steps++;
    NAME(MODEL, _forward)(h->params, h->state, h->x + batch * h->x_elements, h->outputs,
                          SIZE_OF(BATCH), h->arena AND_THREADS);
    return h->outputs[0];
}
#endif

/* ---- timing ---------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(Host *h, double seconds) {
    double *times = memory(MOST * sizeof *times), start = now(h);
    long n = 0, warm = 0, group;
    while (warm < 3 || now(h) - start < 1) run(h), warm++;
    double each = (now(h) - start) / (double)warm;
    group = each < 20e-6 ? (long)(100e-6 / each) : 1;
    start = now(h);
    while ((n < LEAST || now(h) - start < seconds) && n < MOST) {
        double begin = now(h);
        for (long i = 0; i < group; i++) run(h);
        times[n++] = (now(h) - begin) / (double)group * 1e3;
    }
    qsort(times, (size_t)n, sizeof *times, ascending);
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    printf("{\"median_ms\":%.6f,\"p10_ms\":%.6f,\"p90_ms\":%.6f,\"min_ms\":%.6f,\"steps\":%ld,"
           "\"rss_mb\":%.1f,\"last\":%.6g}\n",
           times[n / 2], times[n / 10], times[n * 9 / 10], times[0], n * group,
           (double)use.ru_maxrss / 1024, (double)run(h));
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: %s train|infer|check DIR SECONDS|STEPS\n", argv[0]);
        return 2;
    }
#ifdef __SSE__
    _mm_setcsr(_mm_getcsr() | 0x8040); /* denormal numbers are zero, as in the peers' runs */
#endif
    Host h = host_open(argv[2]);
    h.clock = argc > 4 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
    if (strcmp(argv[1], "check") != 0) {
        measure(&h, atof(argv[3]));
        return 0;
    }
    long steps = atol(argv[3]);
    printf("{\"losses\":[");
    for (long i = 0; i < steps; i++) printf("%s%.7g", i ? "," : "", (double)run(&h));
    puts("]}");
    return 0;
}
