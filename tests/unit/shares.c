/* Machine code of a large model made in several shares: it is that of one, wherever the shares are
 * made, and a small model is made as one. */
#include "dlc.h"
#include "runtime/dlrt.h"

#include "test.h"

#include <stdlib.h>

static const char large[] = "model m {\n"
                            "    input x[3, 16, 16]\n"
                            "    target y: class(5)\n"
                            "    h = x -> conv2d(8, 3) -> batch_norm -> relu -> max_pool(2)\n"
                            "          -> conv2d(6, 3) -> layer_norm -> gelu -> flatten\n"
                            "          -> dense(20) -> tanh -> dropout(0.1)\n"
                            "          -> dense(24) -> gelu -> dense(18) -> softplus\n"
                            "          -> dense(14) -> sigmoid -> dense(11) -> silu\n"
                            "    output z = h -> dense(5)\n"
                            "    loss cross_entropy(z, y)\n"
                            "    optimizer adam\n"
                            "}\n";
static const char small[] = "model m {\n"
                            "    input x[3]\n"
                            "    target y\n"
                            "    output z = sum[i] x[i]^2\n"
                            "    loss mse(z, y)\n"
                            "}\n";

/* Two functions of it are large, and each has kernels that threads share. */
static void write_wide(char *text, size_t size) {
    size_t n = (size_t)snprintf(
        text, size, "model m {\n    input x[4096]\n    target y: class(5)\n    h0 = x\n");
    for (int k = 0; k < 12; k++) /* the numbers are different, so that the kernels are */
        n += (size_t)snprintf(text + n, size - n,
                              "    g%d = tanh(sin(h%d * 1.%d) * exp(cos(h%d)))\n"
                              "    f%d = tanh(sin(g%d) * exp(cos(g%d)))\n"
                              "    h%d[i] = f%d[i] / (1.%d + sum[j] f%d[j]^2)\n",
                              k, k, k, k, k, k, k, k + 1, k, k, k);
    snprintf(text + n, size - n,
             "    output z = h12 -> dense(5)\n    loss cross_entropy(z, y)\n    optimizer "
             "sgd(0.1)\n}\n");
}

/* The last share first. */
static void run(void *context, DlrtTask *task, const void *argument, int64_t parts) {
    *(int64_t *)context += parts;
    for (int64_t part = parts; part-- > 0;) task(argument, part, 0);
}

static void *memory(int64_t bytes) {
    size_t size = ((size_t)bytes + 127) / 64 * 64;
    return memset(aligned_alloc(64, size), 0, size);
}

typedef struct Trained {
    float *params, loss;
    int64_t bytes, shares;
} Trained;

static Trained train(int64_t threads) {
    Trained out = {0};
    DlrtParallel parallel = {run, &out.shares};
    Dlc *dlc = dlc_open();
    EXPECT(dlc_load_text(dlc, "large.dl", large));
    DlcOptions options = {.batch = 4, .threads = threads, .verify = true};
    if (threads > 1) options.parallel = &parallel;
    const DlrtModel *m = dlc_compile(dlc, &options);
    EXPECT(m != NULL);
    dlc_show_messages(dlc, stdout, false, false);
    if (!m) exit(1);
    float *x = memory(4 * 768 * 4);
    int32_t y[4] = {0, 3, 1, 4};
    for (int i = 0; i < 4 * 768; i++) x[i] = (float)(i * 37 % 101) / 101;
    DlrtCall call = {.params = memory(m->params_elements * 4),
                     .state = memory(m->state_elements * 4),
                     .inputs = (const void *[]){x, y},
                     .results = (void *[]){&out.loss},
                     .n = 4,
                     .seed = 3,
                     .arena = memory(m->arena_bytes)};
    m->init(&call);
    for (call.step = 1; call.step < 4; call.step++) m->step(&call);
    out.params = call.params;
    out.bytes = m->params_elements * 4;
    free(x);
    free(call.state);
    free(call.arena);
    dlc_close(dlc);
    return out;
}

static void compare(int64_t threads, int64_t shares) {
    Trained one = train(1), several = train(threads);
    EXPECT_INT(one.shares, 0);
    EXPECT_INT(several.shares, shares); /* of the step alone */
    EXPECT(memcmp(&one.loss, &several.loss, sizeof one.loss) == 0);
    EXPECT(memcmp(one.params, several.params, (size_t)one.bytes) == 0);
    free(one.params);
    free(several.params);
}

/* The loss after a step, and what is predicted then. */
static void run_wide(int64_t threads, float *loss, float *z) {
    int64_t parts = 0;
    char text[8192];
    DlrtParallel parallel = {run, &parts};
    Dlc *dlc = dlc_open();
    write_wide(text, sizeof text);
    EXPECT(dlc_load_text(dlc, "wide.dl", text));
    DlcOptions options = {.batch = 64, .threads = threads};
    if (threads > 1) options.parallel = &parallel;
    const DlrtModel *m = dlc_compile(dlc, &options);
    EXPECT(m != NULL);
    dlc_show_messages(dlc, stdout, false, false);
    if (!m) exit(1);
    float *x = memory(64 * 4096 * 4);
    int32_t y[64] = {0, 3, 1, 4};
    for (int i = 0; i < 64 * 4096; i++) x[i] = (float)(i * 37 % 101) / 101;
    DlrtCall call = {.params = memory(m->params_elements * 4),
                     .inputs = (const void *[]){x, y},
                     .results = (void *[]){loss},
                     .n = 64,
                     .step = 1,
                     .arena = memory(m->arena_bytes),
                     .parallel = options.parallel};
    m->init(&call);
    m->step(&call);
    int64_t of_step = parts;
    call.results = (void *[]){z};
    m->forward(&call);
    /* Shares of the code, and then parts of kernels. */
    if (threads > 1) EXPECT(of_step > 3 && parts - of_step > 3);
    free(x);
    free(call.params);
    free(call.arena);
    dlc_close(dlc);
}

static void compare_wide(void) {
    float loss[2], z[2][64 * 5];
    run_wide(1, &loss[0], z[0]);
    run_wide(2, &loss[1], z[1]);
    EXPECT(memcmp(&loss[0], &loss[1], sizeof *loss) == 0);
    EXPECT(memcmp(z[0], z[1], sizeof *z) == 0);
}

static void stays_one(void) {
    int64_t shares = 0;
    DlrtParallel parallel = {run, &shares};
    Dlc *dlc = dlc_open();
    EXPECT(dlc_load_text(dlc, "small.dl", small));
    DlcOptions options = {.threads = 2, .parallel = &parallel};
    const DlrtModel *m = dlc_compile(dlc, &options);
    float x[64] = {1, 2, 3}, z = 0;
    DlrtCall call = {.inputs = (const void *[]){x},
                     .results = (void *[]){&z},
                     .n = 1,
                     .arena = memory(m->arena_bytes)};
    m->forward(&call);
    EXPECT_INT(z, 14);
    EXPECT_INT(shares, 0);
    free(call.arena);
    dlc_close(dlc);
}

int main(void) {
    compare(2, 3);
    compare(100, 32); /* the most that there may be */
    compare_wide();
    stays_one();
    TEST_END();
}
