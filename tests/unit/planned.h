/* tests/unit/planned.h: modules made by hand, planned, compiled and run, against the interpreter.
 *
 * Every array ends at a page that may not be touched, and the arena is full of NaN before a run:
 * what is read before it is written shows.
 */
#ifndef DLC_TESTS_UNIT_PLANNED_H
#define DLC_TESTS_UNIT_PLANNED_H

#include "target/target.h"

#include "runtime/abi.h"
#include "test.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { RIG_ARRAYS = 64 };

typedef struct RigArray {
    Tensor *tensor;
    double *values; /* for the interpreter */
} RigArray;

typedef struct Rig {
    Ctx ctx;
    Module *m;
    bool f64, keep_text, nest_all, rows_all, tiles_all;
    int64_t n;
    const char *what;
    RigArray leaves[RIG_ARRAYS]; /* in the order they were made */
    uint32_t nleaves;
    uint64_t random;
    const Machine *machine;
    Function *f;
    const Layout *layout;
    char *text;                /* the printed plan, when kept */
    void *results[RIG_ARRAYS]; /* of the run */
} Rig;

/* Is every kernel divided, and are the last parts run first? How many were. */
static bool rig_divides;
static int64_t rig_divided;
/* Are sums over the examples done in parts, however short? How many contractions add them up. */
static bool rig_adds;
static int64_t rig_added;
/* Pairs of bf16 wherever they can be, on a machine that has them? How many contractions had. */
static bool rig_pairs;
static int64_t rig_paired;

/* The tile of Winograd's algorithm, wherever it is possible; 0: none. How many contractions had it.
 */
static uint32_t rig_winograd;
static int64_t rig_wound;

static void rig_open(Rig *r, const char *what, int64_t n, int64_t max_batch, bool f64) {
    memset(r, 0, sizeof *r);
    ctx_init(&r->ctx);
    r->ctx.stage = "plan";
    r->ctx.verify = true;
    r->machine = target_machine(&r->ctx, NULL, NULL);
    r->m = ir_module(&r->ctx, sym(&r->ctx, "test"));
    r->m->max_batch = max_batch;
    r->what = what;
    r->n = n;
    r->f64 = f64;
    r->random = 88172645463325252u;
}

static uint32_t rig_random(Rig *r, uint32_t below) {
    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    return (uint32_t)((r->random >> 16) % below);
}

/* ---- building ---------------------------------------------------------------------------------
 */

static Tensor *rig_leaf(Rig *r, TensorKind kind, const char *name, int64_t classes, uint32_t rank,
                        const int64_t *dims) {
    Tensor *t = ir_tensor(&r->ctx, r->m, kind, sym(&r->ctx, name), rank, dims, classes, (Span){0});
    RigArray *array = &r->leaves[r->nleaves++];
    int64_t elements = tensor_elements(t, r->n);
    *array = (RigArray){t, ARENA_ARRAY(r->ctx.arena, double, elements + 1)};
    for (int64_t i = 0; i < elements; i++) {
        array->values[i] = classes ? rig_random(r, (uint32_t)classes)
                                   : ((double)rig_random(r, 4097) - 2048) / 2048;
        /* Second moments and the like are not negative. */
        if (kind == TENSOR_STATE) array->values[i] = fabs(array->values[i]);
    }
    return t;
}

#define DIMS(...)                                                                                  \
    (sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) {                            \
        __VA_ARGS__                                                                                \
    }

static Index *rig_index(Rig *r, const char *name, int64_t extent) {
    return ir_index(&r->ctx, sym(&r->ctx, name), extent);
}

static Tensor *rig_declare(Rig *r, const char *name, int64_t classes, uint32_t rank,
                           Index *const *free) {
    int64_t dims[8];
    for (uint32_t d = 0; d < rank; d++) dims[d] = free[d]->extent;
    return ir_tensor(&r->ctx, r->m, TENSOR_LOCAL, sym(&r->ctx, name), rank, dims, classes,
                     (Span){0});
}

static Tensor *rig_define(Rig *r, const char *name, uint32_t rank, Index *const *free,
                          const Expr *body) {
    Tensor *t = rig_declare(r, name, 0, rank, free);
    ir_define(&r->ctx, r->m, t, free, body, (Span){0});
    return t;
}

#define LIST(...)                                                                                  \
    (sizeof((Index *[]){__VA_ARGS__}) / sizeof(Index *)), (Index *[]) {                            \
        __VA_ARGS__                                                                                \
    }

static void rig_root(Rig *r, Tensor *tensor) {
    Root root = {tensor->name, tensor};
    vec_push(r->ctx.arena, &r->m->roots, root);
}

