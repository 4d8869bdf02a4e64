/* codegen/calls.c: from a call of a compiled function to its kernels.
 *
 * in:   the kernels of a Function      out: `symbol(const DlrtCall *)`, which runs them in order
 *
 * Kernels of one pattern are one function. Where few kernels are alike, the symbol is a call of
 * each. Where many are, as in a network of many layers, it is a loop over a table that is nothing
 * but numbers: for each kernel its pattern, then where its operands lie, and its sites. So the code
 * does not grow with the layers. Each pattern has a function `ptr launch(ptr call, ptr row)`, which
 * runs the kernel with what the row says, and returns where the next row begins.
 */
#include "codegen/calls.h"

#include "runtime/abi.h"

#include <stddef.h>

enum {
    CALL_PARAMS,
    CALL_STATE,
    CALL_INPUTS,
    CALL_RESULTS,
    CALL_N,
    CALL_SEED,
    CALL_STEP,
    CALL_ARENA,
    CALL_PARALLEL,
    CALL_FIELDS
};
_Static_assert(sizeof(void *) == 8, "generated code has 64-bit pointers");
_Static_assert(offsetof(DlrtCall, params) == 8 * CALL_PARAMS, "layout of DlrtCall");
_Static_assert(offsetof(DlrtCall, state) == 8 * CALL_STATE, "layout of DlrtCall");
_Static_assert(offsetof(DlrtCall, inputs) == 8 * CALL_INPUTS, "layout of DlrtCall");
_Static_assert(offsetof(DlrtCall, results) == 8 * CALL_RESULTS, "layout of DlrtCall");
_Static_assert(offsetof(DlrtCall, n) == 8 * CALL_N, "layout of DlrtCall");
_Static_assert(offsetof(DlrtCall, seed) == 8 * CALL_SEED, "layout of DlrtCall");
_Static_assert(offsetof(DlrtCall, step) == 8 * CALL_STEP, "layout of DlrtCall");
_Static_assert(offsetof(DlrtCall, arena) == 8 * CALL_ARENA, "layout of DlrtCall");
_Static_assert(offsetof(DlrtCall, parallel) == 8 * CALL_PARALLEL, "layout of DlrtCall");
_Static_assert(sizeof(DlrtCall) == 8 * CALL_FIELDS, "layout of DlrtCall");

enum {
    SMALL_FLOPS = 1000000,
    SMALL_KERNELS = 64,
    KERNELS_OF_FUNCTION = 64,
    TABLE_KERNELS = 16 /* fewer are called one by one */
};

/* A kernel of the function, and what of it is in no pattern. */
typedef struct Step {
    const Kernel *kernel;
    Operands operands;
    uint32_t pattern;
} Step;

/* What the steps of a pattern have in common. */
typedef struct Shared {
    const Step *first;
    const char *name;
    LLVMValueRef kernel;
} Shared;

typedef struct Calls {
    Gen *g;
    const char *symbol;
    Step *steps;
    uint32_t nsteps;
    Shared *shared; /* by pattern */
    uint32_t npatterns;
} Calls;

/* What the code that calls a kernel has. */
typedef struct Caller {
    LLVMValueRef fields[CALL_FIELDS];
    LLVMValueRef row;    /* of the table; NULL: the numbers of the step are constants */
    LLVMValueRef part;   /* of a kernel that is divided; NULL for others */
    LLVMValueRef worker; /* of a task; NULL: the thread of the call */
} Caller;

/* ---- one kernel ------------------------------------------------------------------------------ */

static LLVMValueRef element(Gen *g, LLVMTypeRef type, LLVMValueRef array, int64_t number) {
    return LLVMBuildLoad2(g->b, type, gen_ahead(g, type, array, number), "");
}

