/* driver/bench_show.c: the results of `dlc bench`, for people and for programs. */
#include "driver/bench.h"

#include <math.h>
#include <string.h>

const char *bench_part_name(DlcPart part) {
    switch (part) {
    case DLC_PART_FORWARD: return "forward";
    case DLC_PART_BACKWARD: return "backward";
    case DLC_PART_UPDATE: return "update";
    case DLC_PART_BOTH: return "both";
    }
    return "";
}

/* The least time that the limits allow. */
static double predicted(const BenchKernel *k) {
    return k->compute > k->memory ? k->compute : k->memory;
}

/* Below this a time says nothing. */
#define SHORTEST 2e-9

/* Rates and shares are of the least time, as the limits are the best of several runs. */
static bool has_rate(const BenchKernel *k) {
    return k->time.least > SHORTEST;
}

static double share_of(const BenchKernel *k) {
    return has_rate(k) ? predicted(k) / k->time.least : NAN;
}

/* What took less is not told to people. */
#define SHOWN_SECONDS 50e-6

/* ---- for people ------------------------------------------------------------------------------ */

static void put_time(double seconds) {
    if (!(seconds >= 0))
        printf("%11s", "-");
    else if (seconds < 1e-6)
        printf("%8.1f ns", seconds * 1e9);
    else if (seconds < 1e-3)
        printf("%8.2f us", seconds * 1e6);
    else
        printf("%8.3f ms", seconds * 1e3);
}

static void put_bytes_short(double bytes) {
    if (bytes < 10 * 1024)
        printf("%7.0f B  ", bytes);
    else if (bytes < 10 * 1024 * 1024)
        printf("%7.0f KiB", bytes / 1024);
    else
        printf("%7.0f MiB", bytes / 1024 / 1024);
}

static void show_memory(const Bench *b) {
    const DlrtModel *m = b->model;
    printf("memory    arena ");
    put_bytes(stdout, (double)b->plan->arena_bytes);
    printf(" (");
    put_bytes(stdout, (double)b->plan->live_bytes);
    printf(" live at one time), parameters ");
    put_bytes(stdout, (double)(m->params_elements * m->real_bytes));
    printf(", state ");
    put_bytes(stdout, (double)(m->state_elements * m->real_bytes));
    putchar('\n');
}

static void show_machine(const Bench *b) {
    printf("machine   %s, vectors of %lld bits, %lld thread%s\n", b->plan->cpu,
           (long long)b->plan->vector_bytes * 8, (long long)b->limits.threads,
           b->limits.threads == 1 ? "" : "s");
    printf("          %.1f GFLOP/s in registers", b->limits.flops * 1e-9);
    if (b->plan->pairs) printf(", %.1f in pairs of bf16", b->limits.pairs_flops * 1e-9);
    printf("; GB/s reading, and in a = b + s * c:\n");
    for (uint32_t i = 0; i < b->limits.nlevels; i++) {
        const MemoryLevel *level = &b->limits.levels[i];
        printf("          %-8s", level->name);
        put_bytes_short((double)level->bytes);
        printf(" %8.1f %8.1f\n", level->read * 1e-9, level->triad * 1e-9);
    }
    show_memory(b);
    printf("compiled  in %.1f ms, and %.1f ms to start; ms by stage:\n         ", b->compile * 1e3,
           b->startup * 1e3);
    for (size_t i = 0; i < b->nstages; i++)
        if (b->stages[i].seconds >= SHOWN_SECONDS)
            printf(" %s %.1f", b->stages[i].name, b->stages[i].seconds * 1e3);
    printf("\n\n");
}

static void show_kernel(const Bench *b, const BenchKernel *k) {
    char place[24] = "";
    if (k->plan->line) snprintf(place, sizeof place, "%u", k->plan->line);
    printf("%-26.26s %-8s %-8s %5s", k->plan->name, bench_part_name(k->plan->part), k->plan->kind,
           place);
    put_time(k->time.median);
    put_time(k->time.least);
    if (has_rate(k))
        printf(" %8.2f ", k->plan->flops / k->time.least * 1e-9);
    else
        printf(" %8s ", "-");
    put_bytes_short(k->bytes);
    put_time(predicted(k));
    printf(" %s", k->compute >= k->memory ? "flop" : "byte");
    if (has_rate(k))
        printf(" %5.0f %%", 100 * share_of(k));
    else
        printf(" %7s", "-");
    if (b->has_old) {
        if (isnan(k->old))
            printf("      new");
        else
            printf(" %8.2f", k->old / (k->time.median * 1e3));
    }
    putchar('\n');
}

