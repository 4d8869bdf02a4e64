/* What programs, which no command line checks, may ask for. */
#include "dlc.h"

#include "test.h"

static const char text[] = "model m {\n"
                           "    input  x[64]\n"
                           "    target y: class(10)\n"
                           "    output z = x -> dense(64) -> tanh -> dense(10)\n"
                           "    loss   cross_entropy(z, y)\n"
                           "    optimizer sgd\n"
                           "}\n";

/* Both precisions: nothing is rounded. */
static void both_precisions(bool inference) {
    Dlc *dlc = dlc_open();
    DlcOptions options = {
        .batch = 64, .f64 = true, .bf16 = true, .inference = inference, .at_once = true};
    const DlrtModel *m = dlc_load_text(dlc, "m.dl", text) ? dlc_compile(dlc, &options) : NULL;
    EXPECT(m != NULL);
    for (uint32_t i = 0; m && i < m->nparams; i++) EXPECT(!m->params[i].rounded);
    EXPECT(m && m->real_bytes == 8);
    dlc_close(dlc);
}

int main(void) {
    both_precisions(false);
    both_precisions(true);
    TEST_END();
}
