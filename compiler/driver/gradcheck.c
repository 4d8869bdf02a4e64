/* driver/gradcheck.c: are the derivatives right?
 *
 * For elements of every parameter and input, three numbers in double precision: the gradient by
 * reverse mode, the derivative along that element by forward mode, and a central difference of the
 * loss. The difference of two numbers a, b is |a - b| / max(|a|, |b|, floor), where the floor is
 * 1e-3 of the largest gradient in the model: below it a central difference has no correct digits
 * left.
 *
 * The central difference is the fourth-order formula
 *     f' = (8 (f(x+h) - f(x-h)) - (f(x+2h) - f(x-2h))) / (12 h) + O(h^4)
 * at several h; the value taken is the one that agrees best with its neighbour, which is judged
 * without looking at the gradient. Where no two agree (a kink within reach) the element is counted,
 * not compared.
 */
#include "driver/driver.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHECKED_ELEMENTS = 48, STEPS = 5 };

typedef struct Check {
    const DlcGradients *g;
    DlrtCall call;
    double *params, *state;
    void **inputs;      /* the model's inputs and targets, then the directions */
    double **gradients; /* results of `gradient`, by checked tensor */
    uint32_t nports;
    int64_t batch;
    uint64_t random;
    double floor, worst;
    char worst_name[256];
    int64_t compared, kinks;
} Check;

