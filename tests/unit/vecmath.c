/* The elementary functions as generated code, against the C library in a longer format: for scalars
 * and vectors, on numbers of every exponent, on both sides of every limit, and at the special
 * values.
 *
 *     unit_vecmath                        samples
 *     unit_vecmath --every N [NAME]       and every Nth of the 2^32 arguments of the f32 functions
 *     unit_vecmath --exhaustive [NAME]    all of them (two minutes each); prints what was found
 */
#include "codegen/emit.h"
#include "target/target.h"

#include "test.h"

#include <stdlib.h>

typedef void Apply(const void *a, const void *b, void *out, int64_t n);

typedef struct Row {
    Op op;
    const char *name;
    double bound_f32, bound_f64; /* in ulp */
} Row;

static const Row rows[] = {
#define BOUND(name, f32, f64) {OP_##name, #name, f32, f64},
#include "codegen/vecmath.def"
#undef BOUND
};
enum { ROWS = sizeof rows / sizeof *rows };

static long double reference(Op op, long double x, long double y) {
    switch ((int)op) {
    case OP_EXP: return expl(x);
    case OP_LOG: return logl(x);
    case OP_LOG1P: return log1pl(x);
    case OP_EXPM1: return expm1l(x);
    case OP_LOGISTIC: return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x));
    case OP_LOG1PEXP:
        return (x > 0 ? x : x - x > 0 ? x : isnan(x) ? x : 0) + log1pl(expl(-fabsl(x)));
    case OP_TANH: return tanhl(x);
    case OP_SIN: return sinl(x);
    case OP_COS: return cosl(x);
    case OP_ERF: return erfl(x);
    case OP_POW: return powl(x, y);
    case OP_SQRT: return sqrtl(x);
    case OP_FLOOR: return floorl(x);
    case OP_SIGN: return isnan(x) ? x : (x > 0) - (x < 0);
    case OP_ABS: return fabsl(x);
    }
    return 0;
}

/* For f32, double precision is long enough, and faster. */
static double short_reference(Op op, double x) {
    switch ((int)op) {
    case OP_EXP: return exp(x);
    case OP_LOG: return log(x);
    case OP_LOG1P: return log1p(x);
    case OP_EXPM1: return expm1(x);
    case OP_LOGISTIC: return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
    case OP_LOG1PEXP: return (x > 0 ? x : isnan(x) ? x : 0) + log1p(exp(-fabs(x)));
    case OP_TANH: return tanh(x);
    case OP_SIN: return sin(x);
    case OP_COS: return cos(x);
    case OP_ERF: return erf(x);
    }
    return (double)reference(op, x, 0);
}

/* ---- generated code ------------------------------------------------------------------------ */

static Gen begin_module(Ctx *ctx, const Machine *machine) {
    LLVMContextRef llvm = LLVMContextCreate();
    LLVMModuleRef module = LLVMModuleCreateWithNameInContext("vecmath", llvm);
    LLVMSetTarget(module, machine->triple);
    LLVMSetDataLayout(module, machine->layout);
    return (Gen){.ctx = ctx,
                 .machine = machine,
                 .llvm = llvm,
                 .module = module,
                 .b = LLVMCreateBuilderInContext(llvm),
                 .ptr = LLVMPointerTypeInContext(llvm, 0),
                 .i1 = LLVMInt1TypeInContext(llvm),
                 .i8 = LLVMInt8TypeInContext(llvm),
                 .i32 = LLVMInt32TypeInContext(llvm),
                 .i64 = LLVMInt64TypeInContext(llvm),
                 .f32 = LLVMFloatTypeInContext(llvm),
                 .f64 = LLVMDoubleTypeInContext(llvm),
                 .void_ = LLVMVoidTypeInContext(llvm)};
}

