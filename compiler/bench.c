/* bench.c: a model whose kernels can be called one by one.
 *
 * in:   a model      out: a function for each kernel of its step, and what each has to do
 * A kernel's function is a planned function with that kernel alone: the plan, the buffers and so
 * the code are those of the step.
 */
#include "session.h"

#include <string.h>
#include <unistd.h>

typedef struct Bench {
    Dlc *dlc;
    Ctx *ctx;
    Planned *planned;
    PipelineOptions pipeline;
    const Function *f; /* the function whose kernels are measured */
    DlcBench *out;
    DlcBenchKernel *kernels;
} Bench;

/* ---- forward, backward, update --------------------------------------------------------------- */

/* Follows from the loss what it is computed from. */
typedef struct Needs {
    const Function *f;
    const Kernel *kernel;
    Map buffers, tensors; /* needed, as sets */
    Ctx *ctx;
} Needs;

static void need(Needs *n, const Tensor *tensor) {
    const Buffer *buffer = map_get(&n->f->buffer_of, tensor);
    map_set(n->ctx->arena, &n->tensors, tensor, n);
    if (buffer) map_set(n->ctx->arena, &n->buffers, buffer, n);
}

static void need_read(void *data, const Expr *e) {
    if (e->kind == EX_READ) need(data, e->read.tensor);
}

static void need_expression(Needs *n, const Expr *e) {
    if (e) ir_visit(n->ctx, e, need_read, n);
}

static bool is_needed(const Needs *n, const Tensor *tensor) {
    const Buffer *buffer = map_get(&n->f->buffer_of, tensor);
    return map_get(&n->tensors, tensor) || (buffer && map_get(&n->buffers, buffer));
}

/* Is the kernel among what is needed? Then so is what it reads for that. */
static bool need_kernel(Needs *n, const Kernel *k) {
    bool found = false;
    for (uint32_t i = k->nsteps; i-- > 0;) found |= need_kernel(n, k->steps[i]);
    for (uint32_t i = k->nstores; i-- > 0;) {
        if (!is_needed(n, k->stores[i].tensor)) continue;
        found = true;
        need_expression(n, k->stores[i].value);
    }
    for (uint32_t i = 0; i < k->nalso; i++)
        if (is_needed(n, k->also[i].acc)) found = true, need_expression(n, k->also[i].body);
    if (k->acc && is_needed(n, k->acc)) {
        found = true;
        need_expression(n, k->body);
        need_expression(n, k->row);
    } else if (found && k->kind == KERNEL_SCATTER) {
        need_expression(n, k->body);
    }
    return found;
}

static bool writes_only_new_values(const Function *f, const Kernel *k) {
    if (k->kind != KERNEL_MAP) return false;
    for (uint32_t i = 0; i < k->nstores; i++) {
        const Buffer *buffer = map_get(&f->buffer_of, k->stores[i].tensor);
        if (buffer && buffer->place != PLACE_PARAM && buffer->place != PLACE_STATE) return false;
    }
    return true;
}

/* Or does a nest go on backward? */
static bool needs_all_steps(Needs *n, const Kernel *k) {
    for (uint32_t i = 0; k->kind == KERNEL_NEST && i < k->nsteps; i++)
        if (!need_kernel(n, k->steps[i])) return false;
    return true;
}

/* What a recurrence needs of itself it may need from the turn before: twice around is enough, as
 * each turn finds all that one turn reads. */
static void find_parts(Bench *b) {
    const Function *f = b->f;
    bool trains = f == b->planned->step;
    Needs n = {.f = f, .ctx = b->ctx};
    if (trains) need(&n, f->module->loss);
    for (uint32_t i = f->kernels.len; i-- > 0;) {
        const Kernel *k = f->kernels.at[i];
        bool forward = !trains || need_kernel(&n, k);
        if (forward && k->nsteps) need_kernel(&n, k);
        b->kernels[i].part = forward && trains && !needs_all_steps(&n, k) ? DLC_PART_BOTH
                             : forward                                    ? DLC_PART_FORWARD
                             : writes_only_new_values(f, k)               ? DLC_PART_UPDATE
                                                                          : DLC_PART_BACKWARD;
    }
}

/* ---- kernels --------------------------------------------------------------------------------- */

static const char *kind_of(const Kernel *k) {
    switch (k->kind) {
    case KERNEL_MAP: return "map";
    case KERNEL_REDUCE: return "reduce";
    case KERNEL_CONTRACT: return "contract";
    case KERNEL_SCATTER: return "scatter";
    case KERNEL_SCAN: return "scan";
    case KERNEL_NEST: return "nest";
    }
    return "";
}

