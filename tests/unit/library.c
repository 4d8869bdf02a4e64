/* tests/unit/library.c: what the functions of compiler/std give, against the same formulas in C.
 *
 * Models are compiled for double precision and called like any program would call them. Derivatives
 * are the business of tests/std.
 */
#include "dlc.h"

#include "test.h"

#include <stdlib.h>

/* ---- a compiled model and its memory -------------------------------------------------------- */

enum { MAX_RESULTS = 64 };

typedef struct Net {
    Dlc *dlc;
    const DlrtModel *m;
    DlrtCall call;
    const void *inputs[16];
    void *results[MAX_RESULTS];
} Net;

static void *take(int64_t bytes) {
    size_t size = ((size_t)bytes + 127) / 64 * 64;
    void *p = aligned_alloc(64, size);
    memset(p, 0, size);
    return p;
}

/* Initialised with the seed; false when the text does not compile. */
static bool net_open(Net *net, const char *text, int64_t batch, uint64_t seed) {
    *net = (Net){.dlc = dlc_open()};
    DlcOptions options = {.batch = batch, .f64 = true, .verify = true};
    bool loaded = dlc_load_text(net->dlc, "test.dl", text);
    net->m = loaded ? dlc_compile(net->dlc, &options) : NULL;
    EXPECT(net->m != NULL);
    if (!net->m) {
        printf("%s\n", text);
        dlc_show_messages(net->dlc, stdout, false, false);
        dlc_close(net->dlc);
        return false;
    }
    net->call = (DlrtCall){.params = take(net->m->params_elements * 8),
                           .state = take(net->m->state_elements * 8),
                           .inputs = net->inputs,
                           .results = net->results,
                           .n = 1,
                           .seed = seed,
                           .step = 1,
                           .arena = take(net->m->arena_bytes)};
    net->m->init(&net->call);
    return true;
}

static void net_close(Net *net) {
    free(net->call.params);
    free(net->call.state);
    free(net->call.arena);
    dlc_close(net->dlc);
}

static const double *param(const Net *net, const char *name) {
    for (uint32_t i = 0; i < net->m->nparams; i++)
        if (strcmp(net->m->params[i].name, name) == 0)
            return (const double *)net->call.params + net->m->params[i].offset;
    printf("no parameter %s\n", name);
    EXPECT(false);
    return NULL;
}

/* Equal up to `tolerance`, relative where the expected value is larger than 1. */
static void expect_close(const char *what, double x, double actual, double expected,
                         double tolerance) {
    test_checks++;
    double scale = fmax(1, fabs(expected));
    if (actual == expected || fabs(actual - expected) <= tolerance * scale) return;
    test_failures++;
    printf("%s at %.17g is %.17g, expected %.17g\n", what, x, actual, expected);
}

/* ---- activations ---------------------------------------------------------------------------- */

