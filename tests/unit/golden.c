/* tests/unit/golden.c: the library's values and gradients against recorded ones.
 *
 * Arguments: a file of models and a file of numbers, both written by tests/golden/record.py. Each
 * model is compiled in single precision and run in this process. A training step whose optimizer
 * says `w = g` leaves the gradients where the parameters were.
 */
#include "dlc.h"

#include "test.h"

#include <stdlib.h>

enum { MAX_NAME = 128, MAX_TENSORS = 64, EXAMPLES = 2 };

/* One line of the numbers: `kind name count`, then as many values. */
typedef struct Numbers {
    char kind[MAX_NAME], name[MAX_NAME];
    size_t count;
    double *values;
} Numbers;

typedef struct Case {
    char name[MAX_NAME];
    int steps;
    Numbers all[MAX_TENSORS];
    size_t n;
} Case;

typedef struct Net {
    const DlrtModel *model;
    DlrtCall call;
    const void *inputs[MAX_TENSORS];
    void *results[MAX_TENSORS];
} Net;

/* ---- reading --------------------------------------------------------------------------------- */

static void broken(const char *what) {
    printf("the recorded numbers are broken: %s\n", what);
    exit(1);
}

static void read_numbers(FILE *file, Numbers *out) {
    if (fscanf(file, "%127s %zu", out->name, &out->count) != 2) broken(out->kind);
    out->values = calloc(out->count + 1, sizeof *out->values);
    for (size_t i = 0; i < out->count; i++)
        if (fscanf(file, "%lf", &out->values[i]) != 1) broken(out->name);
}

/* False at the end of the file. */
static bool read_case(FILE *file, Case *c) {
    char word[MAX_NAME];
    *c = (Case){0};
    if (fscanf(file, "%127s", word) != 1) return false;
    if (strcmp(word, "case") != 0 || fscanf(file, "%127s %d", c->name, &c->steps) != 2)
        broken(word);
    while (fscanf(file, "%127s", word) == 1 && strcmp(word, "end") != 0) {
        if (c->n == MAX_TENSORS) broken("too many tensors");
        Numbers *next = &c->all[c->n++];
        memcpy(next->kind, word, sizeof word);
        read_numbers(file, next);
    }
    return true;
}

static void free_case(Case *c) {
    for (size_t i = 0; i < c->n; i++) free(c->all[i].values);
}

static const Numbers *find(const Case *c, const char *kind, const char *name, size_t count) {
    for (size_t i = 0; i < c->n; i++) {
        const Numbers *found = &c->all[i];
        if (strcmp(found->kind, kind) != 0 || strcmp(found->name, name) != 0) continue;
        if (found->count == count) return found;
        printf("%s: %s %s has %zu values, the model wants %zu\n", c->name, kind, name, found->count,
               count);
        exit(1);
    }
    printf("%s: there is no %s %s of %zu values\n", c->name, kind, name, count);
    exit(1);
}

/* ---- comparing ------------------------------------------------------------------------------- */

/* Within 1e-4 relative; an element far below the largest of its tensor, relative to that one. */
static void compare(const Case *c, const Numbers *expected, const float *actual) {
    double largest = 0;
    for (size_t i = 0; i < expected->count; i++) largest = fmax(largest, fabs(expected->values[i]));
    for (size_t i = 0; i < expected->count; i++) {
        double a = actual[i], e = expected->values[i];
        test_checks++;
        if (fabs(a - e) <= 1e-4 * fmax(fabs(e), 0.1 * largest)) continue;
        test_failures++;
        printf("%s: %s %s[%zu] is %.9g, recorded %.9g\n", c->name, expected->kind, expected->name,
               i, a, e);
        return;
    }
}

static void compare_tensors(const Case *c, const char *kind, const DlrtTensor *tensors, uint32_t n,
                            const float *memory) {
    for (uint32_t i = 0; i < n; i++)
        compare(c, find(c, kind, tensors[i].name, (size_t)tensors[i].elements),
                memory + tensors[i].offset);
}

/* ---- running --------------------------------------------------------------------------------- */

