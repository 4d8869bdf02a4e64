/* Random draws as generated code, against the published answers of Philox4x32-10 (the known-answer
 * tests of Random123) and against ir_draw_value: uniform draws with the same bits, normal ones
 * nearly.
 */
#include "codegen/emit.h"
#include "target/target.h"

#include "test.h"

typedef void Draw(uint64_t seed, uint64_t step, uint64_t first, void *out, int64_t n);

typedef struct Form {
    const char *name;
    DrawKind kind;
    bool f64;
    uint32_t lanes, site;
} Form;

static const Form forms[] = {
    {"answer_zeros", DRAW_UNIFORM, true, 1, 0},  {"answer_ones", DRAW_UNIFORM, true, 1, 0xffffffff},
    {"uniform_f32", DRAW_UNIFORM, false, 1, 3},  {"uniform_f32_16", DRAW_UNIFORM, false, 16, 3},
    {"uniform_f64_8", DRAW_UNIFORM, true, 8, 4}, {"normal_f32_16", DRAW_NORMAL, false, 16, 5},
    {"normal_f64", DRAW_NORMAL, true, 1, 6},     {"normal_f64_8", DRAW_NORMAL, true, 8, 0x80000001},
};
enum { FORMS = sizeof forms / sizeof *forms, COUNT = 1 << 12 };

/* for (i = 0; i < n; i += lanes) out[i..] = draws at first + i.. */
static void add_form(Gen *g, const Form *form) {
    LLVMTypeRef params[] = {g->i64, g->i64, g->i64, g->ptr, g->i64};
    g->fn = LLVMAddFunction(g->module, form->name, LLVMFunctionType(g->void_, params, 5, false));
    LLVMPositionBuilderAtEnd(g->b, LLVMAppendBasicBlockInContext(g->llvm, g->fn, "entry"));
    g->real = form->f64 ? g->f64 : g->f32;
    g->f64_real = form->f64;
    g->seed = LLVMGetParam(g->fn, 0);
    g->step = LLVMGetParam(g->fn, 1);
    LLVMValueRef n = LLVMGetParam(g->fn, 4);
    Loop loop = loop_begin(g, gen_i64(g, 0), n, gen_i64(g, form->lanes), "i");
    LLVMValueRef at = LLVMBuildAdd(g->b, LLVMGetParam(g->fn, 2), loop.counter, "");
    LLVMValueRef counter = gen_splat(g, at, form->lanes);
    counter = LLVMBuildAdd(g->b, counter, gen_iota(g, g->i64, form->lanes, 1), "");
    uint32_t site = form->site;
    LLVMValueRef site_value = gen_i64(g, site);
    g->sites = &(Sites){.at = &site, .len = 1, .values = &site_value};
    LLVMValueRef value = philox_draw(g, form->kind, site, counter);
    gen_store(g, gen_element_address(g, g->real, LLVMGetParam(g->fn, 3), loop.counter), value,
              NULL);
    loop_end(g, &loop, NULL, NULL);
    LLVMBuildRetVoid(g->b);
}

static Jit *compile(Ctx *ctx, const Machine *machine) {
    LLVMContextRef llvm = LLVMContextCreate();
    LLVMModuleRef module = LLVMModuleCreateWithNameInContext("philox", llvm);
    LLVMSetTarget(module, machine->triple);
    LLVMSetDataLayout(module, machine->layout);
    Gen g = {.ctx = ctx,
             .machine = machine,
             .llvm = llvm,
             .module = module,
             .b = LLVMCreateBuilderInContext(llvm),
             .ptr = LLVMPointerTypeInContext(llvm, 0),
             .i1 = LLVMInt1TypeInContext(llvm),
             .i32 = LLVMInt32TypeInContext(llvm),
             .i64 = LLVMInt64TypeInContext(llvm),
             .f32 = LLVMFloatTypeInContext(llvm),
             .f64 = LLVMDoubleTypeInContext(llvm),
             .void_ = LLVMVoidTypeInContext(llvm)};
    for (uint32_t i = 0; i < FORMS; i++) add_form(&g, &forms[i]);
    LLVMDisposeBuilder(g.b);
    target_optimize(ctx, module, machine);
    return target_jit(ctx, module, llvm, machine);
}

static Draw *find(Ctx *ctx, Jit *jit, const Form *form) {
    void *address = target_jit_find(ctx, jit, form->name);
    Draw *draw;
    memcpy(&draw, &address, sizeof draw);
    return draw;
}

static void test_answers(Ctx *ctx, Jit *jit) {
    double value;
    find(ctx, jit, &forms[0])(0, 0, 0, &value, 1);
    EXPECT_NEAR(value, 0x6627e8 * 0x1p-24, 0);
    find(ctx, jit, &forms[1])(UINT64_MAX, UINT64_MAX, 0xffffffff, &value, 1);
    EXPECT_NEAR(value, 0x408f27 * 0x1p-24, 0);
}

static void test_form(Ctx *ctx, Jit *jit, const Form *form) {
    static double doubles[COUNT];
    static float floats[COUNT];
    uint64_t seed = 0x123456789abcdef1u, step = 0x100000007u, first = 0xfffff800u;
    double worst = 0, mean = 0, square = 0;
    void *out = form->f64 ? (void *)doubles : (void *)floats;
    find(ctx, jit, form)(seed, step, first, out, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        double got = form->f64 ? doubles[i] : (double)floats[i];
        double expected = ir_draw_value(form->kind, seed, step, form->site, first + i);
        if (fabs(got - expected) > worst) worst = fabs(got - expected);
        mean += got / COUNT;
        square += got * got / COUNT;
    }
    bool is_normal = form->kind == DRAW_NORMAL;
    EXPECT_NEAR(worst, 0, !is_normal ? 0 : form->f64 ? 2e-14 : 4e-6);
    EXPECT_NEAR(mean, is_normal ? 0 : 0.5, 0.05);
    EXPECT_NEAR(square, is_normal ? 1 : 1.0 / 3, 0.1);
}

int main(void) {
    Ctx ctx;
    ctx_init(&ctx);
    Jit *jit = compile(&ctx, target_machine(&ctx, NULL, NULL));
    test_answers(&ctx, jit);
    for (uint32_t i = 2; i < FORMS; i++) test_form(&ctx, jit, &forms[i]);
    target_jit_free(jit);
    ctx_free(&ctx);
    TEST_END();
}
