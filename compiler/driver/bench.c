/* driver/bench.c: `dlc bench`: what the machine can do, and what the model's kernels make of it.
 *
 * Compiles the model as `dlc train` would, and times that; then once more with a function for each
 * kernel. All numbers are measured in this run, or follow from those that are and from the plan.
 */
#include "driver/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Shorter times are not interrupted often, and asking for the processor's takes some time itself.
 */
#define LONG_SECONDS 20e-6

Moment bench_begin(const DlrtParallel *parallel) {
    double processor = parallel ? 0 : driver_seconds(CLOCK_THREAD_CPUTIME_ID);
    return (Moment){.wall = driver_now(), .processor = processor};
}

double bench_end(Moment begin) {
    double wall = driver_now() - begin.wall;
    if (wall < LONG_SECONDS || begin.processor == 0) return wall;
    double processor = driver_seconds(CLOCK_THREAD_CPUTIME_ID) - begin.processor;
    return processor < wall ? processor : wall;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

Timed bench_timed(double *samples, size_t n) {
    qsort(samples, n, sizeof *samples, ascending);
    return (Timed){.median = samples[n / 2], .least = samples[0]};
}

void *bench_memory(int64_t count, int64_t bytes) {
    int64_t all, most = INT64_MAX / 2;
    if (__builtin_mul_overflow(count, bytes, &all) || all > most) return NULL;
    size_t size = ((size_t)all + 127) / 64 * 64;
    void *memory = aligned_alloc(64, size);
    return memory ? memset(memory, 0, size) : NULL;
}

double bench_part_time(const Bench *b, DlcPart part) {
    double seconds = 0;
    for (size_t i = 0; i < b->nkernels; i++)
        if (b->kernels[i].plan->part == part) seconds += b->kernels[i].time.median;
    return seconds;
}

/* How many kernels before this one have its name. */
static size_t namesakes(const Bench *b, size_t kernel) {
    size_t n = 0;
    for (size_t i = 0; i < kernel; i++)
        n += strcmp(b->plan->kernels[i].name, b->plan->kernels[kernel].name) == 0;
    return n;
}

static bool predict_kernels(Bench *b) {
    b->nkernels = b->plan->nkernels;
    b->kernels = calloc(b->nkernels + 1, sizeof *b->kernels);
    if (!b->kernels) return false;
    for (size_t i = 0; i < b->nkernels; i++) {
        const DlcBenchKernel *plan = &b->plan->kernels[i];
        BenchKernel *k = &b->kernels[i];
        *k = (BenchKernel){.plan = plan, .old = NAN};
        for (size_t t = 0; t < plan->ntouches; t++) k->bytes += plan->touches[t].bytes;
        k->compute = (plan->flops - plan->pairs_flops) / b->limits.flops;
        if (plan->pairs_flops > 0) k->compute += plan->pairs_flops / b->limits.pairs_flops;
        k->memory = bench_memory_time(&b->limits, plan->touches, plan->ntouches);
        if (b->has_old) k->old = bench_old_kernel(&b->old, plan->name, namesakes(b, i));
    }
    return true;
}

/* Reading the file was the first thing this process did. */
static bool compile_all(Bench *b, DlcOptions compile) {
    if (!dlc_compile(b->driver->dlc, &compile)) return false;
    b->compile = driver_now() - b->driver->started;
    b->startup = b->driver->startup;
    b->nstages = dlc_stages(b->driver->dlc, &b->stages);
    b->plan = dlc_bench(b->driver->dlc, &compile);
    if (!b->plan) return false;
    b->model = b->plan->model;
    b->trains = b->model->step != NULL;
    b->batch = b->model->max_batch;
    return true;
}

static bool measure_inference(Bench *b, DlcOptions compile) {
    compile.batch = 1;
    compile.inference = true;
    const DlrtModel *one = dlc_compile(b->driver->dlc, &compile);
    return one && bench_forward(b->driver, b->model, b->batch, &b->inference) &&
           bench_forward(b->driver, one, 1, &b->inference_one);
}

/* Times of other work are no comparison. */
static void warn_of_other_work(const Bench *b) {
    const OldBench *old = &b->old;
    if (!old->model[0] || isnan(old->batch)) return;
    if (strcmp(old->model, b->model->name) == 0 && old->batch == (double)b->batch) return;
    fprintf(stderr, "warning: %s is of model `%s`, batch %.0f; this is `%s`, batch %lld\n",
            b->options->compare, old->model, old->batch, b->model->name, (long long)b->batch);
}

int run_bench(Driver *driver, const Options *options) {
    Bench b = {.driver = driver, .options = options};
    DlcOptions compile = compile_options(options);
    compile.at_once = true;
    if (compile.inference && !compile.batch) compile.batch = 1;
    if (options->compare && !bench_read_old(options->compare, &b.old)) return EXIT_WRONG;
    b.has_old = options->compare != NULL;
    if (options->threads > 1 && !open_threads(driver, options->threads)) return EXIT_WRONG;
    int status = EXIT_WRONG;
    bool compiled = compile_all(&b, compile);
    if (show_messages(driver, options) == EXIT_GOOD && compiled) {
        if (b.has_old) warn_of_other_work(&b);
        bool measured =
            bench_machine(b.plan, driver_parallel(driver, b.model), options->threads, &b.limits) &&
            predict_kernels(&b) && bench_model(&b) && measure_inference(&b, compile);
        if (measured && options->json)
            bench_json(&b);
        else if (measured)
            bench_show(&b);
        else if (show_messages(driver, options) == EXIT_GOOD)
            fputs("error: out of memory\n", stderr);
        status = measured ? EXIT_GOOD : EXIT_WRONG;
    }
    free(b.kernels);
    bench_free_old(&b.old);
    return status;
}