typedef struct Total {
    double median, least, flops, bytes, predicted;
    size_t n;
} Total;

/* Of one part, or of all of them. */
static Total total_of(const Bench *b, const DlcPart *part) {
    Total t = {0};
    for (size_t i = 0; i < b->nkernels; i++) {
        const BenchKernel *k = &b->kernels[i];
        if (part && k->plan->part != *part) continue;
        t.n++;
        t.median += k->time.median;
        t.least += k->time.least;
        t.flops += k->plan->flops;
        t.bytes += k->bytes;
        t.predicted += predicted(k);
    }
    return t;
}

static void show_total(const Bench *b, const char *name, Timed time, const Total *t, double old) {
    printf("%-26s %-23s", name, "");
    put_time(time.median);
    put_time(time.least);
    if (t) {
        printf(" %8.2f ", time.least > 0 ? t->flops / time.least * 1e-9 : 0);
        put_bytes_short(t->bytes);
        put_time(t->predicted);
        printf("      %5.0f %%", time.least > 0 ? 100 * t->predicted / time.least : 0);
    }
    if (b->has_old && !isnan(old)) printf("%*s %8.2f", t ? 0 : 45, "", old / (time.median * 1e3));
    putchar('\n');
}

static void show_totals(const Bench *b) {
    const double old[] = {b->old.forward, b->old.backward, b->old.update, NAN};
    Total all = total_of(b, NULL);
    for (DlcPart part = DLC_PART_FORWARD; b->trains && part <= DLC_PART_BOTH; part++) {
        Total t = total_of(b, &part);
        char name[64];
        snprintf(name, sizeof name, "%s, %zu kernel%s", bench_part_name(part), t.n,
                 t.n == 1 ? "" : "s");
        if (t.n) show_total(b, name, (Timed){t.median, t.least}, &t, old[part]);
    }
    char name[64];
    snprintf(name, sizeof name, "sum of %zu kernel%s", all.n, all.n == 1 ? "" : "s");
    show_total(b, name, (Timed){all.median, all.least}, &all, NAN);
    if (b->trains) show_total(b, "whole step", b->whole, &all, b->old.step);
    snprintf(name, sizeof name, "inference, batch %lld", (long long)b->batch);
    show_total(b, name, b->inference, b->trains ? NULL : &all, b->old.inference);
    show_total(b, "inference, one example", b->inference_one, NULL, b->old.inference_one);
}

void bench_show(const Bench *b) {
    printf("model     %s, batch %lld\n", b->model->name, (long long)b->batch);
    show_machine(b);
    printf("%-26s %-8s %-8s %5s %10s %10s %8s %10s %10s %11s%s\n", "kernel", "part", "kind", "line",
           "median", "least", "GFLOP/s", "bytes", "predicted", "reached",
           b->has_old ? "  was/is" : "");
    for (size_t i = 0; i < b->nkernels; i++) show_kernel(b, &b->kernels[i]);
    putchar('\n');
    show_totals(b);
    puts("\nGFLOP/s are of the least time. A time is predicted from the plan and the machine: that "
         "of "
         "the operations\n(flop) or of the memory touched (byte), whichever is longer.");
}

/* ---- for programs ---------------------------------------------------------------------------- */

static void put_number(const char *key, double value) {
    printf(",\"%s\":", key);
    put_json_number(stdout, value);
}