static Caller caller_of(Gen *g, LLVMValueRef call) {
    Caller caller = {0};
    g->call = call;
    for (uint32_t i = 0; i < CALL_FIELDS; i++) {
        bool is_number = i == CALL_N || i == CALL_SEED || i == CALL_STEP;
        caller.fields[i] =
            LLVMBuildLoad2(g->b, is_number ? g->i64 : g->ptr, gen_ahead(g, g->i64, call, i), "");
    }
    g->n = caller.fields[CALL_N];
    return caller;
}

/* A function whose first parameter, the call or what a task gets, is not written to. */
static LLVMValueRef begin_entry(Gen *g, const char *name, LLVMTypeRef result, LLVMTypeRef *types,
                                uint32_t n) {
    LLVMValueRef fn = gen_function(g, name, result, types, n);
    gen_attribute(g, fn, 1, "nonnull", 0, false);
    gen_attribute(g, fn, 1, "readonly", 0, false);
    gen_attribute(g, fn, 1, "noalias", 0, false);
    return fn;
}

/* What a row says of an operand: how far from the beginning of its place it lies, or the number of
 * the caller's array that it is. */
static int64_t position_of(const Operand *operand) {
    const Buffer *buffer = operand->buffer;
    return operands_are_aligned(buffer) ? buffer->offset : buffer->slot;
}

static LLVMValueRef operand_address(Gen *g, const Caller *caller, const Operand *operand,
                                    uint32_t number, LLVMValueRef workspace) {
    static const uint32_t field_of[] = {[PLACE_INPUT] = CALL_INPUTS,
                                        [PLACE_RESULT] = CALL_RESULTS,
                                        [PLACE_PARAM] = CALL_PARAMS,
                                        [PLACE_STATE] = CALL_STATE,
                                        [PLACE_ARENA] = CALL_ARENA};
    Place place = operand->buffer->place;
    LLVMValueRef base = place == PLACE_TURN ? workspace : caller->fields[field_of[place]];
    LLVMValueRef position =
        caller->row ? element(g, g->i64, caller->row, number) : gen_i64(g, position_of(operand));
    if (operands_are_aligned(operand->buffer)) return gen_element_address(g, g->i8, base, position);
    return LLVMBuildLoad2(g->b, g->ptr, gen_element_address(g, g->ptr, base, position), "");
}

static LLVMValueRef workspace_of(Gen *g, const Caller *caller) {
    LLVMValueRef offset = gen_i64(g, g->function->workspace_offset);
    if (caller->worker) {
        LLVMValueRef bytes = gen_i64(g, g->function->worker_bytes);
        LLVMValueRef before = LLVMBuildNSWMul(g->b, caller->worker, bytes, "");
        offset = LLVMBuildNSWAdd(g->b, offset, before, "");
    }
    return gen_element_address(g, g->i8, caller->fields[CALL_ARENA], offset);
}

static void call_kernel(Gen *g, LLVMValueRef kernel, const Step *step, const Caller *caller) {
    const Operands *o = &step->operands;
    uint32_t n = o->all.len;
    LLVMValueRef *args = ARENA_ARRAY(g->ctx->arena, LLVMValueRef, n + o->sites.len + EXTRAS);
    LLVMValueRef workspace = workspace_of(g, caller);
    for (uint32_t i = 0; i < n; i++)
        args[i] = operand_address(g, caller, &o->all.at[i], i, workspace);
    for (uint32_t i = 0; i < o->sites.len; i++, n++)
        args[n] = caller->row ? element(g, g->i64, caller->row, n) : gen_i64(g, o->sites.at[i]);
    args[n + EXTRA_N] = caller->fields[CALL_N];
    args[n + EXTRA_SEED] = caller->fields[CALL_SEED];
    args[n + EXTRA_STEP] = caller->fields[CALL_STEP];
    args[n + EXTRA_WORKSPACE] = workspace;
    args[n + EXTRA_PART] = caller->part;
    uint32_t nargs = n + (caller->part ? EXTRAS : EXTRA_PART);
    LLVMBuildCall2(g->b, LLVMGlobalGetValueType(kernel), kernel, args, nargs, "");
}

