/* driver/bench_model.c: times a compiled model: the whole function, and its kernels one by one.
 *
 * in:   the plan      out: Bench.whole, Bench.kernels[..].time, Bench.inference
 *
 * Whole steps and steps kernel by kernel take turns, so that both meet the same disturbances. The
 * kernels run in the order of the step and find their data where the ones before left it, in the
 * same caches; none runs twice in a row. Where a whole step is too short for the clock, the time of
 * a kernel is what the first i kernels take less what the first i - 1 take. Inputs and targets are
 * random but valid, and the parameters are set back again and again, so that no training runs away.
 */
#include "driver/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WARM_SECONDS  0.3
#define SECONDS       1.5
#define GROUP_SECONDS 40e-6 /* what is shorter is timed in groups */
enum { MOST_SAMPLES = 2000, LEAST_SAMPLES = 5, STEPS_BEFORE_RESET = 16, CLOCK_RUNS = 1001 };

typedef struct Model {
    const DlrtModel *m;
    DlrtCall call;
    void **inputs, **results;
    void *first_params, *first_state; /* as initialised */
    uint32_t nports, nresults;
    uint64_t random;
} Model;

/* ---- memory and numbers -------------------------------------------------------------------- */

static double uniform(Model *x) {
    uint64_t z = x->random += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static const DlrtPort *port_at(const DlrtModel *m, uint32_t i) {
    return i < m->ninputs ? &m->inputs[i] : &m->targets[i - m->ninputs];
}

/* Room for a batch; NULL when there is none, or the numbers are too many to be counted. */
static void *port_memory(const Model *x, const DlrtPort *port) {
    int64_t n;
    if (__builtin_mul_overflow(port->elements, x->call.n, &n)) return NULL;
    return bench_memory(n > 1 ? n : 1, x->m->real_bytes == 8 ? 8 : 4);
}

/* Real numbers in [0, 1), classes anywhere in their range. */
static bool fill_port(Model *x, uint32_t i) {
    const DlrtPort *port = port_at(x->m, i);
    void *values = x->inputs[i] = port_memory(x, port);
    if (!values) return false;
    for (int64_t k = 0; k < port->elements * x->call.n; k++) {
        double value = uniform(x);
        if (port->classes)
            ((int32_t *)values)[k] = (int32_t)(value * (double)port->classes);
        else if (x->m->real_bytes == 8)
            ((double *)values)[k] = value;
        else
            ((float *)values)[k] = (float)value;
    }
    return true;
}

static size_t params_bytes(const Model *x) {
    return (size_t)(x->m->params_elements * x->m->real_bytes);
}

static size_t state_bytes(const Model *x) {
    return (size_t)(x->m->state_elements * x->m->real_bytes);
}

static bool take_results(Model *x) {
    const DlrtModel *m = x->m;
    x->nresults = m->noutputs > m->nstats + 1 ? m->noutputs : m->nstats + 1;
    x->results = calloc(x->nresults + 1, sizeof *x->results);
    if (!x->results) return false;
    for (uint32_t i = 0; i < x->nresults; i++) {
        void *room = i < m->noutputs ? port_memory(x, &m->outputs[i]) : bench_memory(1, 8);
        if (!room) return false;
        x->results[i] = room;
    }
    return true;
}

static void model_close(Model *x) {
    for (uint32_t i = 0; x->inputs && i < x->nports; i++) free(x->inputs[i]);
    for (uint32_t i = 0; x->results && i < x->nresults; i++) free(x->results[i]);
    free(x->inputs);
    free(x->results);
    free(x->call.params);
    free(x->call.state);
    free(x->call.arena);
    free(x->first_params);
    free(x->first_state);
}

static void reset(Model *x) {
    memcpy(x->call.params, x->first_params, params_bytes(x));
    memcpy(x->call.state, x->first_state, state_bytes(x));
    x->call.step = 1;
}

static bool model_open(Model *x, const Driver *driver, const DlrtModel *m, int64_t batch,
                       uint64_t seed) {
    *x = (Model){.m = m, .random = seed + 1, .nports = m->ninputs + m->ntargets};
    x->call =
        (DlrtCall){.n = batch, .seed = seed, .step = 1, .parallel = driver_parallel(driver, m)};
    x->inputs = calloc(x->nports + 1, sizeof *x->inputs);
    x->call.params = bench_memory((int64_t)params_bytes(x), 1);
    x->call.state = bench_memory((int64_t)state_bytes(x), 1);
    x->call.arena = bench_memory(m->arena_bytes, 1);
    x->first_params = bench_memory((int64_t)params_bytes(x), 1);
    x->first_state = bench_memory((int64_t)state_bytes(x), 1);
    if (!x->inputs || !x->call.params || !x->call.state || !x->call.arena || !x->first_params ||
        !x->first_state)
        return false;
    for (uint32_t i = 0; i < x->nports; i++)
        if (!fill_port(x, i)) return false;
    if (!take_results(x)) return false;
    x->call.inputs = (const void *const *)x->inputs;
    x->call.results = x->results;
    m->init(&x->call);
    memcpy(x->first_params, x->call.params, params_bytes(x));
    memcpy(x->first_state, x->call.state, state_bytes(x));
    return true;
}

/* ---- timing ---------------------------------------------------------------------------------- */

static double run_group(Model *x, DlrtFunction *function, int64_t group) {
    Moment begin = bench_begin(x->call.parallel);
    for (int64_t i = 0; i < group; i++) {
        function(&x->call);
        x->call.step++;
    }
    return bench_end(begin) / (double)group;
}

/* Runs for a while, so that memory and clock are awake; how many runs make a group. */
static int64_t find_group(Model *x, DlrtFunction *function) {
    double begin = driver_now(), least = run_group(x, function, 1);
    for (int i = 0; i < LEAST_SAMPLES && driver_now() - begin < WARM_SECONDS; i++)
        run_group(x, function, 1);
    while (driver_now() - begin < WARM_SECONDS) {
        reset(x);
        double each = run_group(x, function, STEPS_BEFORE_RESET);
        if (each < least) least = each;
    }
    return least < GROUP_SECONDS ? (int64_t)(GROUP_SECONDS / (least > 1e-9 ? least : 1e-9)) + 1 : 1;
}

/* What reading the clock costs. */
static double clock_seconds(const DlrtParallel *parallel) {
    double samples[CLOCK_RUNS];
    for (int i = 0; i < CLOCK_RUNS; i++) samples[i] = bench_end(bench_begin(parallel));
    return bench_timed(samples, CLOCK_RUNS).least;
}

static double difference(double more, double less) {
    return more > less ? more - less : 0;
}

/* A step, kernel by kernel. */
static void run_kernels(Model *x, const Bench *b, double *samples, size_t sample, double clock) {
    for (size_t i = 0; i < b->nkernels; i++) {
        Moment begin = bench_begin(x->call.parallel);
        b->plan->kernels[i].run(&x->call);
        samples[i * MOST_SAMPLES + sample] = difference(bench_end(begin), clock);
    }
    x->call.step++;
}

/* The first one, two, three, … kernels. */
static void run_beginnings(Model *x, const Bench *b, double *samples, size_t sample,
                           int64_t group) {
    for (size_t n = 1; n <= b->nkernels; n++) {
        Moment begin = bench_begin(x->call.parallel);
        for (int64_t g = 0; g < group; g++)
            for (size_t i = 0; i < n; i++) b->plan->kernels[i].run(&x->call);
        samples[(n - 1) * MOST_SAMPLES + sample] = bench_end(begin) / (double)group;
        reset(x);
    }
}

static void set_times(Bench *b, double *samples, size_t n, bool beginnings) {
    Timed before = {0};
    for (size_t i = 0; i < b->nkernels; i++) {
        Timed now = bench_timed(samples + i * MOST_SAMPLES, n), *time = &b->kernels[i].time;
        *time = now;
        if (!beginnings) continue;
        time->median = difference(now.median, before.median);
        time->least = difference(now.least, before.least);
        if (time->least > time->median) time->least = time->median;
        before = now;
    }
}

static bool measure(Bench *b, Model *x) {
    DlrtFunction *function = b->trains ? b->model->step : b->model->forward;
    double *samples = malloc((b->nkernels + 1) * MOST_SAMPLES * sizeof *samples);
    if (!samples) return false;
    double *whole = samples + b->nkernels * MOST_SAMPLES, clock = clock_seconds(x->call.parallel);
    int64_t group = find_group(x, function);
    size_t n = 0;
    for (double begin = driver_now();
         n < MOST_SAMPLES && (n < LEAST_SAMPLES || driver_now() - begin < SECONDS); n++) {
        if (group > 1 || n % (STEPS_BEFORE_RESET / 2) == 0) reset(x);
        whole[n] = run_group(x, function, group);
        if (group > 1)
            run_beginnings(x, b, samples, n, group);
        else
            run_kernels(x, b, samples, n, clock);
    }
    b->whole = bench_timed(whole, n);
    set_times(b, samples, n, group > 1);
    free(samples);
    return true;
}

bool bench_model(Bench *b) {
    Model x;
    bool good = model_open(&x, b->driver, b->model, b->batch, b->options->seed) && measure(b, &x);
    model_close(&x);
    return good;
}

static bool measure_forward(Model *x, Timed *result) {
    DlrtFunction *function = x->m->forward;
    double *samples = malloc(MOST_SAMPLES * sizeof *samples);
    if (!samples) return false;
    int64_t group = find_group(x, function);
    size_t n = 0;
    for (double begin = driver_now();
         n < MOST_SAMPLES && (n < LEAST_SAMPLES || driver_now() - begin < SECONDS / 4); n++)
        samples[n] = run_group(x, function, group);
    *result = bench_timed(samples, n);
    free(samples);
    return true;
}

bool bench_forward(const Driver *driver, const DlrtModel *model, int64_t batch, Timed *result) {
    Model x;
    bool good = model_open(&x, driver, model, batch, 0) && measure_forward(&x, result);
    model_close(&x);
    return good;
}
