/* A recurrent model one element at a time gives what it gives for the whole sequence; a model that
 * is no such function is not offered so. */
#include "dlc.h"
#include "runtime/dlrt.h"

#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char recurrent[] =
    "layer cell(x[T, I], units) {\n"
    "    param wx[4, units, I], wh[4, units, units] ~ normal(0, 0.4)\n"
    "    z[t, g, u] = sum[i] x[t, i] * wx[g, u, i] + sum[v] (h[t - 1, v] else 0) * wh[g, u, v]\n"
    "    c[t, u] = sigmoid(z[t, 0, u]) * tanh(z[t, 2, u]) + sigmoid(z[t, 1, u]) * (c[t - 1, u] "
    "else 0.5)\n"
    "    h[t, u] = sigmoid(z[t, 3, u]) * tanh(c[t, u])\n"
    "}\n"
    "model m {\n"
    "    input t[9]: class(5)\n"
    "    param table[5, 6] ~ normal(0, 1)\n"
    "    e[i, d] = table[t[i], d]\n"
    "    h = e -> transpose -> batch_norm -> transpose -> cell(7) -> cell(6)\n"
    "    output p = h -> dense(5) -> softmax\n"
    "}\n";

static const char position[] =
    "model m {\n"
    "    input t[9]: class(5)\n"
    "    param table[5, 6] ~ normal(0, 1)\n"
    "    h[i, d] = tanh(table[t[i], d] + 0.5 * (h[i - 1, d] else 0)) * i\n"
    "    output p = h -> dense(5)\n"
    "}\n";

static const char sum_over_time[] =
    "model m {\n"
    "    input t[9]: class(5)\n"
    "    param table[5, 6] ~ normal(0, 1)\n"
    "    h[i, d] = tanh(table[t[i], d] + 0.5 * (h[i - 1, d] else 0))\n"
    "    output p[i, d] = h[i, d] - mean[j] h[j, d]\n"
    "}\n";

static void check_same(void) {
    Dlc *dlc = dlc_open();
    EXPECT(dlc_load_text(dlc, "recurrent.dl", recurrent));
    DlcOptions options = {.batch = 1, .verify = true};
    const DlrtModel *m = dlc_compile(dlc, &options);
    const DlcAdvance *advance = dlc_advance(dlc, &options);
    dlc_show_messages(dlc, stderr, false, false);
    EXPECT(m && advance);
    if (!m || !advance) exit(1);
    DlrtError error;
    DlrtSession *session = dlrt_session_open(m, 3, &error);
    static const int32_t tokens[9] = {4, 0, 2, 2, 1, 3, 0, 4, 1};
    float whole[9 * 5], now[5];
    void *state =
        aligned_alloc(64, (size_t)advance->state_bytes + 64 - (size_t)advance->state_bytes % 64);
    size_t bytes =
        (size_t)(advance->arena_bytes > m->arena_bytes ? advance->arena_bytes : m->arena_bytes) +
        64;
    void *arena = aligned_alloc(64, bytes - bytes % 64);
    const void *inputs[] = {tokens};
    void *results[] = {whole};
    DlrtCall call = {.params = dlrt_session_params(session),
                     .state = dlrt_session_state(session),
                     .inputs = inputs,
                     .results = results,
                     .n = 1,
                     .arena = arena};
    float *own = dlrt_session_state(session);
    for (int64_t i = 0; i < m->state_elements; i++) own[i] = 0.5f + 0.01f * (float)i;
    m->forward(&call);
    memcpy(state, own, (size_t)m->state_elements * sizeof *own);
    for (int round = 0; round < 2; round++) {
        call.state = state;
        results[0] = now;
        advance->start(&call);
        for (int t = 0; t < 9; t++) {
            inputs[0] = &tokens[t];
            advance->advance(&call);
            for (int k = 0; k < 5; k++) EXPECT(fabsf(now[k] - whole[5 * t + k]) < 1e-6f);
        }
    }
    EXPECT(fabsf(whole[0] - whole[5]) > 1e-6f); /* the rows differ */
    free(state);
    free(arena);
    dlrt_session_close(session);
    dlc_close(dlc);
}

static void check_none(const char *text) {
    Dlc *dlc = dlc_open();
    DlcOptions options = {.batch = 1};
    EXPECT(dlc_load_text(dlc, "none.dl", text));
    EXPECT(dlc_compile(dlc, &options) != NULL);
    EXPECT(dlc_advance(dlc, &options) == NULL);
    EXPECT(dlc_show_messages(dlc, stderr, false, false) == 0);
    dlc_close(dlc);
}

int main(void) {
    check_same();
    check_none(position);
    check_none(sum_over_time);
    TEST_END();
}