/* Only the user's own files have lines worth telling. */
static unsigned line_of(Bench *b, Span span) {
    Location at = source_locate(&b->ctx->sources, span);
    return at.source && at.source->path[0] != '<' ? at.line : 0;
}

static void describe_kernels(Bench *b) {
    uint32_t n = b->f->kernels.len;
    b->kernels = ARENA_ARRAY(b->ctx->arena, DlcBenchKernel, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        const Kernel *k = b->f->kernels.at[i];
        b->kernels[i] =
            (DlcBenchKernel){.name = k->name,
                             .kind = kind_of(k),
                             .line = line_of(b, k->span),
                             .flops = summary_kernel_flops(k, b->pipeline.sema.max_batch),
                             .pairs_flops = summary_pairs_flops(k, b->pipeline.sema.max_batch)};
    }
    find_parts(b);
    traffic_of(b->ctx, b->f, b->kernels);
    b->out->nkernels = n;
    b->out->kernels = b->kernels;
}

static Function *alone(Ctx *ctx, const Function *f, uint32_t number) {
    Function *one = ARENA_NEW(ctx->arena, Function);
    *one = *f;
    one->name = sym_printf(ctx, "%s.kernel%u", f->name, number);
    memset(&one->kernels, 0, sizeof one->kernels);
    vec_push(ctx->arena, &one->kernels, f->kernels.at[number]);
    return one;
}

static bool compile_kernels(Bench *b) {
    uint32_t n = b->f->kernels.len;
    const char *name = b->planned->model->name;
    Function **functions = ARENA_ARRAY(b->ctx->arena, Function *, n + 1);
    for (uint32_t i = 0; i < n; i++) functions[i] = alone(b->ctx, b->f, i);
    Jit *jit = session_jit(b->dlc, name, functions, n, &b->pipeline);
    if (!jit) return false;
    for (uint32_t i = 0; i < n; i++)
        b->kernels[i].run = session_find(b->dlc, jit, name, functions[i]->name);
    return !diag_failed(b->ctx);
}

/* ---- the machine ----------------------------------------------------------------------------- */

static DlcProbe *find_probe(Bench *b, Jit *jit, const char *name) {
    void *address = target_jit_find(b->ctx, jit, codegen_symbol(b->ctx, "probe", name));
    DlcProbe *result;
    memcpy(&result, &address, sizeof result); /* see session_find */
    return result;
}

static bool compile_probes(Bench *b) {
    LLVMContextRef llvm = LLVMContextCreate();
    const Machine *machine = b->pipeline.machine;
    LLVMModuleRef module =
        codegen_probe(b->ctx, llvm, machine, b->pipeline.f64, &b->out->flops_of_turn);
    Jit *jit = NULL;
    if (target_optimize(b->ctx, module, machine)) jit = target_jit(b->ctx, module, llvm, machine);
    if (!jit) return false;
    vec_push(b->ctx->arena, &b->dlc->jits, jit);
    b->out->fma = find_probe(b, jit, "fma");
    if (b->pipeline.bf16 && machine->has_bf16) b->out->pairs = find_probe(b, jit, "pairs");
    b->out->read = find_probe(b, jit, "read");
    b->out->triad = find_probe(b, jit, "triad");
    return !diag_failed(b->ctx);
}

static void describe_machine(Bench *b) {
    const Machine *machine = b->pipeline.machine;
    b->out->cpu = machine->cpu;
    b->out->vector_bytes = machine->vector_bytes;
    b->out->l1_bytes = machine->l1_bytes;
    b->out->l2_bytes = machine->l2_bytes;
#ifdef _SC_LEVEL3_CACHE_SIZE
    long l3 = sysconf(_SC_LEVEL3_CACHE_SIZE);
    if (l3 > 0) b->out->l3_bytes = l3;
#endif
}

const DlcBench *bench_compile(Dlc *dlc, const DlcOptions *options) {
    Bench b = {.dlc = dlc, .ctx = &dlc->ctx};
    b.planned = session_plan(dlc, options, &b.pipeline);
    if (!b.planned) return NULL;
    b.f = b.planned->step ? b.planned->step : b.planned->forward;
    b.out = ARENA_NEW(b.ctx->arena, DlcBench);
    b.out->arena_bytes = b.f->arena_bytes;
    b.out->live_bytes = b.f->live_bytes;
    describe_machine(&b);
    describe_kernels(&b);
    if (!compile_kernels(&b) || !compile_probes(&b)) return NULL;
    b.out->model = session_compile(dlc, b.planned, &b.pipeline);
    return b.out->model ? b.out : NULL;
}
