/* driver/bench_machine.c: what this machine can do at most, on one thread.
 *
 * in:   the probes that dlc compiled      out: operations a second, bytes a second by memory size
 * The best of several short runs: another process can only make one slower.
 */
#include "driver/bench.h"

#include <stdlib.h>

#define PROBE_SECONDS 0.001 /* shorter than a slice of time, where others want the processor */
#define MOST_SECONDS  0.15
enum { PROBE_RUNS = 60, LEAST_RUNS = 5, WARM_TURNS = 2000, VECTORS = 8, ARRAYS = 3 };

/* Bytes to measure memory with: more than any cache holds. */
#define MEMORY_BYTES ((int64_t)128 << 20)

static double seconds_of(DlcProbe *probe, void *memory, int64_t vectors, int64_t turns) {
    Moment begin = bench_begin();
    probe(memory, vectors, turns);
    return bench_end(begin);
}

/* Turns a second. */
static double best_rate(DlcProbe *probe, void *memory, int64_t vectors, int64_t turns) {
    double seconds = seconds_of(probe, memory, vectors, turns), best = 0;
    if (seconds < PROBE_SECONDS)
        turns = (int64_t)((double)turns * PROBE_SECONDS / (seconds > 1e-7 ? seconds : 1e-7));
    double begin = driver_now();
    for (int i = 0; i < PROBE_RUNS && (i < LEAST_RUNS || driver_now() - begin < MOST_SECONDS);
         i++) {
        double rate = (double)turns / seconds_of(probe, memory, vectors, turns);
        if (rate > best) best = rate;
    }
    return best;
}

static int64_t whole_vectors(int64_t bytes, int64_t vector_bytes) {
    int64_t vectors = bytes / vector_bytes / VECTORS * VECTORS;
    return vectors > VECTORS ? vectors : VECTORS;
}

static void measure_level(const DlcBench *plan, MemoryLevel *level, void *memory) {
    int64_t all = whole_vectors(level->bytes, plan->vector_bytes);
    int64_t third = whole_vectors(level->bytes / ARRAYS, plan->vector_bytes);
    level->read = best_rate(plan->read, memory, all, 1) * (double)(all * plan->vector_bytes);
    level->triad =
        best_rate(plan->triad, memory, third, 1) * (double)(ARRAYS * third * plan->vector_bytes);
}

static void add_level(Limits *limits, const char *name, int64_t holds, int64_t bytes) {
    limits->levels[limits->nlevels++] = (MemoryLevel){.name = name, .holds = holds, .bytes = bytes};
}

bool bench_machine(const DlcBench *plan, Limits *limits) {
    *limits = (Limits){0};
    add_level(limits, "L1", plan->l1_bytes, plan->l1_bytes * 3 / 4);
    add_level(limits, "L2", plan->l2_bytes, plan->l2_bytes / 2);
    /* A share of a large machine's last cache is not all ours: 8 MiB is enough to be in it. */
    int64_t l3 = plan->l3_bytes / 4 < (8 << 20) ? plan->l3_bytes / 4 : 8 << 20;
    if (l3 > plan->l2_bytes) add_level(limits, "L3", plan->l3_bytes, l3);
    add_level(limits, "memory", INT64_MAX, MEMORY_BYTES);
    void *memory = bench_memory(MEMORY_BYTES, 1);
    if (!memory) return false;
    limits->flops = best_rate(plan->fma, memory, 0, WARM_TURNS) * plan->flops_of_turn;
    for (uint32_t i = 0; i < limits->nlevels; i++) measure_level(plan, &limits->levels[i], memory);
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
