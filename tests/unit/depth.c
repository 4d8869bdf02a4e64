/* The work of the stages before code generation grows with the number of layers and no faster: a
 * model of twice the layers takes about twice the walks over expressions, and twice the memory:
 * what stays and the most that passes hold while they run.
 *
 * What is counted is the same in every run, so that the limits can be narrow. */
#include "session.h"

#include "test.h"

static const char block[] = "layer linear(x[T, D], units) {\n"
                            "    param w[units, D] ~ normal(0, 0.02)\n"
                            "    param b[units] ~ zeros, decay: false\n"
                            "    y[t, u] = b[u] + sum[d] x[t, d] * w[u, d]\n"
                            "}\n"
                            "layer heads_of(x[T, D], heads) {\n"
                            "    size E = D / heads\n"
                            "    param w[3, heads, E, D] ~ normal(0, 0.02)\n"
                            "    y[s, h, t, e] = sum[d] x[t, d] * w[s, h, e, d]\n"
                            "}\n"
                            "layer merged(o[H, T, E]) {\n"
                            "    y[t, d < H*E] = o[d/E, t, d%E]\n"
                            "}\n"
                            "layer block(x[T, D], heads) {\n"
                            "    z = x -> layer_norm -> heads_of(heads)\n"
                            "    q[h, t, e] = z[0, h, t, e]\n"
                            "    k[h, t, e] = z[1, h, t, e]\n"
                            "    v[h, t, e] = z[2, h, t, e]\n"
                            "    a = x + (attend(q, k, v, causal: true) -> merged -> linear(D))\n"
                            "    y = a + (a -> layer_norm -> linear(4 * D) -> gelu -> linear(D))\n"
                            "}\n";

static const char transformer[] = "model m {\n"
                                  "    input t[16]: class(11)\n"
                                  "    target y[16]: class(11)\n"
                                  "    param table[11, 24] ~ normal(0, 0.02)\n"
                                  "    h[i, d] = table[t[i], d]\n"
                                  "    repeat %d { h = h -> block(4) }\n"
                                  "    output p = h -> dense(11)\n"
                                  "    loss cross_entropy(p, y)\n"
                                  "    optimizer adamw(lr: 0.001)\n"
                                  "}\n";

static const char convolutions[] =
    "model m {\n"
    "    input x[3, 12, 12]\n"
    "    target y: class(4)\n"
    "    h = x -> conv2d(8, 3, pad: 1)\n"
    "    repeat %d { h = relu(h + (h -> batch_norm -> conv2d(8, 3, pad: 1) -> dropout(0.1))) }\n"
    "    output p = h -> global_avg_pool -> dense(4)\n"
    "    loss cross_entropy(p, y)\n"
    "    optimizer sgd(lr: 0.01, momentum: 0.9)\n"
    "}\n";

typedef struct Spent {
    double work, bytes;
} Spent;

static Spent spent(const Ctx *ctx) {
    return (Spent){(double)ir_work(ctx),
                   (double)arena_used(ctx->arena) + (double)arena_most(ctx->scratch)};
}

static Spent plan(const char *layers, const char *model, int depth) {
    Dlc *dlc = dlc_open();
    Spent before = spent(&dlc->ctx);
    PipelineOptions options;
    DlcOptions wanted = {.batch = 4, .steps = 1};
    char *text = arena_printf(dlc->ctx.arena, model, depth);
    bool loaded = dlc_load_text(dlc, "layers", layers) && dlc_load_text(dlc, "model", text);
    EXPECT(loaded && session_plan(dlc, &wanted, &options));
    Spent after = spent(&dlc->ctx);
    EXPECT(arena_used(dlc->ctx.scratch) == 0);
    dlc_show_messages(dlc, stdout, false, false);
    dlc_close(dlc);
    return (Spent){after.work - before.work, after.bytes - before.bytes};
}

/* Limits for one layer, and how much more eight layers more may take than four: lists and tables
 * that double are in the bytes, hence these are taken over twelve. */
static void test_growth(const char *layers, const char *model, double most_work,
                        double most_bytes) {
    Spent four = plan(layers, model, 4), eight = plan(layers, model, 8);
    Spent sixteen = plan(layers, model, 16);
    double work = (eight.work - four.work) / 4, bytes = (sixteen.bytes - four.bytes) / 12;
    double growth = (sixteen.work - eight.work) / (eight.work - four.work);
    printf("a layer: %.0f steps, %.0f KiB; twice the layers: %.3f times the work\n", work,
           bytes / 1024, growth);
    EXPECT(growth < 2.05);
    EXPECT(work < most_work);
    EXPECT(bytes < most_bytes * 1024);
}

/* The code of a training step, in LLVM's instructions. */
static double code(const char *layers, const char *model, int depth, int64_t workers) {
    Dlc *dlc = dlc_open();
    PipelineOptions options;
    DlcOptions wanted = {.batch = 4, .steps = 1, .threads = workers};
    char *text = arena_printf(dlc->ctx.arena, model, depth);
    bool loaded = dlc_load_text(dlc, "layers", layers) && dlc_load_text(dlc, "model", text);
    Planned *planned = loaded ? session_plan(dlc, &wanted, &options) : NULL;
    double instructions = 0;
    EXPECT(planned && planned->step);
    if (planned && planned->step) {
        LLVMContextRef llvm = LLVMContextCreate();
        Function *functions[] = {planned->init, planned->step};
        LLVMModuleRef module = pipeline_codegen(&dlc->ctx, llvm, "m", functions, 2, &options);
        LLVMValueRef f = LLVMGetFirstFunction(module);
        for (; f; f = LLVMGetNextFunction(f))
            for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(f); b; b = LLVMGetNextBasicBlock(b))
                for (LLVMValueRef i = LLVMGetFirstInstruction(b); i; i = LLVMGetNextInstruction(i))
                    instructions++;
        LLVMDisposeModule(module);
        LLVMContextDispose(llvm);
    }
    dlc_close(dlc);
    return instructions;
}

/* Layers that are alike have the same kernels: their code is there once. */
static void test_code(const char *layers, const char *model, int64_t workers) {
    double eight = code(layers, model, 8, workers), sixteen = code(layers, model, 16, workers);
    printf("instructions of eight layers: %.0f; of sixteen: %.0f\n", eight, sixteen);
    EXPECT(sixteen <= eight);
}

int main(void) {
    test_growth(block, transformer, 60e3, 1600);
    test_growth("", convolutions, 18e3, 550);
    for (int64_t workers = 1; workers <= 2; workers++) {
        test_code(block, transformer, workers);
        test_code("", convolutions, workers);
    }
    return test_failures != 0;
}