static double ref_logistic(double x) {
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static double ref_relu(double x) {
    return x > 0 ? x : 0;
}

static double ref_leaky(double x) {
    return x > 0 ? x : 0.01 * x;
}

static double ref_leaky_2(double x) {
    return x > 0 ? x : 0.2 * x;
}

static double ref_elu(double x) {
    return x > 0 ? x : exp(x) - 1;
}

static double ref_elu_2(double x) {
    return x > 0 ? x : 2 * (exp(x) - 1);
}

static double ref_selu(double x) {
    const double scale = 1.0507009873554804934193349852946,
                 alpha = 1.6732632423543772848170429916717;
    return scale * (x > 0 ? x : alpha * (exp(x) - 1));
}

static double ref_gelu(double x) {
    return x * 0.5 * erfc(-x / sqrt(2));
}

static double ref_silu(double x) {
    return x * ref_logistic(x);
}

static double ref_softplus(double x) {
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

typedef struct Scalar {
    const char *text;
    double (*reference)(double x);
} Scalar;

static const Scalar scalars[] = {
    {"relu(x)", ref_relu},
    {"leaky_relu(x)", ref_leaky},
    {"leaky_relu(x, slope: 0.2)", ref_leaky_2},
    {"elu(x)", ref_elu},
    {"elu(x, 2)", ref_elu_2},
    {"selu(x)", ref_selu},
    {"gelu(x)", ref_gelu},
    {"silu(x)", ref_silu},
    {"sigmoid(x)", ref_logistic},
    {"softplus(x)", ref_softplus},
    {"tanh(x)", tanh},
    {"logistic(x)", ref_logistic},
};

enum { SCALARS = sizeof scalars / sizeof *scalars };

static void test_activations(void) {
    static const double points[] = {-800, -100, -30, -5, -1, -0.5, -1e-3, -1e-9, 0,
                                    1e-9, 1e-3, 0.5, 1,  5,  30,   100,   800};
    enum { POINTS = sizeof points / sizeof *points };
    char text[4096] = "model m {\n    input x\n";
    for (int i = 0; i < SCALARS; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "    output o%d = %s\n", i,
                 scalars[i].text);
    strcat(text, "}\n");
    Net net;
    if (!net_open(&net, text, POINTS, 1)) return;
    double values[SCALARS][POINTS];
    net.inputs[0] = points;
    for (int i = 0; i < SCALARS; i++) net.results[i] = values[i];
    net.call.n = POINTS;
    net.m->forward(&net.call);
    for (int i = 0; i < SCALARS; i++)
        for (int k = 0; k < POINTS; k++)
            expect_close(scalars[i].text, points[k], values[i][k], scalars[i].reference(points[k]),
                         1e-14);
    net_close(&net);
}

static void test_softmax(void) {
    static const double x[3][4] = {{0, 1, 2, 3}, {1000, 1001, -1000, 1001}, {-5, -5, -5, -5}};
    Net net;
    if (!net_open(&net,
                  "model m { input x[4]; output p = softmax(x); output l = x -> log_softmax }", 3,
                  1))
        return;
    double p[3][4], l[3][4];
    net.inputs[0] = x;
    net.results[0] = p;
    net.results[1] = l;
    net.call.n = 3;
    net.m->forward(&net.call);
    for (int i = 0; i < 3; i++) {
        double most = -INFINITY, sum = 0;
        for (int k = 0; k < 4; k++) most = fmax(most, x[i][k]);
        for (int k = 0; k < 4; k++) sum += exp(x[i][k] - most);
        for (int k = 0; k < 4; k++) {
            expect_close("softmax", x[i][k], p[i][k], exp(x[i][k] - most) / sum, 1e-14);
            expect_close("log_softmax", x[i][k], l[i][k], x[i][k] - most - log(sum), 1e-14);
        }
    }
    net_close(&net);
}

/* ---- layers --------------------------------------------------------------------------------- */

static void test_dense(void) {
    enum { N = 2, T = 3, I = 5, U = 4 };
    Net net;
    if (!net_open(&net, "model m { input x[3, 5]; output y = x -> dense(4) }", N, 7)) return;
    double x[N][T][I], y[N][T][U];
    for (int i = 0; i < N * T * I; i++) (&x[0][0][0])[i] = sin(i + 1);
    net.inputs[0] = x;
    net.results[0] = y;
    net.call.n = N;
    double *b = (double *)(uintptr_t)param(&net, "dense1.b");
    const double *w = param(&net, "dense1.w");
    for (int u = 0; b && u < U; u++) {
        expect_close("a bias at first", u, b[u], 0, 0);
        b[u] = u + 0.5;
    }
    net.m->forward(&net.call);
    for (int n = 0; n < N; n++)
        for (int t = 0; t < T; t++)
            for (int u = 0; w && u < U; u++) {
                double sum = u + 0.5;
                for (int i = 0; i < I; i++) sum += x[n][t][i] * w[u * I + i];
                expect_close("dense", u, y[n][t][u], sum, 1e-14);
            }
    net_close(&net);
}

static void test_flatten(void) {
    Net net;
    if (!net_open(&net,
                  "model m {\n"
                  "    input a[2, 3, 4, 5], b[6], c, d[1, 1]\n"
                  "    output p = a -> flatten\n"
                  "    output q = b -> flatten\n"
                  "    output r = d -> flatten\n"
                  "    output s = c * 2\n"
                  "}",
                  2, 1))
        return;
    double a[2][120], b[2][6], c[2] = {1, 2}, d[2] = {3, 4};
    double p[2][120], q[2][6], r[2], s[2];
    for (int i = 0; i < 240; i++) (&a[0][0])[i] = i;
    for (int i = 0; i < 12; i++) (&b[0][0])[i] = -i;
    net.inputs[0] = a, net.inputs[1] = b, net.inputs[2] = c, net.inputs[3] = d;
    net.results[0] = p, net.results[1] = q, net.results[2] = r, net.results[3] = s;
    net.call.n = 2;
    net.m->forward(&net.call);
    EXPECT_INT(net.m->outputs[0].rank, 1);
    EXPECT_INT(net.m->outputs[0].elements, 120);
    EXPECT(memcmp(a, p, sizeof a) == 0);
    EXPECT(memcmp(b, q, sizeof b) == 0);
    EXPECT(memcmp(d, r, sizeof d) == 0);
    net_close(&net);
}

/* In training a share of about `rate` is zero and the rest is scaled; otherwise nothing happens. */
static void test_dropout(void) {
    enum { N = 16, I = 250 };
    Net net;
    if (!net_open(&net,
                  "model m {\n"
                  "    input x[250]\n"
                  "    target y\n"
                  "    param w[250] ~ ones\n"
                  "    h = x -> dropout(0.2)\n"
                  "    output q = h\n"
                  "    loss sum[i] w[i] * h[i]\n"
                  "    optimizer sgd(lr: 1)\n"
                  "}",
                  N, 3))
        return;
    static double x[N][I], q[N][I];
    double y[N] = {0}, loss;
    for (int i = 0; i < N * I; i++) (&x[0][0])[i] = 1;
    net.inputs[0] = x;
    net.inputs[1] = y;
    net.results[0] = q;
    net.call.n = N;
    net.m->forward(&net.call);
    for (int i = 0; i < N * I; i++) expect_close("dropout", i, (&q[0][0])[i], 1, 0);
    net.results[0] = &loss;
    net.m->step(&net.call);
    /* The loss is the mean over the batch of the kept ones / 0.8. */
    double kept = loss * N * 0.8;
    expect_close("what is kept is whole", 0, kept, round(kept), 1e-9);
    EXPECT(fabs(kept / (N * I) - 0.8) < 0.03);
    double first = loss;
    net.m->init(&net.call);
    net.m->step(&net.call);
    expect_close("the same draw in the same step", 0, loss, first, 0);
    net.m->init(&net.call);
    net.call.step = 2;
    net.m->step(&net.call);
    EXPECT(loss != first);
    net_close(&net);
}

/* ---- what changes pictures at random --------------------------------------------------------- */

/* After one step from zeros with rate -2, w is the sum over the two examples of what was drawn. */
static bool augment_step(Net *net, uint64_t step) {
    double loss;
    net->results[0] = &loss;
    net->call.n = 2;
    net->call.step = step;
    net->m->init(&net->call);
    net->m->step(&net->call);
    return loss == 0;
}

/* The place of a value in a picture of 7 x 7, or -1; where the other example lies on it too. */
static int find_value(const double *w, double value, double other) {
    for (int i = 0; i < 49; i++)
        if (w[i] == value || w[i] == value + other) return i;
    return -1;
}

/* One pixel in the middle: 1 in the first example, 100 in the second. Where it goes is even over 5
 * x 5 places, and apart for the two examples. */
static void test_random_shift(void) {
    Net net;
    static double x[2][49], q[2][49];
    int seen[49] = {0}, together = 0;
    if (!net_open(&net,
                  "model m { input x[1, 7, 7]; param w[7, 7] ~ zeros; h = x -> random_shift(2)\n"
                  "    output q = h\n    loss sum[i, j] w[i, j] * h[0, i, j]\n"
                  "    optimizer sgd(lr: -2) }",
                  2, 5))
        return;
    x[0][24] = 1, x[1][24] = 100;
    net.inputs[0] = x;
    const double *w = net.call.params;
    for (uint64_t step = 1; step <= 1000; step++) {
        EXPECT(augment_step(&net, step));
        int a = find_value(w, 1, 100), b = find_value(w, 100, 1);
        EXPECT(a >= 0 && b >= 0);
        if (a >= 0) seen[a]++;
        together += a == b;
    }
    for (int i = 0; i < 49; i++) {
        bool near = abs(i / 7 - 3) <= 2 && abs(i % 7 - 3) <= 2;
        EXPECT(near ? seen[i] > 15 && seen[i] < 75 : seen[i] == 0);
    }
    EXPECT(together > 15 && together < 75); /* one in 25 */
    net.results[0] = q;
    net.m->forward(&net.call);
    for (int i = 0; i < 98; i++) expect_close("random_shift", i, (&q[0][0])[i], (&x[0][0])[i], 0);
    net_close(&net);
}

static void test_random_flip(void) {
    Net net;
    static const double x[2][3] = {{1, 2, 3}, {100, 200, 300}};
    double q[2][3];
    int seen[4] = {0};
    if (!net_open(&net,
                  "model m { input x[3]; param w[3] ~ zeros; h = x -> random_flip; output q = h\n"
                  "    loss sum[i] w[i] * h[i]; optimizer sgd(lr: -2) }",
                  2, 5))
        return;
    net.inputs[0] = x;
    const double *w = net.call.params;
    for (uint64_t step = 1; step <= 400; step++) {
        EXPECT(augment_step(&net, step));
        bool a = w[0] == 103 || w[0] == 303, b = w[0] == 301 || w[0] == 303;
        expect_close("random_flip", 0, w[0], (a ? 3 : 1) + (b ? 300 : 100), 0);
        expect_close("random_flip", 1, w[1], 202, 0);
        expect_close("random_flip", 2, w[2], (a ? 1 : 3) + (b ? 100 : 300), 0);
        seen[2 * a + b]++;
    }
    for (int i = 0; i < 4; i++) EXPECT(seen[i] > 60 && seen[i] < 140);
    net.results[0] = q;
    net.m->forward(&net.call);
    for (int i = 0; i < 6; i++) expect_close("random_flip", i, (&q[0][0])[i], (&x[0][0])[i], 0);
    net_close(&net);
}

/* Pixels that tell their place. */
static void test_random_crop(void) {
    Net net;
    static double x[2][5 * 6], q[2][3 * 2];
    int seen[3][5] = {{0}};
    if (!net_open(&net,
                  "model m { input x[1, 5, 6]; param w[3, 2] ~ zeros; h = x -> random_crop(3, 2)\n"
                  "    output q = h\n    loss sum[i, j] w[i, j] * h[0, i, j]\n"
                  "    optimizer sgd(lr: -2) }",
                  2, 5))
        return;
    for (int i = 0; i < 30; i++) x[0][i] = 10 * (i / 6) + i % 6;
    net.inputs[0] = x;
    const double *w = net.call.params;
    for (uint64_t step = 1; step <= 600; step++) {
        EXPECT(augment_step(&net, step));
        int down = (int)w[0] / 10, across = (int)w[0] % 10;
        EXPECT(down <= 2 && across <= 4);
        seen[down % 3][across % 5]++;
        for (int i = 0; i < 6; i++)
            expect_close("random_crop", i, w[i], 10 * (down + i / 2) + across + i % 2, 0);
    }
    for (int i = 0; i < 15; i++) EXPECT((&seen[0][0])[i] > 15 && (&seen[0][0])[i] < 75);
    net.results[0] = q;
    net.m->forward(&net.call);
    for (int i = 0; i < 6; i++)
        expect_close("random_crop", i, q[0][i], 10 * (1 + i / 2) + 2 + i % 2, 0);
    net_close(&net);
}

static void test_noise(void) {
    Net net;
    enum { N = 4000 };
    static double x[2][N], q[2][N];
    if (!net_open(&net,
                  "model m { input x[4000]; param w[4000] ~ zeros; h = x -> noise(0.5)\n"
                  "    output q = h\n    loss sum[i] w[i] * h[i]; optimizer sgd(lr: -2) }",
                  2, 5))
        return;
    net.inputs[0] = x;
    for (int i = 0; i < N; i++) x[0][i] = 3;
    EXPECT(augment_step(&net, 1));
    double sum = 0, squares = 0;
    for (int i = 0; i < N; i++) {
        double e = ((const double *)net.call.params)[i] - 3; /* of two draws */
        sum += e;
        squares += e * e;
    }
    EXPECT_NEAR(sum / N, 0, 0.05);
    EXPECT_NEAR(squares / N, 0.5, 0.05);
    net.results[0] = q;
    net.m->forward(&net.call);
    expect_close("noise", 0, q[0][7], 3, 0);
    net_close(&net);
}

/* ---- losses --------------------------------------------------------------------------------- */

static const double loss_p[2][3] = {{0.5, -1, 3}, {2, 2, -4}};
static const double loss_y[2][3] = {{0, 1, 2.5}, {2.25, 0, 1}};
static const double loss_z[2][4] = {{1, 2, 3, 4}, {500, -500, 1000, 999}};
static const int32_t loss_c[2] = {1, 3};

static double ref_mean(int n, double (*of)(double p, double y)) {
    double sum = 0;
    for (int i = 0; i < 3; i++) sum += of(loss_p[n][i], loss_y[n][i]);
    return sum / 3;
}

static double ref_square(double p, double y) {
    return (p - y) * (p - y);
}

static double ref_absolute(double p, double y) {
    return fabs(p - y);
}

static double ref_huber(double p, double y) {
    double d = fabs(p - y);
    return d <= 1 ? d * d / 2 : d - 0.5;
}

static double ref_huber_2(double p, double y) {
    double d = fabs(p - y);
    return d <= 2 ? d * d / 2 : 2 * (d - 1);
}

static double ref_binary(double z, double y) {
    return -y * log(ref_logistic(z)) - (1 - y) * log(1 - ref_logistic(z));
}

static double ref_cross_entropy(int n) {
    double most = -INFINITY, sum = 0;
    for (int k = 0; k < 4; k++) most = fmax(most, loss_z[n][k]);
    for (int k = 0; k < 4; k++) sum += exp(loss_z[n][k] - most);
    return most + log(sum) - loss_z[n][loss_c[n]];
}

static void test_losses(void) {
    Net net;
    if (!net_open(&net,
                  "model m {\n"
                  "    input p[3], y[3], z[4], c: class(4), big\n"
                  "    output a = mse(p, y)\n"
                  "    output b = mae(p, y)\n"
                  "    output d = huber(p, y)\n"
                  "    output e = huber(p, y, delta: 2)\n"
                  "    output f = binary_cross_entropy(p, y)\n"
                  "    output g = cross_entropy(z, c)\n"
                  "    output h = binary_cross_entropy(big, 1)\n"
                  "    output i = binary_cross_entropy(big, 0)\n"
                  "}",
                  2, 1))
        return;
    double values[8][2], big[2] = {-900, 900};
    const void *inputs[] = {loss_p, loss_y, loss_z, loss_c, big};
    memcpy(net.inputs, inputs, sizeof inputs);
    for (int i = 0; i < 8; i++) net.results[i] = values[i];
    net.call.n = 2;
    net.m->forward(&net.call);
    for (int n = 0; n < 2; n++) {
        expect_close("mse", n, values[0][n], ref_mean(n, ref_square), 1e-14);
        expect_close("mae", n, values[1][n], ref_mean(n, ref_absolute), 1e-14);
        expect_close("huber", n, values[2][n], ref_mean(n, ref_huber), 1e-14);
        expect_close("huber, delta 2", n, values[3][n], ref_mean(n, ref_huber_2), 1e-14);
        expect_close("binary_cross_entropy", n, values[4][n], ref_mean(n, ref_binary), 1e-13);
        expect_close("cross_entropy", n, values[5][n], ref_cross_entropy(n), 1e-14);
        expect_close("binary_cross_entropy of 1", big[n], values[6][n], n == 0 ? 900 : 0, 1e-14);
        expect_close("binary_cross_entropy of 0", big[n], values[7][n], n == 0 ? 0 : 900, 1e-14);
    }
    net_close(&net);
}

/* l1 and l2 take what decays, and nothing else. */
static void test_penalties(void) {
    Net net;
    if (!net_open(&net,
                  "model m {\n"
                  "    input x[2]\n"
                  "    target y\n"
                  "    param w[2] ~ constant(-3)\n"
                  "    param b    ~ constant(100), decay: false\n"
                  "    param v    ~ constant(2)\n"
                  "    output p = v * (sum[i] w[i] * x[i]) + b\n"
                  "    loss mse(p, y) + l1(0.5) + l2(0.25)\n"
                  "    optimizer sgd(lr: 0)\n"
                  "}",
                  2, 1))
        return;
    double x[4] = {0}, y[2] = {100, 100}, loss = 0;
    net.inputs[0] = x;
    net.inputs[1] = y;
    net.results[0] = &loss;
    net.call.n = 2;
    net.m->step(&net.call);
    expect_close("l1 and l2", 0, loss, 0.5 * (3 + 3 + 2) + 0.25 * (9 + 9 + 4), 1e-14);
    net_close(&net);
}

/* ---- optimizers ----------------------------------------------------------------------------- */

/* A parameter on its way, with two numbers of memory. */
typedef struct Walk {
    double w, m, v;
} Walk;

static void ref_sgd(Walk *s, double g, int step) {
    (void)step;
    s->w -= 0.1 * g;
}

static void ref_momentum(Walk *s, double g, int step) {
    (void)step;
    s->v = 0.9 * s->v + g;
    s->w -= 0.1 * s->v;
}

static void ref_nesterov(Walk *s, double g, int step) {
    (void)step;
    s->v = 0.9 * s->v + g;
    s->w -= 0.1 * (g + 0.9 * s->v);
}

static void ref_adam(Walk *s, double g, int step) {
    s->m = 0.9 * s->m + (1 - 0.9) * g;
    s->v = 0.999 * s->v + (1 - 0.999) * g * g;
    double mean = s->m / (1 - pow(0.9, step)), square = s->v / (1 - pow(0.999, step));
    s->w -= 0.1 * mean / (sqrt(square) + 1e-8);
}

static void ref_adamw(Walk *s, double g, int step) {
    s->w -= 0.1 * 0.02 * s->w;
    ref_adam(s, g, step);
}

static void ref_rmsprop(Walk *s, double g, int step) {
    (void)step;
    s->v = 0.9 * s->v + (1 - 0.9) * g * g;
    s->w -= 0.1 * g / (sqrt(s->v) + 1e-8);
}

static void ref_adagrad(Walk *s, double g, int step) {
    (void)step;
    s->v += g * g;
    s->w -= 0.1 * g / (sqrt(s->v) + 1e-10);
}

static void ref_schedule(Walk *s, double g, int step) {
    s->w -= 0.1 / step * g;
}

typedef struct Descent {
    const char *text;
    void (*reference)(Walk *s, double g, int step);
    bool decays;
} Descent;

static const Descent descents[] = {
    {"sgd(lr: 0.1)", ref_sgd, true},
    {"sgd(lr: 0.1 / step)", ref_schedule, true},
    {"sgd(lr: 0.1, momentum: 0.9)", ref_momentum, true},
    {"sgd(lr: 0.1, momentum: 0.9, nesterov: true)", ref_nesterov, true},
    {"adam(lr: 0.1)", ref_adam, true},
    {"adamw(lr: 0.1, weight_decay: 0.02)", ref_adamw, true},
    {"adamw(lr: 0.1, weight_decay: 0.02)", ref_adam, false},
    {"rmsprop(lr: 0.1)", ref_rmsprop, true},
    {"adagrad(lr: 0.1)", ref_adagrad, true},
};

/* The loss is (w x - y)², so that its gradient is 2 x (w x - y). */
static void test_descent(const Descent *d) {
    char text[512];
    snprintf(text, sizeof text,
             "model m { input x; target y; param w ~ constant(0.7), decay: %s\n"
             "    output p = w * x; loss mse(p, y); optimizer %s }",
             d->decays ? "true" : "false", d->text);
    Net net;
    if (!net_open(&net, text, 1, 1)) return;
    Walk walk = {.w = 0.7};
    for (int step = 1; step <= 6; step++) {
        double x = 1 + 0.3 * step, y = step - 3, loss;
        net.inputs[0] = &x;
        net.inputs[1] = &y;
        net.results[0] = &loss;
        net.call.step = (uint64_t)step;
        net.m->step(&net.call);
        double error = walk.w * x - y;
        expect_close(d->text, step, loss, error * error, 1e-13);
        d->reference(&walk, 2 * x * error, step);
        expect_close(d->text, step, *param(&net, "w"), walk.w, 1e-13);
    }
    net_close(&net);
}

static void test_optimizers(void) {
    for (size_t i = 0; i < sizeof descents / sizeof *descents; i++) test_descent(&descents[i]);
    Net net;
    if (!net_open(&net,
                  "model m { input x; target y; param w ~ ones; loss mse(w * x, y)\n"
                  "    optimizer sgd(lr: 0.1) }",
                  1, 1))
        return;
    EXPECT_INT(net.m->state_elements, 0); /* nothing is kept that is never read */
    net_close(&net);
}

/* ---- initialisers --------------------------------------------------------------------------- */

typedef struct Start {
    const char *text;
    double mean, variance;
    double low, high; /* all values are within */
} Start;

/* w[60, 140] with fan_in 140, fan_out 60: 2 / (in + out) = 0.01, 2 / in = 1 / 70. */
static const Start starts[] = {
    {"zeros", 0, 0, 0, 0},
    {"ones", 1, 0, 1, 1},
    {"constant(0.25)", 0.25, 0, 0.25, 0.25},
    {"uniform(-1, 3)", 1, 16. / 12, -1, 3},
    {"uniform", 0, 0.01 / 12, -0.05, 0.05},
    {"normal(2, 0.5)", 2, 0.25, -2, 6},
    {"normal", 0, 0.0025, -0.4, 0.4},
    {"glorot_uniform", 0, 0.01, -0.17320508075688773, 0.17320508075688773},
    {"glorot_normal", 0, 0.01, -0.7, 0.7},
    {"glorot_normal(gain: 2)", 0, 0.04, -1.4, 1.4},
    {"he_uniform", 0, 1. / 70, -0.20701966780270627, 0.20701966780270627},
    {"he_normal", 0, 1. / 70, -0.9, 0.9},
    {"orthogonal", 0, 1. / 140, -1, 1},
};

static void test_start(const Start *s) {
    enum { N = 60 * 140 };
    char text[256];
    snprintf(text, sizeof text,
             "model m { input x[140]; param w[60, 140] ~ %s\n"
             "    output y[u] = sum[i] w[u, i] * x[i] }",
             s->text);
    Net net;
    if (!net_open(&net, text, 1, 11)) return;
    const double *w = param(&net, "w");
    double sum = 0, squares = 0, low = INFINITY, high = -INFINITY;
    for (int i = 0; w && i < N; i++) {
        sum += w[i];
        low = fmin(low, w[i]);
        high = fmax(high, w[i]);
    }
    for (int i = 0; w && i < N; i++) squares += (w[i] - sum / N) * (w[i] - sum / N);
    /* five standard errors */
    expect_close(s->text, 0, sum / N, s->mean, 5 * sqrt(s->variance / N) + 1e-15);
    expect_close(s->text, 0, squares / N, s->variance, 0.06 * s->variance);
    EXPECT(low >= s->low && high <= s->high);
    net_close(&net);
}

static void test_orthogonal(int64_t parts, int64_t a, int64_t b) {
    char text[256];
    snprintf(text, sizeof text,
             "model m { input x[%lld]; param w[%lld, %lld, %lld] ~ orthogonal(gain: 2)\n"
             "    output y[p, u] = sum[i] w[p, u, i] * x[i] }",
             (long long)b, (long long)parts, (long long)a, (long long)b);
    Net net;
    if (!net_open(&net, text, 1, 5)) return;
    const double *w = param(&net, "w");
    double worst = 0;
    for (int64_t p = 0; w && p < parts; p++, w += a * b)
        for (int64_t i = 0; i < (a < b ? a : b); i++)
            for (int64_t k = 0; k <= i; k++) {
                double sum = 0;
                for (int64_t j = 0; j < (a < b ? b : a); j++)
                    sum += a < b ? w[i * b + j] * w[k * b + j] : w[j * b + i] * w[j * b + k];
                worst = fmax(worst, fabs(sum - (i == k ? 4 : 0)));
            }
    expect_close("orthogonal", (double)a, worst, 0, 1e-11);
    net_close(&net);
}

/* The second gate of an lstm begins open: its biases ~ forget_gates. */
static void test_forget_gates(void) {
    Net net;
    if (!net_open(&net,
                  "model m { input x[4, 2]; target y[4, 3]; output p = lstm(x, 3)\n"
                  "loss mse(p, y); optimizer sgd }",
                  1, 1))
        return;
    const double *b = param(&net, "lstm1.b");
    for (int i = 0; b && i < 12; i++) EXPECT_NEAR(b[i], i / 3 == 1 ? 1 : 0, 0);
    net_close(&net);
}

static void test_initialisers(void) {
    test_forget_gates();
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) test_start(&starts[i]);
    test_orthogonal(1, 1, 1);
    test_orthogonal(1, 2, 2);
    test_orthogonal(2, 3, 8);
    test_orthogonal(1, 9, 4);
    test_orthogonal(4, 32, 32);
}

/* ---- metrics -------------------------------------------------------------------------------- */

/* Two batches of different size: a metric of the data is not the mean of those of the batches. */
static void test_metrics(void) {
    enum { N = 7, FIRST = 4 };
    static const int32_t classes[N] = {0, 2, 1, 2, 0, 1, 1};
    double p[N], y[N], z[N][3];
    for (int i = 0; i < N; i++) {
        p[i] = sin(i);
        y[i] = 1.5 + cos(2 * i);
        for (int k = 0; k < 3; k++) z[i][k] = sin(3 * i + k);
    }
    Net net;
    if (!net_open(&net,
                  "model m {\n"
                  "    input p, z[3]\n"
                  "    target y, c: class(3)\n"
                  "    output q = p\n"
                  "    loss   mse(p, y)\n"
                  "    metric accuracy(z, c), mae(p, y), rmse(p, y), r2(p, y)\n"
                  "}",
                  FIRST, 1))
        return;
    double stats[32] = {0}, values[32], metrics[4];
    for (uint32_t i = 0; i <= net.m->nstats; i++) net.results[i] = &values[i];
    for (int first = 0; first < N; first += FIRST) {
        int n = N - first < FIRST ? N - first : FIRST;
        const void *inputs[] = {p + first, z + first, y + first, classes + first};
        memcpy(net.inputs, inputs, sizeof inputs);
        net.call.n = n;
        net.m->evaluate(&net.call);
        for (uint32_t i = 0; i < net.m->nstats; i++) stats[i] += values[1 + i] * n / N;
    }
    net.inputs[0] = stats;
    for (int i = 0; i < 4; i++) net.results[i] = &metrics[i];
    net.call.n = 1;
    net.m->finish(&net.call);
    double right = 0, absolute = 0, squares = 0, mean = 0, spread = 0;
    for (int i = 0; i < N; i++) {
        int best = 0;
        for (int k = 1; k < 3; k++)
            if (z[i][k] > z[i][best]) best = k;
        right += best == classes[i];
        absolute += fabs(p[i] - y[i]);
        squares += (p[i] - y[i]) * (p[i] - y[i]);
        mean += y[i] / N;
    }
    for (int i = 0; i < N; i++) spread += (y[i] - mean) * (y[i] - mean);
    expect_close("accuracy", 0, metrics[0], right / N, 1e-14);
    expect_close("mae", 0, metrics[1], absolute / N, 1e-14);
    expect_close("rmse", 0, metrics[2], sqrt(squares / N), 1e-14);
    expect_close("r2", 0, metrics[3], 1 - squares / spread, 1e-12);
    net_close(&net);
}

int main(void) {
    test_activations();
    test_softmax();
    test_dense();
    test_flatten();
    test_dropout();
    test_random_shift();
    test_random_flip();
    test_random_crop();
    test_noise();
    test_losses();
    test_penalties();
    test_optimizers();
    test_initialisers();
    test_metrics();
    TEST_END();
}