/* for (i = 0; i < n; i += lanes) out[i..] = op(a[i..], b[i..]) */
static void add_loop(Gen *g, const char *name, Op op, LLVMTypeRef real, uint32_t lanes) {
    LLVMTypeRef params[] = {g->ptr, g->ptr, g->ptr, g->i64};
    g->fn = LLVMAddFunction(g->module, name, LLVMFunctionType(g->void_, params, 4, false));
    g->real = real;
    LLVMPositionBuilderAtEnd(g->b, LLVMAppendBasicBlockInContext(g->llvm, g->fn, "entry"));
    Loop loop = loop_begin(g, gen_i64(g, 0), LLVMGetParam(g->fn, 3), gen_i64(g, lanes), "i");
    LLVMValueRef in[2];
    for (uint32_t i = 0; i < 2; i++) {
        LLVMValueRef at = gen_element_address(g, real, LLVMGetParam(g->fn, i), loop.counter);
        in[i] = gen_load(g, real, at, lanes, NULL, NULL);
    }
    LLVMValueRef value = vecmath(g, op, in[0], in[1]);
    LLVMValueRef at = gen_element_address(g, real, LLVMGetParam(g->fn, 2), loop.counter);
    gen_store(g, at, value, NULL);
    loop_end(g, &loop, NULL, NULL);
    LLVMBuildRetVoid(g->b);
}

static const uint32_t widths_f32[] = {1, 4, 16}, widths_f64[] = {1, 2, 8};

static const char *loop_name(Ctx *ctx, const Row *row, bool f64, uint32_t lanes) {
    return arena_printf(ctx->arena, "%s_%s_%u", row->name, f64 ? "f64" : "f32", lanes);
}

static Jit *compile(Ctx *ctx, const Machine *machine) {
    Gen g = begin_module(ctx, machine);
    for (uint32_t r = 0; r < ROWS; r++)
        for (uint32_t w = 0; w < 3; w++) {
            add_loop(&g, loop_name(ctx, &rows[r], false, widths_f32[w]), rows[r].op, g.f32,
                     widths_f32[w]);
            add_loop(&g, loop_name(ctx, &rows[r], true, widths_f64[w]), rows[r].op, g.f64,
                     widths_f64[w]);
        }
    LLVMDisposeBuilder(g.b);
    target_optimize(ctx, g.module, machine);
    return target_jit(ctx, g.module, g.llvm, machine);
}

static Apply *find(Ctx *ctx, Jit *jit, const Row *row, bool f64, uint32_t lanes) {
    void *address = target_jit_find(ctx, jit, loop_name(ctx, row, f64, lanes));
    Apply *apply;
    memcpy(&apply, &address, sizeof apply);
    return apply;
}

/* ---- distances ----------------------------------------------------------------------------- */

/* |got - expected| in units of the last place of the format at `expected`. */
static double distance(long double got, long double expected, int digits, int least) {
    if (isnan(expected)) return isnan(got) ? 0 : INFINITY;
    if (isinf(expected)) return got == expected ? 0 : INFINITY;
    int exponent;
    frexpl(expected, &exponent);
    if (exponent < least) exponent = least;
    if (isinf(got)) { /* as if the range went on */
        if ((got > 0) != (expected > 0)) return INFINITY;
        got = copysignl(ldexpl(1, digits == 24 ? 128 : 1024), got);
    }
    if (expected == 0 && got == 0) return signbit(expected) == signbit(got) ? 0 : INFINITY;
    return (double)(fabsl(got - expected) / ldexpl(1, exponent - digits));
}

static double distance_f32(float got, long double expected) {
    if (fabsl(expected) >= 0x1p128L) expected = copysignl(INFINITY, expected);
    if (fabsl(expected) < 0x1p-151L && got == 0) return 0;
    return distance((long double)got, expected, 24, -125);
}

/* The same, for the exact value in double precision; without the detour through the longer format
 * where the result is an ordinary number. */
static double short_distance(float got, double expected) {
    double size = fabs(expected);
    if (!(size >= 0x1p-125 && size < 0x1p127 && isfinite(got)))
        return distance_f32(got, (long double)expected);
    uint64_t bits;
    memcpy(&bits, &size, sizeof bits);
    bits = (bits >> 52) << 52; /* the power of two below */
    double power;
    memcpy(&power, &bits, sizeof power);
    return fabs((double)got - expected) / (power * 0x1p-23);
}

static double distance_f64(double got, long double expected) {
    if (fabsl(expected) >= 0x1p1024L) expected = copysignl(INFINITY, expected);
    if (fabsl(expected) < 0x1p-1076L && got == 0) return 0;
    return distance((long double)got, expected, 53, -1021);
}

/* ---- arguments ----------------------------------------------------------------------------- */

enum { COUNT = 1 << 16 };

