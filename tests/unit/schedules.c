/* tests/unit/schedules.c: learning rates that change with the step, gradients that are clipped, and
 * optimizers one after the other: what a step does, against the same formulas in C. */
#include "dlc.h"

#include "test.h"

#include <stdlib.h>

enum { STEPS = 40 };

/* The weights a, b[2] with the gradients 3, (4, -12), of length 13, after each step. */
typedef struct Path {
    double a[STEPS + 1], b[STEPS + 1][2];
    uint32_t states;
} Path;

static void *take(int64_t bytes) {
    size_t size = ((size_t)bytes + 127) / 64 * 64;
    void *p = aligned_alloc(64, size);
    memset(p, 0, size);
    return p;
}

static const char *model_text(const char *optimizer, const char *before) {
    static char text[2048];
    snprintf(text, sizeof text,
             "%s\nmodel m {\n    input x\n    param a ~ ones, decay: false\n"
             "    param b[2] ~ ones\n    loss 3 * a + 4 * b[0] - 12 * b[1] + 0 * x\n"
             "    optimizer %s\n}\n",
             before, optimizer);
    return text;
}

static double *param(const DlrtModel *m, double *params, const char *name) {
    for (uint32_t i = 0; i < m->nparams; i++)
        if (strcmp(m->params[i].name, name) == 0) return params + m->params[i].offset;
    return NULL;
}

static bool walk(Path *path, const char *text, int64_t steps) {
    Dlc *dlc = dlc_open();
    DlcOptions options = {.batch = 1, .steps = steps, .f64 = true, .verify = true};
    bool loaded = dlc_load_text(dlc, "test.dl", text);
    const DlrtModel *m = loaded ? dlc_compile(dlc, &options) : NULL;
    EXPECT(m != NULL);
    if (!m) {
        printf("%s\n", text);
        dlc_show_messages(dlc, stdout, false, false);
        dlc_close(dlc);
        return false;
    }
    double x = 0, loss;
    const void *inputs[] = {&x};
    void *results[] = {&loss};
    DlrtCall call = {.params = take(m->params_elements * 8),
                     .state = take(m->state_elements * 8),
                     .inputs = inputs,
                     .results = results,
                     .n = 1,
                     .arena = take(m->arena_bytes)};
    m->init(&call);
    for (call.step = 0;; call.step++) {
        if (call.step) m->step(&call);
        path->a[call.step] = *param(m, call.params, "a");
        memcpy(path->b[call.step], param(m, call.params, "b"), sizeof path->b[0]);
        if (call.step == STEPS) break;
    }
    path->states = m->nstates;
    free(call.params);
    free(call.state);
    free(call.arena);
    dlc_close(dlc);
    return true;
}

/* ---- schedules ------------------------------------------------------------------------------- */

static double progress(double step, double total, double warmup) {
    return fmin(fmax(step - warmup, 0) / (total - warmup), 1);
}

static double half_cosine(double t) {
    return 0.5 + 0.5 * cos(3.14159265358979323846 * t);
}

static double plain(double step) {
    return 0.2;
}

static double warm(double step) {
    return 0.2 * fmin(step / 10, 1);
}

static double stairs(double step) {
    return 0.2 * pow(0.5, floor((step - 1) / 7));
}

static double falling(double step) {
    return 0.2 * pow(0.1, (step - 1) / 20);
}

static double cosine(double step) {
    return step < 5 ? 0.2 * step / 5 : 0.01 + 0.19 * half_cosine(progress(step, 30, 5));
}

static double line(double step) {
    return 0.2 * (1 - progress(step, 40, 0));
}

static double roots(double step) {
    return 0.2 * fmin(step / 8, sqrt(8 / step));
}

/* PyTorch's OneCycleLR, which counts steps from 0 to total - 1. */
static double one_cycle(double step) {
    double s = step - 1, top = 0.3 * 40 - 1;
    if (s <= top) return 0.2 / 25 + (0.2 - 0.2 / 25) * (1 - half_cosine(s / top));
    return 0.2 / 250000 + (0.2 - 0.2 / 250000) * half_cosine((s - top) / (39 - top));
}