/* Without threads the parts are calls in a loop, and no task is needed. */
static bool is_task(const Gen *g, const Kernel *k) {
    return k->split.index && g->function->workers > 1;
}

/* task(argument, part, worker): one part of a kernel. The argument is the call or, where there is a
 * table, an array of the call and the row. NULL for what is no task. */
static LLVMValueRef task_function(const Calls *c, const Step *step, const char *name,
                                  bool has_table) {
    Gen *g = c->g;
    LLVMTypeRef types[] = {g->ptr, g->i64, g->i64};
    if (!is_task(g, step->kernel)) return NULL;
    name = arena_printf(g->ctx->arena, "%s.task", name);
    LLVMValueRef task = begin_entry(g, name, g->void_, types, 3);
    LLVMSetLinkage(task, LLVMInternalLinkage);
    LLVMValueRef argument = LLVMGetParam(task, 0);
    Caller caller = caller_of(g, has_table ? element(g, g->ptr, argument, 0) : argument);
    if (has_table) caller.row = element(g, g->ptr, argument, 1);
    caller.part = LLVMGetParam(task, 1);
    caller.worker = LLVMGetParam(task, 2);
    call_kernel(g, c->shared[step->pattern].kernel, step, &caller);
    LLVMBuildRetVoid(g->b);
    return task;
}

static void run_parts(Gen *g, LLVMValueRef kernel, const Step *step, Caller caller) {
    LLVMValueRef parts = split_parts(g, step->kernel);
    Loop loop = loop_begin(g, gen_i64(g, 0), parts, gen_i64(g, 1), "part");
    caller.part = loop.counter;
    call_kernel(g, kernel, step, &caller);
    loop_end(g, &loop, NULL, NULL);
}

/* What a task gets: the call and, where there is a table, the row. */
static LLVMValueRef task_argument(Gen *g, const Caller *caller) {
    if (!caller->row) return g->call;
    LLVMValueRef argument = LLVMBuildAlloca(g->b, LLVMArrayType2(g->ptr, 2), "argument");
    LLVMBuildStore(g->b, g->call, argument);
    LLVMBuildStore(g->b, caller->row, gen_ahead(g, g->ptr, argument, 1));
    return argument;
}

static void run_step(const Calls *c, const Step *step, LLVMValueRef task, const Caller *caller) {
    Gen *g = c->g;
    LLVMValueRef kernel = c->shared[step->pattern].kernel;
    if (task) {
        LLVMValueRef runner = split_runner(g);
        LLVMValueRef args[] = {g->call, task_argument(g, caller), task,
                               split_parts(g, step->kernel)};
        LLVMBuildCall2(g->b, LLVMGlobalGetValueType(runner), runner, args, 4, "");
    } else if (step->kernel->split.index) {
        run_parts(g, kernel, step, *caller);
    } else {
        call_kernel(g, kernel, step, caller);
    }
}

/* ---- one after the other ----------------------------------------------------------------------
 */

/* Calls the steps `from` to before `to` in a function of the call, which is left unfinished. */
static LLVMValueRef calls_of(const Calls *c, const char *name, const LLVMValueRef *tasks,
                             uint32_t from, uint32_t to) {
    Gen *g = c->g;
    LLVMValueRef fn = begin_entry(g, name, g->void_, &g->ptr, 1);
    Caller caller = caller_of(g, LLVMGetParam(fn, 0));
    for (uint32_t i = from; i < to; i++) run_step(c, &c->steps[i], tasks[i], &caller);
    return fn;
}

/* The symbol itself. LLVM takes more than twice the time for a function of twice the size: the
 * calls of many kernels are in functions of their own. */