static uint64_t next_random(Check *c) {
    /* splitmix64 (Steele, Lea, Flood 2014) */
    uint64_t z = c->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double uniform(Check *c) {
    return (double)(next_random(c) >> 11) * 0x1p-53;
}

static void *allocate(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (p) memset(p, 0, (bytes + 127) / 64 * 64);
    return p;
}

static const DlrtPort *port_at(const DlrtModel *m, uint32_t i) {
    return i < m->ninputs ? &m->inputs[i] : &m->targets[i - m->ninputs];
}

/* Values without structure: reals in (-1, 1) away from 0, classes anywhere. */
static bool fill_port(Check *c, uint32_t i) {
    const DlrtPort *port = port_at(c->g->model, i);
    int64_t n = port->elements * c->batch;
    c->inputs[i] = allocate((size_t)n * 8);
    if (!c->inputs[i]) return false;
    for (int64_t k = 0; k < n; k++) {
        double value = 2 * uniform(c) - 1;
        if (port->classes)
            ((int32_t *)c->inputs[i])[k] = (int32_t)(uniform(c) * (double)port->classes);
        else
            ((double *)c->inputs[i])[k] = value < 0 ? value - 0.05 : value + 0.05;
    }
    return true;
}

static bool allocate_all(Check *c) {
    const DlcGradients *g = c->g;
    const DlrtModel *m = g->model;
    c->nports = m->ninputs + m->ntargets;
    c->inputs = calloc(c->nports + g->nchecked + 1, sizeof *c->inputs);
    c->gradients = calloc(g->nchecked + 1, sizeof *c->gradients);
    c->params = allocate((size_t)m->params_elements * 8);
    c->state = allocate((size_t)m->state_elements * 8);
    c->call.arena = allocate((size_t)m->arena_bytes);
    if (!c->inputs || !c->gradients || !c->params || !c->state || !c->call.arena) return false;
    for (uint32_t i = 0; i < c->nports; i++)
        if (!fill_port(c, i)) return false;
    for (uint32_t i = 0; i < g->nchecked; i++) {
        c->gradients[i] = allocate((size_t)g->elements[i] * 8);
        c->inputs[c->nports + i] = allocate((size_t)g->elements[i] * 8);
        if (!c->gradients[i] || !c->inputs[c->nports + i]) return false;
    }
    return true;
}

static void free_all(Check *c) {
    for (uint32_t i = 0; c->inputs && i < c->nports + c->g->nchecked; i++) free(c->inputs[i]);
    for (uint32_t i = 0; c->gradients && i < c->g->nchecked; i++) free(c->gradients[i]);
    free(c->inputs);
    free(c->gradients);
    free(c->params);
    free(c->state);
    free(c->call.arena);
}

static void call(Check *c, DlrtFunction *function, void *const *results) {
    c->call.params = c->params;
    c->call.state = c->state;
    c->call.inputs = (const void *const *)c->inputs;
    c->call.results = results;
    c->call.n = c->batch;
    function(&c->call);
}

static double loss(Check *c) {
    double value = 0;
    void *results[] = {&value};
    call(c, c->g->loss, results);
    return value;
}

static double tangent(Check *c) {
    double value = 0;
    void *results[] = {&value};
    call(c, c->g->tangent, results);
    return value;
}

static bool gradient(Check *c) {
    double value = 0;
    void **results = calloc(c->g->nchecked + 1, sizeof *results);
    if (!results) return false;
    results[0] = &value;
    for (uint32_t i = 0; i < c->g->nchecked; i++) results[1 + i] = c->gradients[i];
    call(c, c->g->gradient, results);
    free(results);
    double largest = 0;
    for (uint32_t i = 0; i < c->g->nchecked; i++)
        for (int64_t k = 0; k < c->g->elements[i]; k++)
            largest = fmax(largest, fabs(c->gradients[i][k]));
    c->floor = fmax(1e-3 * largest, 1e-12);
    return true;
}

static double loss_at(Check *c, double *x, double value) {
    double before = *x;
    *x = value;
    double result = loss(c);
    *x = before;
    return result;
}

/* False at a kink. */
static bool central_difference(Check *c, double *x, double *result) {
    double estimates[STEPS], h = 3e-3 * fmax(1, fabs(*x)), at = *x;
    for (int i = 0; i < STEPS; i++, h /= 4) {
        double near = loss_at(c, x, at + h) - loss_at(c, x, at - h);
        double far = loss_at(c, x, at + 2 * h) - loss_at(c, x, at - 2 * h);
        estimates[i] = (8 * near - far) / (12 * h);
    }
    double best = INFINITY;
    for (int i = 0; i + 1 < STEPS; i++) {
        double apart = fabs(estimates[i] - estimates[i + 1]);
        if (apart >= best) continue;
        best = apart;
        *result = estimates[i];
    }
    return best <= 1e-7 * fmax(fabs(*result), c->floor);
}

static void compare(Check *c, double a, double b, const char *name, int64_t k, const char *what) {
    double size = fmax(fmax(fabs(a), fabs(b)), c->floor);
    double difference = fabs(a - b) / size;
    if (!isfinite(a) || !isfinite(b)) difference = INFINITY;
    if (difference <= c->worst) return;
    c->worst = difference;
    snprintf(c->worst_name, sizeof c->worst_name, "%s[%lld]: reverse %.9g, %s %.9g", name,
             (long long)k, a, what, b);
}

static void check_element(Check *c, uint32_t i, int64_t k) {
    const DlcGradients *g = c->g;
    double *x =
        g->inputs[i] < 0 ? &c->params[g->offsets[i] + k] : &((double *)c->inputs[g->inputs[i]])[k];
    double *direction = c->inputs[c->nports + i];
    double reverse = c->gradients[i][k], numeric = 0;
    direction[k] = 1;
    compare(c, reverse, tangent(c), g->names[i], k, "forward");
    direction[k] = 0;
    if (central_difference(c, x, &numeric)) {
        compare(c, reverse, numeric, g->names[i], k, "difference");
        c->compared++;
    } else {
        c->kinks++;
    }
}

/* Every element, or a sample spread over the tensor. */
static void check_tensor(Check *c, uint32_t i) {
    int64_t n = c->g->elements[i];
    if (n <= CHECKED_ELEMENTS)
        for (int64_t k = 0; k < n; k++) check_element(c, i, k);
    else
        for (int64_t s = 0; s < CHECKED_ELEMENTS; s++)
            check_element(c, i, (int64_t)(uniform(c) * (double)n));
}

/* Parameters as initialised, moved a little: zeros would hide what multiplies them. */
static void start(Check *c, uint64_t seed) {
    const DlrtModel *m = c->g->model;
    c->call.seed = seed;
    c->call.step = 1;
    call(c, m->init, NULL);
    for (int64_t k = 0; k < m->params_elements; k++) c->params[k] += 0.1 * (2 * uniform(c) - 1);
}

static int report(const Check *c, const Options *options) {
    double tolerance = options->tolerance > 0 ? options->tolerance : 1e-6;
    bool good = c->worst <= tolerance && c->compared > 0;
    if (options->json) {
        printf("{\"max_relative_error\":");
        put_json_number(stdout, c->worst);
        printf(",\"worst\":");
        put_json_string(stdout, c->worst_name);
        printf(",\"compared\":%lld,\"kinks\":%lld}\n", (long long)c->compared, (long long)c->kinks);
    } else {
        printf("%s: %lld elements of %u tensors compared, largest relative difference %.2g\n",
               c->g->model->name, (long long)c->compared, c->g->nchecked, c->worst);
        if (c->worst_name[0]) printf("  worst: %s\n", c->worst_name);
        if (c->kinks)
            printf("  %lld elements lie at a kink of the loss and were not compared with "
                   "differences\n",
                   (long long)c->kinks);
    }
    if (!good && c->compared == 0 && c->g->nchecked)
        fprintf(stderr, "error: no element could be compared with central differences\n");
    else if (!good && c->g->nchecked)
        fprintf(stderr, "error: larger than %g\n", tolerance);
    return good || !c->g->nchecked ? EXIT_GOOD : EXIT_WRONG;
}

int run_gradcheck(Driver *driver, const Options *options) {
    DlcOptions compile = compile_options(options);
    if (!compile.batch) compile.batch = 3;
    const DlcGradients *g = dlc_gradients(driver->dlc, &compile);
    if (show_messages(driver, options) != EXIT_GOOD || !g) return EXIT_WRONG;
    Check check = {.g = g, .batch = compile.batch, .random = options->seed + 1};
    int status = EXIT_WRONG;
    if (!allocate_all(&check)) {
        fputs("error: out of memory\n", stderr);
    } else {
        start(&check, options->seed);
        if (gradient(&check)) {
            for (uint32_t i = 0; i < g->nchecked; i++) check_tensor(&check, i);
            status = report(&check, options);
        }
    }
    free_all(&check);
    return status;
}
