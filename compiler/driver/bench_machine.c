/* driver/bench_machine.c: what this machine can do at most, with as many threads as the model gets.
 *
 * in:   the probes that dlc compiled      out: operations a second, bytes a second by memory size
 * The best of several short runs: another process can only make one slower.
 */
#include "driver/bench.h"

#include <stdlib.h>

#define PROBE_SECONDS 0.001 /* shorter than a slice of time, where others want the processor */
#define MOST_SECONDS  0.15
enum { PROBE_RUNS = 60, LEAST_RUNS = 5, WARM_TURNS = 2000, VECTORS = 8, ARRAYS = 3, PAGE = 4096 };

/* Bytes to measure memory with: more than any cache holds. */
#define MEMORY_BYTES ((int64_t)128 << 20)

/* A probe that all threads run, each in memory of its own. */
typedef struct Probe {
    DlcProbe *run;
    char *memory;
    int64_t share; /* bytes of a thread */
    int64_t vectors, turns;
} Probe;

static void run_share(const void *argument, int64_t part, int64_t worker) {
    const Probe *probe = argument;
    probe->run(probe->memory + part * probe->share, probe->vectors, probe->turns);
}

static double seconds_of(const Limits *limits, const Probe *probe) {
    Moment begin = bench_begin(limits->parallel);
    if (limits->parallel)
        limits->parallel->run(limits->parallel->context, run_share, probe, limits->threads);
    else
        run_share(probe, 0, 0);
    return bench_end(begin);
}

/* Turns a second, of all threads together. */
static double best_rate(const Limits *limits, Probe probe) {
    double seconds = seconds_of(limits, &probe), best = 0;
    if (seconds < PROBE_SECONDS)
        probe.turns =
            (int64_t)((double)probe.turns * PROBE_SECONDS / (seconds > 1e-7 ? seconds : 1e-7));
    double begin = driver_now();
    for (int i = 0; i < PROBE_RUNS && (i < LEAST_RUNS || driver_now() - begin < MOST_SECONDS);
         i++) {
        double rate = (double)probe.turns / seconds_of(limits, &probe);
        if (rate > best) best = rate;
    }
    return best * (double)limits->threads;
}

static int64_t whole_vectors(int64_t bytes, int64_t vector_bytes) {
    int64_t vectors = bytes / vector_bytes / VECTORS * VECTORS;
    return vectors > VECTORS ? vectors : VECTORS;
}

static void measure_level(const DlcBench *plan, Limits *limits, MemoryLevel *level, char *memory) {
    int64_t bytes = level->bytes / limits->threads, vector = plan->vector_bytes;
    Probe probe = {.memory = memory, .share = bytes / PAGE * PAGE, .turns = 1};
    probe.run = plan->read;
    probe.vectors = whole_vectors(probe.share, vector);
    level->read = best_rate(limits, probe) * (double)(probe.vectors * vector);
    probe.run = plan->triad;
    probe.vectors = whole_vectors(probe.share / ARRAYS, vector);
    level->triad = best_rate(limits, probe) * (double)(ARRAYS * probe.vectors * vector);
}

static void add_level(Limits *limits, const char *name, int64_t holds, int64_t bytes) {
    limits->levels[limits->nlevels++] = (MemoryLevel){.name = name, .holds = holds, .bytes = bytes};
}

/* The first two caches are a processor's own; three quarters and a half of them are measured with.
 * A share of a large machine's last cache is not all ours: 8 MiB is enough to be in it. */
static void add_levels(const DlcBench *plan, Limits *limits) {
    int64_t first = plan->l1_bytes * limits->threads, second = plan->l2_bytes * limits->threads;
    int64_t last = plan->l3_bytes / 4 < (8 << 20) ? plan->l3_bytes / 4 : 8 << 20;
    add_level(limits, "L1", first, first * 3 / 4);
    add_level(limits, "L2", second, second / 2);
    if (last > second) add_level(limits, "L3", plan->l3_bytes, last);
    add_level(limits, "memory", INT64_MAX, MEMORY_BYTES);
}

bool bench_machine(const DlcBench *plan, const DlrtParallel *parallel, int64_t threads,
                   Limits *limits) {
    *limits = (Limits){.parallel = parallel, .threads = parallel ? threads : 1};
    add_levels(plan, limits);
    int64_t most = limits->threads * PAGE > MEMORY_BYTES ? limits->threads * PAGE : MEMORY_BYTES;
    for (uint32_t i = 0; i < limits->nlevels; i++)
        if (limits->levels[i].bytes > most) most = limits->levels[i].bytes;
    char *memory = bench_memory(most, 1);
    if (!memory) return false;
    Probe fma = {.run = plan->fma, .memory = memory, .share = PAGE, .turns = WARM_TURNS};
    limits->flops = best_rate(limits, fma) * plan->flops_of_turn;
    fma.run = plan->pairs;
    if (fma.run) limits->pairs_flops = best_rate(limits, fma) * plan->flops_of_turn * 2;
    for (uint32_t i = 0; i < limits->nlevels; i++)
        measure_level(plan, limits, &limits->levels[i], memory);
    free(memory);
    return true;
}

double bench_memory_time(const Limits *limits, const DlcTouch *touches, size_t n) {
    double seconds = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t l = 0;
        while (l + 1 < limits->nlevels && touches[i].distance > (double)limits->levels[l].holds)
            l++;
        const MemoryLevel *level = &limits->levels[l];
        seconds += touches[i].bytes / (level->read > level->triad ? level->read : level->triad);
    }
    return seconds;
}