static void call_each(const Calls *c) {
    Gen *g = c->g;
    uint32_t n = c->nsteps, nparts = n / KERNELS_OF_FUNCTION + 1;
    LLVMValueRef *tasks = ARENA_ARRAY(g->ctx->arena, LLVMValueRef, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        const Step *step = &c->steps[i];
        const char *name =
            arena_printf(g->ctx->arena, "%s.%u.%s", c->symbol, i, step->kernel->name);
        tasks[i] = task_function(c, step, name, false);
    }
    if (n <= KERNELS_OF_FUNCTION) {
        calls_of(c, c->symbol, tasks, 0, n);
        LLVMBuildRetVoid(g->b);
        return;
    }
    LLVMValueRef *parts = ARENA_ARRAY(g->ctx->arena, LLVMValueRef, nparts + 1);
    for (uint32_t i = 0; i < nparts; i++) {
        const char *name = arena_printf(g->ctx->arena, "%s.calls.%u", c->symbol, i);
        parts[i] = calls_of(c, name, tasks, (uint32_t)((uint64_t)n * i / nparts),
                            (uint32_t)((uint64_t)n * (i + 1) / nparts));
        LLVMSetLinkage(parts[i], LLVMInternalLinkage);
        LLVMBuildRetVoid(g->b);
    }
    calls_of(c, c->symbol, tasks, 0, 0);
    for (uint32_t i = 0; i < nparts; i++)
        LLVMBuildCall2(g->b, LLVMGlobalGetValueType(parts[i]), parts[i], &g->call, 1, "");
    LLVMBuildRetVoid(g->b);
}

/* ---- by a table ------------------------------------------------------------------------------ */

static uint32_t row_length(const Operands *o) {
    return o->all.len + o->sites.len;
}

static LLVMTypeRef launch_type(const Gen *g) {
    LLVMTypeRef types[] = {g->ptr, g->ptr};
    return LLVMFunctionType(g->ptr, types, 2, false);
}

static LLVMValueRef launch_function(const Calls *c, const Shared *shared) {
    Gen *g = c->g;
    LLVMTypeRef types[] = {g->ptr, g->ptr};
    const Step *step = shared->first;
    LLVMValueRef task = task_function(c, step, shared->name, true);
    const char *name = arena_printf(g->ctx->arena, "%s.launch", shared->name);
    LLVMValueRef launch = begin_entry(g, name, g->ptr, types, 2);
    LLVMSetLinkage(launch, LLVMInternalLinkage);
    LLVMValueRef row = LLVMGetParam(launch, 1);
    Caller caller = caller_of(g, LLVMGetParam(launch, 0));
    caller.row = row;
    run_step(c, step, task, &caller);
    LLVMBuildRet(g->b, gen_ahead(g, g->i64, row, row_length(&step->operands)));
    return launch;
}

static LLVMValueRef launches_table(const Calls *c) {
    Gen *g = c->g;
    LLVMValueRef *values = ARENA_ARRAY(g->ctx->arena, LLVMValueRef, c->npatterns + 1);
    for (uint32_t i = 0; i < c->npatterns; i++) values[i] = launch_function(c, &c->shared[i]);
    const char *name = arena_printf(g->ctx->arena, "%s.launches", c->symbol);
    return gen_table(g, name, g->ptr, values, c->npatterns);
}

static LLVMValueRef rows_table(const Calls *c) {
    Gen *g = c->g;
    uint32_t length = 0, n = 0;
    for (uint32_t i = 0; i < c->nsteps; i++) length += 1 + row_length(&c->steps[i].operands);
    LLVMValueRef *values = ARENA_ARRAY(g->ctx->arena, LLVMValueRef, length + 1);
    for (uint32_t i = 0; i < c->nsteps; i++) {
        const Operands *o = &c->steps[i].operands;
        values[n++] = gen_i64(g, c->steps[i].pattern);
        for (uint32_t k = 0; k < o->all.len; k++)
            values[n++] = gen_i64(g, position_of(&o->all.at[k]));
        for (uint32_t k = 0; k < o->sites.len; k++) values[n++] = gen_i64(g, o->sites.at[k]);
    }
    return gen_table(g, arena_printf(g->ctx->arena, "%s.rows", c->symbol), g->i64, values, n);
}

