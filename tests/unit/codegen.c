/* Kernels planned by hand, compiled and run, against ir_eval: all kinds of reads, extents around
 * the vector length, both precisions. Every array ends (or begins) at a page that may not be
 * touched. */
#include "target/target.h"

#include "runtime/abi.h"
#include "test.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_ARRAYS = 96, MAX_BATCH = 80 };

typedef struct Array {
    Tensor *tensor;
    void *data;
    double *oracle;
    int64_t elements, bytes;
    bool is_result;
    const Tensor *in_place_of;
} Array;

typedef struct Rig {
    Ctx ctx;
    Module *m;
    Function f;
    const Machine *machine;
    int64_t n;
    bool f64, guard_before;
    Array arrays[MAX_ARRAYS];
    uint32_t narrays;
    uint64_t random;
    const char *what;
} Rig;

/* ---- building ----------------------------------------------------------------------------- */

static void rig_open(Rig *r, int64_t n, bool f64) {
    memset(r, 0, sizeof *r);
    ctx_init(&r->ctx);
    r->ctx.stage = "codegen";
    r->ctx.verify = true;
    r->machine = target_machine(&r->ctx, NULL, NULL);
    r->m = ir_module(&r->ctx, sym(&r->ctx, "test"));
    r->m->max_batch = MAX_BATCH;
    r->f.name = sym(&r->ctx, "run");
    r->f.module = r->m;
    r->f.f64 = f64;
    r->n = n;
    r->f64 = f64;
    r->random = 12345;
}

static double uniform(Rig *r) {
    r->random = r->random * 6364136223846793005u + 1442695040888963407u;
    return (double)(r->random >> 40) / (double)(1 << 24);
}

static int64_t element_bytes(const Rig *r, const Tensor *t) {
    return t->classes || !r->f64 ? 4 : 8;
}