static inline void rig_update(Rig *r, Tensor *target, Tensor *value) {
    Update update = {target, value};
    vec_push(r->ctx.arena, &r->m->updates, update);
}

/* ---- memory -----------------------------------------------------------------------------------
 */

static void *rig_memory(int64_t bytes, int64_t alignment) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    bytes = (bytes + alignment - 1) / alignment * alignment;
    size_t size = ((size_t)bytes + page - 1) / page * page;
    if (size == 0) size = page;
    char *all =
        mmap(NULL, size + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(all, 0xff, size + 2 * page);
    mprotect(all, page, PROT_NONE);
    mprotect(all + page + size, page, PROT_NONE);
    return all + page + size - bytes;
}

static int64_t rig_bytes(const Rig *r, const Tensor *t) {
    return tensor_elements(t, r->n) * (t->classes || !r->f64 ? 4 : 8);
}

static double rig_get(const Rig *r, const Tensor *t, const void *data, int64_t i) {
    if (t->classes) return ((const int32_t *)data)[i];
    return r->f64 ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

static void rig_fill(const Rig *r, const Tensor *t, void *data, const double *values) {
    for (int64_t i = 0; i < tensor_elements(t, r->n); i++) {
        if (t->classes)
            ((int32_t *)data)[i] = (int32_t)values[i];
        else if (r->f64)
            ((double *)data)[i] = values[i];
        else
            ((float *)data)[i] = (float)values[i];
    }
}

/* ---- running ----------------------------------------------------------------------------------
 */

typedef struct RigRun {
    void *params, *state;
    const void *inputs[RIG_ARRAYS];
    void *results[RIG_ARRAYS];
} RigRun;

/* Where operands are rounded, small sums of large products are no better than the products. */
static double rig_size(const Rig *r, const Tensor *t, const double *expected, int64_t i) {
    double size = fabs(expected[i]);
    for (int64_t k = 0; rig_pairs && k < tensor_elements(t, r->n); k++)
        if (fabs(expected[k]) > size) size = fabs(expected[k]);
    return size;
}

static void rig_compare(const Rig *r, const Tensor *t, const void *data, const double *expected) {
    double tolerance = r->f64 ? 1e-9 : rig_pairs ? 2e-2 : 1e-3;
    test_checks++;
    for (int64_t i = 0; i < tensor_elements(t, r->n); i++) {
        double actual = rig_get(r, t, data, i), wanted = expected[i];
        if (fabs(actual - wanted) <= tolerance * (1 + fabs(wanted)) || actual == wanted) continue;
        if (fabs(actual - wanted) <= tolerance * (1 + rig_size(r, t, expected, i))) continue;
        if (isnan(actual) && isnan(wanted)) continue;
        test_failures++;
        printf("%s, %s, n = %lld: %s[%lld] is %.9g, expected %.9g\n", r->what,
               r->f64 ? "f64" : "f32", (long long)r->n, t->name, (long long)i, actual, wanted);
        return;
    }
}

/* Somebody's threads: one, which runs the parts from the last to the first, as various workers. */
enum { RIG_WORKERS = 3 };

static void rig_parts(void *context, DlrtTask *task, const void *argument, int64_t parts) {
    rig_divided++;
    for (int64_t part = parts; part-- > 0;) task(argument, part, part % RIG_WORKERS);
}

static void rig_plan(Rig *r) {
    Tensor *inputs[RIG_ARRAYS], *params[RIG_ARRAYS], *states[RIG_ARRAYS];
    uint32_t ninputs = 0, nparams = 0, nstates = 0;
    for (uint32_t i = 0; i < r->nleaves; i++) {
        Tensor *t = r->leaves[i].tensor;
        if (t->kind == TENSOR_PARAM)
            params[nparams++] = t;
        else if (t->kind == TENSOR_STATE)
            states[nstates++] = t;
        else
            inputs[ninputs++] = t;
    }
    PlanOptions options = {.f64 = r->f64,
                           .bf16 = rig_pairs,
                           .pairs = rig_pairs && r->machine->has_bf16,
                           .pairs_all = rig_pairs,
                           .vector_bytes = r->machine->vector_bytes,
                           .l1_bytes = r->machine->l1_bytes,
                           .l2_bytes = r->machine->l2_bytes,
                           .winograd = rig_winograd,
                           .winograd_all = rig_winograd > 0,
                           .workers = rig_adds && !rig_divides ? 1 : RIG_WORKERS,
                           .split_all = rig_divides,
                           .parts_all = rig_adds,
                           .nest_all = r->nest_all,
                           .rows_all = r->rows_all,
                           .tiles_all = r->tiles_all,
                           .blocks_all = rig_divides};
    r->layout = plan_layout(&r->ctx, params, nparams, states, nstates, r->f64 ? 8 : 4, NULL);
    r->f = plan_function(&r->ctx, r->m, "run", inputs, ninputs, r->layout, &options);
    plan_verify(&r->ctx, r->f);
    Text text = text_new(r->ctx.arena);
    plan_print(&r->ctx, &text, r->f);
    for (const char *at = text_string(&text); (at = strstr(at, "in pairs")); at++) rig_paired++;
    for (const char *at = text_string(&text); (at = strstr(at, "added up")); at++) rig_added++;
    for (const char *at = text_string(&text); (at = strstr(at, "by Winograd")); at++) rig_wound++;
    if (getenv("PLAN")) puts(text_string(&text));
    if (r->keep_text) r->text = strdup(text_string(&text));
}

static RigRun rig_memory_of(const Rig *r) {
    RigRun run = {
        rig_memory(r->layout->params_bytes, 64), rig_memory(r->layout->state_bytes, 64), {0}, {0}};
    uint32_t ninputs = 0;
    for (uint32_t i = 0; i < r->nleaves; i++) {
        const Tensor *t = r->leaves[i].tensor;
        void *data;
        if (t->kind == TENSOR_PARAM)
            data = (char *)run.params + *(int64_t *)map_get(&r->layout->params, t);
        else if (t->kind == TENSOR_STATE)
            data = (char *)run.state + *(int64_t *)map_get(&r->layout->states, t);
        else
            run.inputs[ninputs++] = data = rig_memory(rig_bytes(r, t), 4);
        rig_fill(r, t, data, r->leaves[i].values);
    }
    for (uint32_t i = 0; i < r->m->roots.len; i++)
        run.results[i] = rig_memory(rig_bytes(r, r->m->roots.at[i].tensor), 4);
    return run;
}

static void rig_check(const Rig *r, const RigRun *run, const IrValues *values) {
    for (uint32_t i = 0; i < r->m->roots.len; i++) {
        const Tensor *t = r->m->roots.at[i].tensor;
        rig_compare(r, t, run->results[i], map_get(&values->arrays, t));
    }
    for (uint32_t i = 0; i < r->nleaves; i++) {
        const Tensor *t = r->leaves[i].tensor, *value = t;
        const void *data;
        if (t->kind == TENSOR_PARAM)
            data = (char *)run->params + *(int64_t *)map_get(&r->layout->params, t);
        else if (t->kind == TENSOR_STATE)
            data = (char *)run->state + *(int64_t *)map_get(&r->layout->states, t);
        else
            continue;
        for (uint32_t u = 0; u < r->m->updates.len; u++)
            if (r->m->updates.at[u].target == t) value = r->m->updates.at[u].value;
        rig_compare(r, t, data, map_get(&values->arrays, value));
    }
}

static void rig_run(Rig *r) {
    ir_normalize(&r->ctx, r->m);
    EXPECT(!diag_failed(&r->ctx));
    if (diag_failed(&r->ctx)) return;
    if (getenv("IR")) {
        Text ir = text_new(r->ctx.arena);
        ir_print(&r->ctx, &ir, r->m);
        fprintf(stderr, "%s\n", text_string(&ir));
    }
    ir_verify(&r->ctx, r->m, true);
    IrValues values = {.batch = r->n, .seed = 7, .step = 3};
    for (uint32_t i = 0; i < r->nleaves; i++)
        map_set(r->ctx.arena, &values.arrays, r->leaves[i].tensor, r->leaves[i].values);
    ir_eval(&r->ctx, r->m, &values);
    rig_plan(r);
    LLVMContextRef llvm = LLVMContextCreate();
    LLVMModuleRef module = codegen_module(&r->ctx, llvm, "test", &r->f, 1, r->machine);
    target_optimize(&r->ctx, module, r->machine);
    Jit *jit = target_jit(&r->ctx, module, llvm, r->machine);
    void *address = target_jit_find(&r->ctx, jit, codegen_symbol(&r->ctx, "test", "run"));
    DlrtFunction *function;
    memcpy(&function, &address, sizeof function);
    RigRun run = rig_memory_of(r);
    DlrtParallel parallel = {rig_parts, NULL};
    DlrtCall call = {.params = run.params,
                     .state = run.state,
                     .inputs = run.inputs,
                     .results = run.results,
                     .n = r->n,
                     .seed = 7,
                     .step = 3,
                     .arena = rig_memory(r->f->arena_bytes, 64),
                     .parallel = rig_divides ? &parallel : NULL};
    function(&call);
    memcpy(r->results, run.results, sizeof run.results);
    rig_check(r, &run, &values);
    target_jit_free(jit);
}

static void rig_close(Rig *r) {
    diag_show(&r->ctx, stdout, false, false);
    ctx_free(&r->ctx);
    free(r->text);
}

#endif