static void call_by_table(const Calls *c) {
    Gen *g = c->g;
    LLVMValueRef launches = launches_table(c), rows = rows_table(c);
    LLVMValueRef call = LLVMGetParam(begin_entry(g, c->symbol, g->void_, &g->ptr, 1), 0);
    Loop loop = loop_begin(g, gen_i64(g, 0), gen_i64(g, c->nsteps), gen_i64(g, 1), "kernel");
    LLVMValueRef at = loop_carry(g, &loop, rows);
    LLVMValueRef pattern = LLVMBuildLoad2(g->b, g->i64, at, "pattern");
    LLVMValueRef slot = gen_element_address(g, g->ptr, launches, pattern);
    LLVMValueRef launch = LLVMBuildLoad2(g->b, g->ptr, slot, "launch");
    LLVMValueRef args[] = {call, gen_ahead(g, g->i64, at, 1)};
    LLVMValueRef next = LLVMBuildCall2(g->b, launch_type(g), launch, args, 2, "next");
    loop_end(g, &loop, &next, NULL);
    LLVMBuildRetVoid(g->b);
}

/* ---- one function ---------------------------------------------------------------------------- */

/* Is the work so little that the calls around the kernels count? */
static bool is_small(const Function *function) {
    double flops = 0;
    for (uint32_t i = 0; i < function->kernels.len; i++) {
        const Kernel *k = function->kernels.at[i];
        flops += k->flops + k->example_flops * (double)function->module->max_batch;
        for (uint32_t s = 0; s < k->nsteps; s++) flops += SMALL_FLOPS;
    }
    return flops < SMALL_FLOPS && function->kernels.len <= SMALL_KERNELS;
}

static LLVMValueRef make_kernel(Gen *g, Step *step, const char *name, bool inlines) {
    LLVMValueRef kernel = kernel_function(g, step->kernel, name, &step->operands);
    if (inlines) gen_function_attribute(g, kernel, "alwaysinline");
    return kernel;
}

static void add_kernel(Calls *c, uint32_t i, bool inlines) {
    Gen *g = c->g;
    Step *step = &c->steps[i];
    Shared *shared = &c->shared[step->pattern];
    const char *name = arena_printf(g->ctx->arena, "%s.%u.%s", c->symbol, i, step->kernel->name);
    if (!shared->first) {
        *shared = (Shared){step, name, make_kernel(g, step, name, inlines)};
    } else if (g->ctx->verify) {
        LLVMValueRef own = make_kernel(g, step, name, inlines);
        equal_verify(g, shared->kernel, own, step->kernel);
        LLVMDeleteFunction(own);
    }
}

void calls_generate(Gen *g, const char *symbol) {
    const Function *function = g->function;
    uint32_t n = function->kernels.len;
    Patterns patterns = {0};
    Calls c = {.g = g, .symbol = symbol, .nsteps = n};
    c.steps = ARENA_ARRAY(g->ctx->arena, Step, n + 1);
    c.shared = ARENA_ARRAY(g->ctx->arena, Shared, n + 1);
    bool inlines = is_small(function);
    for (uint32_t i = 0; i < n; i++) {
        Step *step = &c.steps[i];
        step->kernel = function->kernels.at[i];
        operands_find(g, step->kernel, &step->operands);
        step->pattern = equal_pattern(g, &patterns, step->kernel, &step->operands);
        add_kernel(&c, i, inlines);
    }
    c.npatterns = patterns.all.len;
    if (!inlines && n >= TABLE_KERNELS && c.npatterns <= n / 2)
        call_by_table(&c);
    else
        call_each(&c);
}
