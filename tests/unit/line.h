/* tests/unit/line.h: a model written by hand, for the tests of the runtime: y = w . x + b in float,
 * with squared loss, gradient descent with momentum, and the metric rmse. It does in C what
 * compiled code does, and checks the contract from its side: aligned memory, sizes, the numbering
 * of steps.
 */
#ifndef DLC_TESTS_UNIT_LINE_H
#define DLC_TESTS_UNIT_LINE_H

#include "data.h"

#include <stdint.h>

enum { LINE_INPUTS = 3, LINE_BATCH = 8, LINE_B = 16, LINE_PARAMS = 32, LINE_ARENA = 64 };

/* What was seen of the calls. */
typedef struct LineCalls {
    int64_t steps, step_examples, smallest, largest;
    uint64_t last_step, seed;
    int64_t evaluations, evaluated_examples;
    float poison; /* added to the loss of each step */
} LineCalls;

static LineCalls line_calls;

static inline void line_check(const DlrtCall *call) {
    EXPECT((uintptr_t)call->params % 64 == 0);
    EXPECT((uintptr_t)call->state % 64 == 0);
    EXPECT((uintptr_t)call->arena % 64 == 0);
    EXPECT(call->n >= 1 && call->n <= LINE_BATCH);
    memset(call->arena, 0xA5, LINE_ARENA); /* it is the function's to use */
}

static inline void line_init(const DlrtCall *call) {
    float *w = call->params, *v = call->state;
    line_check(call);
    for (int i = 0; i < LINE_INPUTS; i++) w[i] = 0.25f * (float)(call->seed % 5) + (float)i;
    w[LINE_B] = 0.5f;
    for (int i = 0; i < LINE_INPUTS + 1; i++) v[i] = 0;
}

static inline float line_value(const float *w, const float *x) {
    float y = w[LINE_B];
    for (int i = 0; i < LINE_INPUTS; i++) y += w[i] * x[i];
    return y;
}

static inline void line_step(const DlrtCall *call) {
    float *w = call->params, *v = call->state, g[LINE_INPUTS + 1] = {0}, loss = 0;
    const float *x = call->inputs[0], *y = call->inputs[1];
    LineCalls *c = &line_calls;
    line_check(call);
    for (int64_t k = 0; k < call->n; k++) {
        float e = line_value(w, x + k * LINE_INPUTS) - y[k];
        loss += e * e;
        for (int i = 0; i < LINE_INPUTS; i++) g[i] += 2 * e * x[k * LINE_INPUTS + i];
        g[LINE_INPUTS] += 2 * e;
    }
    for (int i = 0; i <= LINE_INPUTS; i++) {
        v[i] = 0.5f * v[i] + g[i] / (float)call->n;
        w[i == LINE_INPUTS ? LINE_B : i] -= 0.02f * v[i];
    }
    *(float *)call->results[0] = loss / (float)call->n + c->poison;
    c->smallest = c->steps == 0 || call->n < c->smallest ? call->n : c->smallest;
    c->largest = call->n > c->largest ? call->n : c->largest;
    c->steps++;
    c->step_examples += call->n;
    c->last_step = call->step;
    c->seed = call->seed;
}

static inline void line_forward(const DlrtCall *call) {
    const float *x = call->inputs[0];
    line_check(call);
    for (int64_t k = 0; k < call->n; k++)
        ((float *)call->results[0])[k] = line_value(call->params, x + k * LINE_INPUTS);
    *(float *)call->results[1] = ((const float *)call->params)[LINE_B];
}

static inline void line_evaluate(const DlrtCall *call) {
    const float *x = call->inputs[0], *y = call->inputs[1];
    float loss = 0;
    line_check(call);
    for (int64_t k = 0; k < call->n; k++) {
        float e = line_value(call->params, x + k * LINE_INPUTS) - y[k];
        loss += e * e;
    }
    *(float *)call->results[0] = loss / (float)call->n;
    *(float *)call->results[1] = loss / (float)call->n;
    line_calls.evaluations++;
    line_calls.evaluated_examples += call->n;
}

static inline void line_finish(const DlrtCall *call) {
    *(double *)call->results[0] = sqrt(*(const double *)call->inputs[0]);
}

static inline DlrtModel line_model(void) {
    static DlrtPort inputs[1], targets[1], outputs[2];
    static const int64_t dims[] = {LINE_INPUTS};
    static const DlrtTensor params[] = {{"dense1.w", 1, dims, LINE_INPUTS, 0, false},
                                        {"dense1.b", 0, NULL, 1, LINE_B, false}};
    static const DlrtTensor states[] = {{"dense1.w.v", 1, dims, LINE_INPUTS, 0, false},
                                        {"dense1.b.v", 0, NULL, 1, LINE_INPUTS, false}};
    static const char *const metrics[] = {"rmse"};
    inputs[0] = test_port("x", DIMS(LINE_INPUTS), 0);
    inputs[0].dims = dims;
    targets[0] = test_port("y", SCALAR, 0);
    outputs[0] = test_port("p", SCALAR, 0);
    outputs[1] = test_port("bias", SCALAR, 0);
    targets[0].dims = outputs[0].dims = outputs[1].dims = dims;
    outputs[1].batched = false;
    return (DlrtModel){.name = "line",
                       .real_bytes = 4,
                       .max_batch = LINE_BATCH,
                       .ninputs = 1,
                       .ntargets = 1,
                       .noutputs = 2,
                       .nparams = 2,
                       .nstates = 2,
                       .nstats = 1,
                       .nmetrics = 1,
                       .inputs = inputs,
                       .targets = targets,
                       .outputs = outputs,
                       .params = params,
                       .states = states,
                       .params_elements = LINE_PARAMS,
                       .state_elements = 16,
                       .metrics = metrics,
                       .arena_bytes = LINE_ARENA,
                       .init = line_init,
                       .step = line_step,
                       .forward = line_forward,
                       .evaluate = line_evaluate,
                       .finish = line_finish};
}

/* n rows of y = 2 x1 - x2 + x3/2 + 1; a split into parts of percent[…]. */
static inline DlrtData *line_open(const DlrtModel *model, int n, DlrtDataSpec spec,
                                  DlrtError *error) {
    static const DlrtArgument argument = {.kind = DLRT_STRING, .string = "line.csv"};
    static const DlrtSource source = {
        .is_split = true, .reader = "csv", .nargs = 1, .args = &argument};
    FILE *file = fopen(test_path("line.csv"), "wb");
    if (!file) exit(2);
    for (int i = 0; i < n; i++) {
        double a = i % 7 / 7.0, b = i % 5 / 5.0, c = i % 11 / 11.0;
        fprintf(file, "%.17g,%.17g,%.17g,%.17g\n", a, b, c, 2 * a - b + c / 2 + 1);
    }
    if (fclose(file) != 0) exit(2);
    spec.name = "line";
    spec.folder = test_folder;
    spec.nsources = 1;
    spec.sources = &source;
    return dlrt_data_open(&spec, model, NULL, 1, error);
}

static inline DlrtData *line_data(const DlrtModel *model, int n, double train, double valid,
                                  double test) {
    DlrtError error;
    DlrtData *data = line_open(model, n, (DlrtDataSpec){.percent = {train, valid, test}}, &error);
    EXPECT_STR(error.message, "");
    if (!data) exit(2);
    return data;
}

#endif