static void json_machine(const Bench *b) {
    printf(",\"cpu\":");
    put_json_string(stdout, b->plan->cpu);
    printf(",\"vector_bits\":%lld,\"threads\":%lld", (long long)b->plan->vector_bytes * 8,
           (long long)b->limits.threads);
    put_number("peak_gflops", b->limits.flops * 1e-9);
    if (b->plan->pairs) put_number("peak_pairs_gflops", b->limits.pairs_flops * 1e-9);
    const MemoryLevel *memory = &b->limits.levels[b->limits.nlevels - 1];
    put_number("bandwidth_gbs", fmax(memory->read, memory->triad) * 1e-9);
    printf(",\"memory\":[");
    for (uint32_t i = 0; i < b->limits.nlevels; i++) {
        const MemoryLevel *level = &b->limits.levels[i];
        printf("%s{\"level\":\"%s\",\"bytes\":%lld", i ? "," : "", level->name,
               (long long)level->bytes);
        put_number("read_gbs", level->read * 1e-9);
        put_number("triad_gbs", level->triad * 1e-9);
        putchar('}');
    }
    putchar(']');
}

static void json_kernel(const Bench *b, const BenchKernel *k) {
    printf("{\"name\":");
    put_json_string(stdout, k->plan->name);
    printf(",\"part\":\"%s\",\"kind\":\"%s\",\"line\":%u", bench_part_name(k->plan->part),
           k->plan->kind, k->plan->line);
    put_number("ms", k->time.median * 1e3);
    put_number("least_ms", k->time.least * 1e3);
    put_number("flops", k->plan->flops);
    put_number("bytes", k->bytes);
    put_number("gflops", has_rate(k) ? k->plan->flops / k->time.least * 1e-9 : NAN);
    put_number("predicted_ms", predicted(k) * 1e3);
    printf(",\"bound\":\"%s\"", k->compute >= k->memory ? "flop" : "byte");
    put_number("roofline", share_of(k));
    if (b->has_old) put_number("was_ms", k->old);
    putchar('}');
}

static void json_totals(const Bench *b) {
    Total all = total_of(b, NULL);
    Timed whole = b->trains ? b->whole : b->inference;
    double forward = b->trains ? bench_part_time(b, DLC_PART_FORWARD) : b->inference.median;
    put_number("compile_ms", b->compile * 1e3);
    put_number("startup_ms", b->startup * 1e3);
    const DlrtModel *m = b->model;
    put_number("arena_bytes", (double)b->plan->arena_bytes);
    put_number("live_bytes", (double)b->plan->live_bytes);
    put_number("params_bytes", (double)(m->params_elements * m->real_bytes));
    put_number("state_bytes", (double)(m->state_elements * m->real_bytes));
    for (size_t i = 0; i < b->nstages; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s_ms", b->stages[i].name);
        put_number(key, b->stages[i].seconds * 1e3);
    }
    put_number("forward_ms", forward * 1e3);
    put_number("backward_ms", b->trains ? bench_part_time(b, DLC_PART_BACKWARD) * 1e3 : NAN);
    put_number("update_ms", b->trains ? bench_part_time(b, DLC_PART_UPDATE) * 1e3 : NAN);
    put_number("both_ms", b->trains ? bench_part_time(b, DLC_PART_BOTH) * 1e3 : NAN);
    put_number("step_ms", b->trains ? b->whole.median * 1e3 : NAN);
    put_number("step_least_ms", b->trains ? b->whole.least * 1e3 : NAN);
    put_number("inference_ms", b->inference.median * 1e3);
    put_number("inference_one_ms", b->inference_one.median * 1e3);
    put_number("inference_one_least_ms", b->inference_one.least * 1e3);
    put_number("flops", all.flops);
    put_number("bytes", all.bytes);
    put_number("gflops", all.flops / whole.least * 1e-9);
    put_number("predicted_ms", all.predicted * 1e3);
    put_number("roofline", all.predicted / whole.least);
    if (b->has_old) put_number("was_step_ms", b->old.step);
}

void bench_json(const Bench *b) {
    printf("{\"model\":");
    put_json_string(stdout, b->model->name);
    printf(",\"batch\":%lld", (long long)b->batch);
    json_machine(b);
    json_totals(b);
    printf(",\"kernels\":[");
    for (size_t i = 0; i < b->nkernels; i++) {
        if (i) putchar(',');
        json_kernel(b, &b->kernels[i]);
    }
    printf("]}\n");
}