static void test_schedule(const char *call, double (*rate)(double step)) {
    char optimizer[256];
    Path path;
    snprintf(optimizer, sizeof optimizer, "sgd(lr: %s)", call);
    if (!walk(&path, model_text(optimizer, ""), STEPS)) return;
    EXPECT_INT(path.states, 0);
    for (int step = 1; step <= STEPS; step++) {
        double r = rate(step);
        test_checks++;
        if (fabs(path.a[step - 1] - path.a[step] - 3 * r) < 1e-12) continue;
        test_failures++;
        printf("%s at step %d is %.15g, expected %.15g\n", call, step,
               (path.a[step - 1] - path.a[step]) / 3, r);
    }
}

static void test_schedules(void) {
    test_schedule("0.2", plain);
    test_schedule("warm_up(0.2, over: 10)", warm);
    test_schedule("step_decay(0.2, every: 7, factor: 0.5)", stairs);
    test_schedule("exponential_decay(0.2, every: 20)", falling);
    test_schedule("cosine_decay(0.2, total: 30, warmup: 5, least: 0.01)", cosine);
    test_schedule("linear_decay(0.2)", line); /* total: steps */
    test_schedule("inverse_sqrt(0.2, warmup: 8)", roots);
    test_schedule("one_cycle(0.2)", one_cycle);
    test_schedule("0.2 - 0.2 * share_done(40, 0)", line);
}

/* ---- clipping and pipes ------------------------------------------------------------------------
 */

static void expect_step(const Path *p, double a, double b0, double b1) {
    EXPECT_NEAR(p->a[0] - p->a[1], a, 1e-12);
    EXPECT_NEAR(p->b[0][0] - p->b[1][0], b0, 1e-12);
    EXPECT_NEAR(p->b[0][1] - p->b[1][1], b1, 1e-12);
}

static void test_clipping(void) {
    Path p;
    if (walk(&p, model_text("clip_norm(1) -> sgd(lr: 1)", ""), 0))
        expect_step(&p, 3.0 / 13, 4.0 / 13, -12.0 / 13);
    if (walk(&p, model_text("clip_norm(20) -> sgd(lr: 1)", ""), 0)) expect_step(&p, 3, 4, -12);
    if (walk(&p, model_text("clip_value(3.5) -> sgd(lr: 1)", ""), 0)) expect_step(&p, 3, 3.5, -3.5);
    /* The norm is that of the gradients as they are, whatever was done to them before. */
    if (walk(&p, model_text("clip_value(3.5) -> clip_norm(6.5) -> sgd(lr: 1)", ""), 0))
        expect_step(&p, 1.5, 1.75, -1.75);
}

/* Each optimizer of a pipe has its own state; what one makes of w the next one finds. */
static void test_pipes(void) {
    static const char *own = "optimizer shrink(rate) { w = w - rate * decays * w }\n"
                             "optimizer heavy(beta) { state v = 0; v = beta * v + g; g = v }\n";
    Path p;
    if (walk(&p, model_text("shrink(0.5) -> sgd(lr: 1)", own), 0))
        expect_step(&p, 3, 0.5 + 4, 0.5 - 12);
    if (!walk(&p, model_text("heavy(0.5) -> heavy(0.25) -> sgd(lr: 1, momentum: 0.5)", own), 0))
        return;
    EXPECT_INT(p.states, 6);
    double u = 0, v = 0, m = 0, a = 1;
    for (int step = 1; step <= STEPS; step++) {
        u = 0.5 * u + 3;
        v = 0.25 * v + u;
        m = 0.5 * m + v;
        a -= m;
        EXPECT_NEAR(p.a[step], a, 1e-9);
    }
}

/* The norm may be used by anything, and be a fn's. */
static void test_norm(void) {
    static const char *own = "fn by_norm(rate) = rate / (norm + step - 1)\n";
    Path p;
    if (!walk(&p, model_text("sgd(lr: by_norm(13))", own), 0)) return;
    expect_step(&p, 3, 4, -12);
    EXPECT_NEAR(p.a[1] - p.a[2], 3 * 13.0 / 14, 1e-12);
}

int main(void) {
    test_schedules();
    test_clipping();
    test_pipes();
    test_norm();
    TEST_END();
}