static void *take(size_t bytes) {
    size_t size = (bytes + 127) / 64 * 64;
    void *memory = aligned_alloc(64, size);
    return memset(memory, 0, size);
}

static void fill_tensors(const Case *c, const char *kind, const DlrtTensor *tensors, uint32_t n,
                         float *memory) {
    for (uint32_t i = 0; i < n; i++) {
        const Numbers *given = find(c, kind, tensors[i].name, (size_t)tensors[i].elements);
        for (size_t k = 0; k < given->count; k++)
            memory[tensors[i].offset + (int64_t)k] = (float)given->values[k];
    }
}

static const void *filled_port(const Case *c, const DlrtPort *port) {
    size_t count = (size_t)port->elements * EXAMPLES;
    const Numbers *given = find(c, "input", port->name, count);
    float *reals = take(count * 4);
    int32_t *classes = (int32_t *)(void *)reals;
    for (size_t k = 0; k < count; k++)
        if (port->classes)
            classes[k] = (int32_t)given->values[k];
        else
            reals[k] = (float)given->values[k];
    return reals;
}

static void run_forward(const Case *c, Net *net) {
    const DlrtModel *m = net->model;
    for (uint32_t i = 0; i < m->noutputs; i++)
        net->results[i] = take((size_t)m->outputs[i].elements * EXAMPLES * 4);
    m->forward(&net->call);
    for (uint32_t i = 0; i < m->noutputs; i++) {
        compare(c, find(c, "output", m->outputs[i].name, (size_t)m->outputs[i].elements * EXAMPLES),
                net->results[i]);
        free(net->results[i]);
    }
}

static void run_steps(const Case *c, Net *net) {
    const DlrtModel *m = net->model;
    float loss = 0;
    net->results[0] = &loss;
    for (int step = 1; step <= c->steps; step++) {
        net->call.step = (uint64_t)step;
        m->step(&net->call);
        if (step == 1) compare(c, find(c, "loss", "loss", 1), &loss);
    }
    compare_tensors(c, "after", m->params, m->nparams, net->call.params);
    if (c->steps == 1) compare_tensors(c, "after", m->states, m->nstates, net->call.state);
}

static void run_case(Dlc *dlc, const Case *c) {
    DlcOptions options = {.model = c->name, .batch = EXAMPLES, .verify = true};
    Net net = {.model = dlc_compile(dlc, &options)};
    EXPECT(net.model != NULL);
    if (!net.model) {
        dlc_show_messages(dlc, stdout, false, false);
        return;
    }
    const DlrtModel *m = net.model;
    net.call = (DlrtCall){.params = take((size_t)m->params_elements * 4),
                          .state = take((size_t)m->state_elements * 4),
                          .inputs = net.inputs,
                          .results = net.results,
                          .n = EXAMPLES,
                          .step = 1,
                          .arena = take((size_t)m->arena_bytes)};
    m->init(&net.call);
    fill_tensors(c, "param", m->params, m->nparams, net.call.params);
    if (c->steps == 1) fill_tensors(c, "state", m->states, m->nstates, net.call.state);
    for (uint32_t i = 0; i < m->ninputs; i++) net.inputs[i] = filled_port(c, &m->inputs[i]);
    for (uint32_t i = 0; i < m->ntargets; i++)
        net.inputs[m->ninputs + i] = filled_port(c, &m->targets[i]);
    run_forward(c, &net);
    run_steps(c, &net);
    for (uint32_t i = 0; i < m->ninputs + m->ntargets; i++) free((void *)net.inputs[i]);
    free(net.call.params);
    free(net.call.state);
    free(net.call.arena);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    Dlc *dlc = dlc_open();
    if (!dlc_load(dlc, argv[1])) dlc_show_messages(dlc, stdout, false, false);
    FILE *file = fopen(argv[2], "r");
    if (!file) broken(argv[2]);
    static Case c;
    int cases = 0;
    for (; read_case(file, &c); cases++) {
        run_case(dlc, &c);
        free_case(&c);
    }
    fclose(file);
    dlc_close(dlc);
    EXPECT(cases > 0);
    printf("%d cases\n", cases);
    TEST_END();
}