static uint64_t noise_state = 88172645463325252u;
static uint64_t noise(void) {
    noise_state ^= noise_state << 13;
    noise_state ^= noise_state >> 7;
    noise_state ^= noise_state << 17;
    return noise_state * 0x2545f4914f6cdd1du;
}

static double noise_between(double low, double high) {
    return low + (high - low) * (double)(noise() >> 11) * 0x1p-53;
}

static const double specials[] = {0.0,
                                  -0.0,
                                  1,
                                  -1,
                                  2,
                                  -2,
                                  3,
                                  -3,
                                  0.5,
                                  -0.5,
                                  0.625,
                                  1.5,
                                  -2.5,
                                  INFINITY,
                                  -INFINITY,
                                  NAN,
                                  1e-310,
                                  -1e-310,
                                  0x1p-149,
                                  -0x1p-149,
                                  0x1p-126,
                                  0x1p-1022,
                                  0x1p-1074,
                                  0x1.fffffep127,
                                  -0x1.fffffep127,
                                  0x1.fffffffffffffp1023,
                                  88.72283,
                                  88.72284,
                                  -87.33654,
                                  -103.97208,
                                  -104,
                                  -104.1,
                                  709.782712893384,
                                  709.782712893385,
                                  -708.3964185322641,
                                  -745.1332191019411,
                                  -745.2,
                                  3.14159265358979323846,
                                  1.57079632679489661923,
                                  0x1.921fb6p1,
                                  0x1.921fb6p0,
                                  1e22,
                                  0x1.6ac5b262ca1ffp849,
                                  16367173.0 * 0x1p72,
                                  33815960.0,
                                  4194304.5,
                                  4503599627370495.5,
                                  0x1p52,
                                  0x1p53,
                                  0x1p23,
                                  -0x1p23,
                                  8388607.5,
                                  6,
                                  4,
                                  10,
                                  20};
enum { SPECIALS = sizeof specials / sizeof *specials };

static double argument(Op op, int i, bool f64) {
    if (i < SPECIALS) return specials[i];
    int kind = (int)(noise() % 4);
    if (kind == 0) return noise_between(-2, 2);
    if (kind == 1) return noise_between(-12, 12);
    if (kind == 2) return noise_between(-110, 110) * (f64 && (noise() & 1) ? 7 : 1);
    uint64_t bits = noise();
    if (f64) {
        double d;
        memcpy(&d, &bits, sizeof d);
        return d;
    }
    uint32_t half = (uint32_t)bits;
    float f;
    memcpy(&f, &half, sizeof f);
    return f;
}

/* pow: every pair of special values, then bases and exponents that give results in range. */
static void pair(int i, bool f64, double *x, double *y) {
    if (i < SPECIALS * SPECIALS) {
        *x = specials[i % SPECIALS];
        *y = specials[i / SPECIALS];
        return;
    }
    *x = fabs(argument(OP_POW, SPECIALS, f64));
    *y = noise_between(-1, 1) * (f64 ? 700 : 87) / (fabs(log(*x)) + 1e-3);
    if (noise() % 4 == 0) {
        *y = floor(*y);
        *x = -*x;
    }
}

/* ---- tests ----------------------------------------------------------------------------------- */

typedef struct Arrays {
    double *ad, *bd, *od;
    float *af, *bf, *of;
} Arrays;

static double worst_f32(const Row *row, Apply *apply, Arrays *s, float *at) {
    double worst = 0;
    apply(s->af, s->bf, s->of, COUNT);
    for (int i = 0; i < COUNT; i++) {
        long double expected = row->op == OP_POW ? reference(OP_POW, s->af[i], s->bf[i])
                                                 : reference(row->op, s->af[i], 0);
        double d = distance_f32(s->of[i], expected);
        if (d > worst) worst = d, at[0] = s->af[i], at[1] = s->bf[i], at[2] = s->of[i];
    }
    return worst;
}

static double worst_f64(const Row *row, Apply *apply, Arrays *s, double *at) {
    double worst = 0;
    apply(s->ad, s->bd, s->od, COUNT);
    for (int i = 0; i < COUNT; i++) {
        double d = distance_f64(s->od[i], reference(row->op, s->ad[i], s->bd[i]));
        if (d > worst) worst = d, at[0] = s->ad[i], at[1] = s->bd[i], at[2] = s->od[i];
    }
    return worst;
}