static void *guarded(Rig *r, int64_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t size = ((size_t)bytes + page - 1) / page * page;
    if (size == 0) size = page;
    char *all =
        mmap(NULL, size + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(all, page, PROT_NONE);
    mprotect(all + page + size, page, PROT_NONE);
    return r->guard_before ? all + page : all + page + size - bytes;
}

static Array *array_of(Rig *r, const Tensor *t) {
    for (uint32_t i = 0; i < r->narrays; i++)
        if (r->arrays[i].tensor == t) return &r->arrays[i];
    return NULL;
}

static void set(const Rig *r, const Array *a, int64_t i, double value) {
    if (a->tensor->classes)
        ((int32_t *)a->data)[i] = (int32_t)value;
    else if (r->f64)
        ((double *)a->data)[i] = value;
    else
        ((float *)a->data)[i] = (float)value;
}

static double get(const Rig *r, const Array *a, int64_t i) {
    if (a->tensor->classes) return ((int32_t *)a->data)[i];
    return r->f64 ? ((double *)a->data)[i] : (double)((float *)a->data)[i];
}

static Tensor *tensor(Rig *r, TensorKind kind, const char *name, int64_t classes, uint32_t rank,
                      int64_t d0, int64_t d1, int64_t d2) {
    int64_t dims[] = {d0, d1, d2};
    return ir_tensor(&r->ctx, r->m, kind, sym(&r->ctx, name), rank, dims, classes, (Span){0});
}

static Array *add_array(Rig *r, Tensor *t, bool is_result) {
    Array *a = &r->arrays[r->narrays++];
    *a = (Array){.tensor = t, .is_result = is_result};
    a->elements = tensor_elements(t, r->n);
    a->bytes = a->elements * element_bytes(r, t);
    a->data = guarded(r, a->bytes);
    return a;
}

/* Few different values, so that there are ties; exact in both precisions. */
static Tensor *input(Rig *r, const char *name, int64_t classes, uint32_t rank, int64_t d0,
                     int64_t d1, int64_t d2) {
    Tensor *t = tensor(r, TENSOR_INPUT, name, classes, rank, d0, d1, d2);
    Array *a = add_array(r, t, false);
    a->oracle = ARENA_ARRAY(r->ctx.arena, double, a->elements + 1);
    for (int64_t i = 0; i < a->elements; i++) {
        double v = classes ? floor(uniform(r) * (double)classes) : floor(uniform(r) * 64) / 16 - 2;
        a->oracle[i] = v;
        set(r, a, i, v);
    }
    return t;
}

static Kernel *kernel(Rig *r, KernelKind kind, Tensor *t, Index **free, Index *vector) {
    Kernel *k = ARENA_NEW(r->ctx.arena, Kernel);
    k->kind = kind;
    k->name = t->name;
    k->free = free;
    k->nfree = t->rank;
    k->vector = vector;
    k->stores = ARENA_NEW(r->ctx.arena, Store);
    k->nstores = 1;
    k->stores[0] = (Store){.tensor = t, .at = free};
    return k;
}

static void define(Rig *r, Tensor *t, Index **free, const Expr *body) {
    ir_define(&r->ctx, r->m, t, free, body, (Span){0});
    add_array(r, t, true);
}

/* result[free] = body, vectorised along `vector`. */
static void map(Rig *r, const char *name, Index **free, uint32_t rank, Index *vector,
                const Expr *body) {
    int64_t dims[3] = {0};
    for (uint32_t d = 0; d < rank; d++) dims[d] = free[d]->extent;
    Tensor *t = tensor(r, TENSOR_LOCAL, name, 0, rank, dims[0], dims[1], dims[2]);
    define(r, t, free, body);
    Kernel *k = kernel(r, KERNEL_MAP, t, free, vector);
    k->stores[0].value = body;
    vec_push(r->ctx.arena, &r->f.kernels, k);
}

static void reduce_kind(Rig *r, KernelKind kind, const char *name, Index **free, uint32_t rank,
                        ReduceOp op, Index **over, uint32_t nover, Index *vector,
                        const Expr *body) {
    int64_t dims[3] = {0}, classes = 0;
    for (uint32_t d = 0; d < rank; d++) dims[d] = free[d]->extent;
    if (op == REDUCE_ARGMAX || op == REDUCE_ARGMIN) {
        classes = 1;
        for (uint32_t i = 0; i < nover; i++)
            classes *= over[i]->extent == EXTENT_BATCH ? MAX_BATCH : over[i]->extent;
    }
    Tensor *t = tensor(r, TENSOR_LOCAL, name, classes, rank, dims[0], dims[1], dims[2]);
    define(r, t, free, ir_reduce(&r->ctx, op, over, nover, body));
    Kernel *k = kernel(r, kind, t, free, vector);
    k->op = op;
    k->over = over;
    k->nover = nover;
    k->body = body;
    k->acc = ARENA_NEW(r->ctx.arena, Tensor);
    *k->acc = *t;
    k->acc->name = "acc";
    k->stores[0].value = ir_read_at(&r->ctx, k->acc, free);
    vec_push(r->ctx.arena, &r->f.kernels, k);
}

static void reduce(Rig *r, const char *name, Index **free, uint32_t rank, ReduceOp op, Index **over,
                   uint32_t nover, Index *vector, const Expr *body) {
    reduce_kind(r, KERNEL_REDUCE, name, free, rank, op, over, nover, vector, body);
}

/* ---- running ------------------------------------------------------------------------------ */

static void place(Rig *r) {
    uint32_t inputs = 0, results = 0;
    for (uint32_t i = 0; i < r->narrays; i++) {
        Array *a = &r->arrays[i];
        Buffer buffer = {.tensor = a->tensor, .bytes = a->bytes};
        buffer.place = a->is_result ? PLACE_RESULT : PLACE_INPUT;
        buffer.slot = a->is_result ? results++ : inputs++;
        Buffer *copy = arena_copy(r->ctx.arena, &buffer, sizeof buffer);
        map_set(r->ctx.arena, &r->f.buffer_of, a->tensor, copy);
    }
}

static void evaluate(Rig *r) {
    IrValues values = {.batch = r->n, .seed = 99, .step = 3};
    for (uint32_t i = 0; i < r->narrays; i++)
        if (r->arrays[i].oracle)
            map_set(r->ctx.arena, &values.arrays, r->arrays[i].tensor, r->arrays[i].oracle);
    ir_eval(&r->ctx, r->m, &values);
    for (uint32_t i = 0; i < r->narrays; i++)
        r->arrays[i].oracle = map_get(&values.arrays, r->arrays[i].tensor);
}

static void compare(Rig *r, const Array *a) {
    double tolerance = r->f64 ? 1e-12 : 2e-5;
    for (int64_t i = 0; i < a->elements; i++) {
        double actual = get(r, a, i), expected = a->oracle[i];
        test_checks++;
        if (fabs(actual - expected) <= tolerance * (1 + fabs(expected))) continue;
        if (actual == expected) continue;
        test_failures++;
        printf("%s, %s, n = %lld: %s[%lld] is %.9g, expected %.9g\n", r->what,
               r->f64 ? "f64" : "f32", (long long)r->n, a->tensor->name, (long long)i, actual,
               expected);
        return;
    }
}

static void run(Rig *r) {
    place(r);
    evaluate(r);
    LLVMContextRef llvm = LLVMContextCreate();
    Function *functions[] = {&r->f};
    LLVMModuleRef module = codegen_module(&r->ctx, llvm, "test", functions, 1, r->machine);
    if (getenv("DUMP")) LLVMDumpModule(module);
    target_optimize(&r->ctx, module, r->machine);
    if (getenv("DUMP")) LLVMDumpModule(module);
    if (getenv("ASM")) target_assembly(&r->ctx, module, r->machine, stdout);
    Jit *jit = target_jit(&r->ctx, module, llvm, r->machine);
    void *address = target_jit_find(&r->ctx, jit, codegen_symbol(&r->ctx, "test", "run"));
    DlrtFunction *function;
    memcpy(&function, &address, sizeof function);
    const void *inputs[MAX_ARRAYS];
    void *results[MAX_ARRAYS];
    uint32_t ninputs = 0, nresults = 0;
    for (uint32_t i = 0; i < r->narrays; i++) {
        if (r->arrays[i].is_result)
            results[nresults++] = r->arrays[i].data;
        else
            inputs[ninputs++] = r->arrays[i].data;
    }
    DlrtCall call = {.inputs = inputs, .results = results, .n = r->n, .seed = 99, .step = 3};
    function(&call);
    for (uint32_t i = 0; i < r->narrays; i++)
        if (r->arrays[i].is_result) compare(r, &r->arrays[i]);
    target_jit_free(jit);
    diag_show(&r->ctx, stdout, false, false);
    ctx_free(&r->ctx);
}

/* ---- cases -------------------------------------------------------------------------------- */

static const Expr *at(Rig *r, Index *i) {
    return ir_index_value(&r->ctx, i);
}

static const Expr *plus(Rig *r, const Expr *a, int64_t b) {
    return ir_int_add(&r->ctx, a, ir_int(&r->ctx, b));
}

static const Expr *times(Rig *r, const Expr *a, int64_t b) {
    return ir_int_scale(&r->ctx, a, b);
}

static const Expr *element(Rig *r, Tensor *t, const Expr *a, const Expr *b, const Expr *c,
                           const Expr *otherwise) {
    const Expr *subs[] = {a, b, c};
    return ir_read(&r->ctx, t, subs, otherwise);
}

static const Expr *number(Rig *r, double v) {
    return ir_number(&r->ctx, v);
}

static Index *index_of(Rig *r, const char *name, int64_t extent) {
    return ir_index(&r->ctx, sym(&r->ctx, name), extent);
}

static Index **list(Rig *r, Index *a, Index *b, Index *c) {
    Index *all[] = {a, b, c};
    return arena_copy(r->ctx.arena, all, sizeof all);
}

static void maps(int64_t a, int64_t b, int64_t n, bool f64, bool guard_before) {
    Rig rig, *r = &rig;
    rig_open(r, n, f64);
    r->what = arena_printf(r->ctx.arena, "maps %lld %lld", (long long)a, (long long)b);
    r->guard_before = guard_before;
    Ctx *c = &r->ctx;
    Tensor *x = input(r, "x", 0, 3, EXTENT_BATCH, a, b), *y = input(r, "y", 0, 1, b, 0, 0);
    Tensor *v = input(r, "v", 0, 1, 3 * b + 2, 0, 0), *w = input(r, "w", 0, 2, 7, b, 0);
    Tensor *t = input(r, "t", 7, 1, EXTENT_BATCH, 0, 0);
    Index *B = index_of(r, "batch", EXTENT_BATCH), *i = index_of(r, "i", a);
    Index *j = index_of(r, "j", b), *k = index_of(r, "k", a * b);
    Index **bij = list(r, B, i, j), **ij = list(r, i, j, NULL), **bj = list(r, B, j, NULL);
    Index **js = list(r, j, NULL, NULL), **bk = list(r, B, k, NULL), **bs = list(r, B, NULL, NULL);
    Index **bji = list(r, B, j, i);
    const Expr *xe = ir_read_at(c, x, bij), *ye = ir_read_at(c, y, js);
    map(r, "merged", bij, 3, j, ir_add(c, ir_mul(c, xe, xe), number(r, 0.5)));
    map(r, "broadcast", bij, 3, j, ir_op2(c, OP_MAX, ir_add(c, xe, ye), number(r, 0)));
    map(r, "scalar", bij, 3, NULL, ir_sub(c, xe, ye));
    map(r, "over_i", bij, 3, i, ir_sub(c, xe, ye));
    map(r, "over_batch", bij, 3, B, ir_sub(c, xe, ye));
    map(r, "transposed", bji, 3, i, ir_read_at(c, x, bij));
    map(r, "stride2", js, 1, j, element(r, v, plus(r, times(r, at(r, j), 2), 1), NULL, NULL, NULL));
    map(r, "stride3", js, 1, j, element(r, v, times(r, at(r, j), 3), NULL, NULL, NULL));
    map(r, "reversed", js, 1, j,
        element(r, v, plus(r, times(r, at(r, j), -1), b - 1), NULL, NULL, NULL));
    map(r, "padded", bij, 3, j,
        element(r, x, at(r, B), plus(r, at(r, i), -1), plus(r, at(r, j), 1), number(r, 7)));
    map(r, "padded_strided", bij, 3, j,
        element(r, x, at(r, B), plus(r, at(r, i), 1), plus(r, times(r, at(r, j), 2), -1), ye));
    map(r, "padded_row", bij, 3, j, element(r, x, at(r, B), plus(r, at(r, i), -1), at(r, j), ye));
    map(r, "gather", bj, 2, j, element(r, w, ir_read_at(c, t, bs), at(r, j), NULL, NULL));
    map(r, "gather_batch", bs, 1, B, element(r, w, ir_read_at(c, t, bs), ir_int(c, 0), NULL, NULL));
    map(r, "flat", bk, 2, k,
        element(r, x, at(r, B), ir_floordiv(c, at(r, k), b), ir_mod(c, at(r, k), b), NULL));
    map(r, "halved", ij, 2, j, element(r, y, ir_floordiv(c, at(r, j), 2), NULL, NULL, NULL));
    map(r, "one_hot", list(r, B, k, NULL), 2, k,
        ir_select(c, ir_op2(c, OP_EQ, ir_read_at(c, t, bs), at(r, k)), number(r, 1),
                  number(r, -1)));
    const Expr *positive = ir_op2(c, OP_GT, at(r, j), ir_int(c, 0));
    map(r, "under_if", js, 1, j,
        ir_select(c, positive, element(r, y, plus(r, at(r, j), -1), NULL, NULL, NULL),
                  number(r, 5)));
    const Expr *ri = ir_real(c, at(r, i)), *rj = ir_real(c, at(r, j));
    const Expr *third = ir_op2(c, OP_EQ, ir_mod(c, plus(r, at(r, j), -5), 3), ir_int(c, 1));
    map(r, "numbers", ij, 2, j,
        ir_select(c, third, ir_mul(c, ri, rj),
                  ir_real(c, ir_floordiv(c, plus(r, times(r, at(r, j), -2), 3), 4))));
    map(r, "constants", bij, 3, j,
        ir_add(c, ir_mul(c, ir_step(c), ir_batch(c)), ir_op1(c, OP_ABS, xe)));
    const Expr *counter =
        ir_int_add(c, ir_int_add(c, times(r, at(r, B), a * b), times(r, at(r, i), b)), at(r, j));
    map(r, "drawn", bij, 3, j, ir_draw(c, DRAW_UNIFORM, 4, counter));
    map(r, "functions", bij, 3, j, ir_op2(c, OP_POW, ir_op1(c, OP_EXP, xe), number(r, 3)));
    run(r);
}

static void reductions(int64_t a, int64_t b, int64_t n, bool f64, bool guard_before) {
    Rig rig, *r = &rig;
    rig_open(r, n, f64);
    r->what = arena_printf(r->ctx.arena, "reductions %lld %lld", (long long)a, (long long)b);
    r->guard_before = guard_before;
    Ctx *c = &r->ctx;
    Tensor *x = input(r, "x", 0, 3, EXTENT_BATCH, a, b), *y = input(r, "y", 0, 1, b, 0, 0);
    Index *B = index_of(r, "batch", EXTENT_BATCH), *i = index_of(r, "i", a);
    Index *j = index_of(r, "j", b);
    Index **bij = list(r, B, i, j), **bi = list(r, B, i, NULL), **bj = list(r, B, j, NULL);
    Index **ij = list(r, i, j, NULL), **js = list(r, j, NULL, NULL), **is = list(r, i, NULL, NULL);
    Index **bs = list(r, B, NULL, NULL);
    const Expr *xe = ir_read_at(c, x, bij), *ye = ir_read_at(c, y, js);
    const Expr *square = ir_mul(c, ir_sub(c, xe, ye), ir_sub(c, xe, ye));
    static const char *const names[] = {"sum", "max", "min", "prod", "argmax", "argmin"};
    for (ReduceOp op = REDUCE_SUM; op <= REDUCE_ARGMIN; op++) {
        const Expr *e = op == REDUCE_PROD ? ir_add(c, number(r, 1), ir_mul(c, number(r, 0.01), xe))
                                          : ir_sub(c, xe, ye);
        const char *name = names[op];
        reduce(r, arena_printf(c->arena, "%s_rows", name), bi, 2, op, js, 1, j, e);
        reduce(r, arena_printf(c->arena, "%s_columns", name), bj, 2, op, is, 1, j, e);
        reduce(r, arena_printf(c->arena, "%s_batch", name), ij, 2, op, bs, 1, j, e);
        reduce(r, arena_printf(c->arena, "%s_planes", name), bs, 1, op, ij, 2, j, e);
        reduce(r, arena_printf(c->arena, "%s_inner", name), is, 1, op, bj, 2, j, e);
        reduce(r, arena_printf(c->arena, "%s_all", name), bij, 0, op, bij, 3, j, e);
        reduce(r, arena_printf(c->arena, "%s_scalar", name), bs, 1, op, ij, 2, NULL, e);
        reduce(r, arena_printf(c->arena, "%s_other", name), bs, 1, op, ij, 2, i, e);
    }
    reduce(r, "merged", bs, 1, REDUCE_MAX, ij, 2, j, xe);
    reduce(r, "mean", bij, 0, REDUCE_SUM, bij, 3, j, ir_div(c, xe, ir_batch(c)));
    reduce(r, "squares", bj, 2, REDUCE_SUM, is, 1, j, square);
    reduce(r, "squares_all", bij, 0, REDUCE_SUM, bij, 3, j, square);
    run(r);
}

/* The gradient of a gather. */
static void scatters(int64_t rows, int64_t b, int64_t n, bool f64, bool guard_before) {
    Rig rig, *r = &rig;
    rig_open(r, n, f64);
    r->what = arena_printf(r->ctx.arena, "scatters %lld %lld", (long long)rows, (long long)b);
    r->guard_before = guard_before;
    Ctx *c = &r->ctx;
    Tensor *g = input(r, "g", 0, 3, EXTENT_BATCH, 3, b);
    Tensor *t = input(r, "t", rows, 2, EXTENT_BATCH, 3, 0);
    Index *B = index_of(r, "batch", EXTENT_BATCH), *i = index_of(r, "i", 3);
    Index *j = index_of(r, "j", b), *v = index_of(r, "v", rows);
    Index **bij = list(r, B, i, j), **bi = list(r, B, i, NULL), **vj = list(r, v, j, NULL);
    Index **jv = list(r, j, v, NULL), **vs = list(r, v, NULL, NULL), **bv = list(r, B, v, NULL);
    Index **is = list(r, i, NULL, NULL);
    const Expr *ge = ir_read_at(c, g, bij), *te = ir_read_at(c, t, bi);
    const Expr *hit = ir_op2(c, OP_EQ, te, at(r, v));
    const Expr *body = ir_select(c, hit, ge, number(r, 0));
    const Expr *counted = ir_select(c, hit, number(r, 1), number(r, 0));
    struct {
        const char *name;
        Index **free;
        uint32_t rank, dim;
        Index **over;
        uint32_t nover;
        Index *vector;
        const Expr *body;
    } cases[] = {{"rows", vj, 2, 0, bi, 2, j, body},
                 {"columns", jv, 2, 1, bi, 2, v, body},
                 {"counts", vs, 1, 0, bi, 2, v, counted},
                 {"by_example", bv, 2, 1, is, 1, v, counted}};
    for (size_t s = 0; s < sizeof cases / sizeof *cases; s++) {
        reduce_kind(r, KERNEL_SCATTER, cases[s].name, cases[s].free, cases[s].rank, REDUCE_SUM,
                    cases[s].over, cases[s].nover, cases[s].vector, cases[s].body);
        Kernel *k = r->f.kernels.at[r->f.kernels.len - 1];
        k->scatter_dim = cases[s].dim;
        k->row = te;
    }
    run(r);
}

static void scans(int64_t times_, int64_t b, int64_t n, bool f64, int direction) {
    Rig rig, *r = &rig;
    rig_open(r, n, f64);
    r->what = arena_printf(r->ctx.arena, "scans %lld %lld", (long long)times_, (long long)b);
    Ctx *c = &r->ctx;
    Tensor *x = input(r, "x", 0, 3, EXTENT_BATCH, times_, b);
    Index *B = index_of(r, "batch", EXTENT_BATCH), *t = index_of(r, "t", times_);
    Index *j = index_of(r, "j", b);
    Index **btj = list(r, B, t, j), **bj = list(r, B, j, NULL);
    Tensor *h = tensor(r, TENSOR_LOCAL, "h", 0, 3, EXTENT_BATCH, times_, b);
    const Expr *before =
        element(r, h, at(r, B), plus(r, at(r, t), -direction), at(r, j), number(r, 1));
    const Expr *body = ir_add(c, ir_mul(c, number(r, 0.5), before), ir_read_at(c, x, btj));
    define(r, h, btj, body);
    Kernel *step = kernel(r, KERNEL_MAP, h, bj, j);
    step->nfree = 2;
    step->stores[0].at = btj;
    step->stores[0].value = body;
    Kernel *scan = ARENA_NEW(c->arena, Kernel);
    *scan = (Kernel){.kind = KERNEL_SCAN, .name = h->name, .time = t, .direction = direction};
    scan->steps = arena_copy(c->arena, &step, sizeof(Kernel *));
    scan->nsteps = 1;
    vec_push(c->arena, &r->f.kernels, scan);
    ir_order(c, r->m);
    run(r);
}

/* Two tensors in the same bytes: a value is read before it is replaced. */
static void in_place(void) {
    Rig rig, *r = &rig;
    rig_open(r, 1, false);
    r->what = "in place";
    Ctx *c = &r->ctx;
    Tensor *w = input(r, "w", 0, 1, 37, 0, 0), *m = input(r, "m", 0, 1, 37, 0, 0);
    Tensor *w2 = tensor(r, TENSOR_LOCAL, "w2", 0, 1, 37, 0, 0);
    Tensor *m2 = tensor(r, TENSOR_LOCAL, "m2", 0, 1, 37, 0, 0);
    Index *i = index_of(r, "i", 37), **is = list(r, i, NULL, NULL);
    const Expr *we = ir_read_at(c, w, is), *me = ir_read_at(c, m, is);
    const Expr *m_new = ir_add(c, ir_mul(c, number(r, 0.5), me), we);
    ir_define(c, r->m, m2, is, m_new, (Span){0});
    ir_define(c, r->m, w2, is, ir_sub(c, we, ir_read_at(c, m2, is)), (Span){0});
    Kernel *k = kernel(r, KERNEL_MAP, m2, is, i);
    k->nstores = 2;
    k->stores = ARENA_ARRAY(c->arena, Store, 2);
    k->stores[0] = (Store){.tensor = m2, .at = is, .value = m_new};
    k->stores[1] = (Store){.tensor = w2, .at = is, .value = ir_sub(c, we, ir_read_at(c, m2, is))};
    vec_push(c->arena, &r->f.kernels, k);
    Tensor *tensors[] = {w, m, w2, m2};
    for (uint32_t t = 0; t < 4; t++) {
        Buffer *buffer = ARENA_NEW(c->arena, Buffer);
        *buffer = (Buffer){
            .tensor = tensors[t], .place = PLACE_PARAM, .offset = t % 2 ? 192 : 0, .bytes = 37 * 4};
        map_set(c->arena, &r->f.buffer_of, tensors[t], buffer);
    }
    IrValues values = {.batch = 1};
    map_set(c->arena, &values.arrays, w, array_of(r, w)->oracle);
    map_set(c->arena, &values.arrays, m, array_of(r, m)->oracle);
    ir_eval(c, r->m, &values);
    _Alignas(64) float params[96] = {0};
    memcpy(params, array_of(r, w)->data, 37 * 4);
    memcpy(params + 48, array_of(r, m)->data, 37 * 4);
    LLVMContextRef llvm = LLVMContextCreate();
    Function *functions[] = {&r->f};
    LLVMModuleRef module = codegen_module(c, llvm, "test", functions, 1, r->machine);
    target_optimize(c, module, r->machine);
    Jit *jit = target_jit(c, module, llvm, r->machine);
    void *address = target_jit_find(c, jit, codegen_symbol(c, "test", "run"));
    DlrtFunction *function;
    memcpy(&function, &address, sizeof function);
    DlrtCall call = {.params = params, .n = 1};
    function(&call);
    const double *w_expected = map_get(&values.arrays, w2),
                 *m_expected = map_get(&values.arrays, m2);
    for (int e = 0; e < 37; e++) {
        EXPECT_NEAR(params[e], w_expected[e], 1e-6);
        EXPECT_NEAR(params[48 + e], m_expected[e], 1e-6);
    }
    target_jit_free(jit);
    ctx_free(c);
}

int main(void) {
    static const int64_t extents[] = {1, 2, 3, 5, 7, 8, 10, 15, 16, 17, 31, 33, 48, 64, 70};
    for (size_t e = 0; e < sizeof extents / sizeof *extents; e++) {
        int64_t b = extents[e], a = 1 + (int64_t)e % 5, n = 1 + (int64_t)(e * 7) % 40;
        for (int half = 0; half < 2; half++) {
            bool f64 = half, before = (e + (size_t)half) % 2;
            maps(a, b, n, f64, before);
            reductions(a, b, n, f64, before);
            scatters(a + 3, b, n, f64, before);
            scans(a + 2, b, n, f64, half ? -1 : 1);
        }
    }
    reductions(70, 3, 17, false, false);
    reductions(9, 200, 5, false, true);
    in_place();
    TEST_END();
}