static void fill(const Row *row, Arrays *s) {
    for (int i = 0; i < COUNT; i++) {
        double x = argument(row->op, i, false), y = 0;
        if (row->op == OP_POW) pair(i, false, &x, &y);
        s->af[i] = (float)x;
        s->bf[i] = (float)y;
        x = argument(row->op, i, true);
        if (row->op == OP_POW) pair(i, true, &x, &y);
        s->ad[i] = x;
        s->bd[i] = y;
    }
}

static void test_row(Ctx *ctx, Jit *jit, const Row *row, Arrays *s, bool verbose) {
    fill(row, s);
    for (uint32_t w = 0; w < 3; w++) {
        float at[3] = {0};
        double atd[3] = {0};
        double d = worst_f32(row, find(ctx, jit, row, false, widths_f32[w]), s, at);
        double e = worst_f64(row, find(ctx, jit, row, true, widths_f64[w]), s, atd);
        if (verbose || d > row->bound_f32 || e > row->bound_f64)
            printf(
                "%-9s f32 x %2u: %.3f ulp at %a, %a: %a\n%-9s f64 x %2u: %.3f ulp at %a, %a: %a\n",
                row->name, widths_f32[w], d, (double)at[0], (double)at[1], (double)at[2], row->name,
                widths_f64[w], e, atd[0], atd[1], atd[2]);
        EXPECT(d <= row->bound_f32);
        EXPECT(e <= row->bound_f64);
    }
}

/* Every step-th argument of one f32 function, in vectors. */
static void exhaust(Ctx *ctx, Jit *jit, const Row *row, Arrays *s, uint64_t step) {
    Apply *apply = find(ctx, jit, row, false, 16);
    double worst = 0;
    float at = 0;
    for (uint64_t first = 0; first < 1ull << 32; first += COUNT * step) {
        for (uint32_t i = 0; i < COUNT; i++) {
            uint32_t bits = (uint32_t)(first + i * step);
            memcpy(&s->af[i], &bits, sizeof bits);
        }
        apply(s->af, s->bf, s->of, COUNT);
        for (uint32_t i = 0; i < COUNT; i++) {
            double d = short_distance(s->of[i], short_reference(row->op, (double)s->af[i]));
            if (d > worst) worst = d, at = s->af[i];
        }
    }
    printf("%-9s f32: %.3f ulp at %a\n", row->name, worst, (double)at);
    fflush(stdout);
    EXPECT(worst <= row->bound_f32);
}

/* 0: samples only; otherwise the step through all arguments. */
static uint64_t step_of(int argc, char **argv, const char **name) {
    *name = NULL;
    if (argc < 2) return 0;
    if (strcmp(argv[1], "--exhaustive") == 0) {
        if (argc > 2) *name = argv[2];
        return 1;
    }
    if (argc > 3) *name = argv[3];
    return argc > 2 && strcmp(argv[1], "--every") == 0 ? strtoull(argv[2], NULL, 10) : 0;
}

int main(int argc, char **argv) {
    Ctx ctx;
    ctx_init(&ctx);
    const Machine *machine = target_machine(&ctx, NULL, NULL);
    Machine plain = *machine;
    plain.has_fma = false; /* the forms for machines without fma, on this one */
    Arrays s = {malloc(COUNT * 8), calloc(COUNT, 8), malloc(COUNT * 8),
                malloc(COUNT * 4), calloc(COUNT, 4), malloc(COUNT * 4)};
    const char *only;
    uint64_t step = step_of(argc, argv, &only);
    for (uint32_t fused = 0; fused < 2; fused++) {
        Jit *jit = compile(&ctx, fused ? machine : &plain);
        for (uint32_t r = 0; r < ROWS; r++)
            if (!only || strcmp(only, rows[r].name) == 0)
                test_row(&ctx, jit, &rows[r], &s, argc > 1);
        for (uint32_t r = 0; step && fused && r < ROWS; r++)
            if (rows[r].op != OP_POW && (!only || strcmp(only, rows[r].name) == 0))
                exhaust(&ctx, jit, &rows[r], &s, step);
        target_jit_free(jit);
    }
    free(s.ad), free(s.bd), free(s.od), free(s.af), free(s.bf), free(s.of);
    ctx_free(&ctx);
    TEST_END();
}
